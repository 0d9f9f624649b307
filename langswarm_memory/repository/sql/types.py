"""Column types that make SQLite and PostgreSQL speak the same Python."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from ...interfaces.timestamps import Timestamp


class UTCDateTime(TypeDecorator[Timestamp]):
    """An instant, to the microsecond: ``TIMESTAMPTZ`` on PostgreSQL, ``YYYY-MM-DD HH:MM:SS.ffffff`` in UTC on SQLite.

    Naive values raise ``ValueError``: the database cannot know which zone was meant.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Ask for a zone where the database has one."""
        return dialect.type_descriptor(DateTime(timezone=dialect.name != "sqlite"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Send UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored; give it a time zone")
        value = Timestamp.of(value).plain()
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> Timestamp | None:
        """Return an aware UTC instant."""
        if value is None:
            return None
        return Timestamp.of(value.replace(tzinfo=UTC) if value.tzinfo is None else value)


class JsonText(TypeDecorator[Any]):
    """JSON kept as text, in Python a list or dict: key order and number forms survive, unlike in ``JSONB``.

    The text is always valid JSON without NUL, so ``column::jsonb`` (PostgreSQL) and ``json_each(column)`` (SQLite)
    work on every row. NULL stands for empty.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write JSON."""
        return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read JSON."""
        return None if value is None else json.loads(value)


def key_text() -> TypeEngine[str]:
    """Text compared byte by byte on every database, so that ids sort alike everywhere, whatever the locale."""
    return Text().with_variant(Text(collation="C"), "postgresql")


class Float32s(TypeDecorator[Any]):
    """A vector of 32-bit floats, in Python what the database has: a list of floats, or bytes.

    ``REAL[]`` on PostgreSQL, which pgvector casts to its own types; on SQLite the bytes, little-endian.
    """

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Ask for an array where the database has one."""
        return dialect.type_descriptor(LargeBinary() if dialect.name == "sqlite" else ARRAY(REAL))
