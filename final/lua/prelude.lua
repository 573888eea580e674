-- The environment of scripts: the safe functions of Lua, and the table redis. `libraries.lua` has cjson, cmsgpack, struct and bit.
-- Called once with the Python functions that it wraps; returns a function that compiles a script, and one that runs it.
-- A state is either for scripts, whose `chunk` is user_script, or for functions: user_function.
--
-- A script must never get a Python function or exception, nor be able to change a table that other scripts use too,
-- nor to avoid the hook that ends scripts.
local answer, brief, may_call, check, log, sha1hex, libraries, calls, steps, restrict, lift, most,
    functions, chunk = ...
local source = "@" .. chunk

local error, type, tostring, tonumber, pcall, xpcall, select = error, type, tostring, tonumber, pcall, xpcall, select
local loadstring, setfenv, setmetatable, rawget, rawset, next = loadstring, setfenv, setmetatable, rawget, rawset, next
local unpack, format, byte, find, gsub, sub = unpack, string.format, string.byte, string.find, string.gsub, string.sub
local sethook, getinfo, concat, null = debug.sethook, debug.getinfo, table.concat, newproxy()
local create, resume, max, min = coroutine.create, coroutine.resume, math.max, math.min
local collect, gcinfo = collectgarbage, gcinfo  -- `gcinfo` is the shorter way to ask for the count

local lines = 1       -- of the script that runs
local killed = false  -- SCRIPT KILL was received: the script ends, whatever it catches
local FEW = 16        -- arguments that are handed to Python without a table
local resp = 2        -- the RESP version of the replies of redis.call

-- Memory in KiB. A script may use `most`, plus a reserve that lupa needs to call Python.
local STARVED = "not enough memory"  -- as Lua says it
local untidy = most / 8              -- a full collection is worth it when more is in use

-- Collect the garbage of scripts if it is much. Return whether there is enough memory to continue.
local function tidy()
    if collect("count") > untidy then
        lift()  -- a collection may need memory
        collect()
        untidy = min(most / 2, max(most / 8, 2 * collect("count")))
    end
    return collect("count") <= most
end

local function restricted(...)
    restrict()
    return ...
end

-- Wrap a Python function for a script. The function lifts the limit, and must not be called without the reserve.
local function python(call)
    return function(...)
        if collect("count") > most then
            lift()
            collect()
            restrict()
            if collect("count") > most then error(STARVED, 0) end
        end
        return restricted(call(...))
    end
end

answer, may_call, log, sha1hex = python(answer), python(may_call), python(log), python(sha1hex)

local function args_of(...)
    local args, count = {...}, select("#", ...)
    if count == 0 then error({err = "ERR Please specify at least one argument for this redis lib call"}, 0) end
    for i = 1, count do
        local kind = type(args[i])
        if kind == "number" then
            args[i] = format("%.17g", args[i])
        elseif kind ~= "string" then
            error({err = "ERR Lua redis lib command arguments must be strings or integers"}, 0)
        end
    end
    return count, args
end

local function checked(result)
    if type(result) == "table" and result.err then
        result.ignore_error_stats_update = true  -- it is counted, whatever becomes of it
        error(result, 0)
    end
    return result
end

-- `brief` returns a reply; the text of a simple string, and 1; or a reply for which it has lifted the limit, and 2.
local function kept(result, how)
    if not how then return result end
    if how == 1 then return {ok = result} end
    restrict()
    return checked(result)
end

-- One to three strings go the shortest way, in which each call of a function was counted.
local function call(...)
    local count, a, b, c = select("#", ...), ...
    local briefly = resp == 2 and count <= FEW and gcinfo() <= most
    if briefly and type(a) == "string"
        and (count == 1 or type(b) == "string" and (count == 2 or count == 3 and type(c) == "string")) then
        local result, how = brief(...)
        if how then return kept(result, how) end
        return result
    end
    local _, args = args_of(...)
    if briefly then return kept(brief(unpack(args))) end
    return checked(answer(resp, count, args))
end

-- Errors of the table redis have no position, those of the other libraries have the position in the script.
local function complain(text) error({err = "ERR " .. text}, 0) end

local function reply(field, text)
    if type(text) ~= "string" then return {err = "ERR wrong number or type of arguments"} end
    return {[field] = text}
