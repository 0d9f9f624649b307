"""The one declarative model, for SQLite and PostgreSQL alike.

Table and column names are part of the public contract: write relational queries against them. ``docs/data-model.md``
describes every column.

The primary key (session_id, seq) is the order of a session, so the newest rows of a session are one range read.
Every key starts with session_id, so the tables can be distributed by it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from ...interfaces.enums import SYSTEM_ROLES
from ...interfaces.timestamps import Timestamp
from .types import Float32s, JsonText, UTCDateTime, key_text

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

SYSTEM_ROLES_SQL = "role IN (" + ", ".join(f"'{role}'" for role in sorted(SYSTEM_ROLES)) + ")"

FILLFACTOR = "ALTER TABLE {table} SET (fillfactor = 70)"
"""Run on PostgreSQL when sessions is made.

Every append updates its row. Room on the page keeps the new version beside the old one (HOT), so that no index is
touched; updated_at is not indexed for the same reason. SQLAlchemy 2.0 cannot say this in a table's arguments.
"""

BigInt = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """Base of the model."""

    metadata = MetaData(naming_convention=NAMING)


class SessionRow(Base):
    """A conversation."""

    __tablename__ = "sessions"

    session_id: Mapped[str] = mapped_column(key_text(), primary_key=True)
    user_id: Mapped[str | None] = mapped_column(key_text())
    agent_id: Mapped[str | None] = mapped_column(key_text())
    workflow_id: Mapped[str | None] = mapped_column(key_text())
    max_messages: Mapped[int | None] = mapped_column(BigInt)
    max_tokens: Mapped[int | None] = mapped_column(BigInt)
    auto_summarize: Mapped[bool] = mapped_column(Boolean)
    summary_threshold: Mapped[int] = mapped_column(BigInt)
    status: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Timestamp] = mapped_column(UTCDateTime)
    updated_at: Mapped[Timestamp] = mapped_column(UTCDateTime)
    expires_at: Mapped[Timestamp | None] = mapped_column(UTCDateTime)
    tags: Mapped[list[str] | None] = mapped_column(JsonText)
    properties: Mapped[dict[str, object] | None] = mapped_column(JsonText)
    verbatim: Mapped[bytes | None] = mapped_column(LargeBinary)
    revision: Mapped[int] = mapped_column(BigInt, server_default=text("1"))
    message_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    token_count: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    last_seq: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    edits: Mapped[int] = mapped_column(BigInt, server_default=text("0"))
    watched_until: Mapped[Timestamp | None] = mapped_column(UTCDateTime)

    messages: Mapped[list[MessageRow]] = relationship(
        back_populates="session", order_by="MessageRow.seq", lazy="raise_on_sql", viewonly=True
    )

    __table_args__ = (
        # Listing one user's sessions, and all sessions, newest first; both read backwards.
        Index(None, "user_id", "created_at", "session_id"),
        Index(None, "created_at", "session_id"),
        # The sweep for expired sessions; most sessions never expire and are not in it.
        Index(
            None,
            "expires_at",
            sqlite_where=text("expires_at IS NOT NULL"),
            postgresql_where=text("expires_at IS NOT NULL"),
        ),
    )


class MessageRow(Base):
    """A message of a conversation."""

    __tablename__ = "messages"

    session_id: Mapped[str] = mapped_column(
        key_text(), ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(BigInt, primary_key=True, autoincrement=False)
    message_id: Mapped[str] = mapped_column(key_text())
    role: Mapped[str] = mapped_column(Text)
    content: Mapped[str | None] = mapped_column(Text)
    timestamp: Mapped[Timestamp] = mapped_column(UTCDateTime)
    token_count: Mapped[int] = mapped_column(BigInt)
    tool_call_id: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    content_blocks: Mapped[list[object] | None] = mapped_column(JsonText)
    tool_calls: Mapped[list[dict[str, object]] | None] = mapped_column(JsonText)
    function_call: Mapped[dict[str, object] | None] = mapped_column(JsonText)
    metadata_: Mapped[dict[str, object] | None] = mapped_column("metadata", JsonText)
    verbatim: Mapped[bytes | None] = mapped_column(LargeBinary)

    session: Mapped[SessionRow] = relationship(back_populates="messages", lazy="raise_on_sql", viewonly=True)

    __table_args__ = (
        # Storing a message twice is refused here, whatever raced.
        Index("uq_messages_session_id_message_id", "session_id", "message_id", unique=True),
        # System messages belong to every window; without this a window would read the whole history for them. The role
        # is a column of it because SQLite, without statistics, prefers the primary key to an index on less.
        Index(
            "ix_messages_system",
            "session_id",
            "role",
            "seq",
            sqlite_where=text(SYSTEM_ROLES_SQL),
            postgresql_where=text(SYSTEM_ROLES_SQL),
        ),
    )


class SummaryRow(Base):
    """A summary of a stretch of a conversation."""

    __tablename__ = "summaries"

    session_id: Mapped[str] = mapped_column(
        key_text(), ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True
    )
    summary_id: Mapped[str] = mapped_column(key_text(), primary_key=True)
    summary: Mapped[str] = mapped_column(Text)
    message_count: Mapped[int] = mapped_column(BigInt)
    token_count: Mapped[int] = mapped_column(BigInt)
    start_time: Mapped[Timestamp] = mapped_column(UTCDateTime)
    end_time: Mapped[Timestamp] = mapped_column(UTCDateTime)
    first_seq: Mapped[int | None] = mapped_column(BigInt)
    last_seq: Mapped[int | None] = mapped_column(BigInt)
    key_topics: Mapped[list[str] | None] = mapped_column(JsonText)
    summary_type: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Timestamp] = mapped_column(UTCDateTime)
    verbatim: Mapped[bytes | None] = mapped_column(LargeBinary)


class IndexStateRow(Base):
    """How far an index outside of these tables, such as one of embeddings, has come with a session.

    The session is stale for it while ``last_seq`` or ``edits`` differ from the session's own.
    """

    __tablename__ = "index_states"

    session_id: Mapped[str] = mapped_column(
        key_text(), ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True
    )
    index_name: Mapped[str] = mapped_column(key_text(), primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInt)
    edits: Mapped[int] = mapped_column(BigInt)


class EmbeddingRow(Base):
    """The embedding of a message by a model. It goes with the message."""

    __tablename__ = "embeddings"

    session_id: Mapped[str] = mapped_column(key_text(), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInt, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(key_text(), primary_key=True)
    dimension: Mapped[int] = mapped_column(BigInt)
    content_hash: Mapped[str] = mapped_column(Text)
    embedding: Mapped[object] = mapped_column(Float32s)

    __table_args__ = (
        ForeignKeyConstraint(
            ["session_id", "seq"],
            ["messages.session_id", "messages.seq"],
            name="fk_embeddings_session_id_messages",
            ondelete="CASCADE",
        ),
        # All of a model: what the memory of a process is filled from, and a model is dropped by.
        Index(None, "model", "session_id", "seq"),
    )
