-- The table redis of a library of functions while it loads: what it registers, its functions, is kept.
-- Called once, by prelude.lua. Returns that table, and a function that says where to keep what is registered.
local redis, names, complain, refuse, missing = ...

local error, find, format, lower, type, next = error, string.find, string.format, string.lower, type, next
local getinfo, setmetatable, select = debug.getinfo, setmetatable, select

local FLAGS = {["no-writes"] = true, ["allow-oom"] = true, ["allow-stale"] = true, ["no-cluster"] = true,
    ["allow-cross-slot-keys"] = true}
local keep  -- where the functions go; nil: no library loads

-- A text that is given as a string or a number; else nil.
local function text_of(value)
    if type(value) == "number" then return format("%.14g", value) end
    return type(value) == "string" and value or nil
end

local function read_flags(given)
    local flags, place = {}, 1
    while given[place] ~= nil do
        local flag = text_of(given[place])
        if not flag or not FLAGS[lower(flag)] then complain("unknown flag given") end
        flags[place], place = lower(flag), place + 1
    end
    return flags
end

local READERS = {
    function_name = function(value)
        return text_of(value) or complain("function_name argument given to redis.register_function must be a string")
    end,
    description = function(value)
        return text_of(value) or complain("description argument given to redis.register_function must be a string")
    end,
    callback = function(value)
        if type(value) == "function" then return value end
        complain("callback argument given to redis.register_function must be a function")
    end,
    flags = function(value)
        if type(value) == "table" then return read_flags(value) end
        complain("flags argument to redis.register_function must be a table representing function flags")
    end,
}

local function read_named(given)
    if type(given) ~= "table" then
        complain("calling redis.register_function with a single argument is only applicable to Lua table "
            .. "(representing named arguments).")
    end
    local found = {}
    for key, value in next, given do
        local name = text_of(key)
        if not name then complain("named argument key given to redis.register_function is not a string") end
        name = lower(name)
        if not READERS[name] then complain("unknown argument given to redis.register_function") end
        found[name] = READERS[name](value)
    end
    if not found.function_name then complain("redis.register_function must get a function name argument") end
    if not found.callback then complain("redis.register_function must get a callback argument") end
    return found
end

local function read_positional(name, callback)
    name = text_of(name) or complain("first argument to redis.register_function must be a string")
    if type(callback) ~= "function" then complain("second argument to redis.register_function must be a function") end
    return {function_name = name, callback = callback}
end

local function register_function(...)
    if not keep then complain("redis.register_function can only be called on FUNCTION LOAD command") end
    local count = select("#", ...)
    if count < 1 or count > 2 then complain("wrong number of arguments to redis.register_function") end
    local made = (count == 1 and read_named or read_positional)(...)
    if find(made.function_name, "[^%w_]") or made.function_name == "" then
        complain("Library names can only contain letters, numbers, or underscores(_) and must be at least one "
            .. "character long")
    end
    for _, each in next, keep do
        if each.function_name == made.function_name then complain("Function already exists in the library") end
    end
    made.line = getinfo(made.callback, "S").lastlinedefined
    keep[#keep + 1] = made
end

local shown = {register_function = register_function}
for _, name in next, {"log", "LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING", "REDIS_VERSION",
    "REDIS_VERSION_NUM"} do
    shown[name] = redis[name]
end

local loading = setmetatable({}, {
    __index = function(_, name)
        local value = shown[name]
        if value == nil then
            if not text_of(name) then error("Second argument to luaProtectedTableError must be a string or number", 2) end
            missing(name)
        end
        return value
    end,
    __newindex = refuse,
    __metatable = false,
})
names[loading] = shown

return {redis = loading}, function(where) keep = where end
