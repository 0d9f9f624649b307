"""What was read from a store is an ordinary message, or metadata, though it decodes itself only as it is used."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from langswarm_memory import BaseMemoryBackend, Message, SessionMetadata

GIVEN = Message(
    "assistant",
    [{"type": "text", "text": "hello"}],
    message_id="m",
    metadata={"a": [1, {"b": None}]},
    tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
    token_count=7,
    name="n",
)


@pytest.fixture
async def read(store: BaseMemoryBackend) -> Message:
    session = await store.create_session(SessionMetadata("s", tags=["a"], properties={"b": [1]}))
    await session.add_message(GIVEN)
    (message,) = await session.get_messages()
    return message


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "dataclasses.replace": dataclasses.replace,
}
each_copy = pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES.keys())


def test_message_read_equals_the_one_given(read: Message) -> None:
    assert read == GIVEN
    assert [GIVEN] == [read]  # noqa: SIM300 - the other way round


def test_message_read_says_what_it_is(read: Message) -> None:
    assert isinstance(read, Message)
    assert repr(read) == repr(GIVEN)
    assert dataclasses.asdict(read) == dataclasses.asdict(GIVEN)


@each_copy
def test_copy_of_a_message_read_is_equal(read: Message, duplicate: Callable[[Message], Message]) -> None:
    assert duplicate(read) == GIVEN
    assert duplicate(read).to_dict() == GIVEN.to_dict()


def test_copy_keeps_the_position(read: Message) -> None:
    assert copy.copy(read).seq == pickle.loads(pickle.dumps(read)).seq == read.seq == 1


def test_edited_copy_is_a_message_without_a_position(read: Message) -> None:
    edited = dataclasses.replace(read, content="other")
    assert (edited.content, edited.message_id, edited.seq) == ("other", "m", None)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Message)])
def test_attribute_set_on_a_message_read_stays_set(read: Message, name: str) -> None:
    setattr(read, name, "set")
    assert getattr(read, name) == "set"
    others = [field.name for field in dataclasses.fields(Message) if field.name != name]
    assert [getattr(read, other) for other in others] == [getattr(GIVEN, other) for other in others]


def test_change_inside_a_message_read_stays(read: Message) -> None:
    read.metadata["new"] = 1
    assert read.metadata["new"] == 1


@each_copy
async def test_copy_of_metadata_read_is_equal(
    store: BaseMemoryBackend, read: Message, duplicate: Callable[[SessionMetadata], SessionMetadata]
) -> None:
    (metadata,) = await store.list_sessions()
    again = duplicate(metadata)
    assert again == metadata
    assert (again.tags, again.properties) == (["a"], {"b": [1]})
