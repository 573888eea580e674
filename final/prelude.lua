-- What every script finds: the functions of Lua that are safe, and the tables redis, cjson and bit.
-- Called once, with the Python functions that it wraps; returns how to compile a script, and how to run one.
local answer, check, log, sha1hex, encode, decode, operate, steps = ...

local error, type, tostring, pcall, xpcall, select = error, type, tostring, pcall, xpcall, select
local loadstring, setfenv, setmetatable, pairs = loadstring, setfenv, setmetatable, pairs
local format, byte, sub = string.format, string.byte, string.sub
local sethook, getinfo = debug.sethook, debug.getinfo

local killed = false  -- SCRIPT KILL was said: whatever the script catches, it ends
local resp = 2        -- the version of RESP whose types redis.call gives

local function words(...)
    local list, count = {}, select("#", ...)
    if count == 0 then error({err = "ERR Please specify at least one argument for this redis lib call"}, 0) end
    for i = 1, count do
        local word = select(i, ...)
        if type(word) == "number" then word = format("%.17g", word) end
        if type(word) ~= "string" then
            error({err = "ERR Lua redis lib command arguments must be strings or integers"}, 0)
        end
        list[i] = word
    end
    return count, list
end

local function call(...)
    local result = answer(resp, words(...))
    if type(result) == "table" and result.err then error(result, 0) end
    return result
end

local function raised(result, failure)
    if failure then error(failure, 0) end
    return result
end

local redis = {
    LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
    REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
    REDIS_VERSION = "7.0.15", REDIS_VERSION_NUM = 0x0007000f,
    call = call,
    pcall = function(...)
        local _, result = pcall(call, ...)
        return result
    end,
    error_reply = function(text)
        return {err = sub(text, 1, 1) == "-" and sub(text, 2) or "ERR " .. text}
    end,
    status_reply = function(text) return {ok = text} end,
    sha1hex = function(text) return sha1hex(tostring(text)) end,
    log = function(level, text) log(level, tostring(text)) end,
    setresp = function(version) resp = version end,
    acl_check_cmd = function() return true end,
    replicate_commands = function() return true end,
    set_repl = function() end,
    breakpoint = function() return false end,
}

local cjson = {
    encode = function(value) return raised(encode(value)) end,
    decode = function(text) return raised(decode(text)) end,
    null = {["cjson.null"] = true},
}

local bit = {}
for _, name in ipairs({"band", "bor", "bxor", "bnot", "lshift", "rshift", "arshift"}) do
    bit[name] = function(...) return raised(operate(name, ...)) end
end

local globals  -- the table that scripts have as _G

-- A script that catches a command's error gets its text.
local function caught(fine, first, ...)
    if killed then error(first, 0) end
    if not fine and type(first) == "table" and first.err then first = first.err end
    return fine, first, ...
end

local function compile(text, name)
    if byte(text) == 27 then return nil, "bytecode is not allowed" end  -- it is not checked, and could do anything
    local script, problem = loadstring(text, name)
    return script and setfenv(script, globals), problem
end

local function readonly(original)
    return setmetatable({}, {
        __index = original,
        __newindex = function() error("Attempt to modify a readonly table", 2) end,
        __metatable = false,
    })
end

string.dump, string.gfind = nil, nil
getmetatable("").__metatable = false

local known = {
    assert = assert, collectgarbage = collectgarbage, error = error, getmetatable = getmetatable, ipairs = ipairs,
    next = next, pairs = pairs, rawequal = rawequal, rawget = rawget, select = select,
    setmetatable = setmetatable, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack,
    _VERSION = _VERSION,
    pcall = function(...) return caught(pcall(...)) end,
    xpcall = function(...) return caught(xpcall(...)) end,
    loadstring = compile,
    string = readonly(string), table = readonly(table), math = readonly(math), coroutine = readonly(coroutine),
    redis = readonly(redis), server = readonly(redis), cjson = readonly(cjson), bit = readonly(bit),
}
function known.rawset(target, key, value)
    if target == globals then error("Attempt to modify a readonly table", 2) end
    return rawset(target, key, value)
end

globals = setmetatable({}, {
    __index = function(_, name)
        local value = known[name]
        if value == nil then
            error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
        end
        return value
    end,
    __newindex = function() error("Attempt to modify a readonly table", 2) end,
    __metatable = false,
})
known._G = globals

-- Where in the script an error came from, and its text.
local function explain(problem)
    local level, line = 2, 0
    local place = getinfo(level, "Sl")
    while place and place.source ~= "@user_script" do
        level = level + 1
        place = getinfo(level, "Sl")
    end
    if type(problem) == "table" then
        problem = problem.err
    else
        problem = "ERR " .. tostring(problem)
    end
    return {text = tostring(problem), line = place and place.currentline}  -- no line: it was lost by a tail call
end

local function run(script, keys, arguments)
    known.KEYS, known.ARGV, resp, killed = keys, arguments, 2, false
    sethook(function()
        if killed or check() then
            killed = true
            error({err = "ERR Script killed by user with SCRIPT KILL..."}, 0)
        end
    end, "", steps)
    local fine, result = xpcall(script, explain)
    sethook()
    if fine then return true, result end
    return false, result.text, result.line
end

return function(text) return compile(text, "@user_script") end, run, rawget
