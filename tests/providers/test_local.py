"""The local provider: what it finds is right, and what it cannot know it does not invent."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory import MemoryConfigurationError, Message, MissingDependencyError
from langswarm_memory.providers import LocalProvider, libraries
from tests.providers.sessions import WEDNESDAY, said

AIRLINE = Path(__file__).resolve().parents[3] / "shared" / "data" / "airline-openai.json"


async def entities(*messages: Message, **options: Any) -> list[dict[str, Any]]:
    return await LocalProvider(**options).extract_entities(list(messages))


async def found(text: str, **options: Any) -> list[tuple[str, str]]:
    """Return the type and text of every entity in an English sentence."""
    english = said("assistant", "I would like to help you with that, please tell me what happened.")
    return [(one["type"], one["text"]) for one in await entities(said("user", text), english, **options)]


# --- forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to a.b+c@Mail.Example.COM.", ["a.b+c@Mail.Example.COM"]),
        ("<x@bücher.example>, y@a.b.example!", ["x@bücher.example", "y@a.b.example"]),
        ("x@y, @home, a@b@c.example, 3@4", []),
    ],
)
async def test_emails(text: str, expected: list[str]) -> None:
    assert await found(text) == [("email", one) for one in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://a.example/x_(y), please", ["https://a.example/x_(y)"]),
        ("(http://b.example/q?a=1&b=2).", ["http://b.example/q?a=1&b=2"]),
        ("http:// and www and a.b", []),
    ],
)
async def test_urls(text: str, expected: list[str]) -> None:
    assert await found(text) == [("url", one) for one in expected]


async def test_address_inside_a_url_is_no_second_entity() -> None:
    assert await found("open https://a.example/?to=x@b.example") == [("url", "https://a.example/?to=x@b.example")]


async def test_national_number_is_no_phone_without_a_region() -> None:
    assert await found("call (212) 736-5000") == []


async def test_national_number_is_normalised_with_a_region() -> None:
    (one,) = await entities(said("user", "call (212) 736-5000"), region="us")
    assert one["value"] == "+12127365000"


async def test_domain_alone_is_compared_without_case() -> None:
    values = [one["value"] for one in await entities(said("user", "Mia@Example.com Mia@example.com mia@example.com"))]
    assert values == ["Mia@example.com", "mia@example.com"]


async def test_mentions_point_into_the_text() -> None:
    messages = [said("user", "I am x@b.example"), said("tool", '{"email": "x@b.example"}')]
    (one,) = await entities(*messages)
    by_id = {message.message_id: message.text for message in messages}
    assert [by_id[at["message_id"]][at["start"] : at["end"]] for at in one["mentions"]] == ["x@b.example"] * 2


async def test_instructions_are_not_searched() -> None:
    assert await entities(said("system", "Write to x@b.example")) == []


# --- dates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written", "value"),
    [
        ("I want to fly on May 20th, 2024 and come back.", "May 20th, 2024", "2024-05-20"),
        ("The delivery was expected on 2024-05-17 at the latest.", "2024-05-17", "2024-05-17"),
        ("The delivery was expected by 13/06/2024 at the latest.", "13/06/2024", "2024-06-13"),
        ("Please send the parcel again tomorrow, thank you.", "tomorrow", "2024-05-16"),
        ("I would like to travel next Friday with my wife.", "next Friday", "2024-05-17"),
        ("I wrote to you about this 3 days ago, no answer.", "3 days ago", "2024-05-12"),
        ("Leaving on May 20, 2024, at 3:30 PM as booked.", "May 20, 2024, at 3:30 PM", "2024-05-20T15:30:00"),
        ("Leaving on May 20, 2024, at 3 PM EST as booked.", "May 20, 2024, at 3 PM EST", "2024-05-20T15:00:00-05:00"),
    ],
)
async def test_date_has_one_value(text: str, written: str, value: str) -> None:
    assert [(one["text"], one["value"]) for one in await entities(said("user", text))] == [(written, value)]


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("I want to travel on 05/06/2024 with my wife.", ["2024-05-06", "2024-06-05"]),
        ("I want to travel on May 20 with my wife.", ["2023-05-20", "2024-05-20"]),
        ("I want to travel on Friday with my wife.", ["2024-05-10", "2024-05-17"]),
    ],
)
async def test_date_with_two_readings_has_no_value(text: str, candidates: list[str]) -> None:
    (one,) = await entities(said("user", text))
    assert (one["value"], one["candidates"], one["confidence"], one["unknown"]) == (None, candidates, 0.5, ["value"])


@pytest.mark.parametrize(
    "text",
    [
        "May I ask for 300 dollars for 2 people on flight HAT001 now?",
        "You can cancel within 24 hours of the booking, the fee is $30.",
        "The second one leaves at 10:30 in the morning, we sat there.",
        "I waited 3 days for the reservation in 7334, in May 2024.",
        "I will be back after we have lived there for a year, or 5 years.",
        "There is a 10% discount and a $30 fee, they told me.",
    ],
)
async def test_what_names_no_day_is_no_date(text: str) -> None:
    assert await entities(said("user", text)) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("I would like to travel next month with my wife.", "2024-06"),
        ("I would like to travel next week with my wife.", "2024-W21"),
        ("I travelled three years ago with my wife.", "2021"),
        ("I wrote to you last night about my parcel.", "2024-05-14"),
    ],
)
async def test_date_is_no_more_precise_than_what_was_said(text: str, value: str) -> None:
    assert [one["value"] for one in await entities(said("user", text))] == [value]


async def test_tomorrow_depends_on_where_the_user_is() -> None:
    message = said("user", "Please send the parcel again tomorrow, thank you.")
    (one,) = await entities(message, timezone=timezone(timedelta(hours=10)))
    assert one["value"] == "2024-05-17"  # there it is Thursday already


async def test_dates_are_read_in_the_language_of_the_conversation() -> None:
    text = "Guten Tag, ich möchte am 05.06.2024 nach Hamburg fahren und morgen wieder zurück."
    assert [one["value"] for one in await entities(said("user", text))] == ["2024-06-05", "2024-05-16"]


# --- analysis ------------------------------------------------------------------------------------------------------


async def analysed(*messages: Message) -> dict[str, Any]:
    return await LocalProvider().analyze_conversation(list(messages))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("I want to cancel my flight to Boston.", "en"),
        ("Ich möchte meinen Flug nach Hamburg stornieren.", "de"),
        ("Merci beaucoup pour votre aide, à demain.", "fr"),
    ],
)
async def test_language(text: str, code: str) -> None:
    assert (await analysed(said("user", text)))["language"]["value"] == code


@pytest.mark.parametrize("text", ["ok", "12345", "{}", "\ud800"])
async def test_language_of_no_words_is_unknown(text: str) -> None:
    assert "language" in (await analysed(said("user", text)))["unknown"]


@pytest.mark.parametrize(
    ("text", "sign"), [("This is a terrible service, I am very angry.", -1), ("Great, this is a wonderful help.", 1)]
)
async def test_sentiment_has_the_sign_of_the_words(text: str, sign: int) -> None:
    value = (await analysed(said("user", text)))["sentiment"]["value"]
    assert 0 < sign * value <= 1


async def test_sentiment_of_words_without_mood_is_unknown_not_neutral() -> None:
    assert "sentiment" in (await analysed(said("user", "Where is the parcel that was sent to Boston?")))["unknown"]


async def test_sentiment_is_the_users_alone() -> None:
    messages = [said("user", "Where is the parcel that was sent to Boston?"), said("assistant", "A terrible mistake!")]
    assert (await analysed(*messages))["sentiment"]["value"] is None


async def test_sentiment_of_another_language_is_unknown() -> None:
    found = await analysed(said("user", "Ich bin sehr wütend über diesen super terrible Service in Hamburg."))
    assert "sentiment" in found["unknown"]


async def test_what_needs_a_model_is_always_unknown() -> None:
    found = await analysed(said("user", "I want to cancel my flight to Boston."))
    assert {"intent", "resolved"} <= set(found["unknown"])


async def test_nothing_is_known_of_an_empty_conversation() -> None:
    found = await analysed()
    assert found["unknown"] == ["language", "sentiment", "topics", "summary", "intent", "resolved"]


# --- provider ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"region": "USA"}, {"region": "1!"}, {"expires_within": timedelta(-1)}])
def test_wrong_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(MemoryConfigurationError):
        LocalProvider(**options)


async def test_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "installed", lambda package: package != "phonenumbers")
    with pytest.raises(MissingDependencyError, match=r"phonenumbers.*langswarm-memory\[providers\]"):
        await entities(said("user", "call me"))


def test_capabilities_without_the_extra_are_those_over_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "installed", lambda package: False)
    assert LocalProvider().capabilities == ["suggest_actions", "get_insights"]


def test_importing_the_package_loads_no_provider() -> None:
    program = (
        "import sys, langswarm_memory; "
        "print([n for n in sys.modules if n.split('.')[0] in "
        "('py3langid', 'textblob', 'dateparser', 'phonenumbers') or n.startswith('langswarm_memory.providers')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_providers_loads_no_library() -> None:
    program = (
        "import sys\nfrom langswarm_memory.providers import LocalProvider, LLMProvider\nLocalProvider()\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('py3langid', 'textblob', 'dateparser', 'phonenumbers')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_fetched() -> None:
    program = """
