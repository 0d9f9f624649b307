"""What recall finds, where it looks, and in what order: by words, by meaning, by both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from langswarm_memory.errors import InvalidInputError, UnsupportedOperationError
from langswarm_memory.recall import Fusion
from tests.recall.memories import START, Memory, found, message, session_of

MODES = ["text", "vector", "hybrid"]
MEANING = ["vector", "hybrid"]
ALONE = Fusion(spread=False)  # without what was said beside a hit


async def stored(manager: Any) -> Any:
    """Store tea three times over, apart in every way that recall filters by."""
    await session_of(
        manager,
        "ada",
        message("tea of ada", 0, metadata={"topic": "drinks", "n": 1, "ok": True}),
        message("tea answered", 1, role="assistant", metadata={"topic": "talk"}),
        user_id="ada",
        agent_id="butler",
        tags=["home", "green"],
    )
    await session_of(manager, "ben", message("tea of ben", 60), user_id="ben", tags=["home"])
    await manager.flush()
    return manager


CONDITIONS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "user": ({"user_id": "ben"}, {"tea of ben"}),
    "agent": ({"agent_id": "butler"}, {"tea of ada", "tea answered"}),
    "sessions": ({"session_ids": ["ben", "none"]}, {"tea of ben"}),
    "no session": ({"session_ids": []}, set()),
    "role": ({"roles": ["assistant"]}, {"tea answered"}),
    "since": ({"since": START + timedelta(minutes=1)}, {"tea answered", "tea of ben"}),
    "until": ({"until": START + timedelta(minutes=1)}, {"tea of ada"}),
    "tag": ({"tags": ["home"]}, {"tea of ada", "tea answered", "tea of ben"}),
    "tags": ({"tags": ["home", "green"]}, {"tea of ada", "tea answered"}),
    "metadata": ({"metadata": {"topic": "drinks"}}, {"tea of ada"}),
    "number": ({"metadata": {"n": 1.0}}, {"tea of ada"}),
    "bool is no number": ({"metadata": {"n": True}}, set()),
    "all": ({"user_id": "ada", "roles": ["user"], "metadata": {"ok": True}}, {"tea of ada"}),
}


async def test_filters_hold(manager: Any) -> None:
    """In every mode; one test, as it is the store that takes the time."""
    await stored(manager)
    got = {
        (name, mode): set(await found(manager, "tea", mode, **conditions))
        for name, (conditions, _) in CONDITIONS.items()
        for mode in MODES
    }
    assert got == {(name, mode): wanted for name, (_, wanted) in CONDITIONS.items() for mode in MODES}


async def test_metadata_that_changed_after_indexing_counts(manager: Any) -> None:
    await stored(manager)
    session = await manager.get_session("ben")
    await session.edit_message(1, metadata={"topic": "drinks"})
    await manager.flush()
    assert set(await found(manager, "tea", metadata={"topic": "drinks"})) == {"tea of ada", "tea of ben"}


async def test_session_given_to_another_user_is_not_found_by_the_first(manager: Any) -> None:
    await stored(manager)
    session = await manager.get_session("ben")
    await session.update_metadata(user_id="carl")
    assert await found(manager, "tea", user_id="ben") == []


async def test_session_given_to_another_user_is_found_by_that_user(manager: Any) -> None:
    await stored(manager)
    session = await manager.get_session("ben")
    await session.update_metadata(user_id="carl", tags=["moved"])
    await manager.flush()
    assert await found(manager, "tea", user_id="carl", tags=["moved"]) == ["tea of ben"]


async def test_confined_manager_finds_its_user_only(manager: Any) -> None:
    await stored(manager)
    assert await found(manager.for_user("ben"), "tea", "hybrid") == ["tea of ben"]


async def test_one_user_of_many_gets_as_many_as_asked_for(manager: Any) -> None:
    for user in range(30):
        await session_of(manager, f"s{user}", *(f"tea number {n} of {user}" for n in range(4)), user_id=f"u{user}")
    await manager.flush()
    assert len(await found(manager, "tea number", limit=4, user_id="u7")) == 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("memory", ["in_memory", "sqlite", "postgres", "sqlite-beside"], indirect=True)
async def test_pages_hold_each_hit_once(manager: Any, mode: str) -> None:
    """Of equal ones too: half of the texts say the same."""
    texts = [f"tea {number}" if number % 2 else "tea again" for number in range(30)]
    for name in ("a", "b"):
        await session_of(manager, name, *texts)
    await manager.flush()
    whole = await manager.recall("tea", mode=mode, limit=1_000, fusion=ALONE)
    paged: list[Any] = []
    while page := await manager.recall("tea", mode=mode, limit=7, fusion=ALONE, after=paged[-1] if paged else None):
        paged += page
    places = [(hit.session_id, hit.message.seq) for hit in paged]
    assert places == [(hit.session_id, hit.message.seq) for hit in whole]
    assert len(set(places)) == len(places) >= 60 - (mode == "hybrid") * 10


@pytest.mark.parametrize("memory", ["in_memory"], indirect=True)
@pytest.mark.parametrize("option", ["half_life_days", "deduplicate", "reranker"])
async def test_pages_of_what_is_sorted_anew_hold_each_hit_once(manager: Any, option: str) -> None:
    value: Any = {"half_life_days": 1.0, "deduplicate": True, "reranker": lambda _, texts: [len(t) for t in texts]}
    await session_of(manager, "a", *(f"tea {'x' * (n % 9)} {n}" for n in range(80)))
    await manager.flush()
    sorted_by: Any = {option: value[option]}
    whole = await manager.recall("tea", mode="text", limit=1_000, **sorted_by)
    paged: list[Any] = []
    while page := await manager.recall("tea", mode="text", limit=9, after=paged[-1] if paged else None, **sorted_by):
        paged += page
    assert [hit.message.seq for hit in paged] == [hit.message.seq for hit in whole]
    assert len(paged) == 80


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("memory", ["sqlite", "sqlite-beside"], indirect=True)
async def test_excluded_word_is_in_no_hit(manager: Any, mode: str) -> None:
    await session_of(manager, "s", "green tea", "black tea", "tea leaves")
    await manager.flush()
    assert set(await found(manager, "tea -black", mode)) == {"green tea", "tea leaves"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("memory", ["sqlite", "sqlite-beside"], indirect=True)
async def test_phrase_is_in_every_hit(manager: Any, mode: str) -> None:
    await session_of(manager, "s", "green tea", "tea so green", "tea leaves")
    await manager.flush()
    assert await found(manager, '"green tea"', mode) == ["green tea"]


@pytest.mark.parametrize("memory", ["sqlite"], indirect=True)
async def test_excluded_word_is_not_embedded_with_the_question(
    manager: Any, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def embed(text: str) -> list[float]:
        asked.append(text)
        return await memory.provider.embed_text(text)

    monkeypatch.setattr(memory.provider, "embed_query", embed)
    await session_of(manager, "s", "green tea")
    await manager.recall('"green tea" leaf* -black -"white or red"', mode="vector")
    assert asked[0].split() == ["green", "tea", "leaf"]


@pytest.mark.parametrize("memory", ["sqlite", "sqlite-beside"], indirect=True)
async def test_neighbours_come_with_a_hit(manager: Any) -> None:
    await session_of(manager, "s", *(["one", "two", "tea", "four", "five"]))
    await manager.flush()
    (hit,) = await manager.recall("tea", mode="vector", limit=1, neighbours=1)
    assert ([m.content for m in hit.before], [m.content for m in hit.after]) == (["two"], ["four"])


@pytest.mark.parametrize("memory", ["sqlite"], indirect=True)
async def test_hits_tell_what_found_them(manager: Any) -> None:
    await session_of(manager, "s", "tea", "an answer", role_free := "unrelated words altogether")
    await manager.flush()
    hits = await manager.recall("tea", mode="hybrid", fusion=Fusion(candidates=1))
    assert {hit.message.content: hit.found_by for hit in hits} == {
        "tea": {"text", "vector"},
        "an answer": {"neighbour"},
        role_free: {"neighbour"},
    }


@pytest.mark.parametrize("memory", ["sqlite"], indirect=True)
async def test_neighbours_out_of_scope_are_no_hits(manager: Any) -> None:
    await session_of(manager, "s", "tea", message("an answer", 1, role="assistant"))
    await manager.flush()
    assert await found(manager, "tea", "hybrid", roles=["user"]) == ["tea"]


@pytest.mark.parametrize("memory", ["sqlite"], indirect=True)
async def test_auto_is_hybrid_where_messages_are_embedded(manager: Any) -> None:
    await session_of(manager, "s", "tea")
    await manager.flush()
    (hit,) = await manager.recall("tea")
    assert hit.found_by == {"text", "vector"}


@pytest.mark.parametrize("mode", MEANING)
async def test_meaning_is_refused_where_nothing_is_embedded(sqlite: Memory, mode: Any) -> None:
    async with sqlite.make() as backend:
        await session_of(backend, "s", "tea")
        assert await found(backend, "tea", "auto") == ["tea"]
        with pytest.raises(UnsupportedOperationError, match="embedding"):
            await backend.recall("tea", mode=mode)


@pytest.mark.parametrize(
    "options",
    [
        {"limit": -1},
        {"limit": 1_001},
        {"mode": "magic"},
        {"neighbours": 51},
        {"neighbours": True},
        {"half_life_days": 0},
        {"half_life_days": True},
        {"after": 3},
        {"reranker": lambda _query, texts: texts},
        {"reranker": lambda _query, texts: [1.0] * (len(texts) + 1)},
        {"reranker": lambda _query, texts: [float("nan")] * len(texts)},
        {"reranker": lambda _query, _texts: None},
    ],
    ids=[
        "limit below 0",
        "limit above 1,000",
        "no mode",
        "too many neighbours",
        "neighbours True",
        "half life 0",
        "half life True",
        "after an int",
        "reranker gives texts",
        "reranker gives too many",
        "reranker gives NaN",
        "reranker gives None",
    ],  # by name: a function's address differs between test processes
)
@pytest.mark.parametrize("memory", ["in_memory"], indirect=True)
async def test_wrong_arguments_are_refused(manager: Any, options: Any) -> None:
    await session_of(manager, "s", "tea")
    with pytest.raises(InvalidInputError):
        await manager.recall("tea", **{"mode": "text", **options})


@pytest.mark.parametrize("memory", ["sqlite"], indirect=True)
async def test_failing_provider_fails_the_search_and_leaves_nothing_behind(
    manager: Any, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_text: str) -> list[float]:
        raise ValueError("no model")

    monkeypatch.setattr(memory.provider, "embed_query", fail)
    await session_of(manager, "s", "tea")
    with pytest.raises(ValueError, match="no model"):
        await manager.recall("tea", mode="hybrid")
