"""Rules for calls that overlap: nothing lost, nothing doubled, one winner, and readers that never see a hole fill."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from ..errors import ConflictError, SessionExistsError, SessionNotFoundError
from ..repository.protocol import Appended, MemoryRepository, MessageQuery
from .samples import START, at, fetch, filled, new_message, new_messages, new_session, read

WRITERS = 16
ROUNDS = 6

T = TypeVar("T")


async def outcomes(calls: Sequence[Awaitable[T]]) -> list[T | BaseException]:
    """Run calls at the same time; return what each answered or raised, once all have ended."""
    return await asyncio.gather(*calls, return_exceptions=True)


def raised(results: Sequence[object]) -> list[type]:
    """Return the types of the errors among results."""
    return [type(result) for result in results if isinstance(result, BaseException)]


class ConcurrencyRules:
    """Calls at the same time, from one process."""

    async def test_writers_on_one_session_lose_nothing(self, repository: MemoryRepository) -> None:
        """Each message is stored once, under a seq of its own, in its writer's order."""
        await repository.insert_session(new_session())
        answered: dict[str, int] = {}

        async def write(writer: int) -> None:
            for number in range(ROUNDS):
                message = new_message(0, message_id=f"{writer}/{number}")
                answered[message.message_id] = (await repository.append("s", [message], now=START)).seqs[0]

        await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
        stored = await read(repository)
        seqs = [message.seq or 0 for message in stored]
        assert {message.message_id: message.seq for message in stored} == answered
        assert seqs == sorted(set(seqs))
        assert len(seqs) == WRITERS * ROUNDS
        for writer in range(WRITERS):
            mine = [message.message_id for message in stored if message.message_id.startswith(f"{writer}/")]
            assert mine == [f"{writer}/{number}" for number in range(ROUNDS)]
        if repository.features.gapless_seq:
            assert seqs == list(range(1, WRITERS * ROUNDS + 1))

    async def test_writers_on_one_session_count_right(self, repository: MemoryRepository) -> None:
        """Count, tokens and last seq are those of what is stored."""
        await repository.insert_session(new_session())
        batches = [new_messages(3, first=writer * 3, token_count=writer) for writer in range(WRITERS)]
        await asyncio.gather(*(repository.append("s", batch, now=START) for batch in batches))
        record = await fetch(repository)
        stored = await read(repository)
        assert record.message_count == len(stored) == 3 * WRITERS
        assert record.token_count == 3 * sum(range(WRITERS))
        assert record.last_seq == stored[-1].seq

    async def test_each_append_answers_the_count_after_it(self, repository: MemoryRepository) -> None:
        """Overlapping appends answer as if one had come after the other."""
        await repository.insert_session(new_session())
        answers = await asyncio.gather(
            *(repository.append("s", [new_message(number)], now=START) for number in range(WRITERS))
        )
        answers.sort(key=lambda appended: appended.seqs)
        assert [appended.message_count for appended in answers] == list(range(1, WRITERS + 1))
        assert [appended.last_seq for appended in answers] == [appended.seqs[0] for appended in answers]

    async def test_batches_of_different_sizes_keep_their_order(self, repository: MemoryRepository) -> None:
        """Each batch's messages stand in the order given, under the seqs answered."""
        await repository.insert_session(new_session())
        batches = [new_messages(1 + size % 5, first=size * 10) for size in range(WRITERS)]
        answers = await asyncio.gather(*(repository.append("s", batch, now=START) for batch in batches))
        stored = {message.message_id: message.seq for message in await read(repository)}
        for batch, appended in zip(batches, answers, strict=True):
            assert tuple(stored[message.message_id] for message in batch) == appended.seqs
            assert list(appended.seqs) == sorted(appended.seqs)

    async def test_writers_on_sessions_of_their_own_do_not_mix(self, repository: MemoryRepository) -> None:
        """Each session holds its writer's messages, in order, and counts them."""
        for writer in range(WRITERS):
            await repository.insert_session(new_session(f"s{writer}"))

        async def write(writer: int) -> None:
            for number in range(ROUNDS):
                message = new_message(number, f"of {writer}", token_count=writer)
                await repository.append(f"s{writer}", [message], now=at(writer))

        await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
        for writer in range(WRITERS):
            stored = await read(repository, f"s{writer}")
            assert [(message.message_id, message.content) for message in stored] == [
                (f"m{number}", f"of {writer}") for number in range(ROUNDS)
            ]
            record = await fetch(repository, f"s{writer}")
            assert (record.message_count, record.token_count) == (ROUNDS, ROUNDS * writer)

    async def test_appends_at_the_same_time_keep_their_own_instants(self, repository: MemoryRepository) -> None:
        """`now` and the new expiry are those of the call, whatever else is written beside it."""
        for writer in range(WRITERS):
            await repository.insert_session(new_session(f"s{writer}"))
        await asyncio.gather(
            *(
                repository.append(f"s{writer}", [new_message(1)], now=at(writer), expires_at=at(100 + writer))
                for writer in range(WRITERS)
            )
        )
        records = [await fetch(repository, f"s{writer}") for writer in range(WRITERS)]
        assert [record.metadata.updated_at for record in records] == [at(writer) for writer in range(WRITERS)]
        assert [record.metadata.expires_at for record in records] == [at(100 + writer) for writer in range(WRITERS)]

    async def test_message_appended_by_several_is_stored_once(self, repository: MemoryRepository) -> None:
        """A retry that overtakes its first try answers the same seq."""
        await filled(repository, [new_message(1)])
        answers = await asyncio.gather(*(repository.append("s", [new_message(2)], now=START) for _ in range(WRITERS)))
        assert len({appended.seqs for appended in answers}) == 1
        assert sum(appended.inserted for appended in answers) == 1
        assert (await fetch(repository)).message_count == 2

    async def test_one_of_several_contents_of_an_id_is_stored(self, repository: MemoryRepository) -> None:
        """The others learn of the conflict."""
        await repository.insert_session(new_session())
        results = await outcomes(
            [repository.append("s", [new_message(1, f"of {writer}")], now=START) for writer in range(WRITERS)]
        )
        (stored,) = await read(repository)
        assert raised(results) == [ConflictError] * (WRITERS - 1)
        assert isinstance(results[int(stored.text.removeprefix("of "))], Appended)

    async def test_append_that_fails_does_not_harm_its_neighbours(self, repository: MemoryRepository) -> None:
        """A missing session, an expired one and a conflict beside good appends: only they fail."""
        for writer in range(WRITERS):
            await filled(repository, [new_message(1)], f"s{writer}")
        await repository.insert_session(new_session("expired", expires_at=START))
        bad = [
            repository.append("missing", [new_message(2)], now=START),
            repository.append("expired", [new_message(2)], now=START),
            repository.append("s0", [new_message(2), new_message(1, "other")], now=START),
        ]
        good = [repository.append(f"s{writer}", new_messages(2, first=3), now=START) for writer in range(WRITERS)]
        results = await outcomes([*good[:8], *bad, *good[8:]])
        assert len(raised(results)) == 3
        assert raised(results[:8]) + raised(results[11:]) == []
        for writer in range(WRITERS):
            stored = [message.message_id for message in await read(repository, f"s{writer}")]
            half_a_batch = [] if repository.features.atomic_batches or writer else ["m2"]
            assert [message_id for message_id in stored if message_id not in half_a_batch] == ["m1", "m3", "m4"]

    async def test_reader_that_tails_a_session_misses_nothing(self, repository: MemoryRepository) -> None:
        """What appears later has a higher seq. Where the store does not promise that, nothing is lost all the same."""
        await repository.insert_session(new_session())
        writing = asyncio.gather(
            *(self._write(repository, writer) for writer in range(WRITERS)),
        )
        tailed: list[int] = []
        done = False
        while not done:
            done = writing.done()
            query = MessageQuery(after_seq=tailed[-1] if tailed else 0)
            tailed += [message.seq or 0 for message in await repository.read_messages("s", query)]
            await asyncio.sleep(0)
        await writing
        stored = [message.seq or 0 for message in await read(repository)]
        assert len(stored) == WRITERS * ROUNDS
        if repository.features.commit_ordered:
            assert tailed == stored

    async def _write(self, repository: MemoryRepository, writer: int) -> None:
        for number in range(ROUNDS):
            await repository.append("s", [new_message(0, message_id=f"{writer}/{number}")], now=START)

    async def test_reader_never_sees_part_of_a_batch(self, repository: MemoryRepository) -> None:
        """Where batches are atomic, all of one appears at once."""
        await repository.insert_session(new_session())
        batches = [new_messages(10, first=10 * number) for number in range(WRITERS)]
        writing = asyncio.gather(*(repository.append("s", batch, now=START) for batch in batches))
        lengths: list[int] = []
        done = False
        while not done:
            done = writing.done()
            lengths.append(len(await read(repository)))
            await asyncio.sleep(0)
        await writing
        assert lengths[-1] == 10 * WRITERS
        if repository.features.atomic_batches:
            assert [length % 10 for length in lengths] == [0] * len(lengths)

    async def test_one_of_several_replaces_wins(self, repository: MemoryRepository) -> None:
        """The others learn that they came second."""
        revision = (await repository.insert_session(new_session())).revision
        results = await outcomes(
            [
                repository.replace_session(new_session("s", user_id=f"user {writer}"), expected_revision=revision)
                for writer in range(WRITERS)
            ]
        )
        assert raised(results) == [ConflictError] * (WRITERS - 1)
        winner = next(number for number, result in enumerate(results) if not isinstance(result, BaseException))
        assert (await fetch(repository)).metadata.user_id == f"user {winner}"

    async def test_one_of_several_inserts_wins(self, repository: MemoryRepository) -> None:
        """The others learn that the id is taken."""
        results = await outcomes(
            [repository.insert_session(new_session("s", user_id=f"user {writer}")) for writer in range(WRITERS)]
        )
        assert raised(results) == [SessionExistsError] * (WRITERS - 1)
        winner = next(number for number, result in enumerate(results) if not isinstance(result, BaseException))
        assert (await fetch(repository)).metadata.user_id == f"user {winner}"

    async def test_edit_and_appends_at_the_same_time_both_hold(self, repository: MemoryRepository) -> None:
        """A replace takes no message away, and an append no edit."""
        revision = (await repository.insert_session(new_session())).revision
        await asyncio.gather(
            *(repository.append("s", [new_message(number)], now=START) for number in range(8)),
            repository.replace_session(new_session("s", user_id="edited"), expected_revision=revision),
            *(repository.append("s", [new_message(number)], now=START) for number in range(8, WRITERS)),
        )
        record = await fetch(repository)
        assert (record.metadata.user_id, record.message_count) == ("edited", WRITERS)

    async def test_appends_and_a_trim_at_the_same_time_count_right(self, repository: MemoryRepository) -> None:
        """The counters are those of what is left."""
        await filled(repository, new_messages(20, token_count=7))
        await asyncio.gather(
            *(repository.append("s", [new_message(number)], now=START) for number in range(100, 108)),
            repository.delete_messages("s", through_seq=10),
            *(repository.append("s", [new_message(number)], now=START) for number in range(108, 116)),
        )
        stored = await read(repository)
        record = await fetch(repository)
        assert record.message_count == len(stored)
        assert record.token_count == sum(message.token_count or 0 for message in stored)

    async def test_appends_to_a_session_that_is_deleted_leave_nothing(self, repository: MemoryRepository) -> None:
        """Each is stored before the session goes, or finds it gone."""
        await repository.insert_session(new_session())
        results = await outcomes(
            [
                *(repository.append("s", [new_message(number)], now=START) for number in range(8)),
                repository.delete_sessions(["s"]),
                *(repository.append("s", [new_message(number)], now=START) for number in range(8, WRITERS)),
            ]
        )
        assert set(raised(results)) <= {SessionNotFoundError}
        assert results[8] == 1
        await repository.insert_session(new_session())
        assert await read(repository) == []
        assert (await repository.stats()).messages == 0
