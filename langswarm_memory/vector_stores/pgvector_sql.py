"""Conditions on a JSONB payload, so that a GIN index answers those for equality."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .protocol import Condition, Range


def conditions(where: Mapping[str, Condition], *, first: int) -> tuple[str, list[Any]]:
    """Return conditions as SQL whose parameters begin with number `first`, and their values. Keys are identifiers."""
    texts, values = ["true"], []  # type: tuple[list[str], list[Any]]

    def bound(value: Any) -> str:
        values.append(value)
        return f"${first + len(values) - 1}"

    for key, condition in where.items():
        if isinstance(condition, Range):
            number = f"(payload->'{key}')::numeric"
            bounds = [
                f"{number} {operator} {bound(repr(end))}::text::numeric"
                for operator, end in ((">=", condition.ge), ("<", condition.lt))
                if end is not None
            ]
            # CASE: the cast must not be tried on what is no number.
            texts.append(
                f"CASE WHEN jsonb_typeof(payload->'{key}') = 'number' THEN {' AND '.join(bounds) or 'true'} END"
            )
        else:
            wanted = sorted(condition) if isinstance(condition, frozenset) else [condition]
            # A text, or a list that holds it.
            forms = [form for value in wanted for form in ([value, [value]] if isinstance(value, str) else [value])]
            texts.append(f"payload @> ANY({bound([json.dumps({key: form}) for form in forms])}::text[]::jsonb[])")
    return " AND ".join(texts), values
