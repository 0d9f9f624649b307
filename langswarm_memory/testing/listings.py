"""Rules for listings: one order on every store, pages that neither skip nor repeat, filters that hold together."""

from __future__ import annotations

from typing import Any

import pytest

from ..interfaces.enums import SessionStatus
from ..repository.protocol import MemoryRepository, SessionQuery
from .samples import MICROSECOND, START, at, fetch, new_message, new_session

MAX_INT = 2**63 - 1


async def listed(repository: MemoryRepository, **query: Any) -> list[str]:
    """Return the ids of the sessions that a query lists."""
    return [record.metadata.session_id for record in await repository.list_sessions(SessionQuery(**query))]


async def inserted(repository: MemoryRepository, **sessions: dict[str, Any]) -> None:
    """Insert sessions, each a second older than the one before it."""
    for age, (session_id, fields) in enumerate(sessions.items()):
        await repository.insert_session(new_session(session_id, -age, **fields))


class ListingRules:
    """``list_sessions``."""

    async def test_list_of_an_empty_store_is_empty(self, repository: MemoryRepository) -> None:
        """No sessions, no error."""
        assert await listed(repository) == []

    async def test_sessions_list_newest_created_first(self, repository: MemoryRepository) -> None:
        """By created_at, not by insertion, and to the microsecond."""
        times = {"b": START, "d": START + MICROSECOND, "a": START - MICROSECOND, "c": at(60)}
        for session_id, created_at in times.items():
            await repository.insert_session(new_session(session_id, created_at=created_at))
        assert await listed(repository) == ["c", "d", "b", "a"]

    async def test_sessions_of_one_instant_list_by_id_descending(self, repository: MemoryRepository) -> None:
        """Ids compare by code point, whatever the server's locale."""
        ids = ["b", "a", "B", "é", "z", "_", "1", "😀", "\uffff"]
        for session_id in ids:
            await repository.insert_session(new_session(session_id))
        assert await listed(repository) == sorted(ids, reverse=True)

    async def test_appending_does_not_reorder_the_list(self, repository: MemoryRepository) -> None:
        """The order is of immutable keys, so that a page cursor stays good."""
        await inserted(repository, new={}, old={})
        await repository.append("old", [new_message(1)], now=at(3_600))
        assert await listed(repository) == ["new", "old"]

    async def test_listed_record_is_what_fetch_answers(self, repository: MemoryRepository) -> None:
        """Counters included."""
        await inserted(repository, s={"user_id": "u", "tags": ["t"], "properties": {"a": 1}})
        await repository.append("s", [new_message(1, token_count=9)], now=at(1))
        assert await repository.list_sessions(SessionQuery()) == [await fetch(repository)]

    async def test_limit_keeps_the_newest(self, repository: MemoryRepository) -> None:
        """At most so many."""
        await inserted(repository, a={}, b={}, c={})
        assert await listed(repository, limit=2) == ["a", "b"]

    async def test_limit_of_zero_is_nothing(self, repository: MemoryRepository) -> None:
        """Zero is a number, not 'no limit'."""
        await inserted(repository, a={})
        assert await listed(repository, limit=0) == []

    async def test_largest_limit_is_everything(self, repository: MemoryRepository) -> None:
        """It overflows nothing, an offset beside it included."""
        await inserted(repository, a={}, b={})
        assert await listed(repository, limit=MAX_INT, offset=1) == ["b"]

    async def test_offset_skips_the_newest(self, repository: MemoryRepository) -> None:
        """Counted from the newest."""
        await inserted(repository, a={}, b={}, c={}, d={})
        assert await listed(repository, offset=1, limit=2) == ["b", "c"]

    async def test_offset_behind_the_end_is_nothing(self, repository: MemoryRepository) -> None:
        """No error, no wrapping around."""
        await inserted(repository, a={}, b={})
        assert await listed(repository, offset=2) == []

    async def test_pages_by_cursor_are_the_whole_list(self, repository: MemoryRepository) -> None:
        """Nothing is skipped or repeated, not even among sessions of one instant."""
        for number in range(11):
            await repository.insert_session(new_session(f"s{number}", number // 4))
        paged: list[str] = []
        cursor = None
        for size in (3, 3, 3, 2):
            page = await repository.list_sessions(SessionQuery(limit=3, after=cursor))
            assert len(page) == size
            paged += [record.metadata.session_id for record in page]
            cursor = (page[-1].metadata.created_at, page[-1].metadata.session_id)
        assert await repository.list_sessions(SessionQuery(limit=3, after=cursor)) == []
        assert paged == await listed(repository)
        assert len(paged) == 11

    async def test_cursor_outlives_its_session(self, repository: MemoryRepository) -> None:
        """The page goes on where it was, though the last session of the page before is gone."""
        await inserted(repository, a={}, b={}, c={})
        cursor = ((await fetch(repository, "b")).metadata.created_at, "b")
        await repository.delete_sessions(["b"])
        assert await listed(repository, after=cursor) == ["c"]

    async def test_cursor_holds_together_with_filters(self, repository: MemoryRepository) -> None:
        """A page of one user's sessions goes on with that user's."""
        mine, other = {"user_id": "mine"}, {"user_id": "other"}
        await inserted(repository, a=mine, b=other, c=mine, d=other, e=mine)
        assert await listed(repository, user_id="mine", after=(START, "a"), limit=1) == ["c"]

    @pytest.mark.parametrize("field", ["user_id", "agent_id"])
    async def test_id_filter_is_exact(self, repository: MemoryRepository, field: str) -> None:
        """Not by prefix, case or pattern; None in a session matches nothing."""
        await inserted(repository, a={field: "u%"}, b={field: "u1"}, c={field: "U%"}, d={}, e={field: "u%"})
        assert await listed(repository, **{field: "u%"}) == ["a", "e"]

    async def test_status_filter(self, repository: MemoryRepository) -> None:
        """Only of this status."""
        await inserted(repository, a={"status": SessionStatus.ARCHIVED}, b={}, c={"status": SessionStatus.ARCHIVED})
        assert await listed(repository, status="archived") == ["a", "c"]

    async def test_live_at_leaves_expired_sessions_out(self, repository: MemoryRepository) -> None:
        """Expired from the instant of expires_at on, or by status."""
        await inserted(
            repository,
            never={},
            later={"expires_at": START + MICROSECOND},
            now={"expires_at": START},
            earlier={"expires_at": START - MICROSECOND},
            said={"status": SessionStatus.EXPIRED},
        )
        assert await listed(repository, live_at=START) == ["never", "later"]

    async def test_expired_at_keeps_expired_sessions(self, repository: MemoryRepository) -> None:
        """Expired from the instant of expires_at on, or by status."""
        await inserted(
            repository,
            never={},
            later={"expires_at": START + MICROSECOND},
            now={"expires_at": START},
            earlier={"expires_at": START - MICROSECOND},
            said={"status": SessionStatus.EXPIRED},
        )
        assert await listed(repository, expired_at=START) == ["now", "earlier", "said"]

    async def test_updated_before_is_exclusive(self, repository: MemoryRepository) -> None:
        """To the microsecond."""
        await inserted(
            repository,
            same={"updated_at": at(9)},
            before={"updated_at": at(9) - MICROSECOND},
            later={"updated_at": at(10)},
        )
        assert await listed(repository, updated_before=at(9)) == ["before"]

    async def test_updated_before_sees_the_last_append(self, repository: MemoryRepository) -> None:
        """Activity moves a session out of the sweep."""
        await inserted(repository, quiet={}, active={})
        await repository.append("active", [new_message(1)], now=at(100))
        assert await listed(repository, updated_before=at(50)) == ["quiet"]

    async def test_filters_hold_together(self, repository: MemoryRepository) -> None:
        """Each condition alone would let a wrong session through."""
        right: dict[str, Any] = {"user_id": "u", "agent_id": "a", "status": SessionStatus.PAUSED, "expires_at": at(9)}
        wrong: dict[str, dict[str, Any]] = {
            "user": {"user_id": "other"},
            "agent": {"agent_id": "other"},
            "status": {"status": SessionStatus.ACTIVE},
            "expired": {"expires_at": START},
            "recent": {"updated_at": at(50)},
        }
        await inserted(repository, right=right, **{name: right | change for name, change in wrong.items()})
        query = {"user_id": "u", "agent_id": "a", "status": "paused", "live_at": START, "updated_before": at(50)}
        assert await listed(repository, **query) == ["right"]
