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
