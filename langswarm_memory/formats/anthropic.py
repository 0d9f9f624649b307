"""Messages of the Anthropic API, and back. One message of theirs is one message of ours, its blocks the content."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import InvalidInputError
from ..interfaces.enums import RESULT_ROLES, SYSTEM_ROLES, MessageRole
from ..interfaces.message import Message
from .losses import UNHEARD, Losses
from .notes import ANTHROPIC_NOTE, Json, mark_given, note_of, responses_item, role_text, set_note, take_note
from .parts import Call, Media, Part, Result, Text, family
from .reading import parts_of
from .turns import SYSTEM, TurnForm, assemble
from .writing import CallIds, arguments_object, in_own_form, lost, report_extras

ANTHROPIC_KEYS = ("role", "content")
TURNS = TurnForm(ANTHROPIC_NOTE, "content", "assistant", ("tool_result",))

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


class AnthropicMessages(list[dict[str, Any]]):
    """A list for ``messages=``, with what belongs into ``system=`` in ``.system``: text, blocks, or None."""

    system: str | list[Any] | None = None


def from_anthropic(data: dict[str, Any], **fields: Any) -> Message:
    """Build a message from Anthropic's form: a message of a request, or a whole reply with its id and usage.

    Text or blocks become the content as they are; thinking and its signatures, ``cache_control`` and blocks this
    package has never heard of are kept. Other keys and their order are noted in ``metadata["anthropic"]``.

    Args:
        data: The provider's message.
        **fields: Fields the form lacks: timestamp, message_id, metadata, token_count.

    Raises:
        InvalidInputError: `data` is no JSON object or has no role.
    """
    if not isinstance(data, dict) or "role" not in data:
        raise InvalidInputError("an Anthropic message is a JSON object with at least 'role'")
    metadata = dict(fields.pop("metadata", None) or {})
    message = Message(data["role"], data.get("content"), **fields)
    message.metadata = metadata
    set_note(message, ANTHROPIC_NOTE, take_note(data, _plain(message), to_anthropic(message), ANTHROPIC_KEYS))
    return message


def to_anthropic(message: Message) -> dict[str, Any]:
    """Return one message in Anthropic Messages form.

    A message that came from :func:`from_anthropic` gives the same JSON again. Of the others, tool calls become
    ``tool_use`` blocks of an assistant turn and tool results ``tool_result`` blocks of a user turn. That form has no
    system role: system text belongs beside the list, see :func:`messages_to_anthropic_format`.
    """
    (turn,) = write_anthropic(message, CallIds())
    if turn.get("role") == SYSTEM and note_of(message, ANTHROPIC_NOTE) is None:
        return {**turn, "role": "assistant"}
    return turn


def messages_from_anthropic(
    messages: Iterable[dict[str, Any]], system: str | Sequence[dict[str, Any]] | None = None
) -> list[Message]:
    """Build the messages of a conversation in Anthropic's form.

    Args:
        messages: What was, or would be, given as ``messages=``.
        system: What was given as ``system=``; it becomes a system message before the others.

    Raises:
        InvalidInputError: A message is no JSON object or has no role.
    """
    given = list(messages)
    found = [from_anthropic(data) for data in given]
    mark_given(found, [data["role"] for data in given], ANTHROPIC_NOTE, TURNS.assistant)
    if system is None:
        return found
    first = Message(MessageRole.SYSTEM, system if isinstance(system, str) else list(system))
    if not system or _system([(first, write_anthropic(first, CallIds())[0])]) != first.content:
        set_note(first, ANTHROPIC_NOTE, {"system": True})
    return [first, *found]


def messages_to_anthropic_format(messages: Iterable[Message]) -> AnthropicMessages:
    """Return the messages in Anthropic Messages form, system text beside the list.

    What came from :func:`messages_from_anthropic` goes out exactly. The rest is converted so that the API takes it:
    the user begins, roles alternate, and all results of parallel calls are in one user turn.
    """
    given, ids = list(messages), CallIds()
    return join_anthropic(given, [write_anthropic(message, ids) for message in given])


def join_anthropic(messages: list[Message], written: list[list[Json]], losses: Losses = UNHEARD) -> AnthropicMessages:
    """Return the conversation that the written messages make up."""
    turns, systems = assemble(TURNS, messages, written, losses)
    result = AnthropicMessages(turns)
    result.system = _system(systems)
    return result


def create_anthropic_message(role: str, content: Any, **kwargs: Any) -> Message:
    """Build a message from an Anthropic role and content (text or blocks). ``human`` is user, ``ai`` assistant."""
    return Message(role=role, content=content, **kwargs)


def write_anthropic(message: Message, ids: CallIds, losses: Losses = UNHEARD) -> list[Json]:
    """Return the turn that a stored message becomes."""
    own = in_own_form(message, ids, _plain(message), note=ANTHROPIC_NOTE, keys=ANTHROPIC_KEYS, is_own=_is_own(message))
    return [own] if own is not None else [_convert(message, ids, losses)]


def _plain(message: Message) -> Json:
    return {"role": role_text(message), "content": message.content}


def _is_own(message: Message) -> bool:
    if message.role not in (MessageRole.USER, MessageRole.ASSISTANT, MessageRole.SYSTEM):
        return False
    fields = (message.name, message.tool_calls, message.function_call, message.tool_call_id)
    if any(value is not None for value in fields) or responses_item(message) is not None:
        return False
    content = message.content
    return isinstance(content, str) or (isinstance(content, list) and all(map(_is_own_block, content)))


def _is_own_block(block: object) -> bool:
    return isinstance(block, dict) and (block.get("type") == "text" or family(block) == ANTHROPIC_NOTE)


def _system(systems: list[tuple[Message, Json]]) -> str | list[Any] | None:
    if len(systems) == 1 and note_of(systems[0][0], ANTHROPIC_NOTE) is not None:
        return systems[0][0].content
    contents = [turn["content"] for _, turn in systems if turn["content"]]
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(contents) or None
    return [block for content in contents for block in TURNS.blocks(content)]


def _convert(message: Message, ids: CallIds, losses: Losses) -> Json:
    parts = parts_of(message)
    role = _role(message, losses)
    if message.name is not None:
        if message.role in RESULT_ROLES:
            losses.add("name", "the call names the tool", "form")
        else:
            losses.add("name", "messages have no name", "detail")
    if isinstance(message.content, str) and len(parts) == 1 and isinstance(parts[0], Text):
        return {"role": role, "content": message.content}
    # Results come first: the API demands it.
    parts.sort(key=lambda part: not isinstance(part, Result))
    blocks = [block for part in parts if (block := _block(part, role, ids, losses)) is not None]
    return {"role": role, "content": blocks or ""}


def _role(message: Message, losses: Losses) -> str:
    if message.role in RESULT_ROLES or message.role == MessageRole.USER:
        return "user"
    if message.role in SYSTEM_ROLES:
        if message.role == MessageRole.DEVELOPER:
            losses.add("role", "instructions of a developer become system text", "form")
        return SYSTEM
    if message.role != MessageRole.ASSISTANT:
        losses.add("role", "there are two roles, user and assistant", "detail")
    return "assistant"


def _block(part: Part, role: str, ids: CallIds, losses: Losses) -> Json | None:
    if isinstance(part, Text):
        report_extras(part.extra, losses)
        if part.text:
            return {"type": "text", "text": part.text}
        losses.add("empty text", "a block must hold text", "form")
        return None
    if isinstance(part, Call):
        report_extras(part.extra, losses)
        call = {"id": _id(ids.call(part), losses), "name": part.name, "input": arguments_object(part, losses)}
        return {"type": "tool_use", **call}
    if isinstance(part, Result):
        report_extras(part.extra, losses)
        return _result(part, ids, losses)
    if isinstance(part, Media) and role == "user":
        block = _media(part)
        if block is not None:
            report_extras({**part.extra, "detail": part.detail}, losses)
            return block
    lost(part, "a turn of the user" if role == "user" else f"{role} text", losses)
    return None


def _result(part: Result, ids: CallIds, losses: Losses) -> Json:
    found: Json = {"type": "tool_result", "tool_use_id": _id(ids.answer(part), losses)}
    if len(part.content) == 1 and isinstance(part.content[0], Text) and not part.content[0].extra:
        found["content"] = part.content[0].text
    else:
        blocks = (_block(inner, "user", ids, losses) for inner in part.content)
        found["content"] = [block for block in blocks if block is not None] or ""
    if part.is_error:
        found["is_error"] = True
    return found


def _media(part: Media) -> Json | None:
    kind = {"image": "image", "file": "document"}.get(part.kind)
    if kind is None:
        return None
    title = {"title": part.name} if part.name and kind == "document" else {}
    if part.file_id is not None and part.owner == ANTHROPIC_NOTE:
        return {"type": kind, "source": {"type": "file", "file_id": part.file_id}, **title}
    if part.url is not None:
        return {"type": kind, "source": {"type": "url", "url": part.url}, **title}
    if part.data is None:
        return None
    if kind == "image" or part.mime == "application/pdf":
        source = {"type": "base64", "media_type": part.mime or "image/png", "data": part.data}
        return {"type": kind, "source": source, **title}
    text = _decoded(part.data) if part.mime == "text/plain" else None
    if text is None:
        return None
    return {"type": kind, "source": {"type": "text", "media_type": "text/plain", "data": text}, **title}


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except ValueError:
        return None


def _id(call_id: str, losses: Losses) -> str:
    """Return an id of the letters that the API takes; the hash keeps two ids apart."""
    if call_id and not _NOT_IN_IDS.search(call_id):
        return call_id
    losses.add("id", "an id consists of letters, digits, _ and -", "form")
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_NOT_IN_IDS.sub('_', call_id)}_{digest}"
