"""The questions of docs/queries.md asked of plain Python: no database, no package, one function per recipe."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from tests.docs.conversations import Conversation

Data = Sequence[Conversation]
Rows = list[tuple[Any, ...]]


def is_error(content: Any) -> bool:
    return isinstance(content, str) and content.lower().startswith("error")


def monday(time: datetime) -> date:
    return time.date() - timedelta(days=time.weekday())


def calls(found: Conversation) -> Iterator[tuple[int, dict[str, Any]]]:
    """Return the tool calls of a conversation with the position of the message that makes them."""
    for position, message in enumerate(found.messages):
        for call in message.get("tool_calls") or []:
            yield position, call


def null_last(value: str | None) -> tuple[bool, str]:
    return value is None, value or ""


def tokens_per_day(data: Data) -> Rows:
    tokens: Counter[tuple[str | None, date]] = Counter()
    for found in data:
        for time, count in zip(found.times, found.tokens, strict=True):
            tokens[found.user, time.date()] += count
    rows = [(user, day, count) for (user, day), count in tokens.items()]
    return sorted(rows, key=lambda row: (row[1], null_last(row[0])))


def failures(data: Data) -> Rows:
    results: dict[str, list[bool]] = defaultdict(list)
    for found in data:
        for position, call in calls(found):
            answers = (
                message["content"]
                for message in found.messages[position + 1 :]
                if message["role"] == "tool" and message["tool_call_id"] == call["id"]
            )
            results[call["function"]["name"]].append(is_error(next(answers, None)))
    rows = [(tool, len(failed), sum(failed) / len(failed)) for tool, failed in results.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def calls_per_tool(data: Data) -> Rows:
    return [(tool, count) for tool, count, _ in failures(data)]


def ended_with_an_error(data: Data) -> Rows:
    last = [(found.id, found.messages[-1]) for found in data]
    rows = [
        (session, message["name"], message["content"])
        for session, message in last
        if message["role"] == "tool" and is_error(message["content"])
    ]
    return sorted(rows)


def first_answers(data: Data) -> Rows:
    rows: Rows = []
    for found in sorted(data, key=lambda found: found.id):
        turns = list(zip(found.messages, found.times, strict=True))
        asked = next((at for at, (message, _) in enumerate(turns) if message["role"] == "user"), None)
        if asked is None:
            continue
        later = (time for message, time in turns[asked + 1 :] if message["role"] == "assistant" and message["content"])
        answered = next(later, None)
        rows.append((found.id, None if answered is None else (answered - turns[asked][1]).total_seconds()))
    return rows


def longest(data: Data) -> Rows:
    rows = [(found.id, found.user, len(found.messages), sum(found.tokens)) for found in data]
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:10]


def mentions(data: Data) -> Rows:
    return [
        (found.id, seq, message["role"], message["content"])
        for found in sorted(data, key=lambda found: found.id)
        for seq, message in enumerate(found.messages, 1)
        if message["role"] in ("user", "assistant") and "refund" in (message["content"] or "").lower()
    ]


def indexed_mentions(data: Data) -> Rows:
    word = re.compile(r"(?<![^\W_])refund(s|ed|ing|able)?(?![^\W_])", re.IGNORECASE)
    return [
        (found.id, seq, message["content"])
        for found in data
        for seq, message in enumerate(found.messages, 1)
        if word.search(message["content"] or "")
    ]


def active_users(data: Data) -> Rows:
    users: dict[date, set[str]] = defaultdict(set)
    for found in data:
        for message, time in zip(found.messages, found.times, strict=True):
            if message["role"] == "user":
                users[monday(time)] |= {found.user} - {None}  # type: ignore[arg-type]
    return sorted((week, len(active)) for week, active in users.items())


def unanswered(data: Data) -> Rows:
    rows = [
        (found.id, found.times[-1], found.messages[-1]["content"])
        for found in data
        if found.messages[-1]["role"] == "user"
    ]
    return sorted(rows, key=lambda row: (row[1], row[0]))


def shares(data: Data) -> Rows:
    roles = Counter(message["role"] for found in data for message in found.messages)
    return [(role, count, count / roles.total()) for role, count in sorted(roles.items(), key=lambda row: -row[1])]


def tags(data: Data) -> Rows:
    found = Counter(tag for conversation in data for tag in conversation.tags)
    return sorted(found.items(), key=lambda row: (-row[1], row[0]))


def channels(data: Data) -> Rows:
    lengths: dict[str | None, list[int]] = defaultdict(list)
    for found in data:
        lengths[found.properties.get("channel")].append(len(found.messages))
    rows = [(channel, len(found), sum(found) / len(found)) for channel, found in lengths.items()]
    return sorted(rows, key=lambda row: (-row[1], null_last(row[0])))


def repeated(data: Data) -> Rows:
    rows: Rows = []
    for found in data:
        made = Counter((call["function"]["name"], call["function"]["arguments"]) for _, call in calls(found))
        rows += [(found.id, tool, arguments, times) for (tool, arguments), times in made.items() if times > 1]
    return sorted(rows, key=lambda row: (-row[3], *row[:3]))


def results(data: Data) -> Rows:
    tokens: dict[str, list[int]] = defaultdict(list)
    for found in data:
        for message, count in zip(found.messages, found.tokens, strict=True):
            if message["role"] == "tool":
                tokens[message["name"]].append(count)
    rows = [(tool, len(counts), sum(counts), max(counts)) for tool, counts in tokens.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def new_users(data: Data) -> Rows:
    first: dict[str, datetime] = {}
    for found in data:
        if found.user is not None:
            first[found.user] = min(first.get(found.user, found.times[0]), *found.times)
    return sorted(Counter(monday(time) for time in first.values()).items())


def percentiles(data: Data) -> Rows:
    tokens: dict[str, list[int]] = defaultdict(list)
    for found in data:
        for message, count in zip(found.messages, found.tokens, strict=True):
            tokens[message["role"]].append(count)
    return [
        (role, [sorted(counts)[math.ceil(share * len(counts)) - 1] for share in (0.5, 0.95)])
        for role, counts in tokens.items()
    ]


def orders_looked_up(data: Data) -> Rows:
    return [
        (found.id, position + 1)
        for found in data
        for position in sorted({at for at, call in calls(found) if call["function"]["name"] == "get_order"})
    ]


ANSWERS: dict[str, Callable[[Data], Rows]] = {
    "Tokens per user per day": tokens_per_day,
    "Most used tools and how often they fail": failures,
    "Sessions whose last message is a tool error": ended_with_an_error,
    "Time to first answer": first_answers,
    "Longest sessions": longest,
    "Messages that mention a word": mentions,
    "Active users per week": active_users,
    "Unanswered questions": unanswered,
    "Share of each role": shares,
    "Sessions per tag": tags,
    "Sessions per value of a property": channels,
    "The same call again": repeated,
    "What tools fill the context with": results,
    "New users per week": new_users,
}

SQL_ANSWERS: dict[str, list[Callable[[Data], Rows]]] = {
    "sqlite": [calls_per_tool, indexed_mentions],
    "postgres": [calls_per_tool, indexed_mentions, percentiles, orders_looked_up],
}
"""What the blocks of SQL for one database give, in their order."""
