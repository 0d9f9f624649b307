"""Items of the OpenAI Responses API, and back. One item of theirs is one message of ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import InvalidInputError
from ..interfaces.enums import RESULT_ROLES, MessageRole
from ..interfaces.message import Message
from .losses import UNHEARD, Losses
from .notes import OPENAI_NOTE, RESPONSES_NOTE, Json, note_of, responses_item, restore, role_text, set_note, take_note
from .openai_chat import AUDIO_FORMATS
from .parts import Call, Media, Part, Result, Text, family
from .reading import parts_of
from .writing import CallIds, arguments_text, lost, report_extras

MESSAGE_KEYS = ("role", "content")
CALL_KEYS = ("type", "call_id", "name", "arguments")
OUTPUT_KEYS = ("type", "call_id", "output")

ROLES = ("user", "assistant", "system", "developer")

_CALL, _OUTPUT = "function_call", "function_call_output"
_SHARED_TYPES = frozenset(["refusal", "input_audio"])


def from_responses(item: dict[str, Any], **fields: Any) -> Message:
    """Build a message from an item of a Responses input or output.

    A ``message`` becomes a message of its role, a ``function_call`` an assistant message with one tool call, a
    ``function_call_output`` a tool message. Every other item (reasoning, calls of hosted tools, MCP, computer use,
    types this package has never heard of) is the whole content of its message. All come back exactly.

    Args:
        item: The provider's item.
        **fields: Fields the form lacks: timestamp, message_id, metadata, token_count.

    Raises:
        InvalidInputError: `item` is no JSON object.
    """
    if not isinstance(item, dict):
        raise InvalidInputError("an item of the Responses API is a JSON object")
    metadata = dict(fields.pop("metadata", None) or {})
    kind = item.get("type")
    note: Json
    if kind in (None, "message") and item.get("role") and isinstance(item["role"], str):
        message = Message(item["role"], item.get("content"), **fields)
        message.metadata = metadata
        usual = write_responses(message, CallIds())
        note = take_note(item, _plain_message(message), usual[0] if len(usual) == 1 else None, MESSAGE_KEYS)
    elif kind == _CALL and all(isinstance(item.get(key), str) for key in CALL_KEYS):
        function = {"name": item["name"], "arguments": item["arguments"]}
        call = {"id": item["call_id"], "type": "function", "function": function}
        message = Message(MessageRole.ASSISTANT, None, tool_calls=[call], **fields)
        plain = {key: item[key] for key in CALL_KEYS}
        note = {"item": kind, **take_note(item, plain, plain, CALL_KEYS)}
    elif kind == _OUTPUT and isinstance(item.get("call_id"), str) and isinstance(item.get("output"), str | list):
        message = Message(MessageRole.TOOL, item["output"], tool_call_id=item["call_id"], **fields)
        plain = {key: item[key] for key in OUTPUT_KEYS}
        note = {"item": kind, **take_note(item, plain, plain, OUTPUT_KEYS)}
    else:
        message = Message(_role_of(kind), [item], **fields)
        note = {"item": kind}
    message.metadata = metadata
    set_note(message, RESPONSES_NOTE, note)
    return message


def to_responses(message: Message) -> list[dict[str, Any]]:
    """Return the items of the Responses API that a message becomes.

    A message that came from :func:`from_responses` gives its one item again, exactly. An assistant message of another
    form may need several: one for its text and one for each tool call.
    """
    return write_responses(message, CallIds())


def messages_from_responses(items: Iterable[dict[str, Any]]) -> list[Message]:
    """Build the messages of a conversation of Responses items.

    A reasoning item is tied to the item after it: see :func:`langswarm_memory.formats.links`.

    Raises:
        InvalidInputError: An item is no JSON object.
    """
    return [from_responses(item) for item in items]


def messages_to_responses_format(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Return the messages as items for ``input=`` of the Responses API."""
    given, ids = list(messages), CallIds()
    return join_responses(given, [write_responses(message, ids) for message in given])


def join_responses(messages: list[Message], written: list[list[Json]], losses: Losses = UNHEARD) -> list[Json]:
    """Return the input that the written messages make up."""
    result: list[Json] = []
    for index, (message, items) in enumerate(zip(messages, written, strict=True)):
        if items and _is_call(items[0]) and result and note_of(message, RESPONSES_NOTE) is None:
            before = result[-1]
            if before.get("role") == "assistant" or _is_call(before):
                losses.at(index, message.message_id)
                losses.add("borders", "calls belong to the turn of the assistant before them", "form")
        result += items
    return result


def write_responses(message: Message, ids: CallIds, losses: Losses = UNHEARD) -> list[Json]:
    """Return the items that a stored message becomes."""
    own = _own(message)
    if own is not None:
        ids.learn(message)
        return [own]
    return _convert(message, ids, losses)


def _is_call(item: Json) -> bool:
    return item.get("type") in (_CALL, "custom_tool_call")


def _role_of(kind: object) -> MessageRole:
    if isinstance(kind, str) and kind.endswith("_output"):
        return MessageRole.TOOL
    return MessageRole.USER if kind == "mcp_approval_response" else MessageRole.ASSISTANT


def _plain_message(message: Message) -> Json:
    return {"role": role_text(message), "content": message.content}


