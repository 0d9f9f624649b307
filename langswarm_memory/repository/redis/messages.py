"""Messages that decode themselves as they are used: a window is often passed on, counted or cut before that."""

from __future__ import annotations

import zlib
from typing import Any

from ...errors import CorruptRecordError
from ...interfaces.enums import ROLES
from ...interfaces.message import Message
from ..documents import unpack_message
from .layout import STORE

_FIELDS = tuple(Message.__dataclass_fields__)


class _Lazy:
    # Has no __set__, so that what stands in the instance's __dict__, decoded or set by the caller, goes first.
    __slots__ = ("_name",)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return None
        instance.decode()
        return instance.__dict__[self._name]


class _Role(_Lazy):
    # By itself: code that cuts windows asks for the role, and for no more.
    __slots__ = ()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return None
        text = instance._member.split(b" ", 2)[1].decode()
        role = ROLES.get(text)
        if role is None:
            instance.decode()
            return instance.__dict__["role"]
        return instance.__dict__.setdefault("role", role)


class StoredMessage(Message):
    """A message that decodes its document when it is first looked into."""

    role = _Role()
    content = _Lazy()
    timestamp = _Lazy()
    message_id = _Lazy()
    metadata = _Lazy()
    token_count = _Lazy()
    function_call = _Lazy()
    tool_calls = _Lazy()
    tool_call_id = _Lazy()
    name = _Lazy()

    _member: bytes

    def decode(self) -> None:
        """Set every field that the caller has not set meanwhile.

        Raises:
            CorruptRecordError: Not a message.
        """
        seq, _, rest = self._member.partition(b" ")
        try:
            document = rest.split(b" ", 4)[4]
            if document[:1] == b"z":
                document = zlib.decompress(document[1:])
            found = unpack_message(STORE, document, int(seq))
        except (ValueError, IndexError, zlib.error) as exc:
            raise CorruptRecordError(STORE, f"message {seq[:20].decode(errors='replace')}", exc) from exc
        for name in _FIELDS:
            self.__dict__.setdefault(name, found.__dict__[name])


StoredMessage.__qualname__ = StoredMessage.__name__ = "Message"  # what repr() shows


def message_of(member: bytes) -> Message:
    """Return the message of a member of the sorted set.

    Raises:
        CorruptRecordError: Not a member.
    """
    message = object.__new__(StoredMessage)
    try:
        seq = int(member[: member.index(b" ")])
    except ValueError as exc:
        raise CorruptRecordError(STORE, "message", exc) from exc
    message.__dict__.update(_member=member, _seq=seq)
    return message
