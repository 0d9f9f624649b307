"""What a conversion will lose, told before it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..errors import InvalidInputError
from ..interfaces.message import Message
from .anthropic import join_anthropic, messages_from_anthropic, write_anthropic
from .gemini import join_gemini, messages_from_gemini, write_gemini
from .losses import Losses, LossReport
from .notes import ANTHROPIC_NOTE, GEMINI_NOTE, OPENAI_NOTE, RESPONSES_NOTE, Json, is_given, note_of, same_json
from .openai_chat import join_openai, messages_from_openai, write_openai
from .openai_responses import join_responses, messages_from_responses, write_responses
from .parts import form_of
from .writing import CallIds, report_extras


class _Form(NamedTuple):
    write: Callable[[Message, CallIds, Losses], list[Json]]
    join: Callable[[list[Message], list[list[Json]], Losses], list[Json]]
    read: Callable[[list[Json]], list[Message]]


_FORMS = {
    OPENAI_NOTE: _Form(write_openai, join_openai, messages_from_openai),
    RESPONSES_NOTE: _Form(write_responses, join_responses, messages_from_responses),
    ANTHROPIC_NOTE: _Form(write_anthropic, join_anthropic, messages_from_anthropic),
    GEMINI_NOTE: _Form(write_gemini, join_gemini, messages_from_gemini),
}

PROVIDERS = tuple(_FORMS)
"""The providers :func:`loss_report` knows: ``openai``, ``openai_responses``, ``anthropic``, ``gemini``."""


def loss_report(messages: Iterable[Message], provider: str) -> LossReport:
    """Return what the messages would lose in a provider's form, without sending anything anywhere.

    The report is made by the converters themselves. What they do not name is found by converting each message there
    and back: if it then differs from what its own provider gave, the report has it as ``"spelling"``. So an empty
    report means that the conversation comes back from `provider` as the same JSON.

    Args:
        messages: A conversation, in its order.
        provider: ``"openai"``, ``"openai_responses"``, ``"anthropic"`` or ``"gemini"``.

    Raises:
        InvalidInputError: There is no such provider.
    """
    if provider not in _FORMS:
        raise InvalidInputError("no such provider format", suggestion="use one of " + ", ".join(PROVIDERS))
    target, given = _FORMS[provider], list(messages)
    losses, ids = Losses(), CallIds()
    written: list[list[Json]] = []
    for index, message in enumerate(given):
        losses.at(index, message.message_id)
        form, known = form_of(message), len(losses.found)
        if form != provider:
            note = note_of(message, form)
            # A spoken reply is told of as a part.
            report_extras((note.get("extra") or {}) if note else {}, losses, ("audio",))
            if is_given(message, form):
                losses.add("borders", "turns out of the usual order are set right when they come back", "form")
        found = target.write(message, ids, losses)
        written.append(found)
        if form == provider or len(losses.found) > known:
            continue
        if not same_json(_whole(_FORMS[form], [message], ids), _whole(_FORMS[form], target.read(found), ids)):
            losses.add("spelling", "the same is written otherwise, so it does not come back as it was", "form")
    target.join(given, written, losses)
    return LossReport(provider, tuple(sorted(losses.found, key=lambda loss: loss.index)))


def _whole(form: _Form, messages: list[Message], ids: CallIds) -> list[Any]:
    """Return all that a provider would be given: its list, and what stands beside it."""
    own, unheard = ids.copy(), Losses()
    found = form.join(messages, [form.write(message, own, unheard) for message in messages], unheard)
    return [found, getattr(found, "system", None), getattr(found, "system_instruction", None)]
