"""Lessons in every kind of vector store: kept whole, found by situation, counted, and apart from all else."""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
import struct
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.errors import (
    CorruptRecordError,
    InvalidInputError,
    MemoryConfigurationError,
    NotConnectedError,
    VectorStoreError,
)
from langswarm_memory.reflexive import Lesson, LessonStore
from langswarm_memory.reflexive.documents import as_documents
from langswarm_memory.vector_stores import InMemoryVectorStore, VectorDocument, VectorStoreFactory
from tests.reflexive.stores import DIMENSION, Angles, PlainStore

TIME = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


OLD_TABLE = (  # of version 0.2
    "CREATE TABLE vectors (id TEXT PRIMARY KEY, content TEXT NOT NULL, embedding BLOB NOT NULL, "
    "metadata TEXT NOT NULL, timestamp TEXT NOT NULL, dimension INTEGER NOT NULL, "
    "created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)"
)


def lesson(name: str, trigger: str = "parcel@0", **fields: Any) -> Lesson:
    return Lesson(f"rule of {name}", trigger, lesson_id=name, **{"created_at": TIME, **fields})


FULL = lesson(
    "full",
    scope="role",
    target_role="support",
    source_incident="ticket \x00 7",
    hit_count=3,
    confidence_score=0.5,
    metadata={"a": [1, {"b": None}], "id": "x", "text": "日本"},
)


def ids(found: list[Lesson]) -> list[str]:
    return [one.lesson_id for one in found]


# --- the lesson ------------------------------------------------------------------------------------------------------


def test_defaults_are_those_documented() -> None:
    made = Lesson("rule", "trigger")
    assert (made.scope, made.target_role, made.source_incident, made.vector) == ("global", None, "", None)
    assert (made.hit_count, made.confidence_score, made.metadata) == (0, 1.0, {})


def test_dict_holds_all_but_the_vector() -> None:
    assert replace(FULL, vector=[1.0]).to_dict() == {
        "rule_content": "rule of full",
        "trigger_scenario_text": "parcel@0",
        "scope": "role",
        "target_role": "support",
        "source_incident": "ticket \x00 7",
        "lesson_id": "full",
        "created_at": "2026-01-02T03:04:05.000678+00:00",
        "hit_count": 3,
        "confidence_score": 0.5,
        "metadata": FULL.metadata,
    }


def test_dict_becomes_the_lesson_again() -> None:
    assert Lesson.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL


def test_old_name_of_the_incident_is_read() -> None:
    old = {"rule_content": "r", "trigger_scenario_text": "t", "feedback_source": "ticket 7"}
    assert Lesson.from_dict(old).source_incident == "ticket 7"


def test_new_name_of_the_incident_goes_before_the_old() -> None:
    both = {"rule_content": "r", "trigger_scenario_text": "t", "feedback_source": "old", "source_incident": "new"}
    assert Lesson.from_dict(both).source_incident == "new"


def test_unknown_key_is_kept_in_the_metadata() -> None:
    data = {"rule_content": "r", "trigger_scenario_text": "t", "team": "blue", "metadata": {"a": 1}}
    assert Lesson.from_dict(data).metadata == {"team": "blue", "a": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"rule_content": None},
        {"trigger_scenario_text": 5},
        {"scope": "galaxy"},
        {"hit_count": "secret"},
        {"hit_count": math.nan},
        {"created_at": "soon"},
        {"metadata": "{}"},
    ],
)
def test_wrong_value_of_a_dict_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Lesson.from_dict({"rule_content": "r", "trigger_scenario_text": "t", **wrong})
    assert "secret" not in str(caught.value)


def test_session_lesson_names_its_session_at_the_top() -> None:
    assert lesson("s", scope="session", metadata={"session_id": "s1"}).to_dict()["session_id"] == "s1"


# --- keeping ---------------------------------------------------------------------------------------------------------


async def test_lesson_is_kept_whole(store: LessonStore) -> None:
    assert await store.add_lesson(FULL) is True
    found = await store.get_lesson("full")
    assert found is not None
    assert replace(found, vector=None) == FULL


async def test_document_has_the_documented_form(store: LessonStore, vector_store: Any) -> None:
    await store.add_lesson(FULL)
    document = await as_documents(vector_store).get_document("full")
    assert document is not None
    assert (document.content, document.metadata) == ("rule of full", FULL.to_dict())


