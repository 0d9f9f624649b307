"""The databases that the fault tests break."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.places import Place


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return Place("sqlite", str(tmp_path / "memory.db"))
    return Place("postgres", request.getfixturevalue("postgres_url"))
