"""The three tables of the store.

Serves: appending by (session_id, seq), reading a session's newest messages by the primary key read backwards,
refusing a message id twice, windows that keep the system messages, listing sessions newest first by user and
overall, and the sweep for expired sessions. Cost: none, the tables are new.

Revision: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
SYSTEM = sa.text("role IN ('developer', 'system')")
EXPIRING = sa.text("expires_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", KEY, nullable=False),
        sa.Column("user_id", KEY),
        sa.Column("agent_id", KEY),
        sa.Column("workflow_id", KEY),
        sa.Column("max_messages", BIGINT),
        sa.Column("max_tokens", BIGINT),
        sa.Column("auto_summarize", sa.Boolean(), nullable=False),
        sa.Column("summary_threshold", BIGINT, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.Column("tags", sa.Text()),
        sa.Column("properties", sa.Text()),
        sa.Column("verbatim", sa.LargeBinary()),
        sa.Column("revision", BIGINT, server_default=sa.text("1"), nullable=False),
        sa.Column("message_count", BIGINT, server_default=sa.text("0"), nullable=False),
        sa.Column("token_count", BIGINT, server_default=sa.text("0"), nullable=False),
        sa.Column("last_seq", BIGINT, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_sessions"),
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE sessions SET (fillfactor = 70)")  # room for the row's next version beside it
    op.create_index("ix_sessions_user_id_created_at_session_id", "sessions", ["user_id", "created_at", "session_id"])
    op.create_index("ix_sessions_created_at_session_id", "sessions", ["created_at", "session_id"])
    op.create_index(
        "ix_sessions_expires_at", "sessions", ["expires_at"], sqlite_where=EXPIRING, postgresql_where=EXPIRING
    )
    op.create_table(
        "messages",
        sa.Column("session_id", KEY, nullable=False),
        sa.Column("seq", BIGINT, autoincrement=False, nullable=False),
        sa.Column("message_id", KEY, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text()),
        sa.Column("timestamp", INSTANT, nullable=False),
        sa.Column("token_count", BIGINT, nullable=False),
        sa.Column("tool_call_id", sa.Text()),
        sa.Column("name", sa.Text()),
        sa.Column("content_blocks", sa.Text()),
        sa.Column("tool_calls", sa.Text()),
        sa.Column("function_call", sa.Text()),
        sa.Column("metadata", sa.Text()),
        sa.Column("verbatim", sa.LargeBinary()),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.session_id"],
            name="fk_messages_session_id_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "seq", name="pk_messages"),
    )
    op.create_index("uq_messages_session_id_message_id", "messages", ["session_id", "message_id"], unique=True)
    op.create_index(
        "ix_messages_system", "messages", ["session_id", "role", "seq"], sqlite_where=SYSTEM, postgresql_where=SYSTEM
    )
    op.create_table(
        "summaries",
        sa.Column("session_id", KEY, nullable=False),
        sa.Column("summary_id", KEY, nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("message_count", BIGINT, nullable=False),
        sa.Column("token_count", BIGINT, nullable=False),
        sa.Column("start_time", INSTANT, nullable=False),
        sa.Column("end_time", INSTANT, nullable=False),
        sa.Column("first_seq", BIGINT),
        sa.Column("last_seq", BIGINT),
        sa.Column("key_topics", sa.Text()),
        sa.Column("summary_type", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("verbatim", sa.LargeBinary()),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.session_id"],
            name="fk_summaries_session_id_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "summary_id", name="pk_summaries"),
    )


def downgrade() -> None:
    op.drop_table("summaries")
    op.drop_table("messages")
    op.drop_table("sessions")