async def test_trigger_is_what_is_embedded(store: LessonStore) -> None:
    await store.add_lesson(lesson("a", "refund@30"))
    found = await store.get_lesson("a")
    assert found is not None
    assert found.vector == pytest.approx(await Angles().embed_text("refund@30"), abs=1e-6)


async def test_vector_that_is_given_is_not_made_again(lessons: LessonStore) -> None:
    await lessons.add_lesson(lesson("a", vector=[1.0] * DIMENSION))
    assert lessons.embedding_provider.asked == []  # type: ignore[attr-defined]


async def test_adding_an_id_again_replaces_the_lesson(store: LessonStore) -> None:
    await store.add_lesson(lesson("a"))
    await store.add_lesson(replace(lesson("a"), rule_content="another"))
    assert [one.rule_content for one in await store.get_all_lessons()] == ["another"]


async def test_all_lessons_come_with_their_vectors(store: LessonStore) -> None:
    for name in ("b", "a"):
        await store.add_lesson(lesson(name))
    found = await store.get_all_lessons()
    assert ids(found) == ["a", "b"]
    assert all(one.vector == pytest.approx([1.0, 0, 0, 0, 0, 0]) for one in found)


async def test_deleted_lesson_is_gone(store: LessonStore) -> None:
    await store.add_lesson(lesson("a"))
    assert await store.delete_lesson("a") is True
    assert await store.get_all_lessons() == []


async def test_deleting_nothing_is_told(store: LessonStore) -> None:
    assert await store.delete_lesson("nobody") is False


# --- finding ---------------------------------------------------------------------------------------------------------


async def test_nearest_come_first(store: LessonStore) -> None:
    for name, trigger in (("far", "parcel@30"), ("near", "parcel@5"), ("other", "refund@0")):
        await store.add_lesson(lesson(name, trigger))
    assert ids(await store.search_lessons("parcel@0", threshold=0.0)) == ["near", "far", "other"]


async def test_threshold_is_085_unless_told(store: LessonStore) -> None:
    for degrees in (30, 33):  # cosines 0.866 and 0.839
        await store.add_lesson(lesson(str(degrees), f"parcel@{degrees}"))
    assert ids(await store.search_lessons("parcel@0")) == ["30"]


async def test_limit_is_5_unless_told(store: LessonStore) -> None:
    for number in range(7):
        await store.add_lesson(lesson(str(number)))
    assert len(await store.search_lessons("parcel@0")) == 5


async def test_scope_narrows(store: LessonStore) -> None:
    for scope in ("global", "role", "session"):
        await store.add_lesson(lesson(scope, scope=scope))
    assert ids(await store.search_lessons("parcel@0", scope="role")) == ["role"]


async def test_role_narrows(store: LessonStore) -> None:
    for role in ("support", "sales"):
        await store.add_lesson(lesson(role, scope="role", target_role=role))
    assert ids(await store.search_lessons("parcel@0", target_role="sales")) == ["sales"]


async def test_lessons_of_other_sessions_take_no_places(store: LessonStore) -> None:
    for number in range(6):
        metadata = {"session_id": f"s{number}"}
        await store.add_lesson(lesson(f"n{number}", scope="session", metadata=metadata))
    found = await store.search_lessons("parcel@0", limit=1, scope="session", sessions=("s5",))
    assert ids(found) == ["n5"]


async def test_unknown_scope_is_told(lessons: LessonStore) -> None:
    with pytest.raises(InvalidInputError):
        await lessons.search_lessons("parcel@0", scope="galaxy")


async def test_same_question_is_embedded_once(lessons: LessonStore) -> None:
    for scope in ("global", "role"):
        await lessons.search_lessons("parcel@0", scope=scope)
    assert lessons.embedding_provider.asked == ["parcel@0"]  # type: ignore[attr-defined]


async def test_lesson_of_an_old_file_is_found(tmp_path: Path) -> None:
    metadata = {
        "rule_content": "rule",
        "trigger_scenario_text": "parcel@0",
        "scope": "global",
        "target_role": None,
        "feedback_source": "ticket 7",
        "lesson_id": "old",
        "created_at": "2026-01-02T03:04:05.000678",
        "hit_count": 3,
        "confidence_score": 1.0,
        "metadata": {"a": [1]},
    }
    row = ("old", "rule", struct.pack("<6f", 1, 0, 0, 0, 0, 0), json.dumps(metadata), TIME.isoformat(), DIMENSION)
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection, connection:
        connection.execute(OLD_TABLE)
        connection.execute("INSERT INTO vectors VALUES (?, ?, ?, ?, ?, ?, '')", row)
    vectors = VectorStoreFactory.create_sqlite_store(str(tmp_path / "old.db"), DIMENSION)
    await vectors.connect()
    (found,) = await LessonStore(vectors, Angles()).search_lessons("parcel@10")
    await vectors.disconnect()
    assert (found.source_incident, found.hit_count, found.metadata) == ("ticket 7", 3, {"a": [1]})
    assert found.created_at == TIME