def _own(message: Message) -> Json | None:
    """Return the item that a message is already, or None if it has to be converted."""
    item = responses_item(message)
    if item is not None:
        return item
    note = note_of(message, RESPONSES_NOTE)
    if note is not None:
        match note.get("item"):
            case "function_call":
                plain = _plain_call(message)
                return None if plain is None else restore(note, plain, CALL_KEYS)
            case "function_call_output":
                plain = {"type": _OUTPUT, "call_id": message.tool_call_id, "output": message.content}
                return restore(note, plain, OUTPUT_KEYS)
        return restore(note, _plain_message(message), MESSAGE_KEYS)
    fields = (message.name, message.tool_calls, message.function_call, message.tool_call_id)
    if any(value is not None for value in fields) or message.role not in ROLES or message.content is None:
        return None
    if isinstance(message.content, list) and not all(map(_is_own_block, message.content)):
        return None
    return _plain_message(message)


def _plain_call(message: Message) -> Json | None:
    calls = message.tool_calls
    if not isinstance(calls, list) or len(calls) != 1 or not isinstance(calls[0], dict) or message.content:
        return None
    function = calls[0].get("function")
    if not isinstance(function, dict):
        return None
    name, arguments = function.get("name"), function.get("arguments")
    return {"type": _CALL, "call_id": calls[0].get("id"), "name": name, "arguments": arguments}


def _is_own_block(block: object) -> bool:
    if not isinstance(block, dict):
        return False
    kind = block.get("type")
    return family(block) == RESPONSES_NOTE or (isinstance(kind, str) and kind in _SHARED_TYPES)


def _convert(message: Message, ids: CallIds, losses: Losses) -> list[Json]:
    parts = parts_of(message)
    found: list[Json] = []
    said: list[Part] = []
    role = "user" if message.role in RESULT_ROLES else role_text(message)
    if message.name is not None:
        if message.role in RESULT_ROLES:
            losses.add("name", "the call names the tool", "form")
        else:
            losses.add("name", "items have no name", "detail")
    if role not in ROLES:
        losses.add("role", "the API knows no such role", "detail")
        role = "assistant"
    for part in parts:
        if isinstance(part, Result):
            found.append(_output(part, ids, losses))
        elif not isinstance(part, Call):
            said.append(part)
    if isinstance(message.content, str) and said and len(parts) - len(said) == sum(isinstance(p, Call) for p in parts):
        found.append({"role": role, "content": message.content})
        for part in said[1:]:
            found[-1]["content"] += _text_of(part, losses)
    elif said:
        blocks = [block for part in said if (block := _block(part, role, losses)) is not None]
        found += [{"role": role, "content": blocks}] if blocks else []
    found += [_call(part, ids, losses) for part in parts if isinstance(part, Call)]
    if not parts:
        found.append({"role": role, "content": ""})
    return found


def _text_of(part: Part, losses: Losses) -> str:
    if isinstance(part, Text):
        report_extras(part.extra, losses)
        return "\n" + part.text
    lost(part, "text", losses)
    return ""


def _call(part: Call, ids: CallIds, losses: Losses) -> Json:
    report_extras(part.extra, losses)
    if part.custom:
        return {"type": "custom_tool_call", "call_id": ids.call(part), "name": part.name, "input": part.arguments}
    call_id = ids.call(part)
    return {"type": _CALL, "call_id": call_id, "name": part.name, "arguments": arguments_text(part)}


def _output(part: Result, ids: CallIds, losses: Losses) -> Json:
    report_extras(part.extra, losses)
    if part.is_error:
        losses.add("is_error", "an output has no sign of failure besides its text", "detail")
    output: str | list[Json]
    if len(part.content) == 1 and isinstance(part.content[0], Text) and not part.content[0].extra:
        output = part.content[0].text
    else:
        blocks = (_block(inner, "user", losses) for inner in part.content)
        output = [block for block in blocks if block is not None] or ""
    call_id = ids.answer(part)
    return {
        "type": "custom_tool_call_output" if ids.is_custom(call_id) else _OUTPUT,
        "call_id": call_id,
        "output": output,
    }


def _block(part: Part, role: str, losses: Losses) -> Json | None:
    said = role == MessageRole.ASSISTANT
    if isinstance(part, Text):
        report_extras(part.extra, losses, ("refusal",))
        if said and part.extra.get("refusal") is True:
            return {"type": "refusal", "refusal": part.text}
        return {"type": "output_text" if said else "input_text", "text": part.text}
    if isinstance(part, Media) and not said:
        block = _media(part)
        if block is not None:
            report_extras(part.extra, losses)
            return block
    lost(part, "a message of the assistant" if said else "an item", losses)
    return None


def _media(part: Media) -> Json | None:
    address = part.url if part.data is None else f"data:{part.mime or ''};base64,{part.data}"
    own_file = part.file_id is not None and part.owner == OPENAI_NOTE
    if part.kind == "image" and (own_file or address is not None):
        place = {"file_id": part.file_id} if own_file else {"image_url": address}
        return {"type": "input_image", **place, **({"detail": part.detail} if part.detail else {})}
    if part.kind == "audio" and part.data is not None and part.mime in AUDIO_FORMATS:
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": AUDIO_FORMATS[part.mime]}}
    if part.kind == "file" and (own_file or address is not None):
        name = {"filename": part.name} if part.name else {}
        if own_file:
            return {"type": "input_file", "file_id": part.file_id, **name}
        return {"type": "input_file", **name, "file_url" if part.data is None else "file_data": address}
    return None
