BEGIN;

CREATE TABLE langswarm_memory_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT langswarm_memory_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE sessions (
    session_id TEXT COLLATE "C" NOT NULL, 
    user_id TEXT COLLATE "C", 
    agent_id TEXT COLLATE "C", 
    workflow_id TEXT COLLATE "C", 
    max_messages BIGINT, 
    max_tokens BIGINT, 
    auto_summarize BOOLEAN NOT NULL, 
    summary_threshold BIGINT NOT NULL, 
    status TEXT NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    expires_at TIMESTAMP WITH TIME ZONE, 
    tags TEXT, 
    properties TEXT, 
    verbatim BYTEA, 
    revision BIGINT DEFAULT 1 NOT NULL, 
    message_count BIGINT DEFAULT 0 NOT NULL, 
    token_count BIGINT DEFAULT 0 NOT NULL, 
    last_seq BIGINT DEFAULT 0 NOT NULL, 
    CONSTRAINT pk_sessions PRIMARY KEY (session_id)
);

ALTER TABLE sessions SET (fillfactor = 70);

CREATE INDEX ix_sessions_user_id_created_at_session_id ON sessions (user_id, created_at, session_id);

CREATE INDEX ix_sessions_created_at_session_id ON sessions (created_at, session_id);

CREATE INDEX ix_sessions_expires_at ON sessions (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE messages (
    session_id TEXT COLLATE "C" NOT NULL, 
    seq BIGINT NOT NULL, 
    message_id TEXT COLLATE "C" NOT NULL, 
    role TEXT NOT NULL, 
    content TEXT, 
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL, 
    token_count BIGINT NOT NULL, 
    tool_call_id TEXT, 
    name TEXT, 
    content_blocks TEXT, 
    tool_calls TEXT, 
    function_call TEXT, 
    metadata TEXT, 
    verbatim BYTEA, 
    CONSTRAINT pk_messages PRIMARY KEY (session_id, seq), 
    CONSTRAINT fk_messages_session_id_sessions FOREIGN KEY(session_id) REFERENCES sessions (session_id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX uq_messages_session_id_message_id ON messages (session_id, message_id);

CREATE INDEX ix_messages_system ON messages (session_id, role, seq) WHERE role IN ('developer', 'system');

CREATE TABLE summaries (
    session_id TEXT COLLATE "C" NOT NULL, 
    summary_id TEXT COLLATE "C" NOT NULL, 
    summary TEXT NOT NULL, 
    message_count BIGINT NOT NULL, 
    token_count BIGINT NOT NULL, 
    start_time TIMESTAMP WITH TIME ZONE NOT NULL, 
    end_time TIMESTAMP WITH TIME ZONE NOT NULL, 
    first_seq BIGINT, 
    last_seq BIGINT, 
    key_topics TEXT, 
    summary_type TEXT NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    verbatim BYTEA, 
    CONSTRAINT pk_summaries PRIMARY KEY (session_id, summary_id), 
    CONSTRAINT fk_summaries_session_id_sessions FOREIGN KEY(session_id) REFERENCES sessions (session_id) ON DELETE CASCADE
);

INSERT INTO langswarm_memory_version (version_num) VALUES ('0001') RETURNING langswarm_memory_version.version_num;

-- Running upgrade 0001 -> 0002

ALTER TABLE sessions ADD COLUMN edits BIGINT DEFAULT 0 NOT NULL;

ALTER TABLE sessions ADD COLUMN watched_until TIMESTAMP WITH TIME ZONE;

CREATE TABLE index_states (
    session_id TEXT COLLATE "C" NOT NULL, 
    index_name TEXT COLLATE "C" NOT NULL, 
    last_seq BIGINT NOT NULL, 
    edits BIGINT NOT NULL, 
    CONSTRAINT pk_index_states PRIMARY KEY (session_id, index_name), 
    CONSTRAINT fk_index_states_session_id_sessions FOREIGN KEY(session_id) REFERENCES sessions (session_id) ON DELETE CASCADE
);

CREATE TABLE embeddings (
    session_id TEXT COLLATE "C" NOT NULL, 
    seq BIGINT NOT NULL, 
    model TEXT COLLATE "C" NOT NULL, 
    dimension BIGINT NOT NULL, 
    content_hash TEXT NOT NULL, 
    embedding REAL[] NOT NULL, 
    CONSTRAINT pk_embeddings PRIMARY KEY (session_id, seq, model), 
    CONSTRAINT fk_embeddings_session_id_messages FOREIGN KEY(session_id, seq) REFERENCES messages (session_id, seq) ON DELETE CASCADE
);

CREATE INDEX ix_embeddings_model_session_id_seq ON embeddings (model, session_id, seq);

CREATE INDEX messages_text ON messages USING gin ((to_tsvector('english'::regconfig, CASE WHEN octet_length(content) = length(content) THEN translate(left(content, 100000), './:@-_+&<>=~#%''’', '                ') ELSE regexp_replace(translate(left(content, 100000), './:@-_+&<>=~#%''’', '                '), '([\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f])', ' \1 ', 'g') END))) WITH (fastupdate = off);

UPDATE langswarm_memory_version SET version_num='0002' WHERE langswarm_memory_version.version_num = '0001';

COMMIT;

INSERT INTO sessions (session_id, user_id, agent_id, workflow_id, max_messages, max_tokens, auto_summarize, summary_threshold, status, created_at, updated_at, expires_at, tags, properties, verbatim, revision, message_count, token_count, last_seq, edits, watched_until) VALUES ('bare', NULL, NULL, NULL, NULL, NULL, true, 50, 'active', '2025-07-08 12:10:00.000001+00', '2025-07-08 12:10:00.000001+00', NULL, NULL, NULL, NULL, 1, 0, 0, 0, 0, NULL);
INSERT INTO sessions (session_id, user_id, agent_id, workflow_id, max_messages, max_tokens, auto_summarize, summary_threshold, status, created_at, updated_at, expires_at, tags, properties, verbatim, revision, message_count, token_count, last_seq, edits, watched_until) VALUES ('order-1', 'jana', 'fenja', 'returns', 40, 4000, false, 20, 'paused', '2025-07-08 12:00:00.000001+00', '2025-07-08 12:30:00.000001+00', '9999-01-01 00:00:00.000000+00', '["support","日本","quo\"te"]', '{"z":1,"a":{"n":1.0,"big":1e+22},"list":[true,null]}', NULL, 1, 6, 35, 6, 0, NULL);
INSERT INTO sessions (session_id, user_id, agent_id, workflow_id, max_messages, max_tokens, auto_summarize, summary_threshold, status, created_at, updated_at, expires_at, tags, properties, verbatim, revision, message_count, token_count, last_seq, edits, watched_until) VALUES ('verbatim', NULL, NULL, NULL, 100, NULL, true, 50, 'active', '2025-07-08 12:20:00.000001+00', '2025-07-08 12:30:00.000001+00', NULL, NULL, '{"nul":"a�b"}', '\x7b2270726f70657274696573223a7b226e756c223a22615c753030303062227d7d', 1, 2, 14, 2, 0, NULL);
INSERT INTO messages (session_id, seq, message_id, role, content, timestamp, token_count, tool_call_id, name, content_blocks, tool_calls, function_call, metadata, verbatim) VALUES ('order-1', 1, 'm1', 'system', 'You are Fenja.', '2025-07-08 12:00:00.000001+00', 7, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO messages (session_id, seq, message_id, role, content, timestamp, token_count, tool_call_id, name, content_blocks, tool_calls, function_call, metadata, verbatim) VALUES ('order-1', 2, 'm2', 'user', 'Where is my parcel? 📦', '2025-07-08 12:01:00.000001+00', 7, NULL, 'jana', NULL, NULL, NULL, '{"channel":"web","x":1.5}', NULL);
INSERT INTO messages (session_id, seq, message_id, role, content, timestamp, token_count, tool_call_id, name, content_blocks, tool_calls, function_call, metadata, verbatim) VALUES ('order-1', 3, 'm3', 'assistant', NULL, '2025-07-08 12:02:00.000001+00', 7, NULL, NULL, NULL, '[{"id":"call_1","type":"function","function":{"name":"track","arguments":"{\"order\": \"TW-1\", \"n\": 1.0}"}}]', NULL, NULL, NULL);
INSERT INTO messages (session_id, seq, message_id, role, content, timestamp, token_count, tool_call_id, name, content_blocks, tool_calls, function_call, metadata, verbatim) VALUES ('order-1', 4, 'm4', 'tool', 'Error: timed out', '2025-07-08 12:03:00.000001+00', 7, 'call_1', 'track', NULL, NULL, NULL, NULL, NULL);
INSERT INTO messages (session_id, seq, message_id, role, content, timestamp, token_count, tool_call_id, name, content_blocks, tool_calls, function_call, metadata, verbatim) VALUES ('order-1', 5, 'm5', 'assistant', 'One 
moment.', '2025-07-08 12:04:00.000001+00', 7, NULL, NULL, '[{"type":"text","text":"One "},{"type":"text","text":"moment."}]', NULL, NULL, NULL, NULL);
INSERT INTO messages (session_id, seq, message_id, role, content, timestamp, token_count, tool_call_id, name, content_blocks, tool_calls, function_call, metadata, verbatim) VALUES ('order-1', 6, 'm6', 'critic', '', '2025-07-08 12:05:00.000001+00', 0, NULL, NULL, NULL, NULL, '{"name":"old","arguments":"{}"}', NULL, NULL);
INSERT INTO messages (session_id, seq, message_id, role, content, timestamp, token_count, tool_call_id, name, content_blocks, tool_calls, function_call, metadata, verbatim) VALUES ('verbatim', 1, 'v1', 'user', 'nul � and half an emoji �', '2025-07-08 12:20:00.000001+00', 7, NULL, NULL, NULL, NULL, NULL, NULL, '\x7b22636f6e74656e74223a226e756c205c753030303020616e642068616c6620616e20656d6f6a6920eda0bd227d');
INSERT INTO messages (session_id, seq, message_id, role, content, timestamp, token_count, tool_call_id, name, content_blocks, tool_calls, function_call, metadata, verbatim) VALUES ('verbatim', 2, 'v2', 'assistant', '', '2025-07-08 12:21:00.000001+00', 7, NULL, NULL, NULL, NULL, NULL, '{"score":null,"half":"�"}', '\x7b226d65746164617461223a7b2273636f7265223a496e66696e6974792c2268616c66223a22edb18d227d7d');
INSERT INTO summaries (session_id, summary_id, summary, message_count, token_count, start_time, end_time, first_seq, last_seq, key_topics, summary_type, created_at, verbatim) VALUES ('order-1', 'sum-1', 'A parcel is late.', 5, 4, '2025-07-08 12:00:00.000001+00', '2025-07-08 12:04:00.000001+00', 1, 5, '["parcel","late"]', 'manual', '2025-07-08 12:06:00.000001+00', NULL);