import asyncio, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"the network was asked for: {event}")

sys.addaudithook(refuse)
from langswarm_memory import Message
from langswarm_memory.providers import LocalProvider

provider = LocalProvider(region="US")
messages = [Message("user", "I am angry. Call me tomorrow at (212) 736-5000, or see https://a.example please.")]
analysis = asyncio.run(provider.analyze_conversation(messages))
print(len(asyncio.run(provider.extract_entities(messages))), analysis["language"]["value"])
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("3 en", 0), done.stderr


# --- real conversations --------------------------------------------------------------------------------------------


def airline(count: int) -> list[list[Message]]:
    if not AIRLINE.is_file():
        pytest.skip("the conversations of ../shared/data are not there")
    read = json.loads(AIRLINE.read_text(encoding="utf-8"))[:count]
    return [[Message.from_openai(one, timestamp=WEDNESDAY) for one in data["messages"]] for data in read]


async def test_entities_of_real_conversations_stand_where_they_are_said_to() -> None:
    checked = 0
    for messages in airline(4):
        by_id = {message.message_id: message.text for message in messages}
        for one in await entities(*messages):
            first = one["mentions"][0]
            assert by_id[first["message_id"]][first["start"] : first["end"]] == one["text"]
            assert (one["value"] is None) == (len(one["candidates"]) > 1)
            checked += 1
    assert checked > 10


async def test_real_english_conversations_are_english() -> None:
    assert [(await analysed(*messages))["language"]["value"] for messages in airline(4)] == ["en"] * 4
