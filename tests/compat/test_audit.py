"""The package has what is documented; where it differs, docs/compatibility.md says so and why."""

from __future__ import annotations

import dataclasses
import enum
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import langswarm_memory
from langswarm_memory import MemoryBackendType, MemoryFactory, compat
from langswarm_memory.vector_stores import VectorStoreFactory
from tests.compat import audit, documented
from tests.compat.audit import Difference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def listed() -> dict[Difference, str]:
    """Return the differences of the page, with their reasons."""
    section = PAGE.read_text().partition("\n## Differences in names and signatures\n")[2].partition("\n## ")[0]
    rows = ROW.findall(section)
    return {Difference(where, there.strip(" `"), here.strip(" `")): why.strip() for where, there, here, why in rows}


def test_every_difference_is_listed() -> None:
    assert [difference for difference in audit.differences() if difference not in listed()] == []


def test_every_listed_difference_exists() -> None:
    found = set(audit.differences())
    assert [difference for difference in listed() if difference not in found] == []


def test_every_listed_difference_has_a_reason() -> None:
    assert [difference for difference, why in listed().items() if len(why) < 10] == []


def test_page_tells_how_much_is_compared() -> None:
    counts = audit.count_declarations()
    told = re.search(r"(\d+) classes with (\d+) members,\s+(\d+) other names\s+and (\d+) options", PAGE.read_text())
    assert told is not None
    assert list(map(int, told.groups())) == [counts[kind] for kind in ("classes", "members", "names", "options")]


def test_session_stores_are_known_by_their_documented_names() -> None:
    names = list(documented.BACKEND_TYPES)
    assert [MemoryFactory.get_backend_info(name)["name"] for name in names] == names
    assert set(names) <= set(MemoryFactory.list_backends())


def test_session_stores_have_a_member_of_the_enumeration() -> None:
    assert [MemoryBackendType(name).value for name in documented.BACKEND_TYPES] == list(documented.BACKEND_TYPES)


def test_vector_stores_are_known_by_their_documented_names() -> None:
    described = [VectorStoreFactory.get_store_requirements(name) for name in documented.VECTOR_STORE_TYPES]
    assert [found["description"] for found in described if not found["description"]] == []


def test_every_new_name_in_the_table_of_names_exists() -> None:
    section = (PAGE.parent / "coming-from-langswarm.md").read_text().partition("\n## Names\n")[2]
    new = " ".join(re.findall(r"^\|.*\|(.*)\|$", section, re.MULTILINE))
    called = set(re.findall(r"(\w+)\(", " ".join(re.findall(r"`([^`]+)`", new))))
    places = (langswarm_memory, compat, langswarm_memory.BaseMemorySession, langswarm_memory.MemoryManager)
    assert len(called) >= 8
    assert {name for name in called if not any(hasattr(place, name) for place in places)} == set()


# --- the comparison sees what it is for ----------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Shape:
    side: int

    @property
    def area(self) -> float | None:
        return None

    async def move(self, by: int, *, slowly: bool = False) -> bool:
        return slowly

    def turn(self, degrees: int | float = 90, axis: str = "z", *rest: int) -> Any:
        return degrees

    def paint(self, colour: str, coats: int) -> str:
        return colour


OURS = SimpleNamespace(Colour=Colour, Point=Point, Shape=Shape, Number=int, LIMIT=3)


@pytest.mark.parametrize(
    "declaration",
    [
        'class Colour(Enum):\n    RED = "red"',
        "class Point:\n    x: int\n    y: int = 0",
        "class Shape:\n    @property\n    def area(self) -> Optional[float]: ...",
        "class Shape:\n    async def move(self, by: int) -> bool: ...",
        "class Shape:\n    def turn(self, degrees: int = 90): ...",
        "class Shape:\n    def paint(self, colour: str, coats: int) -> Optional[str]: ...",
        "Number = int",
        "LIMIT: int",
    ],
)
def test_agreement_is_no_difference(declaration: str) -> None:
    assert list(audit.compare(OURS, declaration)) == []


@pytest.mark.parametrize(
    ("declaration", "difference"),
    [
        ("class Circle:\n    pass", Difference("Circle", "a class", "nothing")),
        ("def draw(): ...", Difference("draw", "a function", "nothing")),
        ('class Colour(ABC):\n    RED = "red"', Difference("Colour", "a subclass of ABC", "not so")),
        ('class Colour(Enum):\n    BLUE = "b"', Difference("Colour.BLUE", "'b'", "nothing")),
        ('class Colour(Enum):\n    RED = "r"', Difference("Colour.RED", "'r'", "'red'")),
        ("class Point:\n    y: int\n    x: int", Difference("Point", "positions y, x", "x, y")),
        ("class Point:\n    x: int\n    y: int = 1", Difference("Point.y", "default 1", "0")),
        ("class Point:\n    x: str", Difference("Point.x", "str", "int")),
        ("class Shape:\n    def fold(self): ...", Difference("Shape.fold", "a method", "nothing")),
        (
            "class Shape:\n    @property\n    def area(self) -> float: ...",
            Difference("Shape.area", "returns float", "float or None"),
        ),
        ("class Shape:\n    @property\n    def turn(self): ...", Difference("Shape.turn", "a property", "function")),
        ("class Shape:\n    def move(self, by): ...", Difference("Shape.move", "not async", "async")),
        ("class Shape:\n    async def move(self, by: float): ...", Difference("Shape.move(by)", "float", "int")),
        ("class Shape:\n    async def move(self, to, by): ...", Difference("Shape.move(to)", "a parameter", "nothing")),
        (
            "class Shape:\n    async def move(self, by, slowly=False): ...",
            Difference("Shape.move(slowly)", "by name, or at position 2", "by name"),
        ),
        ("class Shape:\n    def turn(self, degrees=45): ...", Difference("Shape.turn(degrees)", "default 45", "90")),
        ("class Shape:\n    def paint(self, colour): ...", Difference("Shape.paint(coats)", "nothing", "required")),
        (
            "class Shape:\n    def paint(self, colour, coats, **more): ...",
            Difference("Shape.paint", "**more", "nothing"),
        ),
        ("Number = str", Difference("Number", "str", "int")),
        ("LIMIT: str", Difference("LIMIT", "str", "int")),
    ],
)
def test_deviation_is_a_difference(declaration: str, difference: Difference) -> None:
    assert difference in list(audit.compare(OURS, declaration))
