"""Session metadata, summaries and usage: what is known about a conversation besides its messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from ..errors import InvalidInputError
from .enums import SessionStatus, SummaryType
from .message import new_id
from .timestamps import Timestamp, now

DEFAULT_MAX_MESSAGES = 100
DEFAULT_SUMMARY_THRESHOLD = 50


@dataclass(init=False)
class SessionMetadata:
    """Identity, limits and state of a session.

    Args:
        session_id: Unique in the store; 1 to 512 bytes of UTF-8.
        user_id: Owner.
        agent_id: Agent that talks.
        workflow_id: Workflow the session belongs to.
        max_messages: Bound of the window that reads return; history is kept. None: no bound.
        max_tokens: Bound of the context in model tokens. None: no bound.
        auto_summarize: Whether summaries are made every ``summary_threshold`` messages.
        summary_threshold: Messages between two summaries.
        status: See :class:`SessionStatus`.
        created_at: Default: now. Naive means local time.
        updated_at: Instant of the last append or edit.
        expires_at: From then on the session is invisible and takes no messages. None: never.
        tags: Labels, a list of text.
        properties: JSON object of the caller's.
        auto_summarize_threshold: Other name of ``summary_threshold``.
        metadata: Merged into ``properties``.
        custom_metadata: Merged into ``properties``.
    """

    session_id: str
    user_id: str | None = None
    agent_id: str | None = None
    workflow_id: str | None = None
    max_messages: int | None = DEFAULT_MAX_MESSAGES
    max_tokens: int | None = None
    auto_summarize: bool = True
    summary_threshold: int = DEFAULT_SUMMARY_THRESHOLD
    status: SessionStatus = SessionStatus.ACTIVE
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    expires_at: datetime | None = None
    tags: list[str] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        session_id: str,
        user_id: str | None = None,
        agent_id: str | None = None,
        workflow_id: str | None = None,
        max_messages: int | None = DEFAULT_MAX_MESSAGES,
        max_tokens: int | None = None,
        auto_summarize: bool = True,
        summary_threshold: int = DEFAULT_SUMMARY_THRESHOLD,
        status: SessionStatus = SessionStatus.ACTIVE,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
        expires_at: datetime | None = None,
        tags: list[str] | None = None,
        properties: dict[str, Any] | None = None,
        *,
        auto_summarize_threshold: int | None = None,
        metadata: dict[str, Any] | None = None,
        custom_metadata: dict[str, Any] | None = None,
    ) -> None:
        self.session_id = session_id
        self.user_id = user_id
        self.agent_id = agent_id
        self.workflow_id = workflow_id
        self.max_messages = max_messages
        self.max_tokens = max_tokens
        self.auto_summarize = auto_summarize
        self.summary_threshold = summary_threshold if auto_summarize_threshold is None else auto_summarize_threshold
        self.status = coerce_status(status)
        self.created_at = now() if created_at is None else Timestamp.of(created_at)
        self.updated_at = self.created_at if updated_at is None else Timestamp.of(updated_at)
        self.expires_at = None if expires_at is None else Timestamp.of(expires_at)
        self.tags = [] if tags is None else tags
        self.properties = {} if properties is None else properties
        if metadata is not None or custom_metadata is not None:
            self.properties = merged_properties(self.properties, metadata, custom_metadata)

    @property
    def auto_summarize_threshold(self) -> int:
        """The same as ``summary_threshold``."""
        return self.summary_threshold

    @property
    def metadata(self) -> dict[str, Any]:
        """The same as ``properties``."""
        return self.properties

    @property
    def custom_metadata(self) -> dict[str, Any]:
        """The same as ``properties``."""
        return self.properties

    def is_expired(self, at: datetime | None = None) -> bool:
        """Return whether the session is past its ``expires_at`` at the instant `at` (default: now)."""
        return self.expires_at is not None and self.expires_at <= (now() if at is None else at)

    def update_timestamp(self) -> None:
        """Set ``updated_at`` to now, on this object only."""
        self.updated_at = now()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SessionMetadata):
            return NotImplemented
        return all(getattr(self, f.name) == getattr(other, f.name) for f in _METADATA_FIELDS)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_metadata, ({f.name: getattr(self, f.name) for f in _METADATA_FIELDS},)


_METADATA_FIELDS = fields(SessionMetadata)
METADATA_FIELDS: frozenset[str] = frozenset(f.name for f in _METADATA_FIELDS)
METADATA_ALIASES = {"auto_summarize_threshold": "summary_threshold"}


def _rebuild_metadata(values: dict[str, Any]) -> SessionMetadata:
    metadata = object.__new__(SessionMetadata)
    metadata.__dict__.update(values)
    return metadata


def merged_properties(*parts: Any) -> dict[str, Any]:
    """Return the properties in all of these, the later ones winning; None counts as empty.

    Raises:
        InvalidInputError: One of them is no dict.
    """
    merged: dict[str, Any] = {}
    for part in parts:
        if part is not None and not isinstance(part, dict):
            raise InvalidInputError(f"properties and metadata are dicts, got {type(part).__name__}")
        merged.update(part or {})
    return merged


def coerce_status(status: object) -> SessionStatus:
    """Return the status as an enum member.

    Raises:
        InvalidInputError: Not one of the statuses.
    """
    try:
        return SessionStatus(status)
    except ValueError:
        raise InvalidInputError(
            f"unknown session status {status!r}",
            suggestion="use one of " + ", ".join(member.value for member in SessionStatus),
        ) from None


def changed_metadata(metadata: SessionMetadata, changes: dict[str, Any]) -> SessionMetadata:
    """Return metadata with some fields changed. Names that are no field of it go into ``properties``.

    Raises:
        InvalidInputError: A value of the wrong type.
    """
    values = {name: getattr(metadata, name) for name in METADATA_FIELDS}
    extra: dict[str, Any] = {}
    for name, value in changes.items():
        name = METADATA_ALIASES.get(name, name)
        if name in ("metadata", "custom_metadata"):
            extra = merged_properties(extra, value)
        elif name in METADATA_FIELDS:
            values[name] = coerce_status(value) if name == "status" else value
        else:
            extra[name] = value
    if extra:
        values["properties"] = merged_properties(values["properties"], extra)
    return SessionMetadata(**values)


@dataclass
class ConversationSummary:
    """A summary of a stretch of a session.

    Args:
        summary: The text.
        message_count: Messages covered.
        start_time: Timestamp of the first message covered.
        end_time: Timestamp of the last message covered.
        key_topics: Most telling words or phrases, best first.
        summary_id: Unique within its session.
        created_at: Default: now.
        session_id: Session covered.
        token_count: Size of ``summary`` in model tokens.
        summary_type: What made it.
        first_seq: Position of the first message covered; None when unknown.
        last_seq: Position of the last message covered; None when unknown.
    """

    summary: str
    message_count: int
    start_time: datetime
    end_time: datetime
    key_topics: list[str] = field(default_factory=list)
    summary_id: str = field(default_factory=new_id)
    created_at: datetime = field(default_factory=now)
    session_id: str | None = None
    token_count: int = 0
    summary_type: SummaryType = SummaryType.AUTO
    first_seq: int | None = None
    last_seq: int | None = None

    def __post_init__(self) -> None:
        self.start_time = Timestamp.of(self.start_time)
        self.end_time = Timestamp.of(self.end_time)
        self.created_at = Timestamp.of(self.created_at)
        self.summary_type = SummaryType(self.summary_type)

    @property
    def summary_text(self) -> str:
        """The same as ``summary``."""
        return self.summary


@dataclass
class MemoryUsage:
    """How much a store holds.

    Also answers as a mapping, with the keys ``total_sessions``, ``total_messages`` and ``storage_size_mb`` beside its
    own fields.

    Args:
        session_count: Sessions stored.
        message_count: Messages stored.
        total_tokens: Sum of the messages' token counts.
        storage_size_bytes: Bytes on disk or in memory, as the store measures them.
        active_sessions: Sessions with status active.
        last_cleanup: When expired sessions were last removed by this process.
    """

    session_count: int = 0
    message_count: int = 0
    total_tokens: int = 0
    storage_size_bytes: int = 0
    active_sessions: int = 0
    last_cleanup: datetime | None = None

    @property
    def storage_size_mb(self) -> float:
        """Size in MB (10**6 bytes)."""
        return self.storage_size_bytes / 1_000_000

    def keys(self) -> list[str]:
        """Return every key that ``usage[key]`` answers."""
        return [*(f.name for f in fields(self)), "total_sessions", "total_messages", "storage_size_mb"]

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, {"total_sessions": "session_count", "total_messages": "message_count"}.get(key, key))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def get(self, key: str, default: Any = None) -> Any:
        """Return ``usage[key]``, or `default`."""
        return self[key] if key in self else default  # noqa: SIM401 - this is get
