"""Instants: aware, UTC, to the microsecond; naive input means local time, as ``datetime.now()`` gives it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Self, overload

from ..errors import InvalidInputError


class Timestamp(datetime):
    """An aware UTC datetime that also compares with, and subtracts, naive ones.

    A naive operand is taken as local time. Code written for naive datetimes
    (``session.updated_at < datetime.now() - timedelta(days=7)``) therefore runs as it was meant.
    """

    __slots__ = ()

    @classmethod
    def of(cls, value: datetime) -> Self:
        """Return `value` as an instant.

        Raises:
            InvalidInputError: Not a datetime, or outside the years 1 to 9999 once expressed in UTC.
        """
        if type(value) is cls and value.tzinfo is UTC:
            return value
        if not isinstance(value, datetime):
            raise InvalidInputError(f"a datetime is needed, got {type(value).__name__}")
        try:
            utc = value.astimezone(UTC)
        except (OverflowError, ValueError, OSError) as exc:
            raise InvalidInputError("the datetime lies outside the years 1 to 9999 in UTC") from exc
        return cls(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, UTC)

    @classmethod
    def parse(cls, text: str, *, naive_is_utc: bool = False) -> Self:
        """Return the instant an ISO 8601 text names.

        Args:
            text: Any form that :meth:`datetime.fromisoformat` takes.
            naive_is_utc: What a text without offset means: UTC (data files) or local time.

        Raises:
            InvalidInputError: Not a date and time.
        """
        try:
            value = datetime.fromisoformat(text)
        except (TypeError, ValueError) as exc:
            raise InvalidInputError("not an ISO 8601 date and time") from exc
        if naive_is_utc and value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return cls.of(value)

    def plain(self) -> datetime:
        """Return the same instant as an ordinary aware datetime, which drivers compare and encode faster."""
        return datetime.combine(self, self.time(), UTC)

    def __lt__(self, other: datetime) -> bool:  # type: ignore[override]
        return super().__lt__(_aware(other))

    def __le__(self, other: datetime) -> bool:  # type: ignore[override]
        return super().__le__(_aware(other))

    def __gt__(self, other: datetime) -> bool:  # type: ignore[override]
        return super().__gt__(_aware(other))

    def __ge__(self, other: datetime) -> bool:  # type: ignore[override]
        return super().__ge__(_aware(other))

    def __eq__(self, other: object) -> bool:
        return super().__eq__(_aware(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return super().__hash__()

    @overload  # type: ignore[override]
    def __sub__(self, other: datetime) -> timedelta: ...
    @overload
    def __sub__(self, other: timedelta) -> Timestamp: ...
    def __sub__(self, other: datetime | timedelta) -> Any:
        return super().__sub__(_aware(other))

    def __rsub__(self, other: datetime) -> timedelta:
        return Timestamp.of(other).__sub__(self)


def _aware(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is None:
        try:
            return value.astimezone(UTC)
        except (OverflowError, ValueError, OSError):
            return value.replace(tzinfo=UTC)  # the first or last day there is: its zone cannot be expressed
    return value


def now() -> Timestamp:
    """Return the present instant. The default clock everywhere; tests pass their own."""
    return Timestamp.now(UTC)
