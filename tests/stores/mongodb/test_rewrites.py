"""A rewrite is carried out whole, or not at all, wherever it is torn; and nobody reads half of one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from langswarm_memory.backends.mongodb import MongoDBBackend
from langswarm_memory.errors import ConflictError, InvalidInputError, LangSwarmMemoryError, StorageUnavailableError
from langswarm_memory.interfaces.message import Message
from langswarm_memory.repository.mongodb.marks import MarkedWrites
from langswarm_memory.repository.mongodb.repository import MongoDBRepository
from langswarm_memory.repository.protocol import MessageQuery, Rewrite
from langswarm_memory.testing.samples import START, at, fetch, filled, new_message, new_messages, new_session, read
from tests.faults.proxy import Proxy, proxied
from tests.stores.mongodb.conftest import Commands, Database, ended, past_the_lease

OLD = [(f"m{number}", "user" if number % 2 else "assistant", f"text {number}") for number in range(1, 7)]
NEW = [("m1", "user", "text 1"), ("m3", "system", "new 3"), ("m4", "assistant", "new 4"), ("m6", "system", "new 6")]

STEPS = {
    "mongodb": [
        *("findAndModify", "update", "findAndModify"),  # take out finished marks, stage, commit
        *("find", "update", "delete", "find", "update"),  # carry out: roles, what goes, what is replaced
        "update",  # finish
    ],
    "mongodb-transactions": ["findAndModify", "delete", "update", "commitTransaction"],
}
COMMIT = 2
"""The place of the step that makes a change hold, without transactions."""


def seen(messages: list[Message]) -> list[tuple[str, str, str]]:
    return [(message.message_id, message.role, message.text) for message in messages]


async def stored(repository: MongoDBRepository) -> list[Message]:
    """Store the session of OLD."""
    await filled(repository, [new_message(int(m[1:]), text, role=role, token_count=10) for m, role, text in OLD])
    return await read(repository)


async def change(repository: MongoDBRepository) -> Rewrite:
    """Return what makes NEW of OLD: messages go, are replaced, and get other roles."""
    two, three, four, five, six = (await read(repository))[1:]
    replaced = (
        (three, replace(three, content="new 3", role="system", token_count=1)),
        (four, replace(four, content="new 4", token_count=30)),
        (six, replace(six, content="new 6", role="system")),
    )
    return Rewrite(edits=(await fetch(repository)).edits, removed=(two, five), replaced=replaced)


class Through:
    """A repository behind a proxy, and ways to break what it sends.

    Its driver repeats no read, and asks seldom how the server is, so that every reply is one of ours.
    """

    def __init__(self, repository: MongoDBRepository, proxy: Proxy, commands: Commands) -> None:
        self.repository, self.proxy, self.commands = repository, proxy, commands
        self._loop = asyncio.get_running_loop()

    def cut_before(self, step: int) -> None:
        self.commands.sent.clear()
        self.commands.steps[step] = self._cut

    def lose_reply_of(self, step: int) -> None:
        self.commands.sent.clear()
        self.commands.steps[step] = self.proxy.lose_next_reply

    def _cut(self) -> None:  # in a thread of the driver's
        done = threading.Event()

        def cut() -> None:
            self.proxy.cut()
            done.set()

        self._loop.call_soon_threadsafe(cut)
        assert done.wait(5)


@pytest.fixture
async def through(options: dict[str, Any], commands: Commands) -> AsyncIterator[Through]:
    async with proxied(options["uri"]) as (uri, proxy):
        client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(
            uri, event_listeners=[commands], heartbeatFrequencyMS=600_000, socketTimeoutMS=5_000, retryReads=False
        )
        async with MongoDBBackend(client=client, transactions=options["transactions"]) as backend:
            await stored(backend.repository)
            yield Through(backend.repository, proxy, commands)
        await ended(client)


async def torn_before(through: Through, step: int) -> None:
    """Rewrite OLD to NEW, and cut the connection when a step is about to be sent."""
    wanted = await change(through.repository)
    through.cut_before(step)
    with pytest.raises(StorageUnavailableError) as caught:
        await through.repository.rewrite("s", wanted, now=at(100))
    assert caught.value.retryable


async def check(repository: MongoDBRepository, *, done: bool) -> None:
    """Check that a session is OLD or NEW, with its counters."""
    messages, record = await read(repository), await fetch(repository)
    assert seen(messages) == (NEW if done else OLD)
    assert record.edits == (1 if done else 0)
    assert (record.message_count, record.token_count) == (len(messages), sum(m.token_count or 0 for m in messages))


# ---- what is sent ---------------------------------------------------------------------------------------------


async def test_rewrite_is_so_many_round_trips(mode: str, watched: MongoDBRepository, commands: Commands) -> None:
    await stored(watched)
    wanted = await change(watched)
    commands.sent.clear()
    await watched.rewrite("s", wanted, now=at(100))
    assert commands.names == STEPS[mode]
    assert seen(await read(watched)) == NEW


async def test_rewrite_that_only_replaces_one_message_is_six_round_trips_or_a_transaction(
    mode: str, watched: MongoDBRepository, commands: Commands
) -> None:
    (first, *_) = await stored(watched)
    commands.sent.clear()
    await watched.rewrite("s", Rewrite(edits=0, replaced=((first, replace(first, content="x")),)), now=at(1))
    without = ["findAndModify", "update", "findAndModify", "find", "update", "update"]
    assert commands.names == (["findAndModify", "update", "commitTransaction"] if mode != "mongodb" else without)


# ---- torn -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
@pytest.mark.parametrize("step", range(len(STEPS["mongodb"])))
async def test_rewrite_cut_before_a_step_is_whole_or_nothing(
    through: Through, options: dict[str, Any], step: int
) -> None:
    await torn_before(through, step)
    async with MongoDBBackend(options) as other:
        await check(other.repository, done=step > COMMIT)
        if step <= COMMIT:
            await other.repository.rewrite("s", await change(other.repository), now=at(100))
        await check(other.repository, done=True)


@pytest.mark.parametrize("mode", ["mongodb-transactions"], indirect=True)
@pytest.mark.parametrize("step", range(len(STEPS["mongodb-transactions"])))
async def test_transaction_that_was_cut_rewrites_whole_or_nothing(
    through: Through, options: dict[str, Any], step: int
) -> None:
    wanted = await change(through.repository)
    through.cut_before(step)
    with suppress(StorageUnavailableError):
        await through.repository.rewrite("s", wanted, now=at(100))
    async with MongoDBBackend(options) as other:
        await check(other.repository, done=(await fetch(other.repository)).edits == 1)


@pytest.mark.parametrize(
    ("mode", "step"), [(mode, step) for mode, steps in STEPS.items() for step in range(len(steps))], indirect=["mode"]
)
async def test_rewrite_whose_reply_was_lost_is_whole_or_nothing(
    mode: str, through: Through, options: dict[str, Any], step: int
) -> None:
    wanted = await change(through.repository)
    through.lose_reply_of(step)
    with suppress(StorageUnavailableError, ConflictError):  # the second where the driver repeated it
        await through.repository.rewrite("s", wanted, now=at(100))
    assert through.proxy.lost == 1
    async with MongoDBBackend(options) as other:
        done = (await fetch(other.repository)).edits == 1
        assert mode != "mongodb" or done == (step >= COMMIT)
        await check(other.repository, done=done)


QUERIES: dict[str, MessageQuery] = {
    "all": MessageQuery(),
    "newest": MessageQuery(limit=2),
    "oldest": MessageQuery(limit=2, newest_first=False),
    "of a role": MessageQuery(roles=frozenset({"system"})),
    "of the old role": MessageQuery(roles=frozenset({"user", "assistant"})),
    "but a role": MessageQuery(exclude_roles=frozenset({"system"})),
    "window": MessageQuery(limit=1, keep_roles=frozenset({"system"})),
    "within a budget": MessageQuery(max_tokens=35),
    "window within a budget": MessageQuery(max_tokens=25, keep_roles=frozenset({"system"})),
    "smaller than it was": MessageQuery(before_seq=4, max_tokens=5),
    "of a time": MessageQuery(since=at(4)),
    "between": MessageQuery(after_seq=2, before_seq=6),
}


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
@pytest.mark.parametrize("step", range(1, len(STEPS["mongodb"])))
async def test_readers_see_all_of_a_torn_rewrite_or_nothing(
    through: Through, options: dict[str, Any], raw: Database, step: int
) -> None:
    await torn_before(through, step)
    state = [await raw[name].find().to_list(None) for name in ("sessions", "messages")]
    async with MongoDBBackend(options) as other:
        found = {}
        for name, query in QUERIES.items():
            found[name] = seen(await other.repository.read_messages("s", query))
            for collection, documents in zip(("sessions", "messages"), state, strict=True):  # as it was torn
                await raw[collection].delete_many({})
                await raw[collection].insert_many(documents)
        # A session that was never torn tells what is right.
        await other.repository.delete_sessions(["s"])
        await stored(other.repository)
        if step > COMMIT:
            await other.repository.rewrite("s", await change(other.repository), now=at(100))
        assert found == {
            name: seen(await other.repository.read_messages("s", query)) for name, query in QUERIES.items()
        }


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
@pytest.mark.parametrize("step", range(1, len(STEPS["mongodb"])))
async def test_writers_meet_a_torn_rewrite_as_whole_or_nothing(
    through: Through, options: dict[str, Any], step: int
) -> None:
    await torn_before(through, step)
    done = step > COMMIT
    async with MongoDBBackend(options) as other:
        repository = other.repository
        again = new_message(2, "text 2", role="assistant", token_count=10)
        assert (await repository.append("s", [again], now=START)).inserted == (1 if done else 0)
        assert await repository.delete_messages("s", through_seq=4) == (3 if done else 4)
        record, messages = await fetch(repository), await read(repository)
        assert [m.message_id for m in messages] == (["m6", "m2"] if done else ["m5", "m6"])
        assert (record.message_count, record.token_count, record.edits) == (2, 20, 2 if done else 1)


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
@pytest.mark.parametrize("step", [COMMIT, COMMIT + 1, COMMIT + 4])
async def test_deletion_meets_a_torn_rewrite_as_whole_or_nothing(
    through: Through, options: dict[str, Any], step: int
) -> None:
    await torn_before(through, step)
    done = step > COMMIT
    async with MongoDBBackend(options) as other:
        assert await other.repository.delete_messages("s", through_seq=5) == (3 if done else 5)
        record = await fetch(other.repository)
        assert (record.message_count, record.token_count, record.edits) == (1, 10, 2 if done else 1)


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
@pytest.mark.parametrize("step", [COMMIT, COMMIT + 1, COMMIT + 4])
async def test_rewrite_meets_a_torn_one_as_whole_or_nothing(
    through: Through, options: dict[str, Any], step: int
) -> None:
    first, *_ = await read(through.repository)
    await torn_before(through, step)
    done = step > COMMIT
    async with MongoDBBackend(options) as other:
        await other.repository.rewrite("s", Rewrite(edits=1 if done else 0, removed=(first,)), now=at(100))
        assert seen(await read(other.repository)) == (NEW if done else OLD)[1:]


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_messages_are_counted_as_a_torn_rewrite_leaves_them(through: Through, raw: Database) -> None:
    await torn_before(through, COMMIT + 1)
    await MarkedWrites(through.repository, lease_seconds=60).recount("s")
    (session,) = await raw.sessions.find().to_list(None)
    assert (session["message_count"], session["token_count"]) == (4, 51)


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_reading_a_torn_rewrite_finishes_it(through: Through, options: dict[str, Any], raw: Database) -> None:
    await torn_before(through, COMMIT + 1)
    async with MongoDBBackend(options) as other:
        await read(other.repository)
    (session,) = await raw.sessions.find().to_list(None)
    assert "rewriting" not in session
    assert await raw.messages.count_documents({"rewriting": {"$exists": True}}) == 0


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_notes_of_a_change_that_was_not_committed_go_when_they_are_met_after_the_next_edit(
    through: Through, options: dict[str, Any], raw: Database
) -> None:
    await torn_before(through, COMMIT)
    async with MongoDBBackend(options) as other:
        first = (await read(other.repository))[0]
        await other.repository.rewrite("s", Rewrite(edits=0, removed=(first,)), now=at(100))
        assert len(await read(other.repository)) == 5
    assert await raw.messages.count_documents({"rewriting.0": {"$exists": True}}) == 0


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_deletion_that_was_torn_counts_as_an_edit(through: Through) -> None:
    through.commands.before["delete"] = through._cut
    with pytest.raises(StorageUnavailableError):
        await through.repository.delete_messages("s", through_seq=2)
    assert (await fetch(through.repository)).edits == 1


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_server_with_transactions_finishes_what_one_without_began(
    through: Through, mongodb_transactions_url: str, raw: Database
) -> None:
    await torn_before(through, COMMIT + 1)
    async with MongoDBBackend(mongodb_transactions_url, transactions=True) as moved:
        for name in ("sessions", "messages"):
            await moved.get_db()[name].insert_many(await raw[name].find().to_list(None))
        again = new_message(2, "other", token_count=5)
        assert (await moved.repository.append("s", [again], now=START)).inserted == 1
        assert seen(await read(moved.repository)) == [*NEW, ("m2", "user", "other")]
        record = await fetch(moved.repository)
        assert (record.message_count, record.token_count) == (5, 56)


# ---- at the same time -----------------------------------------------------------------------------------------


async def test_reader_during_rewrites_never_sees_half(options: dict[str, Any]) -> None:
    async with MongoDBBackend(options) as backend, MongoDBBackend(options) as other:
        await filled(backend.repository, new_messages(12))
        over = asyncio.Event()

        async def write() -> None:
            for turn in range(6):
                messages = await read(backend.repository)
                replaced = tuple((m, replace(m, content=f"turn {turn}")) for m in messages[1:])
                change = Rewrite(edits=turn, removed=(messages[0],), replaced=replaced)
                await backend.repository.rewrite("s", change, now=at(turn))
            over.set()

        async def look() -> int:
            looks = 0
            while not over.is_set():
                with suppress(ConflictError):  # one rewrite after the other
                    messages = await read(other.repository)
                    texts = {message.text for message in messages}
                    turn = 12 - len(messages)
                    assert len(texts) == 1 if turn else len(texts) == 12
                    assert not turn or texts == {f"turn {turn - 1}"}
                    looks += 1
            return looks

        _, looks = await asyncio.gather(write(), look())
        assert looks > 0


async def test_rewrites_deletions_and_appends_at_the_same_time_count_right(
    options: dict[str, Any], raw: Database
) -> None:
    async with MongoDBBackend(options) as backend, MongoDBBackend(options) as other:
        await filled(backend.repository, new_messages(20, token_count=3))

        async def edit(repository: MongoDBRepository, number: int) -> None:
            record, messages = await fetch(repository), await read(repository)
            if len(messages) > 2:
                changed = replace(messages[-1], content="x", token_count=number)
                change = Rewrite(edits=record.edits, removed=(messages[0],), replaced=((messages[-1], changed),))
                await repository.rewrite("s", change, now=at(number))

        async def write(number: int) -> LangSwarmMemoryError | None:
            repository = (backend if number % 2 else other).repository
            try:
                if number % 5 == 0:
                    await repository.delete_messages("s", through_seq=number // 5)
                elif number % 5 < 3:
                    await edit(repository, number)
                else:
                    await repository.append("s", [new_message(100 + number, token_count=3)], now=START)
            except (ConflictError, StorageUnavailableError) as exc:
                return exc
            return None

        refused = [one for one in await asyncio.gather(*(write(number) for number in range(30))) if one is not None]
        assert all(error.retryable for error in refused if isinstance(error, ConflictError))
        await past_the_lease(raw)  # for what the engine gave up
        messages, record = await read(backend.repository), await fetch(backend.repository)
        assert record.message_count == len(messages)
        assert record.token_count == sum(message.token_count or 0 for message in messages)


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_message_of_a_batch_that_is_not_complete_cannot_be_changed_yet(
    backend: MongoDBBackend, options: dict[str, Any], raw: Database
) -> None:
    await filled(backend.repository, new_messages(3, token_count=5))
    await raw.messages.delete_one({"seq": 2})  # as if it were still on its way
    async with MongoDBBackend(options) as other:
        first, _ = await read(other.repository)
        with pytest.raises(ConflictError) as caught:
            await other.repository.rewrite("s", Rewrite(edits=0, removed=(first,)), now=at(1))
        assert caught.value.retryable
        await past_the_lease(raw)
        record = await other.repository.rewrite("s", Rewrite(edits=0, removed=(first,)), now=at(1))
        assert (record.message_count, record.token_count) == (1, 5)


# ---- raw forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_committed_change_lies_in_the_session_and_beside_its_messages(through: Through, raw: Database) -> None:
    await torn_before(through, COMMIT + 1)
    (session,) = await raw.sessions.find().to_list(None)
    mark = session["rewriting"]
    assert {**mark, "id": None} == {
        "id": None,
        "first": 2,
        "last": 6,
        "removed": 2,
        "replaced": 3,
        "roles": True,
    }
    notes = {m["seq"]: m["rewriting"] async for m in raw.messages.find({"rewriting": {"$exists": True}})}
    assert sorted(notes) == [2, 3, 4, 5, 6]
    assert notes[2] == [{"id": mark["id"], "edits": 0, "next": None}]
    assert sorted(notes[3][0]["next"]) == ["at", "document", "length", "role", "terms", "tokens"]


async def test_session_of_an_earlier_version_has_no_edits_yet(repository: MongoDBRepository, raw: Database) -> None:
    await filled(repository, new_messages(2))
    await raw.sessions.update_one({}, {"$unset": {"edits": ""}})
    assert (await fetch(repository)).edits == 0
    first, _ = await read(repository)
    assert (await repository.rewrite("s", Rewrite(edits=0, removed=(first,)), now=at(1))).edits == 1


async def test_replaced_message_is_stored_as_one_that_was_appended(
    repository: MongoDBRepository, raw: Database
) -> None:
    old = new_message(1, "old", role="user", metadata={"a": 1})
    new = new_message(1, "new \x00 text", role="critic", metadata={"b": 1.0}, token_count=4)
    await filled(repository, [new], "as appended")
    await filled(repository, [old])
    (read_,) = await read(repository)
    await repository.rewrite("s", Rewrite(edits=0, replaced=((read_, new),)), now=at(1))
    forms = [
        {key: value for key, value in document.items() if key not in ("_id", "session_id", "born")}
        async for document in raw.messages.find().sort("session_id", 1)
    ]
    assert forms[0] == forms[1]


@pytest.mark.parametrize("mode", ["mongodb"], indirect=True)
async def test_message_too_large_to_lie_beside_its_new_form_is_refused(repository: MongoDBRepository) -> None:
    await filled(repository, [new_message(1, "x" * 8_000_000)])
    (stored_,) = await read(repository)
    with pytest.raises(InvalidInputError, match="one document"):
        await repository.rewrite(
            "s", Rewrite(edits=0, replaced=((stored_, replace(stored_, content="y" * 8_000_000)),)), now=at(1)
        )
    assert (await read(repository))[0].text[0] == "x"
    assert (await fetch(repository)).edits == 0


async def test_what_an_index_has_seen_is_noted_in_the_session(repository: MongoDBRepository, raw: Database) -> None:
    await repository.insert_session(new_session())
    for last_seq in (1, 2):
        await repository.mark_indexed("s", "a.$b", last_seq=last_seq, edits=0)
    (session,) = await raw.sessions.find().to_list(None)
    assert session["indexed"] == [{"index": "a.$b", "last_seq": 2, "edits": 0}]
