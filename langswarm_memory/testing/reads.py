"""Rules for reads: ranges, filters and windows, counted in messages or in tokens."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

import pytest

from ..interfaces.message import Message
from ..repository.optional import OpenAndRead
from ..repository.protocol import MemoryRepository, MessageQuery
from .samples import (
    MICROSECOND,
    at,
    exact_message,
    fetch,
    filled,
    new_message,
    new_messages,
    new_session,
    read,
    read_ids,
)

MAX_INT = 2**63 - 1
SYSTEM = frozenset({"system", "developer"})


def ids(*numbers: int) -> list[str]:
    """Return message ids."""
    return [f"m{number}" for number in numbers]


def dialogue() -> list[Message]:
    """Return m1 to m10: system at 1 and 6, tool at 4 and 8, a role of its own at 5, user and assistant else."""
    roles = ["system", "user", "assistant", "tool", "critic", "developer", "user", "tool", "assistant", "user"]
    return [new_message(number, role=role) for number, role in enumerate(roles, 1)]


def sized(*token_counts: int, system: tuple[int, ...] = ()) -> list[Message]:
    """Return a message per token count; those whose number is in `system` are system messages."""
    return [
        new_message(number, role="system" if number in system else "user", token_count=count)
        for number, count in enumerate(token_counts, 1)
    ]


class ReadRules:
    """``read_messages`` and ``fetch_with_messages``."""

    async def test_empty_session_reads_as_nothing(self, repository: MemoryRepository) -> None:
        """No error: the session is there."""
        await repository.insert_session(new_session())
        assert await read_ids(repository) == []
        assert await read_ids(repository, max_tokens=10) == []

    async def test_messages_of_other_sessions_are_not_read(self, repository: MemoryRepository) -> None:
        """Not even of an id that begins alike."""
        await filled(repository, new_messages(2), "s")
        await filled(repository, new_messages(2, first=3), "s%")
        await filled(repository, new_messages(2, first=5), "S")
        assert await read_ids(repository, "s") == ids(1, 2)
        assert await read_ids(repository, "s%") == ids(3, 4)

    # --- ranges ----------------------------------------------------------------------------------------------------

    async def test_after_and_before_are_exclusive(self, repository: MemoryRepository) -> None:
        """They name messages that the reader has."""
        seqs = await filled(repository, new_messages(5))
        assert await read_ids(repository, after_seq=seqs[1]) == ids(3, 4, 5)
        assert await read_ids(repository, before_seq=seqs[3]) == ids(1, 2, 3)
        assert await read_ids(repository, after_seq=seqs[0], before_seq=seqs[3]) == ids(2, 3)

    async def test_range_outside_the_history_is_empty(self, repository: MemoryRepository) -> None:
        """Zero is a bound, and the largest seq overflows nothing."""
        seqs = await filled(repository, new_messages(3))
        assert await read_ids(repository, before_seq=0) == []
        assert await read_ids(repository, after_seq=MAX_INT) == []
        assert await read_ids(repository, after_seq=seqs[1], before_seq=seqs[1]) == []
        assert await read_ids(repository, after_seq=0, before_seq=MAX_INT) == ids(1, 2, 3)

    async def test_pages_forward_are_the_whole_history(self, repository: MemoryRepository) -> None:
        """With the oldest of what is left on each page."""
        await filled(repository, new_messages(10))
        seen: list[str] = []
        last = 0
        for size in (3, 3, 3, 1):
            page = await read(repository, after_seq=last, newest_first=False, limit=3)
            assert len(page) == size
            seen += [message.message_id for message in page]
            last = page[-1].seq or 0
        assert seen == ids(*range(1, 11))
        assert await read(repository, after_seq=last, newest_first=False, limit=3) == []

    async def test_pages_backward_are_the_whole_history(self, repository: MemoryRepository) -> None:
        """With the newest of what is left on each page, oldest first."""
        await filled(repository, new_messages(10))
        seen: list[str] = []
        first = MAX_INT
        for size in (4, 4, 2):
            page = await read(repository, before_seq=first, limit=4)
            assert len(page) == size
            seen = [message.message_id for message in page] + seen
            first = page[0].seq or 0
        assert seen == ids(*range(1, 11))
        assert await read(repository, before_seq=first, limit=4) == []

    async def test_since_is_inclusive_to_the_microsecond(self, repository: MemoryRepository) -> None:
        """The message of that instant is among them."""
        times = [at(1) - MICROSECOND, at(1), at(1) + MICROSECOND]
        await filled(repository, [new_message(number, timestamp=time) for number, time in enumerate(times, 1)])
        assert await read_ids(repository, since=at(1)) == ids(2, 3)

    async def test_since_compares_instants(self, repository: MemoryRepository) -> None:
        """The same instant in another zone reads the same messages."""
        await filled(repository, new_messages(3))
        since = at(2).astimezone(timezone(timedelta(hours=-11)))
        assert await read_ids(repository, since=since) == ids(2, 3)

    async def test_since_looks_at_every_message(self, repository: MemoryRepository) -> None:
        """Timestamps need not rise with seq."""
        await filled(repository, [new_message(number, timestamp=at(-number)) for number in range(1, 6)])
        assert await read_ids(repository, since=at(-3)) == ids(1, 2, 3)

    # --- roles -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"roles": {"user"}}, ids(2, 7, 10)),
            ({"roles": {"tool", "critic"}}, ids(4, 5, 8)),
            ({"roles": {"nobody"}}, []),
            ({"roles": set()}, []),
            ({"roles": SYSTEM}, ids(1, 6)),
            ({"exclude_roles": {"user"}}, ids(1, 3, 4, 5, 6, 8, 9)),
            ({"exclude_roles": SYSTEM}, ids(2, 3, 4, 5, 7, 8, 9, 10)),
            ({"roles": {"user", "tool"}, "exclude_roles": {"tool"}}, ids(2, 7, 10)),
            ({"roles": {"user"}, "exclude_roles": {"user"}}, []),
        ],
        ids=str,
    )
    async def test_roles_filter(self, repository: MemoryRepository, query: dict[str, Any], expected: list[str]) -> None:
        """No roles asked for is not the same as none given."""
        await filled(repository, dialogue())
        given: dict[str, Any] = {name: frozenset(roles) for name, roles in query.items()}
        assert await read_ids(repository, **given) == expected

    # --- limits ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"limit": 3}, ids(8, 9, 10)),
            ({"limit": 3, "newest_first": False}, ids(1, 2, 3)),
            ({"limit": 0}, []),
            ({"limit": 0, "newest_first": False}, []),
            ({"limit": 10}, ids(*range(1, 11))),
            ({"limit": MAX_INT}, ids(*range(1, 11))),
            ({"limit": 2, "roles": frozenset({"user"})}, ids(7, 10)),
            ({"limit": 2, "exclude_roles": SYSTEM, "newest_first": False}, ids(2, 3)),
            ({"limit": 2, "since": at(3), "newest_first": False}, ids(3, 4)),
            ({"limit": 3, "since": at(9)}, ids(9, 10)),
        ],
        ids=lambda value: ascii(value) if isinstance(value, dict) else None,
    )
    async def test_limit_counts_after_filtering(
        self, repository: MemoryRepository, query: dict[str, Any], expected: list[str]
    ) -> None:
        """Newest or oldest of what the filters leave; always answered oldest first."""
        await filled(repository, dialogue())
        assert await read_ids(repository, **query) == expected

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"limit": 2}, ids(1, 6, 9, 10)),
            ({"limit": 0}, ids(1, 6)),
            ({"limit": 7}, ids(1, 3, 4, 5, 6, 7, 8, 9, 10)),
            ({"limit": 2, "newest_first": False}, ids(1, 2, 3, 6)),
            ({"limit": 1, "roles": frozenset({"user", "system"})}, ids(1, 10)),
            ({"limit": 2, "exclude_roles": frozenset({"developer"})}, ids(1, 9, 10)),
            ({"limit": 1, "since": at(5)}, ids(6, 10)),
            ({"limit": 2, "keep_roles": frozenset({"tool", "critic"})}, ids(4, 5, 8, 9, 10)),
            ({}, ids(*range(1, 11))),
        ],
        ids=lambda value: ascii(value) if isinstance(value, dict) else None,
    )
    async def test_kept_roles_are_not_counted(
        self, repository: MemoryRepository, query: dict[str, Any], expected: list[str]
    ) -> None:
        """They come besides, in their place, and the other filters hold for them, too."""
        await filled(repository, dialogue())
        assert await read_ids(repository, **{"keep_roles": SYSTEM, **query}) == expected

    async def test_kept_roles_outside_the_range_are_left_out(self, repository: MemoryRepository) -> None:
        """A range is a filter like the others."""
        seqs = await filled(repository, dialogue())
        assert await read_ids(repository, keep_roles=SYSTEM, after_seq=seqs[1], limit=1) == ids(6, 10)
        assert await read_ids(repository, keep_roles=SYSTEM, before_seq=seqs[5], limit=1) == ids(1, 5)

    # --- tokens ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("budget", "expected"),
        [(0, []), (4, []), (5, ids(5)), (8, ids(5)), (9, ids(4, 5)), (14, ids(2, 3, 4, 5)), (15, ids(1, 2, 3, 4, 5))],
    )
    async def test_budget_stops_at_the_first_message_that_exceeds_it(
        self, repository: MemoryRepository, budget: int, expected: list[str]
    ) -> None:
        """Older ones do not fill the rest, however small; the budget itself is within."""
        await filled(repository, sized(1, 2, 3, 4, 5))
        assert await read_ids(repository, max_tokens=budget) == expected

    async def test_budget_does_not_skip_a_large_message(self, repository: MemoryRepository) -> None:
        """A window has no holes."""
        await filled(repository, sized(1, 1, 100, 1, 1))
        assert await read_ids(repository, max_tokens=50) == ids(4, 5)

    async def test_budget_of_zero_holds_messages_of_no_tokens(self, repository: MemoryRepository) -> None:
        """Up to the first that has some."""
        await filled(repository, sized(0, 1, 0, 0))
        assert await read_ids(repository, max_tokens=0) == ids(3, 4)

    async def test_largest_budget_holds_everything(self, repository: MemoryRepository) -> None:
        """It overflows nothing."""
        await filled(repository, sized(1, 2**31 - 1, 2**31 - 1))
        assert await read_ids(repository, max_tokens=MAX_INT) == ids(1, 2, 3)

    async def test_budget_counts_kept_roles_first(self, repository: MemoryRepository) -> None:
        """What they take is not there for the others."""
        await filled(repository, sized(10, 1, 1, 10, 1, 1, system=(1, 4)))
        assert await read_ids(repository, keep_roles=SYSTEM, max_tokens=22) == ids(1, 4, 5, 6)
        assert await read_ids(repository, keep_roles=SYSTEM, max_tokens=23) == ids(1, 3, 4, 5, 6)

    async def test_budget_never_drops_kept_roles(self, repository: MemoryRepository) -> None:
        """Alone over the budget, only they come: not even messages of no tokens beside them."""
        await filled(repository, sized(10, 0, 10, 0, system=(1, 3)))
        assert await read_ids(repository, keep_roles=SYSTEM, max_tokens=19) == ids(1, 3)
        assert await read_ids(repository, keep_roles=SYSTEM, max_tokens=20) == ids(1, 2, 3, 4)

    @pytest.mark.parametrize(
        ("limit", "budget", "first"), [(3, 100, 8), (3, 2, 9), (0, 100, 11), (50, 100, 1), (50, 4, 7)]
    )
    async def test_limit_and_budget_hold_together(
        self, repository: MemoryRepository, limit: int, budget: int, first: int
    ) -> None:
        """Whichever ends the window first."""
        await filled(repository, new_messages(10))
        assert await read_ids(repository, limit=limit, max_tokens=budget) == ids(*range(first, 11))

    @pytest.mark.parametrize("old", [1, 50, 100_000])
    @pytest.mark.parametrize("budget", [0, 1, 40, 90, 150, 200])
    async def test_budget_fits_however_uneven_the_messages(
        self, repository: MemoryRepository, old: int, budget: int
    ) -> None:
        """A store that guesses the length of the window from the mean size must notice a wrong guess."""
        await filled(repository, sized(*[old] * 50, *[1] * 150))
        fitting = min(budget, 150) + min(max(budget - 150, 0) // old, 50)
        assert await read_ids(repository, max_tokens=budget) == ids(*range(201 - fitting, 201))

    async def test_budget_fits_uneven_messages_beside_kept_roles_and_a_limit(
        self, repository: MemoryRepository
    ) -> None:
        """The wrong guess is noticed there, too."""
        messages = sized(*[100_000] * 30, *[1] * 170, system=(1, 31, 200))
        await filled(repository, messages)
        query: dict[str, Any] = {"keep_roles": SYSTEM, "max_tokens": 100_002 + 120}
        assert await read_ids(repository, **query) == ids(1, 31, *range(80, 201))
        assert await read_ids(repository, **query, limit=100) == ids(1, 31, *range(100, 201))
        assert await read_ids(repository, **query, since=at(150)) == ids(*range(150, 201))

    # --- a session and its messages at once ------------------------------------------------------------------------

    async def test_session_with_messages_is_what_two_calls_answer(self, repository: MemoryRepository) -> None:
        """Where the store can do both at once."""
        if not isinstance(repository, OpenAndRead):
            pytest.skip(f"{repository.name} reads a session and its messages one after the other")
        await filled(repository, [*dialogue()[:-1], new_message(10, "\x00", metadata={"a": [1]}, name="n")])
        for limit in (0, 3, 10, None):
            found = await repository.fetch_with_messages("s", MessageQuery(limit=limit))
            assert found is not None
            record, messages = found
            assert record == await fetch(repository)
            assert [(message.seq, exact_message(message)) for message in messages] == [
                (message.seq, exact_message(message)) for message in await read(repository, limit=limit)
            ]

    async def test_missing_session_with_messages_is_none(self, repository: MemoryRepository) -> None:
        """As for ``fetch_session``."""
        if not isinstance(repository, OpenAndRead):
            pytest.skip(f"{repository.name} reads a session and its messages one after the other")
        assert await repository.fetch_with_messages("missing", MessageQuery(limit=5)) is None
