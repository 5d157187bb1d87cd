#!lua name=codegrex_v2
-- The ledger's function library: every change of credits, holds, rates and records is one call.
--
-- Rules:
-- 1. Every argument and the type of every key that is written are checked before the first write: an error in
--    the middle would not roll back. Keys are read before they are written, so a wrong type fails there. Only the
--    first write of a call may be its own check: if its key has a wrong type, nothing is written.
-- 2. The clock is the server's TIME. Sums stay below 2^53 and are returned as text: all digits, no exponent.
-- 3. Idempotent by rid. settle beats void and a higher rev beats a lower one, in whatever order
--    they arrive: replay, duplication and reordering end in the same state.
-- 4. All keys are declared, so that a Cluster that moves their slot answers TRYAGAIN before the call
--    runs and never in the middle of it.
-- 5. A change of meaning needs a new library and new function names (v3, cgx3_): two versions must be
--    able to serve side by side. This one follows v1, whose holds have no most.
-- 6. No account can owe more than it has: when a request is admitted, the most that all running requests may cost
--    (the sum of most in the account's holds) stays within its credit.
--
-- m:{p}:acct:<pid> is a hash: granted; spent; tier; restricted; erased; day and dspent, month and mspent: the number of
-- the current UTC day and of the first day of the current UTC month, and the charges of requests that began in them. A
-- window starts with the first charge in it, so that settlements, corrections and orphans in any order end in the same
-- sum.
--
-- m:{p}:holds:<pid> is a hash: rid to held; or to held, a NUL and most, if the request may cost more than is held.
-- tonumber stops at a NUL (Lua 5.1), so that v1 reads the held amount. A hold of v1 has no most: it equals held.
--
-- m:{p}:req:<rid> is a hash: s = h held | d done | v voided | x dead letter | e erased; pid;
-- f fingerprint of reserve's arguments; t, tl token estimate and limit; home the spool that knows
-- whether it was sent; lane, if it is in one; ck checkpoint, the record that an orphan would get; c charge;
-- r rev; id stream entry of the record. An erased account is a hash with the single field erased, for KEEP.

local MAX = 9007199254740991
local MINUTE = 60000000
local DAY = 86400000
local KEEP = 35 * DAY      -- how long a request's state is kept, so that duplicates are refused
local BRIEF = 600000       -- the same for a request that is not billed: no checkpoint, nothing to charge twice
local LANE = 600000        -- how long the newest request of an autocomplete lane is known
local STAMP = 16           -- a rid begins with its time, in that many characters that compare as text
local MONTHS = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
local TOO_OLD = 34 * DAY   -- after this, the state of the request may be gone
local WAIT = 5000000       -- how long to wait for credit that running requests may need

-- The text of a whole number. '%d' uses a C long, whose 64 bits keep every number up to MAX exact, negative ones too,
-- and takes a third of the time of '%.0f'. Only times that follow from an absurd estimate or lease are larger.
local function text(number)
  return string.format(number <= MAX and '%d' or '%.0f', number)
end

local function int(argument)
  if not argument or not string.find(argument, '^%d+$') then return nil end
  local number = tonumber(argument)
  if number > MAX then return nil end
  return number
end

local function bad(what)
  return redis.error_reply('CGXARG ' .. what)
end

local function now_us()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- The held amount of a hold, and the most that its request may cost.
local function parts_of(hold)
  local at = string.find(hold, '\0', 1, true)
  if not at then return tonumber(hold), tonumber(hold) end
  return tonumber(string.sub(hold, 1, at - 1)), tonumber(string.sub(hold, at + 1))
end

local function hold_of(held, most)
  return most > held and text(held) .. '\0' .. text(most) or text(held)
end

-- The sums of an account's holds.
local function held_in(holds)
  local held, most = 0, 0
  for _, hold in ipairs(redis.call('HVALS', holds)) do
    local one, all = parts_of(hold)
    held, most = held + one, most + all
  end
  return held, most
end

-- A record is passed as one argument: name, value, name, value ..., each ended by a line feed.
local function split(lines)
  local parts = {}
  for part in string.gmatch(lines, '([^\n]*)\n') do parts[#parts + 1] = part end
  return parts
end

-- GCRA (a burst of one minute's limit, then an even rate): the arrival time before and after this
-- call, and how long it has to wait (0: it passes), in microseconds.
-- A single request that is larger than the limit passes if nothing was used, and later ones wait. 0 is no limit.
local function gcra(key, limit, cost, now)
  local before = tonumber(redis.call('GET', key) or '0')
  if before < now then before = now end
  if limit == 0 then return before, before, 0 end
  local weight = math.floor(math.min(cost, limit) * MINUTE / limit)
  local after = before + math.floor(cost * MINUTE / limit)
  return before, after, math.max(0, before + weight - MINUTE - now)
end

-- The UTC month of a day (both in days since 1970): its first day and the next one's.
-- The result is cached for the next calls, nearly all of which are of the same day: counting from 1970 is slow.
local asked, month_first, month_after
local function month_of(day)
  if day == asked then return month_first, month_after end
  local year, first, length = 1970, 0, 365
  while day >= first + length do
    first, year = first + length, year + 1
    length = (year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)) and 366 or 365
  end
  for month, days in ipairs(MONTHS) do
    if month == 2 and length == 366 then days = 29 end
    if day < first + days then
      asked, month_first, month_after = day, first, first + days
      return first, first + days
    end
    first = first + days
  end
end

-- From the account's fields day, dspent, month, mspent: {spent, end in ms} of the current day and month.
local function spending(day, dspent, month, mspent, now_ms)
  local today = math.floor(now_ms / DAY)
  local first, after = month_of(today)
  local of_day = tonumber(day or '-1') == today and math.max(0, tonumber(dspent or '0')) or 0
  local of_month = tonumber(month or '-1') == first and math.max(0, tonumber(mspent or '0')) or 0
  return {of_day, (today + 1) * DAY, today}, {of_month, after * DAY, first}
end

local function push(windows, policy, limit, left, reset)
  local n = #windows
  windows[n + 1], windows[n + 2] = policy, text(limit)
  windows[n + 3], windows[n + 4] = text(math.max(0, left)), text(reset)
end

local function push_rate(windows, policy, limit, at, now)
  push(windows, policy, limit, math.floor((now + MINUTE - at) * limit / MINUTE), math.ceil((at - now) / 1000))
end

local function store_rate(key, after, now)
  if after <= now then
    redis.call('DEL', key)
  else
    redis.call('SET', key, text(after), 'PX', text(math.ceil((after - now) / 1000)))
  end
end

-- Corrects the token rate, which was at arrival, by what a request really used, or gives its estimate back.
local function correct_tokens(key, arrival, limit, estimate, actual, now)
  limit, estimate = tonumber(limit or '0'), tonumber(estimate or '0')
  if limit == 0 or estimate == actual then return end
  local before = tonumber(arrival or '0')
  if before < now then before = now end
  store_rate(key, before + math.floor((actual - estimate) * MINUTE / limit), now)
end

local function release(holds, lease, due, pid, rid)
  redis.call('HDEL', holds, rid)
  redis.call('ZREM', lease, rid)
  redis.call('ZREM', due, pid .. ':' .. rid)
end

-- Writes what is kept of a request that has ended, as a new hash: without the long checkpoint of a running request the
-- server uses its compact encoding, which takes about a third of the memory for KEEP.
local function remember(req, ...)
  redis.call('DEL', req)
  redis.call('HSET', req, ...)
  redis.call('PEXPIRE', req, KEEP)
end

-- How long the state of a request with this checkpoint is kept.
local function keep(checkpoint)
  return (checkpoint or '') == '' and BRIEF or KEEP
end

-- How long a budget (0: none) makes a request wait, in microseconds. What running requests only hold may be released
-- before the window ends.
local function over(limit, window, held, amount, now)
  if limit == 0 or window[1] + held + amount <= limit then return 0 end
  return window[1] + amount > limit and window[2] * 1000 - now or 1000000
end

-- keys: acct holds lease due req rate:requests rate:tokens [lane]
-- args: rid pid amount worst least tokens lease_ms requests/min tokens/min concurrent daily monthly home [checkpoint]
-- amount is held if the credit covers worst in addition to the most that all running requests may cost. Otherwise all
-- remaining credit is held, and is the most that the request may cost, if it is at least least. In a lane only the
-- newest request has a hold, by the time in its rid, and it does not count towards concurrency.
-- gives: ok balance held hold most [policy limit remaining reset_ms]*   balance: granted - spent; held: by others
--    or: took balance held hold most replaced-rid [...]*   for a lane
--    or: no reason needed held available retry_ms [policy limit remaining reset_ms]*   held: the most that others may
--        cost; available: the rest of the credit; retry_ms of credits: 0 if no running request's end can help
local function reserve(keys, args)
  local acct, holds, lease, due, req = keys[1], keys[2], keys[3], keys[4], keys[5]
  local rid, pid = args[1], args[2]
  local amount, worst, least = int(args[3]), int(args[4]), int(args[5])
  local tokens, lease_ms = int(args[6]), int(args[7])
  local per_minute, tokens_per_minute, concurrent = int(args[8]), int(args[9]), int(args[10])
  local daily, monthly, lane = int(args[11]), int(args[12]), keys[8]
  if not (amount and worst and least and tokens and lease_ms and per_minute and tokens_per_minute and concurrent
      and daily and monthly) or amount > worst or least > worst then
    return bad('reserve')
  end
  local fingerprint = table.concat(args, ':', 3, 10)
  local now = now_us()
  local now_ms = math.floor(now / 1000)

  local account = redis.call('HMGET', acct, 'granted', 'spent', 'erased', 'restricted',
    'day', 'dspent', 'month', 'mspent')
  local held, may_cost = held_in(holds)
  local running = redis.call('ZCOUNT', lease, '(' .. text(now_ms), '+inf')
  redis.call('ZCARD', due)
  local known = redis.call('HMGET', req, 's', 'pid', 'f')
  local newest = lane and redis.call('GET', lane) or nil
  local balance = tonumber(account[1] or '0') - tonumber(account[2] or '0')
  local room = balance - may_cost

  local function no(reason, retry_us, windows)
    local reply = {'no', reason, text(least), text(may_cost), text(room), text(math.ceil(retry_us / 1000))}
    for _, part in ipairs(windows or {}) do reply[#reply + 1] = part end
    return reply
  end

  if account[3] then return no('unknown_account', 0) end
  if known[1] then
    if known[2] ~= pid then return redis.error_reply('CGXCONFLICT rid') end
    if known[1] ~= 'h' then return no('voided', 0) end
    if known[3] and known[3] ~= fingerprint then return redis.error_reply('CGXCONFLICT fingerprint') end
    local own = redis.call('HGET', holds, rid)
    local hold, most = parts_of(own or hold_of(amount, worst))
    return {'ok', text(balance), text(own and held - hold or held), text(hold), text(most)}
  end
  if not (account[1] or account[2]) then return no('unknown_account', 0) end
  if account[4] then return no('restricted', 0) end
  if newest and string.sub(newest, 1, STAMP) > string.sub(rid, 1, STAMP) then return no('superseded', 0) end
  local hold, most = amount, worst
  if room < worst then
    if room < least then return no('credits', balance < least and 0 or WAIT) end
    hold, most = room, room
  end
  amount = math.min(amount, hold)

  -- If several limits refuse, the one with the longest wait is reported: after that time the request may pass.
  local reason, retry = nil, 0
  if lane then concurrent = 0 end
  if concurrent > 0 and running >= concurrent then reason, retry = 'concurrency', 1000000 end
  local day, month, wait
  if daily + monthly > 0 then
    day, month = spending(account[5], account[6], account[7], account[8], now_ms)
    wait = over(daily, day, held, amount, now)
    if wait > retry then reason, retry = 'daily', wait end
    wait = over(monthly, month, held, amount, now)
    if wait > retry then reason, retry = 'monthly', wait end
  end
  local at, after, tokens_at, tokens_after
  at, after, wait = gcra(keys[6], per_minute, 1, now)
  if wait > retry then reason, retry = 'requests', wait end
  tokens_at, tokens_after, wait = gcra(keys[7], tokens_per_minute, tokens, now)
  if wait > retry then reason, retry = 'tokens', wait end

  local windows = {}
  if concurrent > 0 then push(windows, 'concurrency', concurrent, concurrent - running - (reason and 0 or 1), 0) end
  if per_minute > 0 then push_rate(windows, 'requests', per_minute, reason and at or after, now) end
  if tokens_per_minute > 0 then
    push_rate(windows, 'tokens', tokens_per_minute, reason and tokens_at or tokens_after, now)
  end
  local taken = held + (reason and 0 or hold)
  if daily > 0 then push(windows, 'daily', daily, daily - day[1] - taken, day[2] - now_ms) end
  if monthly > 0 then push(windows, 'monthly', monthly, monthly - month[1] - taken, month[2] - now_ms) end
  if reason then return no(reason, retry, windows) end

  local expiry = text(now_ms + lease_ms)
  -- First, because it fails if an absurd estimate gives a time that is larger than an expiry can be.
  if tokens_per_minute > 0 then store_rate(keys[7], tokens_after, now) end
  if per_minute > 0 then store_rate(keys[6], after, now) end
  redis.call('HSET', holds, rid, hold_of(hold, most))
  redis.call('ZADD', due, expiry, pid .. ':' .. rid)
  redis.call('HSET', req, 's', 'h', 'pid', pid, 'f', fingerprint, 't', text(tokens),
    'tl', text(tokens_per_minute), 'home', args[13] or '', 'ck', args[14] or '')
  redis.call('PEXPIRE', req, keep(args[14]))
  local reply = {'ok', text(balance), text(held), text(hold), text(most)}
  if lane then
    redis.call('SET', lane, rid, 'PX', LANE)
    redis.call('HSET', req, 'lane', '1')
    reply[1], reply[6] = 'took', newest or ''
  else
    redis.call('ZADD', lease, expiry, rid)
  end
  for _, part in ipairs(windows) do reply[#reply + 1] = part end
  return reply
end

-- What settle and reap read before they write, which checks the types of their keys. usage, dead and unlinked are not
-- checked: a call writes at most one of them, and first. replaced is written only if there was a record before.
-- gives: account (spent erased day dspent month mspent), request (s pid t tl), its record (r c id), token rate
local function begin(keys, rid)
  redis.call('HEXISTS', keys[2], rid)
  redis.call('ZCARD', keys[3])
  redis.call('ZCARD', keys[4])
  redis.call('LLEN', keys[7])
  local known, former = redis.call('HMGET', keys[5], 's', 'pid', 't', 'tl'), {}
  if known[1] == 'd' then
    former = redis.call('HMGET', keys[5], 'r', 'c', 'id')
    redis.call('ZCARD', keys[9])
  end
  return redis.call('HMGET', keys[1], 'spent', 'erased', 'day', 'dspent', 'month', 'mspent'), known, former,
    redis.call('GET', keys[8])
end

-- For an erased account the charge is only added to the day's total, which is linked to nobody, once for each rid.
local function total_only(keys, pid, rid, charge, state, now_ms)
  if state ~= 'e' then
    redis.call('HINCRBY', keys[11], text(math.floor(now_ms / DAY)), text(charge))
  end
  release(keys[2], keys[3], keys[4], pid, rid)
  remember(keys[5], 's', 'e', 'pid', pid)
end

-- Writes the record and changes spent by the difference between the rid's new charge and its previous one.
-- The spending of the day and the month changes too, if the request began in them.
local function write(keys, rid, pid, rev, charge, tokens, fields, known, former, arrival, now, account, started)
  local more = charge - tonumber(former[2] or '0')
  local id = redis.call('XADD', keys[6], '*', unpack(fields))
  redis.call('RPUSH', keys[7], id)
  if former[3] then redis.call('ZADD', keys[9], string.match(former[3], '^%d+'), former[3]) end
  local now_ms = math.floor(now / 1000)
  local day, month = spending(account[3], account[4], account[5], account[6], now_ms)
  local began = math.floor(math.min(started, now_ms) / DAY)
  if began >= day[3] then day[1] = day[1] + more end
  if began >= month[3] then month[1] = month[1] + more end
  redis.call('HSET', keys[1], 'spent', text(tonumber(account[1] or '0') + more), 'day', text(day[3]),
    'dspent', text(day[1]), 'month', text(month[3]), 'mspent', text(month[1]))
  if known[1] == 'h' then correct_tokens(keys[8], arrival, known[4], known[3], tokens, now) end
  release(keys[2], keys[3], keys[4], pid, rid)
  remember(keys[5], 's', 'd', 'pid', pid, 'r', text(rev), 'c', text(charge), 'id', id)
end

-- keys: acct holds lease due req usage ids rate:tokens replaced dead unlinked
-- args: rid pid rev charge tokens started_ms record (see split)
-- gives: done | same | dead | erased
local function settle(keys, args)
  local rid, pid = args[1], args[2]
  local rev, charge, tokens, started = int(args[3]), int(args[4]), int(args[5]), int(args[6])
  local fields = split(args[7] or '')
  if not (rev and charge and tokens and started) or #fields == 0 or #fields % 2 == 1 or #fields > 128 then
    return bad('settle')
  end
  local now = now_us()
  local now_ms = math.floor(now / 1000)
  local account, known, former, arrival = begin(keys, rid)
  local state = known[1]
  if state and known[2] ~= pid then return redis.error_reply('CGXCONFLICT rid') end
  if state == 'd' and tonumber(former[1]) >= rev then return 'same' end
  if state == 'x' then return 'dead' end
  if tonumber(account[1] or '0') + charge - tonumber(former[2] or '0') > MAX then return bad('sum') end

  if account[2] then
    total_only(keys, pid, rid, charge, state, now_ms)
    return 'erased'
  end
  if not state and now_ms - started > TOO_OLD then
    redis.call('XADD', keys[10], '*', 'why', 'late', unpack(fields))
    remember(keys[5], 's', 'x', 'pid', pid)
    return 'dead'
  end
  write(keys, rid, pid, rev, charge, tokens, fields, known, former, arrival, now, account, started)
  return 'done'
end

-- A lease expired. keys as for settle; args: rid pid home
-- home: the caller's spool, if that has no intent for this rid: then the request was never sent.
-- gives: running | gone | voided | orphan | erased
local function reap(keys, args)
  local rid, pid, home = args[1], args[2], args[3]
  if not (rid and pid and home) then return bad('reap') end
  local now = now_us()
  local now_ms = math.floor(now / 1000)
  local account, known, former, arrival = begin(keys, rid)
  local expiry = redis.call('ZSCORE', keys[4], pid .. ':' .. rid)
  if expiry and tonumber(expiry) > now_ms then return 'running' end
  if known[1] ~= 'h' or known[2] ~= pid then
    release(keys[2], keys[3], keys[4], pid, rid)
    return 'gone'
  end
  local sent = redis.call('HMGET', keys[5], 'home', 'ck')
  if (sent[2] or '') == '' or (home ~= '' and sent[1] == home) then
    correct_tokens(keys[8], arrival, known[4], known[3], 0, now)
    release(keys[2], keys[3], keys[4], pid, rid)
    remember(keys[5], 's', 'v', 'pid', pid)
    redis.call('PEXPIRE', keys[5], keep(sent[2]))
    return 'voided'
  end
  local charge, started, fields = 0, now_ms, split(sent[2])
  local fixed = {rev = '0', basis = 'orphan', outcome = 'lost', settled_ms = text(now_ms)}
  for i = 1, #fields, 2 do
    if fields[i] == 'charge' then charge = int(fields[i + 1]) or 0 end
    if fields[i] == 'started_ms' then started = int(fields[i + 1]) or now_ms end
    fields[i + 1] = fixed[fields[i]] or fields[i + 1]
  end
  if account[2] then
    total_only(keys, pid, rid, charge, 'h', now_ms)
    return 'erased'
  end
  if tonumber(account[1] or '0') + charge > MAX then return bad('sum') end
  write(keys, rid, pid, 0, charge, tonumber(known[3] or '0'), fields, known, former, arrival, now, account, started)
  return 'orphan'
end

-- Extends a running request's lease, raises its hold and writes its checkpoint.
-- keys: acct holds lease due req      args: rid pid lease_ms amount most home checkpoint
-- gives: ok available most | no available most (not enough credit for the raise; the lease is extended) | gone 0 0
-- A raise above the admitted most needs credit in addition to the most that all running requests may cost; if that is
-- not there, most is raised by what is available. A hold that a failover lost is restored with the caller's most, since
-- the request is running. A request that was reaped by mistake continues without a hold: its settlement will replace
-- the orphan.
local function touch(keys, args)
  local acct, holds, lease, due, req = keys[1], keys[2], keys[3], keys[4], keys[5]
  local rid, pid, lease_ms, amount, most = args[1], args[2], int(args[3]), int(args[4]), int(args[5])
  if not (rid and pid and lease_ms and amount and most and args[6] and args[7]) then return bad('touch') end
  local account = redis.call('HMGET', acct, 'granted', 'spent', 'erased')
  local held, may_cost = held_in(holds)
  local own = redis.call('HGET', holds, rid)
  redis.call('ZCARD', lease)
  redis.call('ZCARD', due)
  local known = redis.call('HMGET', req, 's', 'pid', 'r', 'lane', 'ck')
  if known[1] and known[2] ~= pid then return redis.error_reply('CGXCONFLICT rid') end
  local balance = tonumber(account[1] or '0') - tonumber(account[2] or '0')
  local available, before = balance - held, 0
  if own then before, most = parts_of(own) end
  if account[3] or not (account[1] or account[2]) then return {'gone', '0', '0'} end
  if known[1] == 'd' and known[3] == '0' then return {'ok', text(available), text(most)} end
  if known[1] and known[1] ~= 'h' then return {'gone', '0', '0'} end
  local answer = 'ok'
  if amount < before then amount = before end
  local beyond = math.max(0, amount - most)
  if known[1] and amount > before
      and (available < amount - before or (beyond > 0 and balance - may_cost < beyond)) then
    answer, amount, beyond = 'no', before, math.max(0, math.min(beyond, balance - may_cost))
  end
  local expiry = text(math.floor(now_us() / 1000) + lease_ms)
  redis.call('HSET', holds, rid, hold_of(amount, most + beyond))
  if not known[4] then redis.call('ZADD', lease, expiry, rid) end
  redis.call('ZADD', due, expiry, pid .. ':' .. rid)
  redis.call('HSET', req, 's', 'h', 'pid', pid, 'home', args[6])
  if args[7] ~= '' then redis.call('HSET', req, 'ck', args[7]) end
  redis.call('PEXPIRE', req, keep(args[7] ~= '' and args[7] or known[5]))
  return {answer, text(available - amount + before), text(most + beyond)}
end

-- keys: holds lease due req rate:tokens      args: rid pid
-- An unknown rid leaves a tombstone, so that a reserve that arrives later is refused.
local function void(keys, args)
  local holds, lease, due, req = keys[1], keys[2], keys[3], keys[4]
  local rid, pid = args[1], args[2]
  if not (rid and pid) then return bad('void') end
  redis.call('HEXISTS', holds, rid)
  redis.call('ZCARD', lease)
  redis.call('ZCARD', due)
  local arrival = redis.call('GET', keys[5])
  local known = redis.call('HMGET', req, 's', 'pid', 't', 'tl', 'ck')
  if known[1] and known[2] ~= pid then return redis.error_reply('CGXCONFLICT rid') end
  if known[1] and known[1] ~= 'h' then return 'same' end
  if known[1] == 'h' then correct_tokens(keys[5], arrival, known[4], known[3], 0, now_us()) end
  release(holds, lease, due, pid, rid)
  remember(req, 's', 'v', 'pid', pid)
  if known[1] then redis.call('PEXPIRE', req, keep(known[5])) end
  return 'done'
end

-- gives: granted spent held tier restricted, or nothing if there is no such account
local function show(acct, holds)
  local account = redis.call('HMGET', acct, 'granted', 'spent', 'tier', 'erased', 'restricted')
  if account[4] or not (account[1] or account[2] or account[3]) then return {} end
  return {account[1] or '0', account[2] or '0', text(held_in(holds)), account[3] or '', account[5] or '0'}
end

-- keys: acct holds
local function account(keys)
  return show(keys[1], keys[2])
end

-- keys: acct holds grant grants      args: pid amount digest
-- grants lists each grant as ms:amount:digest, for the account's owner and for erasure.
-- gives: the account, as above
local function grant(keys, args)
  local acct, holds, key = keys[1], keys[2], keys[3]
  local amount = int(args[2])
  if not (args[1] and amount and args[3]) then return bad('grant') end
  local account = redis.call('HMGET', acct, 'granted', 'erased')
  held_in(holds)
  redis.call('LLEN', keys[4])
  local mark = args[1] .. ':' .. text(amount)
  local seen = redis.call('GET', key)
  if account[2] then return redis.error_reply('CGXGONE account') end
  if seen and seen ~= mark then return redis.error_reply('CGXCONFLICT grant') end
  if tonumber(account[1] or '0') + amount > MAX then return bad('sum') end
  if not seen then
    redis.call('SET', key, mark, 'PX', 400 * DAY)
    redis.call('HINCRBY', acct, 'granted', text(amount))
    redis.call('RPUSH', keys[4], text(math.floor(now_us() / 1000)) .. ':' .. text(amount) .. ':' .. args[3])
  end
  return show(acct, holds)
end

-- keys: acct holds      args: tier
local function set_tier(keys, args)
  if not args[1] or not string.find(args[1], '^[a-z0-9_-]+$') or #args[1] > 32 then return bad('tier') end
  if redis.call('HEXISTS', keys[1], 'erased') == 1 then return redis.error_reply('CGXGONE account') end
  held_in(keys[2])
  redis.call('HSET', keys[1], 'tier', args[1])
  return show(keys[1], keys[2])
end

-- The current state of each limit, without using any of it.
-- keys: acct holds lease rate:requests rate:tokens      args: requests/min tokens/min concurrent daily monthly
-- gives: [policy limit remaining reset_ms]*
local function limits(keys, args)
  local per_minute, tokens_per_minute, concurrent = int(args[1]), int(args[2]), int(args[3])
  local daily, monthly = int(args[4]), int(args[5])
  if not (per_minute and tokens_per_minute and concurrent and daily and monthly) then return bad('limits') end
  local now = now_us()
  local now_ms = math.floor(now / 1000)
  local account = redis.call('HMGET', keys[1], 'day', 'dspent', 'month', 'mspent')
  local held = held_in(keys[2])
  local windows = {}
  if concurrent > 0 then
    push(windows, 'concurrency', concurrent, concurrent - redis.call('ZCOUNT', keys[3], '(' .. text(now_ms), '+inf'), 0)
  end
  if per_minute > 0 then push_rate(windows, 'requests', per_minute, (gcra(keys[4], per_minute, 0, now)), now) end
  if tokens_per_minute > 0 then
    push_rate(windows, 'tokens', tokens_per_minute, (gcra(keys[5], tokens_per_minute, 0, now)), now)
  end
  local day, month = spending(account[1], account[2], account[3], account[4], now_ms)
  if daily > 0 then push(windows, 'daily', daily, daily - day[1] - held, day[2] - now_ms) end
  if monthly > 0 then push(windows, 'monthly', monthly, monthly - month[1] - held, month[2] - now_ms) end
  return windows
end

-- keys: req usage      args: pid
-- gives: nothing | h | v | x | e | d followed by the record's name value pairs, if it is still kept
local function record(keys, args)
  local known = redis.call('HMGET', keys[1], 's', 'pid', 'id')
  if not known[1] or known[2] ~= args[1] then return {} end
  if known[1] ~= 'd' then return {known[1]} end
  local reply = {'d'}
  local entry = redis.call('XRANGE', keys[2], known[3], known[3])[1]
  if entry then
    for _, part in ipairs(entry[2]) do reply[#reply + 1] = part end
  end
  return reply
end

redis.register_function('cgx2_reserve', reserve)
redis.register_function('cgx2_settle', settle)
redis.register_function('cgx2_void', void)
redis.register_function('cgx2_touch', touch)
redis.register_function('cgx2_reap', reap)
redis.register_function('cgx2_grant', grant)
redis.register_function('cgx2_set_tier', set_tier)
redis.register_function{function_name = 'cgx2_account', callback = account, flags = {'no-writes'}}
redis.register_function{function_name = 'cgx2_record', callback = record, flags = {'no-writes'}}
redis.register_function{function_name = 'cgx2_limits', callback = limits, flags = {'no-writes'}}

-- The part of the ledger's function library that deletes: the owner's rights and the end of retention.
-- It is loaded after ledger.lua, as one text, and follows the same rules.

-- The owner restricts processing (1) or lifts the restriction (0): while it is set, new requests are refused.
-- keys: acct holds      args: 0 | 1
local function restrict(keys, args)
  if args[1] ~= '0' and args[1] ~= '1' then return bad('restrict') end
  if redis.call('HEXISTS', keys[1], 'erased') == 1 then return redis.error_reply('CGXGONE account') end
  held_in(keys[2])
  if redis.call('EXISTS', keys[1]) == 0 then return {} end
  if args[1] == '1' then
    redis.call('HSET', keys[1], 'restricted', '1')
  else
    redis.call('HDEL', keys[1], 'restricted')
  end
  return show(keys[1], keys[2])
end

-- Deletes the account at once: holds, leases, rates, grants and balance. Its records are listed in
-- erase, and forget deletes them when billing has booked them.
-- keys: acct holds lease due ids erase erasures grants rate:requests rate:tokens      args: pid
-- gives: done | same
local function erase(keys, args)
  local pid = args[1]
  if not pid then return bad('erase') end
  redis.call('HLEN', keys[2])
  redis.call('ZCARD', keys[4])
  redis.call('LLEN', keys[5])
  redis.call('LLEN', keys[6])
  redis.call('SCARD', keys[7])
  if redis.call('HEXISTS', keys[1], 'erased') == 1 then return 'same' end
  for _, rid in ipairs(redis.call('HKEYS', keys[2])) do
    redis.call('ZREM', keys[4], pid .. ':' .. rid)
  end
  redis.call('DEL', keys[1], keys[2], keys[3], keys[8], keys[9], keys[10])
  if redis.call('EXISTS', keys[5]) == 1 then
    redis.call('RENAME', keys[5], keys[6])
    redis.call('SADD', keys[7], pid)
  end
  redis.call('HSET', keys[1], 'erased', text(math.floor(now_us() / 1000)))
  redis.call('PEXPIRE', keys[1], KEEP)
  return 'done'
end

-- Deletes records of an erased account; the charge of each current one is added to its day's total.
-- keys: usage replaced unlinked erase erasures req...      args: pid id...  (one req for each id)
local function forget(keys, args)
  local usage, replaced, unlinked, list, erasures = keys[1], keys[2], keys[3], keys[4], keys[5]
  if #args ~= #keys - 4 then return bad('forget') end
  redis.call('XLEN', usage)
  redis.call('ZCARD', replaced)
  redis.call('HLEN', unlinked)
  redis.call('LLEN', list)
  redis.call('SCARD', erasures)
  for i = 2, #args do redis.call('HLEN', keys[i + 4]) end
  for i = 2, #args do
    local id, req = args[i], keys[i + 4]
    local entry = redis.call('XRANGE', usage, id, id)[1]
    if entry then
      if not redis.call('ZSCORE', replaced, id) then
        for j = 1, #entry[2], 2 do
          if entry[2][j] == 'charge' then
            local day = math.floor(tonumber(string.match(id, '^%d+')) / DAY)
            redis.call('HINCRBY', unlinked, text(day), entry[2][j + 1])
          end
        end
      end
      redis.call('XDEL', usage, id)
      redis.call('ZREM', replaced, id)
    end
    redis.call('LREM', list, 1, id)
    if redis.call('EXISTS', req) == 1 then
      redis.call('HDEL', req, 'c', 'r', 'id', 'f', 't', 'tl', 'home', 'ck')
      redis.call('HSET', req, 's', 'e')
    end
  end
  if redis.call('EXISTS', list) == 0 then redis.call('SREM', erasures, args[1]) end
  return 'done'
end

-- Retention: deletes these records and removes them from their accounts' lists.
-- keys: usage replaced ids...      args: newest id to go, id...
local function trim(keys, args)
  redis.call('XLEN', keys[1])
  redis.call('ZCARD', keys[2])
  for i = 3, #keys do redis.call('LLEN', keys[i]) end
  local ms, sequence = string.match(args[1] or '', '^(%d+)-(%d+)$')
  if not ms then return bad('trim') end
  ms, sequence = tonumber(ms), tonumber(sequence)
  for i = 2, #args do
    redis.call('XDEL', keys[1], args[i])
    redis.call('ZREM', keys[2], args[i])
  end
  for i = 3, #keys do
    while true do
      local head = redis.call('LINDEX', keys[i], 0)
      if not head then break end
      local head_ms, head_sequence = string.match(head, '^(%d+)-(%d+)$')
      head_ms, head_sequence = tonumber(head_ms), tonumber(head_sequence)
      if head_ms > ms or (head_ms == ms and head_sequence > sequence) then break end
      redis.call('LPOP', keys[i])
    end
  end
  return 'done'
end

redis.register_function('cgx2_restrict', restrict)
redis.register_function('cgx2_erase', erase)
redis.register_function('cgx2_forget', forget)
redis.register_function('cgx2_trim', trim)