end

local redis = {
    LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
    REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
    REDIS_VERSION = "7.0.15", REDIS_VERSION_NUM = 0x0007000f,
    call = call,
    pcall = function(...)
        local fine, result = pcall(call, ...)
        if not fine and (killed or type(result) ~= "table") then error(result, 0) end
        return result
    end,
    error_reply = function(text)
        if type(text) ~= "string" then return reply("err", text) end
        text = gsub(text, "^%-", "")
        local space = find(text, " ", 1, true)
        local code, said = space and sub(text, 1, space - 1) or "ERR", space and sub(text, space + 1) or text
        return reply("err", code .. " " .. gsub(gsub(said, "^[\r\n]+", ""), "[\r\n]+$", ""))
    end,
    status_reply = function(text) return reply("ok", text) end,
    sha1hex = function(...)
        if select("#", ...) ~= 1 then complain("wrong number of arguments") end
        local text = ...
        return (sha1hex((type(text) == "number" or type(text) == "string") and tostring(text) or ""))
    end,
    log = function(...)
        if select("#", ...) < 2 then complain("redis.log() requires two arguments or more.") end
        local level, said = tonumber((...)), {}
        if not level then complain("First argument must be a number (log level).") end
        if not (level > -1 and level < 4) then complain("Invalid debug level.") end -- as an integer, 0 to 3
        for i = 2, select("#", ...) do said[i - 1] = tostring((select(i, ...))) end
        log(level, concat(said, " "))
    end,
    setresp = function(...)
        if select("#", ...) ~= 1 then complain("redis.setresp() requires one argument.") end
        local version = tonumber((...))
        if version ~= 2 and version ~= 3 then complain("RESP version must be 2 or 3.") end
        resp = version
    end,
    set_repl = function(...)  -- the writes of a script are always logged
        if select("#", ...) ~= 1 then complain("redis.set_repl() requires two arguments.") end
        local flags = tonumber((...))
        if not flags or flags < 0 or flags > 3 then
            complain("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
        end
    end,
    acl_check_cmd = function(...)
        local count, args = args_of(...)
        local allowed, problem = may_call(unpack(args, 1, count))
        if problem then complain(problem) end
        return allowed
    end,
    replicate_commands = function() return true end,
    breakpoint = function() return false end,
    debug = function() end,  -- output for the debugger
}

if chunk == "user_function" then redis.breakpoint, redis.debug, redis.replicate_commands = nil end

-- Raise an error with the position in the script; `level` as for `error`. A tail call has lost its line: most likely it
-- is the last one.
local function raise(problem, level)
    local place = getinfo(level + 1, "S")
    if place and place.what == "tail" then error(chunk .. ":" .. lines .. ": " .. problem, 0) end
    error(problem, level + 1)
end

local made = libraries(python, calls, null, raise)

local globals  -- the table _G of scripts

-- Raise again what a script must not catch: SCRIPT KILL, and Python exceptions.
local function through(fine, first, ...)
    if not fine and (killed or type(first) == "userdata") then error(first, 0) end
    return fine, first, ...
end

-- For the error of a command, `pcall` returns its text.
local function caught(fine, first, ...)
    if not fine and type(first) == "table" and rawget(first, "err") then first = rawget(first, "err") end
    return fine, first, ...
end

-- What a function of Lua's own returned, which `pcall` called; its errors get the position in the script, and its name.
-- Errors of Lua itself, "attempt to compare …", have none there either.
local function placed(name, fine, ...)
    if fine then return ... end
    local problem = ...
    if type(problem) ~= "string" or problem == STARVED or find(problem, "^" .. chunk .. ":")
        or find(problem, "^attempt") or find(problem, "^table index") then
        error(problem, 0)
    end
    raise(gsub(problem, "'%?'", "'" .. name .. "'", 1), 3)
end

local function need(wanted, name, value)
    if type(value) ~= wanted then
        raise(format("bad argument #1 to '%s' (%s expected, got %s)", name, wanted, type(value)), 3)
    end
end

local function compile(text, name)
    -- Lua does not verify bytecode, so it could corrupt memory.
    if byte(text) == 27 then return nil, "bytecode is not allowed" end
    local script, problem = loadstring(text, name)
    return script and setfenv(script, globals), problem
end

-- Tables that all scripts share are read-only.
local frozen = {}  -- the read-only table -> the original

local function refuse() error("Attempt to modify a readonly table", 2) end

local function readonly(original)
    local shown = setmetatable({}, {__index = original, __newindex = refuse, __metatable = false})
    frozen[shown] = original
    return shown
end

local function guarded(name, change)
    return function(...)
        local target = ...
        if target ~= nil and frozen[target] then complain("Attempt to modify a readonly table") end
        return placed(name, pcall(change, ...))
    end
end

for _, name in ipairs({"insert", "remove", "sort", "setn"}) do table[name] = guarded(name, table[name]) end

-- Each coroutine needs its own hook.
local function hook()
    if killed or check() then
        killed = true
        error({err = "ERR Script killed by user with SCRIPT KILL..."}, 0)
    end
end

-- The text of an error gets the position where the coroutine was called in front of the one where it was raised.
local function passed(fine, ...)
    if fine then return ... end
    local problem = ...
    if type(problem) ~= "string" or problem == STARVED then error(problem, 0) end
    raise(problem, 3)
end

local function hooked(made)
    sethook(made, hook, "", steps)
    return made
end

function coroutine.create(body) return hooked(placed("create", pcall(create, body))) end

function coroutine.resume(thread, ...)
    if type(thread) ~= "thread" then raise("bad argument #1 to 'resume' (coroutine expected)", 2) end
    return through(resume(thread, ...))
end

function coroutine.wrap(body)
    local made = hooked(placed("wrap", pcall(create, body)))
    return function(...) return passed(resume(made, ...)) end
end

-- The matcher is a C function that recurses for each quantifier of the pattern, and the C stack is limited.
local QUANTIFIERS = 5000

-- Redis has a generator of its own, so that a seed gives the same numbers on every machine (`rand.c`). Its state has
-- 48 bits, here in two halves.
local high, low = 0x1234AB, 0xCD330E
local lua_random, lua_seed, floor = math.random, math.randomseed, math.floor

local function fraction()
    local product = low * 0xECE66D + 0xB  -- the multiplier is 0x5DEECE66D
    high = (high * 0xECE66D + low * 0x5DE + floor(product / 2^24)) % 2^24
    low = product % 2^24
    return (high * 2^7 + floor(low / 2^17)) % 0x7FFFFFFF / 0x7FFFFFFF
end

local function int(value)  -- as C converts a number
    local number = tonumber(value)
    return ((number < 0 and -floor(-number) or floor(number)) + 2^31) % 2^32 - 2^31
end

function math.random(...)
    placed("random", pcall(lua_random, ...))  -- checks the arguments
    local count, from, to = select("#", ...), ...
    if count == 0 then return fraction() end
    if count == 1 then from, to = 1, from end
    from, to = int(from), int(to)
    return floor(fraction() * int(to - from + 1)) + from
end

function math.randomseed(...)
    placed("randomseed", pcall(lua_seed, ...))
    local state = int((...)) % 2^32 * 2^16 + 0x330E
    high, low = floor(state / 2^24), state % 2^24
end

for _, name in ipairs({"find", "match", "gmatch", "gsub"}) do
    local search = string[name]
    string[name] = function(...)
        local _, pattern, _, plain = ...
        if type(pattern) == "string" and #pattern > QUANTIFIERS and not (plain and name == "find")
            and select(2, gsub(pattern, "[-*+?]", "")) > QUANTIFIERS then
            raise("pattern too complex", 2)
        end
        return placed(name, pcall(search, ...))
    end
end

string.gfind = string.gmatch

local known = {
    assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs,
    rawequal = rawequal, select = select, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack,
    _VERSION = _VERSION, setmetatable = guarded("setmetatable", setmetatable), rawset = guarded("rawset", rawset),
    string = readonly(string), table = readonly(table), math = readonly(math), coroutine = readonly(coroutine),
    redis = readonly(redis), cjson = readonly(made.cjson), cmsgpack = readonly(made.cmsgpack),
    struct = readonly(made.struct), bit = readonly(made.bit), gcinfo = gcinfo,
}
getmetatable("").__metatable = readonly({__index = known.string})

-- All scripts share the garbage collector: a script may run it, but its settings are only stored, until it ends.
local settings = {}
function known.collectgarbage(option, value)
    if option == "stop" or option == "restart" then return 0 end
    if option ~= "setpause" and option ~= "setstepmul" then
        return placed("collectgarbage", pcall(collect, option, value))
    end
    local before = settings[option] or 200
    settings[option] = tonumber(value) or 0
    return before
end

function known.pcall(...) return caught(through(pcall(...))) end
function known.xpcall(body, handler)
    return through(xpcall(body, function(problem)
        -- A handler must not run for an error from the hook: nothing could end it.
        if killed or type(problem) == "userdata" then return problem end
        return handler(problem)
    end))
end
function known.next(target, ...)
    need("table", "next", target)
    return next(frozen[target] or target, ...)
end
function known.pairs(target)
    need("table", "pairs", target)
    return known.next, target
end
function known.rawget(target, key)
    need("table", "rawget", target)
    return rawget(frozen[target] or target, key)
end
function known.loadstring(text, name)
    if type(text) ~= "number" then need("string", "loadstring", text) end
    return compile(tostring(text), name)
end
function known.load(read, name)
    local pieces = {}
    for piece in read do
        if piece == "" then break end
        pieces[#pieces + 1] = piece
    end
    return compile(concat(pieces), name or "=(load)")
end

local function missing(name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 3)
end

-- A name is looked up in a table, not by a function: that is called only for a name that is not there.
local strict = {__index = function(_, name) missing(name) end}
local view = {__index = setmetatable(known, strict), __newindex = refuse, __metatable = false}
globals = setmetatable({}, view)
frozen[globals] = known
known._G = globals

-- The line of the script where an error was raised, and its text.
local function explain(problem)
    local level, line = 2, 0
    local place = getinfo(level, "Sl")
    while place and place.source ~= source do
        level = level + 1
        place = getinfo(level, "Sl")
    end
    if type(problem) == "userdata" then return problem end
    local counted = false
    if type(problem) == "table" then
        counted = rawget(problem, "ignore_error_stats_update")
        problem = rawget(problem, "err") or "ERR unknown error"
    else
        problem = "ERR " .. tostring(problem)
    end
    return {text = tostring(problem), line = place and place.currentline or lines, counted = counted}
end

local function run(script, count, keys, arguments)
    if not tidy() then return false, "ERR not enough memory", count, false end
    restrict()
    lines = count
    local body = script
    resp, killed, settings = 2, false, {}
    if chunk == "user_function" then
        body = function() return script(keys, arguments) end
    else
        known.KEYS, known.ARGV = keys, arguments
    end
    sethook(hook, "", steps)
    local fine, result = xpcall(body, explain)
    sethook()
    known.KEYS, known.ARGV = nil, nil
    if not tidy() then fine, result = false, STARVED end
    if fine or type(result) == "userdata" then return fine, result, resp, false end
    if type(result) == "table" then return false, result.text, result.line, result.counted and true end
    return false, "ERR " .. tostring(result), lines, false  -- `explain` failed
end

local function load_script(text)
    if not tidy() then return nil, STARVED end
    restrict()
    local script, problem = compile(text, source)
    if not tidy() then script, problem = nil, STARVED end
    return script, problem
end

local loading, keep = functions(redis, frozen, complain, refuse, missing)
setmetatable(loading, strict)

-- Run the code of a library. Return the functions that it registers, or nil and an error.
local function load_library(text)
    local library, problem = load_script(text)
    if not library then return nil, "Error compiling function: " .. problem end
    local registered = {}
    keep(registered)
    view.__index, killed, settings = loading, false, {}  -- it sees nothing else
    sethook(hook, "", steps)
    local fine, result = xpcall(library, explain)
    sethook()
    view.__index = known
    keep(nil)
    if not tidy() then fine, result = false, STARVED end
    if fine then return registered, nil end
    if type(result) == "userdata" then return nil, result end
    problem = type(result) == "table" and result.text or "ERR " .. tostring(result)
    return nil, "Error registering functions: " .. (killed and "ERR FUNCTION LOAD timeout" or problem)
end

-- The digits of a double that a script returns: lupa would make an integer of -0.
local function double(reply)
    local number = rawget(reply, "double")
    return type(number) == "number" and format("%.17g", number) or nil
end

return load_script, run, rawget, double, null, load_library