# --- beside other things ---------------------------------------------------------------------------------------------


async def test_other_documents_are_not_seen(store: LessonStore, vector_store: Any) -> None:
    vector = await Angles().embed_text("parcel@0")
    others = [VectorDocument(f"a{number}", "turn", vector, {"session_id": "s"}) for number in range(30)]
    await as_documents(vector_store).upsert_documents(others)
    await store.add_lesson(lesson("lesson", "parcel@10"))
    assert (ids(await store.search_lessons("parcel@0")), ids(await store.get_all_lessons())) == (
        ["lesson"],
        ["lesson"],
    )


async def test_other_document_is_not_deleted(store: LessonStore, vector_store: Any) -> None:
    document = VectorDocument("turn", "turn", await Angles().embed_text("parcel@0"), {})
    await as_documents(vector_store).upsert_documents([document])
    assert await store.delete_lesson("turn") is False
    assert await as_documents(vector_store).get_document("turn") is not None


@pytest.mark.parametrize(("own", "other"), [("agent_lessons", "b"), ("b", "agent_lessons"), ("b", "c")])
async def test_namespaces_do_not_meet(vector_store: Any, own: str, other: str) -> None:
    theirs, ours = LessonStore(vector_store, Angles(), other), LessonStore(vector_store, Angles(), own)
    for number in range(6):
        await theirs.add_lesson(lesson(f"a{number}"))
    await ours.add_lesson(lesson("z", "parcel@10"))
    assert ids(await ours.search_lessons("parcel@0", limit=1)) == ["z"]
    assert ids(await ours.get_all_lessons()) == ["z"]
    assert await ours.delete_lesson("a0") is False


# --- counting --------------------------------------------------------------------------------------------------------


async def test_hit_changes_the_count_alone(store: LessonStore) -> None:
    await store.add_lesson(FULL)
    assert await store.increment_hit_count("full") is True
    found = await store.get_lesson("full")
    assert found is not None
    assert replace(found, vector=None) == replace(FULL, hit_count=4)


async def test_hits_at_once_are_all_counted(store: LessonStore) -> None:
    await store.add_lesson(lesson("a"))
    await asyncio.gather(*(store.increment_hit_count("a") for _ in range(20)))
    found = await store.get_lesson("a")
    assert found is not None
    assert found.hit_count == 20


async def test_hit_of_nothing_makes_nothing(store: LessonStore) -> None:
    assert await store.increment_hit_count("nobody") is False
    assert await store.get_all_lessons() == []


async def test_hit_embeds_nothing(lessons: LessonStore) -> None:
    await lessons.add_lesson(lesson("a"))
    await lessons.increment_hit_count("a")
    assert len(lessons.embedding_provider.asked) == 1  # type: ignore[attr-defined]


# --- failing ---------------------------------------------------------------------------------------------------------


async def test_refused_lesson_is_told() -> None:
    plain = PlainStore()
    plain.refusing = True
    with pytest.raises(VectorStoreError):
        await LessonStore(plain, Angles()).add_lesson(lesson("a"))


async def test_closed_store_is_told() -> None:
    with pytest.raises(NotConnectedError):
        await LessonStore(InMemoryVectorStore(dimension=DIMENSION), Angles()).add_lesson(lesson("a"))


async def test_spoiled_lesson_is_told_without_its_text() -> None:
    plain = PlainStore()
    metadata = {**FULL.to_dict(), "hit_count": "secret"}
    plain.documents["full"] = VectorDocument("full", "secret", await Angles().embed_text("parcel@0"), metadata)
    with pytest.raises(CorruptRecordError, match="full") as caught:
        await LessonStore(plain, Angles()).search_lessons("parcel@0")
    assert "secret" not in str(caught.value)


def test_what_is_no_vector_store_is_told() -> None:
    with pytest.raises(MemoryConfigurationError, match="dict"):
        LessonStore({}, Angles())
