"""Lessons that say the same become one: nothing is lost on the way, wherever it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openai import AsyncOpenAI

from langswarm_memory.errors import VectorStoreError
from langswarm_memory.providers import InvalidAnswerError
from langswarm_memory.reflexive import Lesson, LessonConsolidator, LessonStore
from langswarm_memory.reflexive.consolidator import clusters
from langswarm_memory.vector_stores import InMemoryVectorStore, VectorPoint
from tests.providers.clients import chat_answer, openai_client
from tests.reflexive.model_server import ModelServer
from tests.reflexive.stores import DIMENSION, Angles, PlainStore

TIME = datetime(2026, 1, 1, tzinfo=UTC)
MERGED = {"rule_text": "All of it."}


def lesson(name: str, trigger: str, place: int = 0, **fields: Any) -> Lesson:
    made = Lesson(f"rule of {name}", trigger, lesson_id=name, created_at=TIME + timedelta(days=place))
    return replace(made, **fields)


ALIKE = [
    lesson("a", "parcel@0", 0, hit_count=1, source_incident="one", confidence_score=0.5, metadata={"x": 1, "y": 1}),
    lesson("b", "parcel@10", 1, hit_count=2, source_incident="two", confidence_score=0.9, metadata={"x": 2, "z": 2}),
    lesson("c", "parcel@15", 2, hit_count=4, confidence_score=0.7),
]
ALONE = lesson("alone", "refund@0", 3, hit_count=8)


async def fill(store: LessonStore, lessons: Sequence[Lesson] = (*ALIKE, ALONE)) -> None:
    for one in lessons:
        await store.add_lesson(one)


async def rules(store: LessonStore) -> dict[str, int]:
    """Return the hits of each rule."""
    found = await store.get_all_lessons()
    assert len(found) == len({one.rule_content for one in found})
    return {one.rule_content: one.hit_count for one in found}


DONE = {"All of it.": 7, "rule of alone": 8}


async def test_alike_become_one(store: LessonStore, model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(MERGED)
    await fill(store)
    assert await LessonConsolidator(store, client=client).run_maintenance() == 3
    assert await rules(store) == DONE


async def test_merged_is_found_where_the_old_were(store: LessonStore, model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(MERGED)
    await fill(store)
    await LessonConsolidator(store, client=client).run_maintenance()
    for old in ALIKE:
        (found,) = await store.search_lessons(old.trigger_scenario_text)
        assert found.rule_content == "All of it."


async def test_merged_keeps_what_the_old_knew(lessons: LessonStore, model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(MERGED)
    await fill(lessons, ALIKE)
    await LessonConsolidator(lessons, client=client).run_maintenance()
    (merged,) = await lessons.get_all_lessons()
    assert (merged.source_incident, merged.confidence_score) == ("one\ntwo", 0.9)
    assert {key: merged.metadata[key] for key in "xyz"} == {"x": 1, "y": 1, "z": 2}
    assert list(merged.metadata["merged_from"]) == ["a", "b", "c"]


async def test_model_reads_the_rules_of_a_cluster_alone(
    lessons: LessonStore, model: ModelServer, client: AsyncOpenAI
) -> None:
    model.says(MERGED)
    await fill(lessons)
    await LessonConsolidator(lessons, client=client).run_maintenance()
    (request,) = model.requests
    asked = request["messages"][1]["content"]
    assert [name for name in ("a", "b", "c", "alone") if f"rule of {name}" in asked] == ["a", "b", "c"]


async def test_nothing_alike_asks_no_model(lessons: LessonStore, model: ModelServer, client: AsyncOpenAI) -> None:
    await fill(lessons, [ALIKE[0], ALONE])
    assert await LessonConsolidator(lessons, client=client).run_maintenance() == 0
    assert model.requests == []


async def test_second_run_has_nothing_to_do(lessons: LessonStore, model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(MERGED)
    await fill(lessons)
    consolidator = LessonConsolidator(lessons, client=client)
    await consolidator.run_maintenance()
    assert (await consolidator.run_maintenance(), len(model.requests)) == (0, 1)


async def test_two_runs_at_once_merge_once(lessons: LessonStore, model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(MERGED)
    await fill(lessons)
    await asyncio.gather(*(LessonConsolidator(lessons, client=client).run_maintenance() for _ in range(2)))
    assert await rules(lessons) == DONE


@pytest.mark.parametrize("edited", [None, replace(ALIKE[1], rule_content="edited")], ids=["deleted", "edited"])
async def test_lesson_changed_while_the_model_writes_is_not_merged(lessons: LessonStore, edited: Lesson | None) -> None:
    async def create(**request: Any) -> Any:
        await lessons.delete_lesson("b") if edited is None else await lessons.add_lesson(edited)
        return chat_answer('{"rule_text": "All of it."}')

    await fill(lessons)
    assert await LessonConsolidator(lessons, client=openai_client(create)).run_maintenance() == 0
    left = {"rule of a": 1, "rule of c": 4, "rule of alone": 8}
    assert await rules(lessons) == (left if edited is None else {**left, "edited": 2})


# --- which are alike -------------------------------------------------------------------------------------------------


async def grouped(*found: Lesson) -> list[list[str]]:
    embed = Angles().embed_text
    whole = [replace(one, vector=await embed(one.trigger_scenario_text)) for one in found]
    return [[one.lesson_id for one in cluster] for cluster in clusters(whole)]


async def test_bound_is_a_cosine_of_095() -> None:  # 18° is 0.951, 19° is 0.946
    assert await grouped(lesson("a", "parcel@0"), lesson("b", "parcel@18", 1)) == [["a", "b"]]
    assert await grouped(lesson("a", "parcel@0"), lesson("b", "parcel@19", 1)) == []


async def test_distance_is_to_the_oldest_of_a_cluster() -> None:
    found = [lesson("c", "parcel@30", 2), lesson("b", "parcel@15", 1), lesson("a", "parcel@0", 0)]
    assert await grouped(*found) == [["a", "b"]]


@pytest.mark.parametrize(
    "other",
    [
        {"scope": "role", "target_role": "support"},
        {"scope": "role", "target_role": "sales"},
        {"scope": "session", "metadata": {"session_id": "s1"}},
        {"scope": "session", "metadata": {"session_id": "s2"}},
    ],
)
async def test_tiers_do_not_mix(other: dict[str, Any]) -> None:
    found = [
        lesson("global", "parcel@0"),
        lesson("ops", "parcel@0", scope="role", target_role="ops"),
        lesson("s0", "parcel@0", scope="session", metadata={"session_id": "s0"}),
    ]
    assert await grouped(*found, lesson("other", "parcel@0", **other)) == []


async def test_vector_without_direction_is_like_nothing() -> None:
    zeros = [replace(lesson(name, "parcel@0"), vector=[0.0, 0.0]) for name in "ab"]
    assert clusters(zeros) == []


# --- stopping half-way -----------------------------------------------------------------------------------------------


class Stopping(InMemoryVectorStore):
    """Fails at one of its writes, before or after it was done."""

    def __init__(self) -> None:
        super().__init__(dimension=DIMENSION)
        self.left: int | None = None
        self.done_first = False

    async def upsert(self, points: Sequence[VectorPoint]) -> None:
        if not self._stops():
            return await super().upsert(points)
        if self.done_first:
            await super().upsert(points)
        raise VectorStoreError("stopped")

    async def delete(self, **selection: Any) -> int:
        if not self._stops():
            return await super().delete(**selection)
        if self.done_first:
            await super().delete(**selection)
        raise VectorStoreError("stopped")

    def _stops(self) -> bool:
        self.left = None if self.left is None else self.left - 1
        return self.left == -1


@pytest.mark.parametrize("done_first", [False, True])
@pytest.mark.parametrize("write", range(4))  # one of the merged lesson, three of the old ones
async def test_run_that_stops_is_completed_by_the_next(
    model: ModelServer, client: AsyncOpenAI, write: int, done_first: bool
) -> None:
    model.says(MERGED, {"rule_text": "Another."})
    vectors = Stopping()
    await vectors.open()
    store = LessonStore(vectors, Angles())
    await fill(store)
    consolidator = LessonConsolidator(store, client=client)
    vectors.left, vectors.done_first = write, done_first
    with pytest.raises(VectorStoreError):
        await consolidator.run_maintenance()
    vectors.left = None
    left = await rules(store)
    assert "All of it." in left or {"rule of a", "rule of b", "rule of c"} <= left.keys()
    await consolidator.run_maintenance()
    stored = write > 0 or done_first
    assert await rules(store) == (DONE if stored else {"Another.": 7, "rule of alone": 8})


async def stopped(client: AsyncOpenAI) -> LessonStore:
    """Return a store in which a run stopped after the merged lesson was stored."""
    vectors = Stopping()
    await vectors.open()
    store = LessonStore(vectors, Angles())
    await fill(store)
    vectors.left = 1
    with pytest.raises(VectorStoreError):
        await LessonConsolidator(store, client=client).run_maintenance()
    vectors.left = None
    return store


async def test_hits_between_the_runs_are_counted(model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(MERGED)
    store = await stopped(client)
    await store.increment_hit_count("b")
    await LessonConsolidator(store, client=client).run_maintenance()
    assert await rules(store) == {**DONE, "All of it.": 8}


async def test_hits_are_added_once_however_often_it_stops(model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(MERGED)
    store = await stopped(client)
    await store.increment_hit_count("b")
    store.vector_store.left = 2  # "a" is deleted, the hit of "b" added, "b" not deleted
    with pytest.raises(VectorStoreError):
        await LessonConsolidator(store, client=client).run_maintenance()
    store.vector_store.left = None
    await LessonConsolidator(store, client=client).run_maintenance()
    assert await rules(store) == {**DONE, "All of it.": 8}


async def test_completing_asks_no_model(model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(MERGED)
    store = await stopped(client)
    await LessonConsolidator(store, client=client).run_maintenance()
    assert len(model.requests) == 1


async def test_lesson_edited_between_the_runs_is_not_dropped(model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(MERGED, {"rule_text": "Both."})
    store = await stopped(client)
    await store.add_lesson(replace(ALIKE[1], rule_content="edited"))
    await LessonConsolidator(store, client=client).run_maintenance()
    assert "edited" in model.requests[1]["messages"][1]["content"]  # merged once more, as it is now
    assert set(await rules(store)) == {"Both.", "rule of alone"}


async def test_old_stay_where_the_merged_lesson_is_deleted_meanwhile(model: ModelServer, client: AsyncOpenAI) -> None:
    class Deleting(LessonStore):
        async def get_all_lessons(self) -> list[Lesson]:
            found = await super().get_all_lessons()
            (merged,) = [one for one in found if one.rule_content == "All of it."]
            await self.delete_lesson(merged.lesson_id)
            return found

    model.says(MERGED)
    store = await stopped(client)
    deleting = Deleting(store.vector_store, Angles())
    await LessonConsolidator(deleting, client=client).run_maintenance()
    assert await rules(store) == {"rule of a": 1, "rule of b": 2, "rule of c": 4, "rule of alone": 8}


async def test_bad_answer_leaves_all_as_it_was(lessons: LessonStore, model: ModelServer, client: AsyncOpenAI) -> None:
    model.says({"rule_text": ""})
    await fill(lessons)
    before = await lessons.get_all_lessons()
    with pytest.raises(InvalidAnswerError, match="consolidator: run_maintenance"):
        await LessonConsolidator(lessons, client=client).run_maintenance()
    assert await lessons.get_all_lessons() == before


async def test_store_that_gives_no_vectors_back_is_enough(model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(MERGED)
    plain = PlainStore()
    store = LessonStore(plain, Angles())
    await fill(store)
    for document in plain.documents.values():
        document.embedding = []
    assert await LessonConsolidator(store, client=client).run_maintenance() == 3


async def test_large_cluster_is_merged_in_parts(lessons: LessonStore, model: ModelServer, client: AsyncOpenAI) -> None:
    model.says(*({"rule_text": f"Part {number}."} for number in range(3)))
    await fill(lessons, [lesson(f"n{number}", "parcel@0", number, hit_count=1) for number in range(60)])
    consolidator = LessonConsolidator(lessons, client=client)
    assert [await consolidator.run_maintenance(), await consolidator.run_maintenance()] == [50, 11]
    assert await rules(lessons) == {"Part 1.": 60}
