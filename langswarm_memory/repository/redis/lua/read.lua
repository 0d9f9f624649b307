-- Reads a window of messages. KEYS: session messages ids system
-- ARGV: after before since newest limit budget roles exclude keep ('' for none, roles as ' user tool '), and 1 to get
-- the session, too
-- Returns false for a missing session, else one text in the form of MessagePack, which a client reads in a fraction of
-- the time of a list: of the session its document and state, if asked for; and the members, those of the kept messages
-- first, then those of the others in reading order.
local session = redis.call('HMGET', KEYS[1], 'document', 'state')
if not session[2] then return false end
local after, before, since = ARGV[1], ARGV[2], ARGV[3]
local newest, limit, budget = ARGV[4] == '1', tonumber(ARGV[5]), tonumber(ARGV[6])
local roles, exclude, keep = ARGV[7], ARGV[8], ARGV[9]
local low, high = '-inf', '+inf'
if after ~= '' then low = '(' .. after end
if before ~= '' then high = '(' .. before end
local found = {}
local function packed(members)
  if ARGV[10] == '1' then return cmsgpack.pack(session, members) end
  return cmsgpack.pack(members)
end
local function has(list, role) return string.find(list, ' ' .. role .. ' ', 1, true) end
local function range(offset, count)
  if newest then return redis.call('ZREVRANGEBYSCORE', KEYS[2], high, low, 'LIMIT', offset, count) end
  return redis.call('ZRANGEBYSCORE', KEYS[2], low, high, 'LIMIT', offset, count)
end
local function wanted(member)
  local role, at, tokens = string.match(member, '^%d+ (%S+) (%d+) (%d+) ')
  if roles ~= '' and not has(roles, role) then return nil end
  if exclude ~= '' and has(exclude, role) then return nil end
  if since ~= '' and at < since then return nil end
  return role, tonumber(tokens)
end

local seqs, kept = {}, {}  -- seqs of kept messages, as far as they are looked up rather than met
local listed = keep == ' developer system '
if listed then
  seqs = redis.call('ZRANGEBYSCORE', KEYS[4], low, high)
  if #seqs == 0 then keep = '' end
end
local simple = roles == '' and exclude == '' and since == '' and not budget
if simple and keep == '' then
  return packed(range(0, limit and ARGV[5] or -1))
end

local spent = 0
if keep ~= '' then
  local candidates = {}
  if listed then
    for i, seq in ipairs(seqs) do
      kept[seq] = true
      candidates[i] = redis.call('ZRANGEBYSCORE', KEYS[2], seq, seq)[1]
    end
  else
    candidates = redis.call('ZRANGEBYSCORE', KEYS[2], low, high)
  end
  for _, member in ipairs(candidates) do
    local role, tokens = wanted(member)
    if role and has(keep, role) then
      found[#found + 1] = member
      spent = spent + tokens
    end
  end
end

local others, page, offset = 0, 128, 0
if limit and limit + #seqs < page then page = math.max(limit + #seqs, 16) end
while not limit or others < limit do
  local members = range(offset, page)
  for _, member in ipairs(members) do
    local another, tokens
    if simple and listed then
      another, tokens = not kept[string.match(member, '^%d+')], 0
    else
      local role
      role, tokens = wanted(member)
      another = role and not (keep ~= '' and has(keep, role))
    end
    if another then
      spent = spent + tokens
      if budget and spent > budget then return packed(found) end
      found[#found + 1] = member
      others = others + 1
      if limit and others >= limit then return packed(found) end
    end
  end
  if #members < page then return packed(found) end
  offset = offset + page
  page = 128
end
return packed(found)
