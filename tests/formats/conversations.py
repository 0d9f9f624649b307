"""Conversations in each provider's form: documented examples, and what Hypothesis makes of the same pieces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
AIRLINE = CHECKOUT.parent / "shared" / "data" / "airline-openai.json"

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def airline() -> list[list[dict[str, Any]]]:
    """Return the real conversations, or skip the test where they are not."""
    if not AIRLINE.exists():
        pytest.skip(f"no {AIRLINE.name} beside the checkout")
    return [conversation["messages"] for conversation in json.loads(AIRLINE.read_text())]


def exact(value: Any) -> str:
    """Return the text that tells two JSON values apart: key order and number forms included."""
    return json.dumps(value)


def call(call_id: str, name: str = "weather", arguments: str = '{"city":"Paris"}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


OPENAI: dict[str, list[dict[str, Any]]] = {
    "text": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello! How can I help?"},
    ],
    "developer": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "Ann"}],
    "parallel calls": [
        {"role": "user", "content": "Weather in Paris and Rome?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call("call_1"), call("call_2", arguments='{"city":"Rome"}')],
        },
        {"role": "tool", "content": "14 °C", "tool_call_id": "call_1"},
        {"role": "tool", "content": "21 °C", "tool_call_id": "call_2"},
        {"role": "assistant", "content": "14 in Paris, 21 in Rome."},
        {"role": "user", "content": "Thanks."},
    ],
    "a word before the call": [
        {"role": "user", "content": "Paris?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call("call_1")]},
        {"role": "tool", "tool_call_id": "call_1", "name": "weather", "content": "14 °C"},
        {"role": "user", "content": "And Rome?"},
    ],
    "a reply as the API gives it": [
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "content": "y",
            "refusal": None,
            "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}],
            "audio": None,
        },
    ],
    "a refusal": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "refusal": "I cannot."}],
    "a spoken reply": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "audio": {"id": "a"}}],
    "the older function call": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ],
    "a custom tool": [
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}],
        },
        {"role": "tool", "content": "1", "tool_call_id": "call_1"},
    ],
    "broken arguments": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call("call_1", arguments='{"city": ')]},
        {"role": "tool", "content": "error", "tool_call_id": "call_1"},
    ],
    "spaced arguments": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call("call_1", arguments='{ "city": "Paris" }')]},
        {"role": "tool", "content": "error", "tool_call_id": "call_1"},
    ],
    "images, sound and files": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ],
        }
    ],
    "the user twice": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    "the assistant first": [{"role": "assistant", "content": "Welcome."}, {"role": "user", "content": "Hi"}],
    "instructions in the middle": [
        {"role": "user", "content": "a"},
        {"role": "system", "content": "Now be brief."},
        {"role": "user", "content": "b"},
    ],
    "a list of one text": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
    "nothing said": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
    "keys of its own order": [
        {"content": "x", "role": "user"},
        {"tool_calls": None, "content": "y", "role": "assistant"},
    ],
    "blocks of nobody": [
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "u"}}, {"text": "x"}, "y"]}
    ],
    "blocks of another provider": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f"}]}],
    "cache_control of a gateway": [
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}
    ],
}

ANTHROPIC: dict[str, list[dict[str, Any]]] = {
    "text": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}],
    "blocks of text": [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
    ],
    "thinking and parallel tools": [
        {"role": "user", "content": "Weather in Paris and Rome?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Two calls.", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"},
                {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {"city": "Rome", "n": 1.0}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "14"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True, "content": "timeout"},
                {"type": "text", "text": "Be quick."},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "14 in Paris."}]},
    ],
    "tools without thinking": [
        {"role": "user", "content": "Paris?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t_1", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t_1", "content": "14"}]},
    ],
    "results of blocks": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t_1", "name": "screenshot", "input": {}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t_1",
                    "content": [
                        {"type": "text", "text": "here"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                    ],
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                },
                {"type": "tool_result", "tool_use_id": "t_1"},
                {"type": "tool_result", "tool_use_id": "t_1", "content": []},
            ],
        },
    ],
    "images and documents": [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                    "title": "A",
                    "citations": {"enabled": True},
                },
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "grass is green"}},
                {"type": "document", "source": {"type": "content", "content": "x"}},
                {"type": "search_result", "source": "u", "title": "t", "content": [{"type": "text", "text": "c"}]},
                {"type": "text", "text": "Summarise."},
            ],
        }
    ],
    "citations": [
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "a", "citations": [{"type": "char_location", "cited_text": "a"}]},
                {"type": "text", "text": "b", "citations": None},
            ],
        },
    ],
    "tools of the server": [
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "content": [
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                {"type": "text", "text": "found"},
            ],
        },
    ],
    "a whole reply": [
        {"role": "user", "content": "x"},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "model-1",
            "content": [{"type": "text", "text": "y"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 2},
        },
    ],
    "the user twice": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    "the assistant first": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}],
    "a system message in the list": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}],
    "nothing said": [{"role": "user", "content": ""}, {"role": "assistant", "content": []}],
    "no content": [{"role": "user"}, {"role": "assistant", "content": None}],
    "keys of its own order": [{"content": "x", "role": "user"}],
    "a role of another spelling": [{"role": "human", "content": "x"}],
    "blocks of nobody": [{"role": "user", "content": [{"type": "hologram", "x": 1.0}, {"text": "x"}, "y", 5, None]}],
}

RESPONSES: dict[str, list[dict[str, Any]]] = {
    "text": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}],
    "typed messages": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {
            "id": "msg_1",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi.", "annotations": [], "logprobs": []}],
        },
    ],
    "reasoning and calls": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Weather in Paris and Rome?"},
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Two calls."}],
            "encrypted_content": "gAAAAABo",
            "status": None,
        },
        {
            "id": "fc_1",
            "type": "function_call",
            "status": "completed",
            "call_id": "call_1",
            "name": "weather",
            "arguments": '{"city":"Paris"}',
        },
        {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "14"},
        {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "21"}]},
        {"role": "assistant", "content": "14 and 21."},
    ],
    "calls without reasoning": [
        {"role": "user", "content": "Paris?"},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Paris"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "14"},
    ],
    "hosted tools": [
        {"role": "user", "content": "x"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"], "results": None},
        {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "container_id": "c", "outputs": []},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PNG},
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
        {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "f", "arguments": "{}", "output": "1"},
        {"type": "item_reference", "id": "msg_7"},
        {"id": "msg_8"},
        {"type": "hologram", "id": "h_1", "n": [1.0, 1e22, -0.0]},
    ],
    "computer use": [
        {"role": "user", "content": "x"},
        {
            "type": "computer_call",
            "id": "cu_1",
            "call_id": "call_1",
            "action": {"type": "click", "button": "left", "x": 1, "y": 2},
            "pending_safety_checks": [],
            "status": "completed",
        },
        {
            "type": "computer_call_output",
            "call_id": "call_1",
            "output": {"type": "computer_screenshot", "image_url": f"data:image/png;base64,{PNG}"},
        },
    ],
    "approvals": [
        {"type": "mcp_approval_request", "id": "a", "server_label": "s", "name": "f", "arguments": "{}"},
        {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
    ],
    "a custom tool": [
        {"role": "user", "content": "x"},
        {"type": "custom_tool_call", "call_id": "call_1", "name": "sql", "input": "SELECT 1"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "1"},
    ],
    "images and files": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "x"},
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"},
                {"type": "input_image", "file_id": "file-1"},
                {"type": "input_file", "file_url": "https://example.com/a.pdf"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
            ],
        }
    ],
    "a refusal": [
        {"role": "user", "content": "x"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]},
    ],
    "broken items": [
        {"type": "function_call", "call_id": None, "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": None},
        {"type": "reasoning"},
        {"role": 5, "content": "x"},
        {},
        {"type": "message", "role": "user"},
        {"type": 5, "role": "user", "content": "x"},
    ],
    "blocks of another form": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
}

GEMINI: dict[str, list[dict[str, Any]]] = {
    "text": [
        {"role": "user", "parts": [{"text": "Hello"}]},
        {"role": "model", "parts": [{"text": "Hi."}]},
    ],
    "no role": [{"parts": [{"text": "Hello"}]}],
    "several parts": [{"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}],
    "calls with signatures": [
        {"role": "user", "parts": [{"text": "Paris and Rome?"}]},
        {
            "role": "model",
            "parts": [
                {"text": "Two calls.", "thought": True},
                {"functionCall": {"name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "EjQKMgEM"},
                {"functionCall": {"name": "weather", "args": {"city": "Rome"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "weather", "response": {"result": 14.0}}},
                {"functionResponse": {"name": "weather", "response": {"output": "21"}}},
            ],
        },
        {"role": "model", "parts": [{"text": "14 and 21.", "thoughtSignature": "x"}]},
    ],
    "calls with ids": [
        {"role": "user", "parts": [{"text": "Paris?"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c_1", "name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c_1", "name": "f", "response": {"output": "14"}}}]},
    ],
    "the role function": [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
        {"role": "function", "parts": [{"functionResponse": {"name": "f", "response": {"error": "no"}}}]},
    ],
    "media": [
        {
            "role": "user",
            "parts": [
                {"inlineData": {"mimeType": "image/png", "data": PNG}},
                {"inlineData": {"mimeType": "audio/mp3", "data": "SUQz"}},
                {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
                {
                    "fileData": {"mimeType": "video/mp4", "fileUri": "https://example.com/v.mp4"},
                    "videoMetadata": {"fps": 1},
                },
                {"fileData": {"fileUri": "gs://a/b"}},
                {"text": "x"},
            ],
        }
    ],
    "code": [
        {"role": "user", "parts": [{"text": "x"}]},
        {
            "role": "model",
            "parts": [
                {"executableCode": {"language": "PYTHON", "code": "1"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
            ],
        },
    ],
    "snake case": [
        {"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": PNG}}]},
        {"role": "model", "parts": [{"function_call": {"name": "f", "args": {}}, "thought_signature": "x"}]},
    ],
    "nothing said": [{"role": "user", "parts": []}, {"role": "model", "parts": [{"text": ""}]}],
    "the user twice": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "user", "parts": [{"text": "b"}]}],
    "the model first": [{"role": "model", "parts": [{"text": "a"}]}],
    "broken parts": [{"role": "user", "parts": None}, {"role": "user", "parts": [5, None, {}, {"text": 5}, {"x": 1}]}],
    "keys of its own order": [{"parts": [{"text": "x"}], "role": "user"}],
    "parts of another provider": [{"role": "user", "parts": [{"type": "text", "text": "x"}]}],
}

EXAMPLES = {"openai": OPENAI, "openai_responses": RESPONSES, "anthropic": ANTHROPIC, "gemini": GEMINI}
CASES = [
    pytest.param(provider, conversation, id=f"{provider}: {name}")
    for provider, conversations in EXAMPLES.items()
    for name, conversation in conversations.items()
]
