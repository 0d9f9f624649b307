"""Reads stored messages of any form into parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

from ..interfaces.enums import RESULT_ROLES
from ..interfaces.message import Message
from .notes import ANTHROPIC_NOTE, OPENAI_NOTE, Json, compact, note_of, responses_item
from .parts import GEMINI_PARTS, Call, Media, Opaque, Part, Result, Text, gemini_kind

_DATA_URL = re.compile(r"data:([^;,]*);base64,(.*)", re.DOTALL)


def parts_of(message: Message) -> list[Part]:
    """Read a stored message of any form."""
    item = responses_item(message)
    if item is not None:
        return [_item(item)]
    found = list(_content(message.content))
    note = note_of(message, OPENAI_NOTE) or {}
    extra = note.get("extra") or {}
    if isinstance(extra.get("refusal"), str):
        found.append(Text(extra["refusal"], {"refusal": True}))
    if isinstance(extra.get("audio"), dict):
        found.append(Opaque("audio"))
    if message.role in RESULT_ROLES and not any(isinstance(part, Result) for part in found):
        found = [Result(_maybe(message.tool_call_id), _maybe(message.name), tuple(found))]
    calls = message.tool_calls if isinstance(message.tool_calls, list) else []
    found += [_chat_call(call) if isinstance(call, dict) else Opaque("tool_calls") for call in calls]
    if isinstance(message.function_call, dict) and message.function_call:
        found.append(Call(None, _text(message.function_call.get("name")), message.function_call.get("arguments")))
    return found


def _content(content: object) -> Iterable[Part]:
    return [_block(block) for block in _as_list(content)]


def _as_list(content: object) -> list[Any]:
    if isinstance(content, list):
        return content
    return [content] if isinstance(content, str) and content else []


def _block_of_result(block: object) -> Part:
    # Results hold no results: data that says otherwise is not followed down.
    if isinstance(block, dict) and block.get("type") == "tool_result":
        return Opaque("tool_result")
    return _block(block)


def _block(block: object) -> Part:
    if isinstance(block, str):
        return Text(block)
    if not isinstance(block, dict):
        return Opaque("block")
    kind = block.get("type")
    if isinstance(kind, str):
        reader = _READERS.get(kind)
        return (reader(block) if reader else None) or Opaque(kind)
    kind = gemini_kind(block)
    return _gemini(block, kind) if kind else Opaque("block")


def _rest(block: Json, *known: str) -> Json:
    return {key: value for key, value in block.items() if key not in known}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _maybe(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _plain_text(block: Json) -> Part | None:
    text = block.get("text")
    return Text(text, _rest(block, "type", "text")) if isinstance(text, str) else None


def _refusal(block: Json) -> Part | None:
    text = block.get("refusal")
    return Text(text, {"refusal": True}) if isinstance(text, str) else None


def _url(kind: Literal["image", "file"], url: object, **fields: Any) -> Media | None:
    if not isinstance(url, str):
        return None
    found = _DATA_URL.fullmatch(url)
    if found:
        return Media(kind, mime=found[1] or None, data=found[2], **fields)
    return Media(kind, url=url, **fields)


def _image_url(block: Json) -> Part | None:
    image = block.get("image_url")
    if not isinstance(image, dict):
        return None
    return _url("image", image.get("url"), detail=_maybe(image.get("detail")), extra=_rest(block, "type", "image_url"))


def _input_image(block: Json) -> Part | None:
    detail, extra = _maybe(block.get("detail")), _rest(block, "type", "image_url", "file_id", "detail")
    if isinstance(block.get("file_id"), str):
        return Media("image", file_id=block["file_id"], detail=detail, extra=extra)
    return _url("image", block.get("image_url"), detail=detail, extra=extra)


def _input_audio(block: Json) -> Part | None:
    audio = block.get("input_audio")
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        return None
    return Media("audio", mime=f"audio/{_text(audio.get('format')) or 'wav'}", data=audio["data"])


def _file(block: Json) -> Part | None:
    inner = block.get("file")
    file = inner if isinstance(inner, dict) else block
    name = _maybe(file.get("filename"))
    extra = _rest(block, "type", "file", "file_id", "file_data", "file_url", "filename")
    if isinstance(file.get("file_id"), str):
        return Media("file", file_id=file["file_id"], name=name, extra=extra)
    return _url("file", file.get("file_data") or file.get("file_url"), name=name, extra=extra)


def _source(kind: Literal["image", "file"], block: Json) -> Part | None:
    source = block.get("source")
    if not isinstance(source, dict):
        return None
    name, extra = _maybe(block.get("title")), _rest(block, "type", "source", "title")
    match source.get("type"):
        case "base64" if isinstance(source.get("data"), str):
            mime = _maybe(source.get("media_type"))
            return Media(kind, mime=mime, data=source["data"], name=name, extra=extra)
        case "url" if isinstance(source.get("url"), str):
            return Media(kind, url=source["url"], name=name, extra=extra)
        case "file" if isinstance(source.get("file_id"), str):
            return Media(kind, file_id=source["file_id"], name=name, owner=ANTHROPIC_NOTE, extra=extra)
        case "text" if isinstance(source.get("data"), str):
            return Text(source["data"], {"document": True, **extra})
    return None


def _tool_use(block: Json) -> Part:
    extra = _rest(block, "type", "id", "name", "input")
    return Call(_maybe(block.get("id")), _text(block.get("name")), block.get("input"), extra=extra)


def _tool_result(block: Json) -> Part:
    extra = _rest(block, "type", "tool_use_id", "content", "is_error")
    content = tuple(_block_of_result(inner) for inner in _as_list(block.get("content")))
    return Result(_maybe(block.get("tool_use_id")), None, content, block.get("is_error") is True, extra)


_READERS: dict[str, Callable[[Json], Part | None]] = {
    "text": _plain_text,
    "input_text": _plain_text,
    "output_text": _plain_text,
    "refusal": _refusal,
    "image_url": _image_url,
    "input_image": _input_image,
    "input_audio": _input_audio,
    "file": _file,
    "input_file": _file,
    "image": lambda block: _source("image", block),
    "document": lambda block: _source("file", block),
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}


def _chat_call(call: Json) -> Part:
    function = call.get("function")
    if isinstance(function, dict):
        extra = {**_rest(call, "id", "type", "function"), **_rest(function, "name", "arguments")}
        return Call(_maybe(call.get("id")), _text(function.get("name")), function.get("arguments"), extra=extra)
    custom = call.get("custom")
    if isinstance(custom, dict):
        return Call(_maybe(call.get("id")), _text(custom.get("name")), custom.get("input"), custom=True)
    return Opaque("tool_calls")


def _item(item: Json) -> Part:
    match item.get("type"):
        case "custom_tool_call":
            return Call(_maybe(item.get("call_id")), _text(item.get("name")), item.get("input"), custom=True)
        case "custom_tool_call_output":
            return Result(_maybe(item.get("call_id")), None, tuple(_content(item.get("output"))))
    return Opaque(_text(item.get("type")) or "item_reference")


def _gemini(part: Json, kind: str) -> Part:
    key = next(name for name, known in GEMINI_PARTS.items() if known == kind and name in part)
    value, extra = part[key], _rest(part, key)
    if part.get("thought") is True:
        return Opaque("thought")
    if kind == "text":
        return Text(value, extra) if isinstance(value, str) else Opaque("text")
    if not isinstance(value, dict):
        return Opaque(kind)
    mime = _maybe(value.get("mimeType", value.get("mime_type")))
    if kind == "inlineData" and isinstance(value.get("data"), str):
        return Media(_kind_of(mime), mime=mime, data=value["data"], name=_maybe(value.get("displayName")), extra=extra)
    if kind == "fileData":
        url = value.get("fileUri", value.get("file_uri"))
        return Media(_kind_of(mime), mime=mime, url=url, extra=extra) if isinstance(url, str) else Opaque(kind)
    if kind == "functionCall":
        extra = {**extra, **_rest(value, "id", "name", "args")}
        return Call(_maybe(value.get("id")), _text(value.get("name")), value.get("args"), extra=extra)
    if kind == "functionResponse":
        return _gemini_result(value, extra)
    return Opaque(kind)


def _gemini_result(value: Json, extra: Json) -> Part:
    response = value.get("response")
    extra = {**extra, **_rest(value, "id", "name", "response")}
    content: tuple[Part, ...] = ()
    failed = False
    if isinstance(response, dict) and len(response) == 1:
        (key,) = response
        if key in ("output", "error", "result") and isinstance(response[key], str):
            content, failed = (Text(response[key]),), key == "error"
    if not content and response is not None:
        content = (Text(compact(response)),)
    return Result(_maybe(value.get("id")), _maybe(value.get("name")), content, failed, extra)


def _kind_of(mime: str | None) -> Literal["image", "audio", "file"]:
    kind = (mime or "").partition("/")[0]
    return "image" if kind == "image" else "audio" if kind == "audio" else "file"
