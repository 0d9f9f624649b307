"""What the settings of all stores have in common, and the one function that fills them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from ..errors import MemoryConfigurationError

Overflow = str
S = TypeVar("S", bound="BackendSettings")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSettings:
    """What every backend takes.

    Args:
        ttl: Seconds after its last message that a session expires. None or 0: never.
        overflow: What becomes of messages beyond ``max_messages``: ``"keep"`` them out of the window, or
            ``"delete"`` them.
        max_messages: ``max_messages`` of sessions that are created without one. None: the session's own default (100).
        token_counter: How tokens are counted: ``"estimate"``, the name of an encoding (``"o200k_base"``) or of a model
            (``"gpt-4o"``), or a callable on a message. All but the estimate and a callable need the extra ``tokens``.
        embedding: What embeds messages, so that they are found by meaning: ``"local"``, ``"openai"``, a mapping with
            ``provider``, ``api_key``, ``model``, …, a function, or a provider. None: nothing does.
        vector_store: Where embeddings are kept: a type (``"qdrant"``), a mapping with ``store_type`` and
            ``connection_params``, or a ``VectorStore``. None: SQLite and PostgreSQL keep them beside the messages, the
            in-memory backend in memory; others need one.
        enable_semantic_search: Whether messages are embedded. None: if `embedding` is given.
        embedding_dimension: Length of a vector, where it shall be checked. None: what the provider says.
    """

    ttl: int | None = None
    overflow: str = "keep"
    max_messages: int | None = None
    token_counter: Any = "estimate"
    embedding: Any = field(default=None, repr=False)
    vector_store: Any = field(default=None, repr=False)
    enable_semantic_search: bool | None = None
    embedding_dimension: int | None = None

    address: ClassVar[str | None] = None
    """The setting that a bare text configures."""
    aliases: ClassVar[Mapping[str, str]] = {
        "ttl_seconds": "ttl",
        "session_ttl": "ttl",
        "max_messages_per_session": "max_messages",
        "enable_vector": "enable_semantic_search",
    }

    def __post_init__(self) -> None:
        require(self.ttl is None or is_int(self.ttl, 0), "ttl must be seconds as an int from 0, or None")
        require(self.overflow in ("keep", "delete"), "overflow must be 'keep' or 'delete'")
        require(
            self.max_messages is None or is_int(self.max_messages, 1),
            "max_messages must be an int from 1, or None",
        )
        require(
            isinstance(self.token_counter, str) or callable(self.token_counter),
            "token_counter must be a name or a callable",
        )
        require(
            self.enable_semantic_search in (None, True, False), "enable_semantic_search must be True, False or None"
        )
        if self.enable_semantic_search is None:
            assign(self, "enable_semantic_search", self.embedding is not None)
        require(
            not self.enable_semantic_search or self.embedding is not None,
            'enable_semantic_search needs an embedding, such as embedding="local"',
        )
        require(
            self.embedding_dimension is None or is_int(self.embedding_dimension, 1, 65_536),
            "embedding_dimension must be an int from 1 to 65,536",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InMemorySettings(BackendSettings):
    """Settings of the in-memory backend."""


def require(condition: bool, issue: str) -> None:
    """Raise ``MemoryConfigurationError`` unless the condition holds."""
    if not condition:
        raise MemoryConfigurationError(issue)


def assign(settings: Any, name: str, value: Any) -> None:
    """Set a field of frozen settings while they are made."""
    object.__setattr__(settings, name, value)


def is_int(value: object, low: int, high: int | None = None) -> bool:
    """Return whether a value is an int, no bool, within bounds."""
    return type(value) is int and value >= low and (high is None or value <= high)


def is_number(value: object, low: float) -> bool:
    """Return whether a value is a number from `low`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= low


def load_settings(cls: type[S], config: Mapping[str, Any] | str | None = None, **options: Any) -> S:
    """Merge explicit options over the mapping over the defaults.

    Args:
        cls: Which settings.
        config: A mapping, or the store's address as text.
        **options: Explicit options. None counts as not given where an option cannot be None.

    Raises:
        MemoryConfigurationError: An unknown option (the nearest known one is named), an option given twice under two
            names, or a value out of range.
    """
    known = {f.name: f for f in fields(cls)}
    given: dict[str, Any] = {}
    if config is not None and not isinstance(config, Mapping):
        if cls.address is None or (not hasattr(config, "__fspath__") and not isinstance(config, str)):
            raise MemoryConfigurationError(f"{cls.__name__} takes a mapping of options, got {type(config).__name__}")
        config = {cls.address: str(config)}
    for source in (config or {}, options):
        spelled: dict[str, str] = {}
        for option, value in source.items():
            name = cls.aliases.get(option, option)
            if name not in known:
                raise MemoryConfigurationError(_unknown(cls, option, [*known, *cls.aliases]))
            if name in spelled and source[spelled[name]] != value:
                raise MemoryConfigurationError(f"{spelled[name]!r} and {option!r} are the same option, given twice")
            spelled[name] = option
            if value is None and known[name].default is not None and "None" not in str(known[name].type):
                continue
            given[name] = value
    return cls(**given)


def _unknown(cls: type, option: str, names: list[str]) -> str:
    near = difflib.get_close_matches(str(option), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(sorted(names))}"
    return f"{cls.__name__} has no option {option!r}; {hint}"
