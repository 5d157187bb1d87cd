#!lua name=codegrex_auth_v1
-- The identity's function library: every step that must happen once is one call.
--
-- Rules:
-- 1. The clock is the server's TIME, in milliseconds.
-- 2. The keys of one call are in one slot: d:{<handle>} alone, a:<pid> or o:<org> alone, w:{<digest>} alone,
--    or s:{<sid>} and f:{<sid>}.
-- 3. Only keyed digests of secrets arrive here, so the time that a comparison takes tells nothing of them.
-- 4. Everything is read, and refused where it must be, before the first write.
-- 5. A changed meaning is a new library and new function names: two versions must serve side by side.
--
-- d:{<handle>} is a hash: digest of the device code; state pending | approved | denied | redeemed; client, scope,
-- app, platform; created, expires; interval and polled, both ms; pid and tier once approved.
-- f:{<sid>} is a hash: digest of the refresh token that is current, before of its predecessor, rotated the moment;
-- client; scope; until the family's end. s:{<sid>} is the session (gateway/auth/sessions.py).

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function text(number)
  return string.format('%.0f', number)
end

local function fields(key)
  local found, pairs_ = {}, redis.call('HGETALL', key)
  for i = 1, #pairs_, 2 do found[pairs_[i]] = pairs_[i + 1] end
  return found
end

-- KEYS: a:<pid> or o:<org>. ARGV: version, body.
-- 1: it stands now. 0: there is a newer version, or another body under this one.
local function entitle(keys, argv)
  local known = redis.call('HMGET', keys[1], 'version', 'body')
  local before, version = tonumber(known[1] or '0'), tonumber(argv[1])
  if before > version or (before == version and known[2] ~= argv[2]) then return 0 end
  if before < version then redis.call('HSET', keys[1], 'version', argv[1], 'body', argv[2]) end
  return 1
end
redis.register_function('cgxa1_entitle', entitle)

-- KEYS: the grant. ARGV: digest, client, scope, app, platform, interval, life, keep (ms).
-- 1, or 0 where this user code is in use.
local function start(keys, argv)
  if redis.call('EXISTS', keys[1]) == 1 then return 0 end
  local now = now_ms()
  redis.call('HSET', keys[1], 'state', 'pending', 'digest', argv[1], 'client', argv[2], 'scope', argv[3],
    'app', argv[4], 'platform', argv[5], 'interval', argv[6], 'created', text(now),
    'expires', text(now + tonumber(argv[7])))
  redis.call('PEXPIREAT', keys[1], text(now + tonumber(argv[7]) + tonumber(argv[8])))
  return 1
end

-- KEYS: the grant. ARGV: approved | denied, pid, tier. 1, or 0 where there is nothing to decide.
local function decide(keys, argv)
  local grant = fields(keys[1])
  if grant.state ~= 'pending' or tonumber(grant.expires) <= now_ms() then return 0 end
  if argv[1] == 'approved' then
    redis.call('HSET', keys[1], 'state', argv[1], 'pid', argv[2], 'tier', argv[3])
  else
    redis.call('HSET', keys[1], 'state', argv[1])
  end
  return 1
end

-- KEYS: the grant. ARGV: digest, client, slack, step (ms).
-- {pending | slow_down | denied | expired | invalid}, or {approved, pid, tier, scope, app, platform}, which it is once.
local function poll(keys, argv)
  local grant = fields(keys[1])
  if grant.digest ~= argv[1] or grant.client ~= argv[2] or grant.state == 'redeemed' then return {'invalid'} end
  local now = now_ms()
  if tonumber(grant.expires) <= now then return {'expired'} end
  if grant.state == 'denied' then return {'denied'} end
  if grant.state == 'approved' then
    redis.call('HSET', keys[1], 'state', 'redeemed')
    return {'approved', grant.pid, grant.tier, grant.scope, grant.app, grant.platform}
  end
  redis.call('HSET', keys[1], 'polled', text(now))
  if grant.polled and now - tonumber(grant.polled) < tonumber(grant.interval) - tonumber(argv[3]) then
    redis.call('HINCRBY', keys[1], 'interval', argv[4])
    return {'slow_down'}
  end
  return {'pending'}
end

-- KEYS: family, session. ARGV: digest of the refresh token that came, of its successor, of the successor's access
-- token, access life, grace (ms), client or '', app or ''.
-- {invalid | expired | revoked}, {reused, pid}: the session is revoked now, or {ok, ms of the access token, scope}.
local function rotate(keys, argv)
  local family, session = fields(keys[1]), fields(keys[2])
  if not family.digest or not session.digest then return {'invalid'} end
  if argv[6] ~= '' and argv[6] ~= family.client then return {'invalid'} end
  if session.revoked then return {'revoked'} end
  local now, last = now_ms(), tonumber(family['until'])
  if last <= now then return {'expired'} end
  if family.digest == argv[1] then
    local expires = math.min(now + tonumber(argv[4]), last)
    redis.call('HSET', keys[1], 'digest', argv[2], 'before', argv[1], 'rotated', text(now))
    redis.call('HSET', keys[2], 'digest', argv[3], 'expires', text(expires),
      'before', session.digest, 'before_expires', session.expires)
    if argv[7] ~= '' then redis.call('HSET', keys[2], 'app', argv[7]) end
    return {'ok', text(expires - now), family.scope}
  end
  if family.before == argv[1] and now - tonumber(family.rotated) <= tonumber(argv[5]) then
    return {'ok', text(math.max(0, tonumber(session.expires) - now)), family.scope}
  end
  redis.call('HSET', keys[2], 'revoked', text(now))
  return {'reused', session.pid}
end

-- KEYS: a counter. ARGV: its life (ms). How often it was counted, this time included.
local function count(keys, argv)
  local found = redis.call('INCR', keys[1])
  if found == 1 then redis.call('PEXPIRE', keys[1], argv[1]) end
  return found
end

redis.register_function('cgxa1_start', start)
redis.register_function('cgxa1_count', count)
redis.register_function('cgxa1_decide', decide)
redis.register_function('cgxa1_poll', poll)
redis.register_function('cgxa1_rotate', rotate)
