"""A lesson: a rule, the situation in which it applies, and whom it concerns."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple

from ..errors import InvalidInputError
from ..interfaces.timestamps import Timestamp, now

GLOBAL, ROLE, SESSION = "global", "role", "session"
SCOPES = (GLOBAL, ROLE, SESSION)

SESSION_ID = "session_id"
"""Where the metadata of a lesson names its session."""
OLD_NAMES = {"feedback_source": "source_incident"}
BESIDE = frozenset({SESSION_ID, "namespace", "content", "timestamp"})
"""What stores keep beside a lesson, and is none of it."""


class Tier(NamedTuple):
    """Whom a lesson concerns: everybody, the agents of a role, or the agents in a session."""

    scope: str
    target_role: str | None
    session_id: str | None


def checked_scope(scope: object) -> str:
    """Return a scope in small letters.

    Raises:
        InvalidInputError: There is none of this name.
    """
    found = scope.lower() if isinstance(scope, str) else scope
    if found not in SCOPES:
        raise InvalidInputError(f"the scope of a lesson is {', '.join(SCOPES)}; got {scope!r}")
    return str(found)


@dataclass
class Lesson:
    """What to do when a situation comes again.

    Raises:
        InvalidInputError: An unknown scope.
    """

    rule_content: str
    trigger_scenario_text: str
    """The situation; the lesson is found by its meaning."""
    scope: str = GLOBAL
    """``global``, ``role`` (of the agents of `target_role`) or ``session`` (of ``metadata["session_id"]``)."""
    target_role: str | None = None
    source_incident: str = ""
    """What the lesson was drawn from."""
    vector: list[float] | None = None
    """Of the trigger. None: it is made when the lesson is added."""
    lesson_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: datetime = field(default_factory=now)
    """Naive: local time."""
    hit_count: int = 0
    """How often the lesson went into a prompt."""
    confidence_score: float = 1.0
    metadata: dict[str, Any] = field(default_factory=dict)
    """Any JSON."""

    def __post_init__(self) -> None:
        self.created_at = Timestamp.of(self.created_at)
        self.scope = checked_scope(self.scope)

    @property
    def session_id(self) -> str | None:
        """The session of a lesson whose scope is one; None if the metadata names none."""
        found = self.metadata.get(SESSION_ID)
        return found if self.scope == SESSION and isinstance(found, str) else None

    @property
    def tier(self) -> Tier:
        """Whom the lesson concerns."""
        return Tier(self.scope, self.target_role if self.scope == ROLE else None, self.session_id)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the vector, as JSON. The session's id also stands at the top, to be asked for."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "vector"}
        found["created_at"] = self.created_at.isoformat()
        found["metadata"] = deepcopy(self.metadata)
        if self.session_id is not None:
            found[SESSION_ID] = self.session_id
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Lesson:
        """Return the lesson that :meth:`to_dict` described, in this version or an earlier one.

        Unknown keys are kept in its metadata.

        Raises:
            InvalidInputError: A rule or a trigger is missing, or a value is of another type. No value is quoted.
        """
        data = {OLD_NAMES[key]: data[key] for key in OLD_NAMES if key in data} | dict(data)
        names = {one.name for one in fields(cls)}
        given = {key: _checked(key, data[key]) for key in names & data.keys() if data[key] is not None}
        for name in ("rule_content", "trigger_scenario_text"):
            if name not in given:
                raise InvalidInputError(f"a lesson has no {name}")
        if isinstance(given.get("created_at"), str):
            given["created_at"] = Timestamp.parse(given["created_at"], naive_is_utc=True)
        if "hit_count" in given:
            given["hit_count"] = int(given["hit_count"])  # some stores hold every number as a float
        further = {key: value for key, value in data.items() if key not in names | OLD_NAMES.keys() | BESIDE}
        if given.get("scope") == SESSION and SESSION_ID in data:
            further[SESSION_ID] = data[SESSION_ID]
        return cls(**{**given, "metadata": deepcopy(further | dict(given.get("metadata", {})))})


def _checked(name: str, value: Any) -> Any:
    kinds = _KINDS[name]
    if not isinstance(value, kinds) or isinstance(value, bool) or (isinstance(value, float) and not isfinite(value)):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise InvalidInputError(f"{name} of a lesson is {wanted}, and finite; got {type(value).__name__}")
    return value


_KINDS: dict[str, tuple[type, ...]] = {
    "rule_content": (str,),
    "trigger_scenario_text": (str,),
    "scope": (str,),
    "target_role": (str,),
    "source_incident": (str,),
    "vector": (list, tuple),
    "lesson_id": (str,),
    "created_at": (str, datetime),
    "hit_count": (int, float),
    "confidence_score": (int, float),
    "metadata": (Mapping,),
}
