-- The environment of scripts: the safe functions of Lua, and the table redis. `libraries.lua` has cjson, cmsgpack, struct and bit.
-- Called once with the Python functions that it wraps; returns a function that compiles a script, and one that runs it.
--
-- A script must never get a Python function or exception, nor be able to change a table that other scripts use too,
-- nor to avoid the hook that ends scripts.
local answer, brief, may_call, check, log, sha1hex, libraries, calls, steps, restrict, lift, most = ...

local error, type, tostring, tonumber, pcall, xpcall, select = error, type, tostring, tonumber, pcall, xpcall, select
local loadstring, setfenv, setmetatable, rawget, rawset, next = loadstring, setfenv, setmetatable, rawget, rawset, next
local unpack, format, byte, find, gsub, sub = unpack, string.format, string.byte, string.find, string.gsub, string.sub
local sethook, getinfo, concat, null = debug.sethook, debug.getinfo, table.concat, newproxy()
local create, resume, collect, max, min = coroutine.create, coroutine.resume, collectgarbage, math.max, math.min

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
    local args, count = {}, select("#", ...)
    if count == 0 then error({err = "ERR Please specify at least one argument for this redis lib call"}, 0) end
    for i = 1, count do
        local arg = select(i, ...)
        if type(arg) == "number" then arg = format("%.17g", arg) end
        if type(arg) ~= "string" then
            error({err = "ERR Lua redis lib command arguments must be strings or integers"}, 0)
        end
        args[i] = arg
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
    local briefly = resp == 2 and count <= FEW and collect("count") <= most
    if briefly and type(a) == "string"
        and (count == 1 or type(b) == "string" and (count == 2 or count == 3 and type(c) == "string")) then
        return kept(brief(...))
    end
    local _, args = args_of(...)
    if briefly then return kept(brief(unpack(args))) end
    return checked(answer(resp, count, args))
end

-- Errors of the table redis have no position, those of the other libraries have the position in the script.
local function complain(text) error({err = "ERR " .. text}, 0) end

local function reply(field, text)
    if type(text) ~= "string" then return {err = "ERR wrong number or type of arguments"} end
    return {[field] = gsub(text, "[\r\n]", " ")}
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
        return reply("err", find(text, " ", 1, true) and text or "ERR " .. text)
    end,
    status_reply = function(text) return reply("ok", text) end,
    sha1hex = function(...)
        if select("#", ...) ~= 1 then complain("wrong number of arguments") end
        local text = ...
        return (sha1hex((type(text) == "number" or type(text) == "string") and tostring(text) or ""))
    end,
    log = function(...)
        if select("#", ...) < 2 then complain("redis.log() requires two arguments or more.") end
        local level, said = ..., {}
        if type(level) ~= "number" then complain("First argument must be a number (log level).") end
        if level < 0 or level > 3 then complain("Invalid debug level.") end
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

local made = libraries(python, calls, null)

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

local function guarded(change)
    return function(target, ...)
        if target ~= nil and frozen[target] then complain("Attempt to modify a readonly table") end
        return change(target, ...)
    end
end

for _, name in ipairs({"insert", "remove", "sort", "setn"}) do table[name] = guarded(table[name]) end

-- Each coroutine needs its own hook.
local function hook()
    if killed or check() then
        killed = true
        error({err = "ERR Script killed by user with SCRIPT KILL..."}, 0)
    end
end

local function passed(fine, ...)
    if fine then return ... end
    error(..., 0)
end

function coroutine.create(body)
    local made = create(body)
    sethook(made, hook, "", steps)
    return made
end

function coroutine.resume(...) return through(resume(...)) end

function coroutine.wrap(body)
    local made = coroutine.create(body)
    return function(...) return passed(resume(made, ...)) end
end

-- The matcher is a C function that recurses for each quantifier of the pattern, and the C stack is limited.
local QUANTIFIERS = 5000

local function placed(name, fine, ...)
    if fine then return ... end
    local problem = ...
    if type(problem) ~= "string" or problem == STARVED or find(problem, "^user_script:") then error(problem, 0) end
    error(gsub(problem, "'%?'", "'" .. name .. "'", 1), 3)
end

for _, name in ipairs({"find", "match", "gmatch", "gsub"}) do
    local search = string[name]
    string[name] = function(...)
        local _, pattern, _, plain = ...
        if type(pattern) == "string" and #pattern > QUANTIFIERS and not (plain and name == "find")
            and select(2, gsub(pattern, "[-*+?]", "")) > QUANTIFIERS then
            error("pattern too complex", 2)
        end
        return placed(name, pcall(search, ...))
    end
end

string.gfind = string.gmatch
getmetatable("").__metatable = false

local known = {
    assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs,
    rawequal = rawequal, select = select, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack,
    _VERSION = _VERSION, setmetatable = guarded(setmetatable), rawset = guarded(rawset), loadstring = compile,
    string = readonly(string), table = readonly(table), math = readonly(math), coroutine = readonly(coroutine),
    redis = readonly(redis), cjson = readonly(made.cjson), cmsgpack = readonly(made.cmsgpack),
    struct = readonly(made.struct), bit = readonly(made.bit), gcinfo = gcinfo,
}

-- All scripts share the garbage collector: a script may run it, but its settings are only stored, until it ends.
local settings = {}
function known.collectgarbage(option, value)
    if option == "stop" or option == "restart" then return 0 end
    if option ~= "setpause" and option ~= "setstepmul" then return collect(option, value) end
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
function known.next(target, ...) return next(frozen[target] or target, ...) end
function known.pairs(target) return known.next, target end
function known.rawget(target, key) return rawget(frozen[target] or target, key) end
function known.load(read, name)
    local pieces = {}
    for piece in read do
        if piece == "" then break end
        pieces[#pieces + 1] = piece
    end
    return compile(concat(pieces), name or "=(load)")
end

globals = setmetatable({}, {
    __index = function(_, name)
        local value = known[name]
        if value == nil then
            error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
        end
        return value
    end,
    __newindex = refuse,
    __metatable = false,
})
frozen[globals] = known
known._G = globals

-- The line of the script where an error was raised, and its text.
local function explain(problem)
    local level, line = 2, 0
    local place = getinfo(level, "Sl")
    while place and place.source ~= "@user_script" do
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
    -- No line: a tail call has lost it.
    return {text = tostring(problem), line = place and place.currentline, counted = counted}
end

local function run(script, keys, arguments)
    if not tidy() then return false, "ERR not enough memory", nil, false end
    restrict()
    known.KEYS, known.ARGV, resp, killed, settings = keys, arguments, 2, false, {}
    sethook(hook, "", steps)
    local fine, result = xpcall(script, explain)
    sethook()
    known.KEYS, known.ARGV = nil, nil
    if not tidy() then fine, result = false, STARVED end
    if fine or type(result) == "userdata" then return fine, result, resp, false end
    if type(result) == "table" then return false, result.text, result.line, result.counted and true end
    return false, "ERR " .. tostring(result), nil, false  -- `explain` failed
end

local function load_script(text)
    if not tidy() then return nil, STARVED end
    restrict()
    local script, problem = compile(text, "@user_script")
    if not tidy() then script, problem = nil, STARVED end
    return script, problem
end

return load_script, run, rawget, null
