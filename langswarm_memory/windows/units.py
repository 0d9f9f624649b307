"""What of a conversation belongs together: calls with their results, reasoning with what it led to.

A window is cut between units, never inside one. Results stand directly after their calls here, wherever they are
stored, so a unit is a short stretch of turns even where a result came late: what was said meanwhile follows it as
units of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from ..formats.links import NONE, Links, links
from ..formats.notes import RESPONSES_NOTE, note_of
from ..interfaces.enums import RESULT_ROLES, MessageRole
from ..interfaces.message import Message
from .additions import Additions
from .edits import results_first, without
from .regular import Entry, Unit, Units, regular_units
from .ties import Knot, knot, tie

Unanswered = Literal["result", "drop", "keep"]
"""What becomes of tool calls without a result: they get one that says so, are left out, or stay as they are."""


MISPLACED = "it stands with the results of a later call"
UNANSWERED = "the call has no result"
ANSWERED = "the call before it has no result, so one is put in"
DANGLING = "what it led to is not there"


def arrange(
    messages: Sequence[Message],
    positions: Sequence[int],
    *,
    provider: str,
    unanswered: Unanswered,
    additions: Additions,
) -> Units:
    """Return the units of a stretch of conversation.

    Args:
        messages: The stretch, oldest first, without system messages.
        positions: Index of each in whatever it comes from; entries carry these.
        provider: Whose rules on the order of calls and results hold.
        unanswered: What becomes of calls without a result.
        additions: Makes the results that are missing.
    """
    found = [links(message) for message in messages]
    regular = regular_units(messages, positions, found)
    if regular is not None:
        return regular
    arranged = Arrangement(messages, positions, found, provider=provider, unanswered=unanswered, additions=additions)
    return Units(arranged.units, arranged.dropped)


class Arrangement:
    """The units of a stretch of conversation, oldest first, whatever is wrong with it.

    Args:
        messages: The stretch, oldest first, without system messages.
        positions: Index of each in whatever it comes from; entries carry these.
        found: The links of each.
        provider: Whose rules on the order of calls and results hold.
        unanswered: What becomes of calls without a result.
        additions: Makes the results that are missing.

    Attributes:
        units: The units.
        dropped: Position of each message that cannot be part of any window → why.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        positions: Sequence[int],
        found: Sequence[Links],
        *,
        provider: str,
        unanswered: Unanswered,
        additions: Additions,
    ) -> None:
        self.dropped: dict[int, str] = {}
        self._provider = provider
        self._positions = positions
        self._unanswered = unanswered
        self._additions = additions
        self._links = list(found)
        self._messages: list[Message | None] = list(messages)
        self._why: dict[int, str] = {}
        self._added: dict[int, list[Message]] = {}
        self._results = [bool(ties.answers) and not ties.calls for ties in self._links]
        given = [index for index, is_result in enumerate(self._results) if is_result]
        groups = [group for run in self._runs() for group in self._groups(run)]
        results = self._repair(groups)
        if any(ties.needs_next for ties in self._links):
            self._end_chains()
        # What is left of a message whose results answer nothing is what it says besides: a turn like others.
        groups = sorted([*groups, *([index] for index in given if not self._results[index])])
        self.units = [unit for group in groups if (unit := self._unit(group, results.get(group[0]))) is not None]

    def _runs(self) -> Iterator[list[list[int]]]:
        """Yield what follows each other with no result between, as atoms: what reasoning ties to its follower."""
        run: list[list[int]] = []
        chained = False
        for index, is_result in enumerate(self._results):
            if is_result:
                if run:
                    yield run
                run, chained = [], False
                continue
            if chained:
                run[-1].append(index)
            else:
                run.append([index])
            chained = self._links[index].needs_next
        if run:
            yield run

    def _groups(self, run: list[list[int]]) -> Iterator[list[int]]:
        """Yield the messages of each unit, results aside: calls that may wait together are one, the rest is alone."""
        group: list[int] = []
        between: list[list[int]] = []  # joined only if another call comes
        waiting: set[str] = set()
        for atom in run:
            calls = {name for index in atom for name in self._links[index].calls}
            if group and waiting.isdisjoint(calls) and self._joins(atom[-1], bool(calls)):
                between.append(atom)
                if calls:
                    group += [index for part in between for index in part]
                    between, waiting = [], waiting | calls
                continue
            yield from filter(None, [group, *between])
            group, between, waiting = (list(atom), [], calls) if calls else ([], [atom], set())
        yield from filter(None, [group, *between])

    def _joins(self, index: int, calls: bool) -> bool:
        """Return whether calls before a message and in it may wait together for their results."""
        message = self._messages[index]
        if message is None or message.role != MessageRole.ASSISTANT:
            return False
        # Chat Completions takes calls of one message only; items of the Responses API become one message.
        return self._provider != "openai" or (calls and note_of(message, RESPONSES_NOTE) is not None)

    def _repair(self, groups: list[list[int]]) -> dict[int, list[int]]:
        """Leave out what answers nothing, treat calls without a result; return first of a unit → its results."""
        ties = tie(
            [
                Knot(found) if found is NONE or message is None else knot(message, found)
                for message, found in zip(self._messages, self._links, strict=True)
            ]
        )
        home = {index: group[0] for group in groups for index in group}
        last: dict[int, int] = {}
        for (caller, _), result in ties.answered.items():
            last[result] = max(last.get(result, 0), home.get(caller, 0))
        unanswered = list(ties.open)
        for (caller, name), result in ties.answered.items():
            # One message with results of several units can stand behind one of them only: the last.
            if home.get(caller) != last[result]:
                ties.stray.setdefault(result, {})[name] = MISPLACED
                unanswered.append((caller, name))
        calls = self._answer(unanswered)
        for index in calls.keys() | ties.stray.keys():
            stray = ties.stray.get(index, {})
            self._remove(index, calls.get(index, set()), stray.keys(), next(iter(stray.values()), UNANSWERED))
        results: dict[int, list[int]] = {}
        for result, first in sorted(last.items()):
            if self._messages[result] is not None and self._results[result]:
                results.setdefault(first, []).append(result)
        return results

    def _answer(self, unanswered: list[tuple[int, str]]) -> dict[int, set[str]]:
        """Put in results; return the calls that are to be left out."""
        calls: dict[int, set[str]] = {}
        for index, name in sorted(unanswered):
            caller = self._messages[index]
            if self._unanswered == "keep" or caller is None:
                continue
            made = self._additions.result(caller, name) if self._unanswered == "result" else None
            if made is None:
                calls.setdefault(index, set()).add(name)
            else:
                self._added.setdefault(index, []).append(made)
        return calls

    def _remove(self, index: int, calls: Collection[str], answers: Collection[str], why: str) -> None:
        message = self._messages[index]
        if message is None:
            return
        rest = without(message, calls, answers, self._additions.count)
        if rest is None:
            self._drop(index, why)
        else:
            ties = self._links[index] = links(rest)
            self._messages[index], self._results[index] = rest, bool(ties.answers) and not ties.calls
            self._why[index] = f"without a part: {why}"

    def _drop(self, index: int, why: str) -> None:
        self._messages[index] = None
        self._added.pop(index, None)
        self.dropped[self._positions[index]] = why

    def _end_chains(self) -> None:
        """Drop reasoning whose follower is not there; a chain of it falls from its end."""
        follows = False
        for index in reversed(range(len(self._messages))):
            message = self._messages[index]
            if message is not None and self._links[index].needs_next and not follows:
                self._drop(index, DANGLING)
                message = None
            follows = message is not None and message.role == MessageRole.ASSISTANT

    def _unit(self, group: list[int], results: list[int] | None) -> Unit | None:
        entries = [self._entry(index) for index in group if self._messages[index] is not None]
        if not entries:
            return None
        # Anthropic takes results first, and then what the user says.
        mixed = [index for index in results or () if self._says_more(index)]
        entries += [self._entry(index) for index in results or () if index not in mixed]
        if self._added:
            entries += [
                Entry(message, self._positions[index], True, ANSWERED)
                for index in group
                for message in self._added.get(index, ())
            ]
        said = [self._entry(index) for index in mixed]
        if len(said) > 1:
            turned = results_first([entry.message for entry in said])
            said = [entry._replace(message=message) for entry, message in zip(said, turned, strict=True)]
        entries += said
        return Unit(entries, sum([entry.message.token_count or 0 for entry in entries]))

    def _entry(self, index: int) -> Entry:
        message = self._messages[index]
        assert message is not None
        return Entry(message, self._positions[index], False, self._why.get(index, ""))

    def _says_more(self, index: int) -> bool:
        """Return whether a message says something besides results."""
        message = self._messages[index]
        if message is None or message.role in RESULT_ROLES or not isinstance(message.content, list):
            return False
        return len(message.content) > len(self._links[index].answers)
