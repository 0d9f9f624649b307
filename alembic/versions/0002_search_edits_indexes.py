"""Search, edits and indexes: full text, a count of changes per session, and how far other indexes have come.

Serves: finding messages by their words; editing and deleting messages by compare-and-set; seeing whether an index of
embeddings is behind. Cost: the texts stored so far are indexed, which takes minutes for millions of messages and locks
`messages` against writing meanwhile; the new column has a constant default, which neither database writes into rows.

Revision: 0002
Revises: 0001
"""

# ruff: noqa: E501

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLOATS = sa.LargeBinary().with_variant(postgresql.ARRAY(sa.REAL()), "postgresql")

# As they are at this revision, whatever the package makes later.
SQLITE_TEXT = (
    "CREATE VIEW messages_searchable AS SELECT rowid AS id, substr(content, 1, 100000) AS content FROM messages WHERE messages.content <> ''",
    "CREATE VIEW messages_unspaced AS SELECT rowid AS id, substr(content, 1, 100000) AS content FROM messages WHERE messages.content GLOB '*[\u0e00-\u0effក-\u17ff\u3040-ヿ㐀-䶿一-鿿豈-\ufaff𠀀-\U0003134f]*'",
    "CREATE VIRTUAL TABLE messages_text USING fts5(content, content='messages_searchable', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2')",
    "CREATE VIRTUAL TABLE messages_trigrams USING fts5(content, content='messages_unspaced', content_rowid='id', tokenize='trigram')",
    "CREATE TRIGGER messages_text_insert AFTER INSERT ON messages WHEN new.content <> '' BEGIN INSERT INTO messages_text(rowid, content) VALUES (new.rowid, substr(new.content, 1, 100000)); END",
    "CREATE TRIGGER messages_text_delete AFTER DELETE ON messages WHEN old.content <> '' BEGIN INSERT INTO messages_text(messages_text, rowid, content) VALUES ('delete', old.rowid, substr(old.content, 1, 100000)); END",
    "CREATE TRIGGER messages_text_before BEFORE UPDATE OF content ON messages WHEN old.content <> '' AND old.content IS NOT new.content BEGIN INSERT INTO messages_text(messages_text, rowid, content) VALUES ('delete', old.rowid, substr(old.content, 1, 100000)); END",
    "CREATE TRIGGER messages_text_after AFTER UPDATE OF content ON messages WHEN new.content <> '' AND old.content IS NOT new.content BEGIN INSERT INTO messages_text(rowid, content) VALUES (new.rowid, substr(new.content, 1, 100000)); END",
    "CREATE TRIGGER messages_trigrams_insert AFTER INSERT ON messages WHEN new.content GLOB '*[\u0e00-\u0effក-\u17ff\u3040-ヿ㐀-䶿一-鿿豈-\ufaff𠀀-\U0003134f]*' BEGIN INSERT INTO messages_trigrams(rowid, content) VALUES (new.rowid, substr(new.content, 1, 100000)); END",
    "CREATE TRIGGER messages_trigrams_delete AFTER DELETE ON messages WHEN old.content GLOB '*[\u0e00-\u0effក-\u17ff\u3040-ヿ㐀-䶿一-鿿豈-\ufaff𠀀-\U0003134f]*' BEGIN INSERT INTO messages_trigrams(messages_trigrams, rowid, content) VALUES ('delete', old.rowid, substr(old.content, 1, 100000)); END",
    "CREATE TRIGGER messages_trigrams_before BEFORE UPDATE OF content ON messages WHEN old.content GLOB '*[\u0e00-\u0effក-\u17ff\u3040-ヿ㐀-䶿一-鿿豈-\ufaff𠀀-\U0003134f]*' AND old.content IS NOT new.content BEGIN INSERT INTO messages_trigrams(messages_trigrams, rowid, content) VALUES ('delete', old.rowid, substr(old.content, 1, 100000)); END",
    "CREATE TRIGGER messages_trigrams_after AFTER UPDATE OF content ON messages WHEN new.content GLOB '*[\u0e00-\u0effក-\u17ff\u3040-ヿ㐀-䶿一-鿿豈-\ufaff𠀀-\U0003134f]*' AND old.content IS NOT new.content BEGIN INSERT INTO messages_trigrams(rowid, content) VALUES (new.rowid, substr(new.content, 1, 100000)); END",
    "INSERT INTO messages_text(messages_text) VALUES ('rebuild')",
    "INSERT INTO messages_trigrams(messages_trigrams) VALUES ('rebuild')",
)
SQLITE_DROP = (
    "DROP TRIGGER messages_text_insert",
    "DROP TRIGGER messages_text_delete",
    "DROP TRIGGER messages_text_before",
    "DROP TRIGGER messages_text_after",
    "DROP TRIGGER messages_trigrams_insert",
    "DROP TRIGGER messages_trigrams_delete",
    "DROP TRIGGER messages_trigrams_before",
    "DROP TRIGGER messages_trigrams_after",
    "DROP TABLE messages_text",
    "DROP TABLE messages_trigrams",
    "DROP VIEW messages_searchable",
    "DROP VIEW messages_unspaced",
)
POSTGRES_VECTOR = "to_tsvector('{language}'::regconfig, CASE WHEN octet_length(content) = length(content) THEN translate(left(content, 100000), './:@-_+&<>=~#%''’', '                ') ELSE regexp_replace(translate(left(content, 100000), './:@-_+&<>=~#%''’', '                '), '([\\u0e00-\\u0eff\\u1780-\\u17ff\\u3040-\\u30ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\U00020000-\\U0003134f])', ' \\1 ', 'g') END)"
POSTGRES_TEXT = "CREATE INDEX messages_text ON messages USING gin (({vector})) WITH (fastupdate = off)"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("edits", BIGINT, server_default=sa.text("0"), nullable=False))
    op.add_column("sessions", sa.Column("watched_until", sa.DateTime(timezone=True)))
    op.create_table(
        "index_states",
        sa.Column("session_id", KEY, nullable=False),
        sa.Column("index_name", KEY, nullable=False),
        sa.Column("last_seq", BIGINT, nullable=False),
        sa.Column("edits", BIGINT, nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name="fk_index_states_session_id_sessions", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", "index_name", name="pk_index_states"),
    )
    op.create_table(
        "embeddings",
        sa.Column("session_id", KEY, nullable=False),
        sa.Column("seq", BIGINT, autoincrement=False, nullable=False),
        sa.Column("model", KEY, nullable=False),
        sa.Column("dimension", BIGINT, nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("embedding", FLOATS, nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id", "seq"],
            ["messages.session_id", "messages.seq"],
            name="fk_embeddings_session_id_messages",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "seq", "model", name="pk_embeddings"),
    )
    op.create_index("ix_embeddings_model_session_id_seq", "embeddings", ["model", "session_id", "seq"])
    if op.get_context().dialect.name == "sqlite":
        for statement in SQLITE_TEXT:
            op.execute(sa.text(statement.replace(":", r"\:")))
        return
    language = op.get_context().config.attributes.get("search_language", "english")
    vector = POSTGRES_VECTOR.replace("{language}", language)
    op.execute(sa.text(POSTGRES_TEXT.format(vector=vector).replace(":", r"\:")))


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        for statement in SQLITE_DROP:
            op.execute(sa.text(statement))
    else:
        op.execute(sa.text("DROP INDEX messages_text"))
    op.drop_table("embeddings")
    op.drop_table("index_states")
    op.drop_column("sessions", "watched_until")
    op.drop_column("sessions", "edits")
