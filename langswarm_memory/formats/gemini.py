"""Contents of the Gemini API, and back. One content of theirs is one message of ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import InvalidInputError
from ..interfaces.enums import RESULT_ROLES, SYSTEM_ROLES, MessageRole
from ..interfaces.message import Message
from .losses import UNHEARD, Losses
from .notes import GEMINI_NOTE, Json, mark_given, note_of, responses_item, restore, role_text, set_note, take_note
from .parts import Call, Media, Part, Result, Text, family
from .reading import parts_of
from .turns import SYSTEM, TurnForm, assemble
from .writing import CallIds, arguments_object, in_own_form, lost, report_extras

GEMINI_KEYS = ("role", "parts")
TURNS = TurnForm(GEMINI_NOTE, "parts", "model", ("functionResponse", "function_response"))

_SYSTEM_KEYS = ("parts",)


class GeminiContents(list[dict[str, Any]]):
    """A list for ``contents``, with what belongs into ``system_instruction`` beside it: a content, text, or None."""

    system_instruction: dict[str, Any] | str | None = None


def from_gemini(data: dict[str, Any], **fields: Any) -> Message:
    """Build a message from a Gemini content.

    A single part of text becomes the content as text, everything else as the list of parts: calls, responses, inline
    data, files and thought signatures stay as they are. Role ``model`` is assistant.

    Args:
        data: The provider's content.
        **fields: Fields the form lacks: timestamp, message_id, metadata, token_count.

    Raises:
        InvalidInputError: `data` is no JSON object or has no parts.
    """
    if not isinstance(data, dict) or "parts" not in data:
        raise InvalidInputError("a Gemini content is a JSON object with at least 'parts'")
    metadata = dict(fields.pop("metadata", None) or {})
    message = Message(data.get("role") or MessageRole.USER, _content(data["parts"]), **fields)
    message.metadata = metadata
    set_note(message, GEMINI_NOTE, take_note(data, _plain(message), to_gemini(message), GEMINI_KEYS))
    return message


def to_gemini(message: Message) -> dict[str, Any]:
    """Return one message as a Gemini content.

    A message that came from :func:`from_gemini` gives the same JSON again. System text belongs beside the list, see
    :func:`messages_to_gemini_format`.
    """
    (content,) = write_gemini(message, CallIds())
    return content


def messages_from_gemini(
    contents: Iterable[dict[str, Any]], system_instruction: dict[str, Any] | str | None = None
) -> list[Message]:
    """Build the messages of a conversation in Gemini's form.

    Args:
        contents: What was, or would be, given as ``contents``.
        system_instruction: What was given as such; it becomes a system message before the others.

    Raises:
        InvalidInputError: A content is no JSON object or has no parts.
    """
    given = list(contents)
    found = [from_gemini(data) for data in given]
    mark_given(found, [data.get("role", "user") for data in given], GEMINI_NOTE, TURNS.assistant)
    if system_instruction is None:
        return found
    if isinstance(system_instruction, str):
        first = Message(MessageRole.SYSTEM, system_instruction)
        set_note(first, GEMINI_NOTE, {"system": True})
        return [first, *found]
    if not isinstance(system_instruction, dict) or "parts" not in system_instruction:
        raise InvalidInputError("a system instruction is text, or a JSON object with 'parts'")
    first = Message(MessageRole.SYSTEM, _content(system_instruction["parts"]))
    usual = _system([(first, write_gemini(first, CallIds())[0])])
    plain = {"parts": _plain(first)["parts"]}
    set_note(first, GEMINI_NOTE, take_note(system_instruction, plain, usual, _SYSTEM_KEYS))
    return [first, *found]


def messages_to_gemini_format(messages: Iterable[Message]) -> GeminiContents:
    """Return the messages as Gemini contents, the system instruction beside the list.

    What came from :func:`messages_from_gemini` goes out exactly. The rest is converted: the user begins, roles
    alternate, and all responses to parallel calls are in one content.
    """
    given, ids = list(messages), CallIds()
    return join_gemini(given, [write_gemini(message, ids) for message in given])


def join_gemini(messages: list[Message], written: list[list[Json]], losses: Losses = UNHEARD) -> GeminiContents:
    """Return the conversation that the written messages make up."""
    turns, systems = assemble(TURNS, messages, written, losses)
    result = GeminiContents(turns)
    result.system_instruction = _system(systems)
    return result


def write_gemini(message: Message, ids: CallIds, losses: Losses = UNHEARD) -> list[Json]:
    """Return the content that a stored message becomes."""
    own = in_own_form(message, ids, _plain(message), note=GEMINI_NOTE, keys=GEMINI_KEYS, is_own=_is_own(message))
    return [own] if own is not None else [_convert(message, ids, losses)]


def _content(parts: Any) -> Any:
    if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], dict) and list(parts[0]) == ["text"]:
        text = parts[0]["text"]
        if isinstance(text, str) and text:
            return text
    return parts


def _plain(message: Message) -> Json:
    role = "model" if message.role == MessageRole.ASSISTANT else role_text(message)
    content = message.content
    return {"role": role, "parts": [{"text": content}] if isinstance(content, str) else content}


def _is_own(message: Message) -> bool:
    if message.role not in (MessageRole.USER, MessageRole.ASSISTANT, MessageRole.SYSTEM):
        return False
    fields = (message.name, message.tool_calls, message.function_call, message.tool_call_id)
    if any(value is not None for value in fields) or responses_item(message) is not None:
        return False
    content = message.content
    if isinstance(content, str):
        return bool(content)
    return isinstance(content, list) and all(family(block) == GEMINI_NOTE for block in content)


def _system(systems: list[tuple[Message, Json]]) -> Json | str | None:
    if len(systems) == 1:
        message, turn = systems[0]
        note = note_of(message, GEMINI_NOTE)
        if note is not None:
            if note.get("system") is True:
                return message.text
            return restore(note, {"parts": turn.get("parts")}, _SYSTEM_KEYS)
    parts = [part for _, turn in systems for part in turn["parts"]]
    return {"parts": parts} if parts else None


def _convert(message: Message, ids: CallIds, losses: Losses) -> Json:
    parts = parts_of(message)
    role = _role(message, losses)
    if message.name is not None and message.role not in RESULT_ROLES:
        losses.add("name", "contents have no name", "detail")
    parts.sort(key=lambda part: not isinstance(part, Result))
    found = [block for part in parts for block in _parts(part, role, ids, losses)]
    return {"role": role, "parts": found}


def _role(message: Message, losses: Losses) -> str:
    if message.role in RESULT_ROLES or message.role == MessageRole.USER:
        return "user"
    if message.role in SYSTEM_ROLES:
        if message.role == MessageRole.DEVELOPER:
            losses.add("role", "instructions of a developer become the system instruction", "form")
        return SYSTEM
    if message.role != MessageRole.ASSISTANT:
        losses.add("role", "there are two roles, user and model", "detail")
    return "model"


def _parts(part: Part, role: str, ids: CallIds, losses: Losses) -> list[Json]:
    if isinstance(part, Text):
        report_extras(part.extra, losses)
        if not part.text:
            losses.add("empty text", "a part must hold text", "form")
        return [{"text": part.text}] if part.text else []
    if isinstance(part, Call):
        report_extras(part.extra, losses)
        call = {"id": ids.call(part), "name": part.name, "args": arguments_object(part, losses)}
        return [{"functionCall": call}]
    if isinstance(part, Result):
        report_extras(part.extra, losses)
        return _response(part, ids, losses)
    block = _media(part) if isinstance(part, Media) and role != SYSTEM else None
    if isinstance(part, Media) and block is not None:
        report_extras({**part.extra, "detail": part.detail}, losses)
        return [block]
    lost(part, "a part", losses)
    return []


def _response(part: Result, ids: CallIds, losses: Losses) -> list[Json]:
    texts = [inner for inner in part.content if isinstance(inner, Text)]
    for text in texts:
        report_extras(text.extra, losses)
    beside = []
    for inner in part.content:
        if not isinstance(inner, Text):
            losses.add("tool result", "a response is text: the rest follows as parts of the same content", "detail")
            beside += _parts(inner, "user", ids, losses)
    if len(texts) != 1:
        losses.add("borders", "the blocks of a result become one text", "form")
    call_id = ids.answer(part)
    name = ids.name(part, call_id)
    if not name:
        losses.add("name", "a response names its function, and the call is not there", "detail")
    output = "\n".join(text.text for text in texts)
    response = {"id": call_id, "name": name or "unknown", "response": {"error" if part.is_error else "output": output}}
    return [{"functionResponse": response}, *beside]


def _media(part: Media) -> Json | None:
    if part.data is not None:
        return {"inlineData": {"mimeType": part.mime or "application/octet-stream", "data": part.data}}
    if part.url is not None:
        return {"fileData": {**({"mimeType": part.mime} if part.mime else {}), "fileUri": part.url}}
    return None
