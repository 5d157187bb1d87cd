-- The part of the ledger's function library that only looks at limits. It is loaded behind ledger.lua, as one text,
-- and obeys the same rules.

-- Each limit as it stands, without using any of it.
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

redis.register_function{function_name = 'cgx1_limits', callback = limits, flags = {'no-writes'}}
