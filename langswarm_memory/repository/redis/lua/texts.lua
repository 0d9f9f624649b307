-- What is put in front of scripts that keep the texts of messages for the search index. KEYS[6] begins a text's key.
-- The session's field 'text' is its owner: 'token session user agent tags', the last four as they stand in texts.
local function text_owner() return redis.call('HGET', KEYS[1], 'text') end
-- ARGV text is 'role metadata words'.
local function put_text(owner, seq, time, text)
  local token, session, user, agent, tags = string.match(owner, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  local role, metadata, words = string.match(text, '^(%S+) (%S+) (.*)$')
  local place = session .. ' ' .. string.format('%016.0f', 9007199254740992 - tonumber(seq))  -- newest first
  redis.call('HSET', KEYS[6] .. seq, 'token', token, 'session', session, 'user', user, 'agent', agent, 'tags', tags,
    'role', role, 'time', time, 'metadata', metadata, 'place', place, 'text', words)
end
local function drop_text(seq) redis.call('UNLINK', KEYS[6] .. seq) end
-- Texts live a quarter longer than their session, so that not every append has to touch them all.
local function live(seq, left)
  if left > 0 then
    redis.call('PEXPIRE', KEYS[6] .. seq, string.format('%.0f', math.floor(left * 1.25)))
  else
    redis.call('PERSIST', KEYS[6] .. seq)
  end
end
-- Lets all texts live long enough. One of them, `sample`, tells whether that is so already.
local function live_all(sample, left)
  local held = redis.call('PTTL', KEYS[6] .. sample)
  if left > 0 and held >= left and held <= left * 1.25 + 1 then return end
  if left < 0 and held == -1 then return end
  for _, seq in ipairs(redis.call('HVALS', KEYS[3])) do live(seq, left) end
end
