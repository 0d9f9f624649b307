"""Files that are wrong: a clear error that names the place, and nothing of what is wrong in the store."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from langswarm_memory import (
    InMemoryBackend,
    InvalidInputError,
    MemoryManager,
    UnsupportedOperationError,
    conversation_files,
    import_conversations,
)
from langswarm_memory.backend import BaseMemoryBackend
from langswarm_memory.conversations import read_conversations
from langswarm_memory.interfaces import IMemoryBackend
from tests.importing.conversations import COLLECTED, ORDER, WEATHER, as_array, as_lines, everything, exact, write

WHOLE = as_array(COLLECTED)

# What the file holds, and what the error says besides its name.
UNREADABLE: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "white space": (" \n\t\n", "is empty"),
    "a mark alone": (b"\xef\xbb\xbf", "is empty"),
    "text": ("hello\n", "is not JSON: it begins with neither '[' nor '{' (line 1, column 1)"),
    "text further down": ("\n\n  hello\n", "(line 3, column 3)"),
    "a number": ("17", "begins with neither"),
    "binary": (b"[\x80\x81\xfe\xff", "is not UTF-8 text"),
    "cut in a string": (WHOLE[:30], "is not JSON: it ends in the middle of a value"),
    "cut behind an element": (WHOLE[: WHOLE.index(', {"id": "weather"')], "it ends in the middle of an array"),
    "cut behind a comma": (WHOLE[: WHOLE.index('{"id": "weather"')], "it ends in the middle of a value"),
    "cut at the end": (WHOLE[:-1], "it ends in the middle of an array"),
    "only begun": ("[", "it ends in the middle of a value"),
    "an object cut": ('{\n  "id": "a",\n  "messages": [', "it ends in the middle of a value"),
    "no comma": (WHOLE.replace('}, {"id": "weather"', '} {"id": "weather"'), "',' or ']' is missing (line 1, column "),
    "a comma too many": (WHOLE[:-1] + ",]", "is not JSON"),
    "single quotes": ("{'id': 1}", "is not JSON"),
    "a bad element": ('[\n{"messages": []},\n{"messages" []}]', "(line 3, column 13)"),
    "something behind": (WHOLE + "x", "there is more behind the end of the array"),
    "a second array behind": (WHOLE + "\n" + WHOLE, "there is more behind the end of the array"),
    "a broken message line": ('{"role": "user"}\n{"role":\n', "(line 2)"),
    "nested too deep": ("[" * 100_000, "nested too deep"),
    "a huge integer": ('[{"messages": [], "n": ' + "9" * 5_000 + "}]", "too many digits"),
    "numbers in a list": ("[11, 22, 33]", "holds no conversations"),
    "an object of another shape": ('{"choices": [{"message": {"role": "user"}}]}', "holds no conversations"),
    "objects of another shape": ('[{"text": "a"}, {"text": "b"}]', "holds no conversations"),
    "messages that are none": ('{"messages": ["a", "b"]}', "holds no conversations"),
    "messages that are no list": ('{"messages": {"role": "user"}}', "holds no conversations"),
}


@pytest.mark.parametrize(("content", "message"), UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_file_is_refused(
    memory: BaseMemoryBackend, content: str | bytes, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InvalidInputError) as caught:
        await import_conversations(memory, path)
    assert str(caught.value).startswith((str(path), f"cannot read {path}"))
    assert message in str(caught.value)


@pytest.mark.parametrize(("content", "_message"), UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_file_writes_nothing(
    memory: BaseMemoryBackend, content: str | bytes, _message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError):
        await import_conversations(memory, write(tmp_path, content))
    assert await memory.list_sessions() == []


@pytest.mark.parametrize("chunk", [1, 2, 7])
@pytest.mark.parametrize(("content", "message"), UNREADABLE.values(), ids=UNREADABLE)
async def test_error_does_not_depend_on_where_reading_stops(
    memory: BaseMemoryBackend, content: str | bytes, message: str, chunk: int, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    with mock.patch.object(conversation_files, "CHUNK", chunk), pytest.raises(InvalidInputError) as caught:
        await import_conversations(memory, path)
    assert message in str(caught.value)


async def test_missing_file_is_refused(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"cannot read .*nowhere\.json: No such file"):
        await import_conversations(memory, tmp_path / "nowhere.json")


async def test_folder_is_refused(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="Is a directory"):
        await import_conversations(memory, tmp_path)


async def test_error_quotes_no_conversation(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    path = write(tmp_path, '[{"messages": [{"role": "user", "content": "se-cret" oops}]}]')
    with pytest.raises(InvalidInputError) as caught:
        await import_conversations(memory, path)
    assert "se-cret" not in str(caught.value)


def test_broken_value_is_told_without_reading_on(tmp_path: Path) -> None:
    path = write(tmp_path, '[{"messages": [}' + " " * 20_000_000 + "]")
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInputError, match="column 16"):
            list(conversation_files.read_records(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("text", ["[]", " [ ] "])
async def test_empty_array_holds_nothing_to_import(memory: BaseMemoryBackend, text: str, tmp_path: Path) -> None:
    report = await import_conversations(memory, write(tmp_path, text))
    assert (report.conversations, report.messages) == (0, 0)


# --- one conversation of many --------------------------------------------------------------------------------------

DEEP = json.loads("[" * 600 + "]" * 600)

WRONG: dict[str, tuple[Any, str]] = {
    "no messages": ({"id": "bad", "text": "x"}, "it is no conversation"),
    "a number": (17, "it is no conversation"),
    "null": (None, "it is no conversation"),
    "messages that are text": ({"id": "bad", "messages": "x"}, "it is no conversation"),
    "a message that is text": ({"id": "bad", "messages": [*ORDER, "x"]}, "message 6: an OpenAI message is"),
    "a message without role": ({"id": "bad", "messages": [{"content": "x"}]}, "message 1: an OpenAI message"),
    "a role that is a number": ({"id": "bad", "messages": [{"role": 1}]}, "message 1: a role is"),
    "an empty role": ({"id": "bad", "messages": [{"role": ""}]}, "message 1: a role is"),
    "content that is an object": ({"id": "bad", "messages": [{"role": "user", "content": {}}]}, "message 1: content"),
    "calls that are text": ({"id": "bad", "messages": [{"role": "user", "tool_calls": "x"}]}, "message 1: tool_calls"),
    "a name that is a number": ({"id": "bad", "messages": [{"role": "user", "name": 1}]}, "message 1: name must be"),
    "nesting": ({"id": "bad", "messages": [{"role": "user", "x": DEEP}]}, "message 1: meta"),
    "a wrong one behind many": (
        {"id": "bad", "messages": [*[{"role": "user", "content": "x"}] * 2_500, {"role": None}]}, "message 2501: "
    ),
    "an id that is a list": ({"id": ["bad"], "messages": ORDER}, "id must be a str"),
    "an empty id": ({"id": "", "messages": ORDER}, "id must not be empty"),
    "a long id": ({"id": "x" * 10_000, "messages": ORDER}, "id is longer than 512 bytes"),
    "an id with NUL": ({"id": "a\x00", "messages": ORDER}, "id holds NUL"),
    "an id that is true": ({"id": True, "messages": ORDER}, "id must be a str"),
    "a user that is an object": ({"id": "bad", "user_id": {}, "messages": ORDER}, "user_id must be a str"),
    "tags that are text": ({"id": "bad", "tags": "x", "messages": ORDER}, "tags must be a list"),
    "a tag that is a number": ({"id": "bad", "tags": [1], "messages": ORDER}, "tags must be text"),
    "deep properties": ({"id": "bad", "messages": ORDER, "x": DEEP}, "properties is nested"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG)
async def test_wrong_conversation_is_reported_with_its_place(
    memory: BaseMemoryBackend, value: Any, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, as_lines([*COLLECTED, value]))
    (failure,) = (await import_conversations(memory, path)).failures
    assert isinstance(failure.error, InvalidInputError)
    assert str(failure.error).startswith(f"{path}: conversation 3 (line 3")
    assert message in str(failure.error)


@pytest.mark.parametrize(("value", "_message"), WRONG.values(), ids=WRONG)
async def test_wrong_conversation_stays_out_as_a_whole(
    memory: BaseMemoryBackend, value: Any, _message: str, tmp_path: Path
) -> None:
    await import_conversations(memory, write(tmp_path, as_array([value, *COLLECTED])))
    assert exact(dict(sorted((await everything(memory)).items()))) == exact({"order": ORDER, "weather": WEATHER})


@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG)
def test_reading_raises_what_importing_reports(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        list(read_conversations(write(tmp_path, as_lines([*COLLECTED, value]))))
    assert message in str(caught.value)


async def test_failure_names_the_session(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    path = write(tmp_path, as_array([*COLLECTED, {"id": "bad", "messages": [{}]}]))
    (failure,) = (await import_conversations(memory, path)).failures
    assert (failure.number, failure.line, failure.session_id) == (3, 1, "bad")
    assert "conversation 3 (line 1, session 'bad'): message 1: " in str(failure.error)


@pytest.mark.parametrize("broken", ['{"id": "cut", "messages": [', "hello", '{"id": 1} {"id": 2}', "[" * 5_000])
async def test_broken_line_is_reported_and_reading_goes_on(
    memory: BaseMemoryBackend, broken: str, tmp_path: Path
) -> None:
    lines = [json.dumps(COLLECTED[0]), broken, json.dumps(COLLECTED[1])]
    report = await import_conversations(memory, write(tmp_path, "\n".join(lines)))
    assert (report.imported, [failure.line for failure in report.failures]) == (2, [2])


async def test_broken_first_line_of_json_lines_is_reported(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    lines = ['{"id": "cut", "messages": [', json.dumps(COLLECTED[1])]
    report = await import_conversations(memory, write(tmp_path, "\n".join(lines), "conversations.jsonl"))
    assert (report.imported, [failure.line for failure in report.failures]) == (1, [1])


async def test_json_lines_of_nothing_but_broken_lines_are_refused(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"is not JSON: .* \(line 1\)"):
        await import_conversations(memory, write(tmp_path, "{\n{\n", "conversations.jsonl"))


async def test_report_raises_its_first_failure(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    report = await import_conversations(memory, write(tmp_path, as_array([17, *COLLECTED, 18])))
    with pytest.raises(InvalidInputError, match="conversation 1 "):
        report.raise_for_failures()


async def test_report_without_failures_raises_nothing(memory: BaseMemoryBackend, tmp_path: Path) -> None:
    (await import_conversations(memory, write(tmp_path, WHOLE))).raise_for_failures()


# --- wrong arguments -----------------------------------------------------------------------------------------------


async def test_neither_manager_nor_backend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="a manager or a backend is needed, got str"):
        await import_conversations("sqlite", write(tmp_path, WHOLE))  # type: ignore[arg-type]


@pytest.mark.parametrize("user_id", ["", "x" * 600, 17])
async def test_impossible_user_is_refused(memory: BaseMemoryBackend, user_id: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="user_id"):
        await import_conversations(memory, write(tmp_path, WHOLE), user_id=user_id)


async def test_backend_of_another_library_is_refused(tmp_path: Path) -> None:
    foreign = mock.create_autospec(IMemoryBackend, instance=True)
    with pytest.raises(UnsupportedOperationError, match="importing"):
        await import_conversations(foreign, write(tmp_path, WHOLE))


async def test_manager_is_taken(tmp_path: Path) -> None:
    async with MemoryManager(InMemoryBackend()) as manager:
        report = await import_conversations(manager, write(tmp_path, WHOLE))
        assert report.imported == 2
