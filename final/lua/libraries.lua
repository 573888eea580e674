-- The tables cjson, cmsgpack, struct and bit. Called once with the Python functions that do their work.
-- Errors have the position in the script, as `raise` gives it: that of the function that called the library.
local python, calls, null, raise = ...

local error, type, tostring, tonumber, select = error, type, tostring, tonumber, select
local unpack, format, huge = unpack, string.format, math.huge
local encode, decode, operate = python(calls.encode), python(calls.decode), python(calls.operate)
local msgpack, unmsgpack = python(calls.msgpack), python(calls.unmsgpack)
local pack, unstruct, size = python(calls.pack), python(calls.unpack), python(calls.size)

local function result(value, failure)
    if failure then raise(failure, 3) end
    return value
end

local function bad(place, name, wanted)
    raise(format("bad argument #%d to '%s' (%s)", place, name, wanted), 3)
end

local function named(value, given) return given and type(value) or "no value" end

-- The string that is argument number `place` of ..., or an error.
local function text(name, place, ...)
    local value = select(place, ...)
    if type(value) == "number" then value = tostring(value) end
    if type(value) ~= "string" then
        raise(format("bad argument #%d to '%s' (string expected, got %s)", place, name,
                     named(value, select("#", ...) >= place)), 3)
    end
    return value
end

-- cjson: `new` makes another one with its own settings.

local function integer(name, place, value, least, most)
    local number = tonumber(value)
    if not number then
        raise(format("bad argument #%d to '%s' (number expected, got %s)", place, name, type(value)), 4)
    end
    if number ~= number or number < least or number > most then
        raise(format("bad argument #%d to '%s' (expected integer between %d and %d)", place, name, least, most), 4)
    end
    return number - number % 1
end

local function new()
    local precision, keep, safe, ratio, longest = 14, true, false, 2, 10
    local deepest_encoded, deepest_decoded = 1000, 1000
    local encoded_invalid, decoded_invalid = false, true  -- NaN and infinities; also "null", where they are encoded
    local cjson = {null = null, _NAME = "cjson", _VERSION = "2.1.0", new = new}

    function cjson.encode(...)
        if select("#", ...) ~= 1 then bad(1, "encode", "expected 1 argument") end
        return (result(encode((...), precision, deepest_encoded, safe, ratio, longest, encoded_invalid)))
    end

    function cjson.decode(...)
        if select("#", ...) ~= 1 then bad(1, "decode", "expected 1 argument") end
        return (result(decode(text("decode", 1, ...), deepest_decoded, decoded_invalid)))
    end

    -- A function that returns a setting, after it has changed it if it got an argument.
    local function setting(name, change)
        cjson[name] = function(...)
            if select("#", ...) > 1 then bad(2, name, "found too many arguments") end
            return change((...))
        end
    end

    setting("encode_number_precision", function(value)
        if value ~= nil then precision = integer("encode_number_precision", 1, value, 1, 14) end
        return precision
    end)
    setting("encode_max_depth", function(value)
        if value ~= nil then deepest_encoded = integer("encode_max_depth", 1, value, 1, 2147483647) end
        return deepest_encoded
    end)
    setting("decode_max_depth", function(value)
        if value ~= nil then deepest_decoded = integer("decode_max_depth", 1, value, 1, 2147483647) end
        return deepest_decoded
    end)
    setting("encode_keep_buffer", function(value)
        if value ~= nil then keep = value end
        return keep
    end)
    setting("encode_invalid_numbers", function(value)
        if value ~= nil then encoded_invalid = value end
        return encoded_invalid
    end)
    setting("decode_invalid_numbers", function(value)
        if value ~= nil then decoded_invalid = value end
        return decoded_invalid
    end)
    function cjson.encode_sparse_array(convert, newratio, newlongest)
        if convert ~= nil then safe = convert end
        if newratio ~= nil then ratio = integer("encode_sparse_array", 2, newratio, 0, 2147483647) end
        if newlongest ~= nil then longest = integer("encode_sparse_array", 3, newlongest, 0, 2147483647) end
        return safe, ratio, longest
    end
    return cjson
end

-- cmsgpack

local cmsgpack = {
    _NAME = "cmsgpack", _VERSION = "lua-cmsgpack 0.4.0", _COPYRIGHT = "Copyright (C) 2012, Salvatore Sanfilippo",
    _DESCRIPTION = "MessagePack C implementation for Lua",
}

function cmsgpack.pack(...)
    if select("#", ...) == 0 then bad(0, "pack", "MessagePack pack needs input.") end
    return (result(msgpack(...)))
end

local function some(data, limit, start)
    local found, failure = unmsgpack(data, limit, start)
    if failure then
        if failure:sub(1, 11) == "table index" then error(failure, 0) end
        raise(failure, 3)
    end
    if limit == 0 and start == 0 then return unpack(found, 1, found.n) end
    return found.next, unpack(found, 1, found.n)
end

local function optional(name, place, value)
    local number = tonumber(value)
    if value == nil or number then return number or 0 end
    raise(format("bad argument #%d to '%s' (number expected, got %s)", place, name, type(value)), 3)
end

function cmsgpack.unpack(...) return some(text("unpack", 1, ...), 0, 0) end

function cmsgpack.unpack_one(...)
    local start = optional("unpack_one", 2, (select(2, ...)))
    return some(text("unpack_one", 1, ...), 1, start)
end

function cmsgpack.unpack_limit(...)
    local limit = tonumber((select(2, ...)))
    if not limit then
        bad(2, "unpack_limit", "number expected, got " .. named(select(2, ...), select("#", ...) > 1))
    end
    local start = optional("unpack_limit", 3, (select(3, ...)))
    return some(text("unpack_limit", 1, ...), limit, start)
end

-- struct

local struct = {}

function struct.pack(...) return (result(pack(text("pack", 1, ...), select(2, ...)))) end

function struct.size(...) return (result(size(text("size", 1, ...)))) end

function struct.unpack(...)
    local form, data = text("unpack", 1, ...), text("unpack", 2, ...)
    local start = select(3, ...)
    if start ~= nil and not tonumber(start) then bad(3, "unpack", "number expected, got " .. type(start)) end
    local found = result(unstruct(form, data, tonumber(start) or 1))
    return unpack(found, 1, found.n)
end

-- bit

local bit = {}
for name, count in pairs({tobit = 1, tohex = 1, bnot = 1, bswap = 1, band = 1, bor = 1, bxor = 1,
                          lshift = 2, rshift = 2, arshift = 2, rol = 2, ror = 2}) do
    bit[name] = function(...)
        local numbers, given = {...}, select("#", ...)
        for i = 1, given > count and given or count do
            local number = tonumber(numbers[i])
            if not number then bad(i, name, "number expected, got " .. named(numbers[i], i <= given)) end
            numbers[i] = number
        end
        return (result(operate(name, unpack(numbers))))
    end
end

return {cjson = new(), cmsgpack = cmsgpack, struct = struct, bit = bit}
