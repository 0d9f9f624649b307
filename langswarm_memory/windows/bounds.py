"""Arguments that say which part of a history a read returns."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import InvalidInputError
from ..interfaces.enums import MessageRole
from ..interfaces.message import Message, coerce_role
from ..repository import codec


def check_limit(limit: object, what: str = "limit") -> int | None:
    """Return a limit: None or an int from 0; larger than any store holds is cut to that.

    Raises:
        InvalidInputError: Negative or no int.
    """
    if limit is None:
        return None
    if type(limit) is not int or limit < 0:
        raise InvalidInputError(f"{what} must be an int from 0, or None")
    return min(limit, codec.MAX_INT)


def position(value: int | Message | None, what: str) -> int | None:
    """Return the seq that a page starts or ends at, given as such or as the message there."""
    if isinstance(value, Message):
        if value.seq is None:
            raise InvalidInputError(f"{what}: the message was not read from a store, so it has no position")
        return value.seq
    return check_limit(value, what)


def role_text(role: object) -> str:
    """Return a role as stores keep it.

    Raises:
        InvalidInputError: No message can have it.
    """
    found = coerce_role(role)
    return found.value if isinstance(found, MessageRole) else codec.check_id(found, "role")


def role_texts(roles: object) -> frozenset[str] | None:
    """Return the roles to read, given as several or as one; None for all.

    Raises:
        InvalidInputError: No roles, or one that no message can have.
    """
    if roles is None:
        return None
    if isinstance(roles, str):
        return frozenset({role_text(roles)})
    if not isinstance(roles, Iterable):
        raise InvalidInputError(f"roles takes roles, got {type(roles).__name__}")
    return frozenset(role_text(role) for role in roles)
