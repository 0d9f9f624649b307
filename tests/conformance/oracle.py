"""The in-memory store as an oracle: programs of calls, and what a store answers to one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hypothesis import strategies as st

from langswarm_memory.errors import LangSwarmMemoryError
from langswarm_memory.interfaces.enums import SYSTEM_ROLES, SessionStatus
from langswarm_memory.interfaces.message import Message
from langswarm_memory.interfaces.records import ConversationSummary
from langswarm_memory.repository.memory import InMemoryRepository
from langswarm_memory.repository.optional import OpenAndRead
from langswarm_memory.repository.protocol import (
    MemoryRepository,
    MessageQuery,
    Rewrite,
    SessionQuery,
    SessionRecord,
    StoreStats,
)
from langswarm_memory.repository.text_search import SearchFilter, TextSearch
from langswarm_memory.search import parse
from langswarm_memory.testing.samples import (
    MICROSECOND,
    START,
    at,
    exact_message,
    exact_session,
    exact_summary,
    new_message,
    new_session,
    new_summary,
)

Call = Callable[[MemoryRepository], Awaitable[Any]]

# Few values of each kind, so that calls meet: the same ids, the same instants, bounds on and beside what is stored.
SESSIONS = ["a", "b", "c", "d", "e"]
USERS = [None, "u", "v"]
ROLES = ["user", "assistant", "system", "developer", "tool", "critic"]
SECONDS = [0, 1, 5, 10, 20, 50, 51, 100]
WORDS = ["alpha", "BETA", "a", "é", "%", "nowhere"]
SEARCHES = ["alpha", "BETA", "nowhere", "alpha beta", "100", "alpha -beta", '"beta 100"', "alph*", "beta é2"]
STORED = 20  # messages of session a, m1 to m20; programs also append m21 to m24

instants = st.sampled_from([at(seconds) for seconds in SECONDS] + [at(5) + MICROSECOND, at(50) - MICROSECOND])
few = st.integers(0, 6)
seqs = st.one_of(st.integers(0, STORED + 3), st.just(2**63 - 1))
role_sets = st.sampled_from([frozenset[str](), SYSTEM_ROLES]) | st.frozensets(st.sampled_from(ROLES), max_size=3)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


class Step:
    """One call. Its text is what a failing program is printed as."""

    def __init__(self, text: str, call: Call) -> None:
        self.text, self.call = text, call

    def __repr__(self) -> str:
        return self.text


def step(name: str, *arguments: Any, **options: Any) -> Step:
    words = [*map(repr, arguments), *(f"{key}={value!r}" for key, value in options.items())]
    return Step(f"{name}({', '.join(words)})", lambda repository: getattr(repository, name)(*arguments, **options))


@dataclass(frozen=True)
class Draft:
    """A message to be made anew for each store. Variant 0 is how it is stored at first."""

    number: int
    variant: int = 0

    def message(self) -> Message:
        number, variant = self.number, self.variant
        role = ROLES[number % len(ROLES)]
        words = f"{WORDS[number % 3]} 100% é{number}"
        content: Any = [{"type": "text", "text": words}, {"n": float(number)}] if number % 4 == 3 else words
        fields = {"token_count": number % 4, "timestamp": at(number if number % 3 else 60 - number)}
        if variant == 1:
            fields["metadata"] = {"variant": 1.0, "text": "\x00\ud800"}
        if variant == 2:
            fields |= {"token_count": 7, "timestamp": at(5)}  # still the same message
        return new_message(number, content, role, name="n" if number % 2 else None, **fields)


drafts = st.builds(Draft, st.integers(1, STORED + 4), st.sampled_from([0, 0, 0, 0, 2, 1]))


metadata = st.fixed_dictionaries(
    {
        "created_at": instants,
        "updated_at": instants,
        "user_id": st.sampled_from(USERS),
        "agent_id": st.sampled_from([None, "x", "y"]),
        "status": st.sampled_from([SessionStatus.ACTIVE, SessionStatus.ARCHIVED, SessionStatus.EXPIRED]),
        "expires_at": maybe(instants),
        "max_messages": maybe(st.integers(1, 9)),
        "tags": st.sampled_from([[], ["t"], ["\x00", "t"]]),
        "properties": st.sampled_from([{}, {"b": 1.0, "a": float("nan")}, {"\ud800": [None, 1]}]),
    }
)
session_ids = st.sampled_from(SESSIONS)
ids = st.lists(session_ids, max_size=3)


def some_of(most: int, options: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """A few of the options. All of them together would find nothing, on a sound store and on a broken one."""
    names = st.lists(st.sampled_from(list(options)), min_size=1, max_size=most, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: options[name] for name in chosen}))


message_queries = some_of(
    3,
    {
        "after_seq": seqs,
        "before_seq": seqs,
        "since": instants,
        "roles": role_sets,
        "exclude_roles": role_sets,
        "keep_roles": role_sets,
        "limit": st.integers(0, STORED + 2),
        "max_tokens": st.integers(0, 25),
        "newest_first": st.just(False),
    },
).map(lambda given: MessageQuery(**(given if "newest_first" not in given else given | {"max_tokens": None})))

session_queries = some_of(
    3,
    {
        "user_id": st.sampled_from(["u", "v"]),
        "agent_id": st.sampled_from(["x", "y"]),
        "status": st.sampled_from(["active", "archived", "expired"]),
        "live_at": instants,
        "expired_at": instants,
        "updated_before": instants,
        "after": st.sampled_from([(START, "a"), (at(1), "b"), (at(1), "c"), (at(5), "d"), (at(5) + MICROSECOND, "a")]),
        "offset": few,
        "limit": few,
    },
).map(lambda given: SessionQuery(**given))


def append(session_id: str, batch: list[Draft], now: Any, expires_at: Any) -> Step:
    def call(repository: MemoryRepository) -> Awaitable[Any]:
        messages = [draft.message() for draft in batch]
        return repository.append(session_id, messages, now=now, expires_at=expires_at)

    return Step(f"append({session_id!r}, {batch}, now={now!r}, expires_at={expires_at!r})", call)


def search(text: str, session_ids: list[str] | None, user_id: str | None, roles: frozenset[str] | None) -> Step:
    where = SearchFilter(
        session_ids=None if session_ids is None else frozenset(session_ids), user_id=user_id, roles=roles
    )

    async def call(repository: MemoryRepository) -> Any:
        assert isinstance(repository, TextSearch)
        hits = await repository.search_text(parse(text), where, limit=1_000)
        # How good a hit is says each store in its own way.
        return sorted((hit.session_id, hit.message.seq, exact_message(hit.message)) for hit in hits)

    return Step(f"search_text({text!r}, {where})", call)


def rewrite(session_id: str, removed: set[int], replaced: set[int], edits: int | None, now: Any) -> Step:
    """Remove and replace messages by their place; `edits` None: those there are."""

    async def call(repository: MemoryRepository) -> Any:
        record = await repository.fetch_session(session_id)
        if record is None:
            return await repository.rewrite(session_id, Rewrite(edits=edits or 0), now=now)
        stored = await repository.read_messages(session_id, MessageQuery())
        change = Rewrite(
            edits=record.edits if edits is None else edits,
            removed=tuple(one for place, one in enumerate(stored) if place in removed),
            replaced=tuple(
                (one, replace(one, content=f"beta {place}", token_count=place))
                for place, one in enumerate(stored)
                if place in replaced - removed
            ),
        )
        return await repository.rewrite(session_id, change, now=now)

    return Step(f"rewrite({session_id!r}, {removed=}, {replaced=}, {edits=}, now={now!r})", call)


def open_and_read(session_id: str, limit: int | None) -> Step:
    async def call(repository: MemoryRepository) -> Any:
        query = MessageQuery(limit=limit)
        if isinstance(repository, OpenAndRead):
            return await repository.fetch_with_messages(session_id, query)
        record = await repository.fetch_session(session_id)
        return None if record is None else (record, await repository.read_messages(session_id, query))

    return Step(f"fetch_with_messages({session_id!r}, limit={limit})", call)


written = st.sampled_from(["a", "a", "a", *SESSIONS])  # mostly the session that has messages
batches = st.lists(drafts, min_size=1, max_size=4, unique_by=lambda draft: draft.number)


def weighted(*choices: tuple[int, st.SearchStrategy[Step]]) -> st.SearchStrategy[Step]:
    """One of some strategies, each as often as its weight says."""
    return st.sampled_from([strategy for weight, strategy in choices for _ in range(weight)]).flatmap(lambda one: one)


writes = weighted(
    (1, st.builds(lambda name, given: step("insert_session", new_session(name, **given)), session_ids, metadata)),
    (
        2,
        st.builds(
            lambda name, given, revision: step(
                "replace_session", new_session(name, **given), expected_revision=revision
            ),
            session_ids,
            metadata,
            st.integers(1, 2),
        ),
    ),
    (1, st.builds(partial(step, "delete_sessions"), st.lists(session_ids, max_size=2))),
    (5, st.builds(append, written, batches, instants, maybe(instants))),
    (2, st.builds(partial(step, "delete_messages"), written, through_seq=maybe(seqs), keep_roles=role_sets)),
    (2, st.builds(rewrite, written, st.sets(few), st.sets(few), st.sampled_from([None, None, None, 0]), instants)),
    (
        2,
        st.builds(
            lambda name, ident, seconds: step("put_summary", new_summary(ident, seconds, session_id=name)),
            written,
            st.sampled_from(["p", "q", "r"]),
            few,
        ),
    ),
)
reads = weighted(
    (10, st.builds(partial(step, "read_messages"), written, message_queries)),
    (4, st.builds(partial(step, "list_sessions"), session_queries)),
    (1, st.builds(partial(step, "list_summaries"), written, limit=maybe(st.integers(0, 3)))),
    (2, st.builds(search, st.sampled_from(SEARCHES), maybe(ids), st.sampled_from(USERS), maybe(role_sets))),
    (1, st.builds(open_and_read, written, maybe(few))),
)
programs = st.tuples(st.lists(writes, max_size=6), st.lists(reads, min_size=20, max_size=30)).map(
    lambda parts: parts[0] + parts[1]
)
"""A few writes, then many reads: reading is cheap, and what went wrong shows there."""

PREPARATION: list[Step] = [
    step("delete_sessions", SESSIONS),
    step("insert_session", new_session("a", 0, user_id="u", agent_id="x", tags=["t"])),
    step("insert_session", new_session("b", 1, user_id="u", agent_id="y", expires_at=at(50))),
    step("insert_session", new_session("c", 1, user_id="v", agent_id="x", status=SessionStatus.ARCHIVED)),
    step("insert_session", new_session("d", 5, user_id="u", updated_at=at(10), expires_at=at(5))),
    append("a", [Draft(number) for number in range(1, STORED + 1)], START, None),
    append("b", [Draft(number) for number in (1, 2, 3, 6)], at(1), None),
    step("delete_messages", "b", through_seq=1),
    step("put_summary", new_summary("p", 0, session_id="a")),
    step("put_summary", new_summary("q", 1, session_id="a", key_topics=["\x00"])),
]
"""From an empty store, random programs hardly ever reach what goes wrong. Session e is missing."""

INSPECTION: list[Step] = [
    step("stats"),
    step("list_sessions", SessionQuery()),
    *(step("read_messages", session_id, MessageQuery()) for session_id in SESSIONS),
    *(step("list_summaries", session_id) for session_id in SESSIONS),
]


async def answer(repository: MemoryRepository, step: Step) -> Any:
    """Return a call's answer, or the type of the error it raised, in a form that compares exactly."""
    try:
        return _plain(await step.call(repository))
    except LangSwarmMemoryError as exc:
        return type(exc).__name__, exc.retryable


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.seq, exact_message(value)
    if isinstance(value, SessionRecord):
        return exact_session(value.metadata), *value[1:]
    if isinstance(value, ConversationSummary):
        return exact_summary(value)
    if isinstance(value, StoreStats):
        return replace(value, size_bytes=0, sessions_by_status=dict(value.sessions_by_status))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


async def compare(repository: MemoryRepository, program: list[Step]) -> None:
    """Run a program on a store and on the oracle; fail at the first answer that differs."""
    oracle = InMemoryRepository()
    searches = repository.features.text_search
    for step in [*PREPARATION, *program, *INSPECTION]:
        if not searches and step.text.startswith("search_text"):
            continue
        expected, given = await answer(oracle, step), await answer(repository, step)
        if step is not PREPARATION[0]:  # it deletes what the program before left
            assert given == expected, f"{step} answered differently"
