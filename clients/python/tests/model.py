"""A scripted model that speaks the APIs of OpenAI and Anthropic, with and without streams."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator


class Model:
    """Answers each request with the next entry of its script.

    An entry is an answer; or a status with which the request fails; or a list of parts to
    stream. `stream` turns an answer into parts if the request asks for that.
    """

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.requests: list[dict[str, Any]] = []
        # How it refuses `stream_options`. Empty: it takes them.
        self.refusal = ""
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                model.answer(self)

            def log_message(self, *_args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_args: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.requests.append(body)
        if self.refusal and "stream_options" in body:
            self.send(request, 400, "application/json", self.refusal.encode())
            return
        entry = self.script.pop(0)
        if isinstance(entry, int):
            self.send(request, entry, "application/json", b'{"error":{"type":"test","message":"the model is tired"}}')
        elif body.get("stream"):
            anthropic = request.path.startswith("/v1/messages")
            parts = entry if isinstance(entry, list) else list(claude_parts(entry) if anthropic else responses_parts(entry) if "output" in entry else chunks(entry, body))
            lines = [f"event: {part.get('type', 'chunk')}\n" if "type" in part else "" for part in parts]
            text = "".join(f"{line}data: {json.dumps(part)}\n\n" for line, part in zip(lines, parts))
            self.send(request, 200, "text/event-stream", (text + ("" if anthropic else "data: [DONE]\n\n")).encode())
        else:
            self.send(request, 200, "application/json", json.dumps(entry).encode())

    def send(self, request: BaseHTTPRequestHandler, status: int, kind: str, body: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        if status in (429, 500):
            request.send_header("retry-after-ms", "1")
        request.end_headers()
        request.wfile.write(body)


def chat(content: str | None = None, calls: Any = (), usage: Any = (120, 96, 18, 5)) -> dict[str, Any]:
    """An answer of Chat Completions. The usage is input, cached, output, reasoning."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {"id": identifier, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for identifier, name, arguments in calls
        ]
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1767225600, "model": "gpt-5-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {
            "prompt_tokens": usage[0], "completion_tokens": usage[2], "total_tokens": usage[0] + usage[2],
            "prompt_tokens_details": {"cached_tokens": usage[1]},
            "completion_tokens_details": {"reasoning_tokens": usage[3]},
        },
    }  # fmt: skip


def chunks(answer: dict[str, Any], body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    base = {"id": answer["id"], "object": "chat.completion.chunk", "created": 1, "model": answer["model"]}

    def chunk(delta: dict[str, Any], finish: Any = None) -> dict[str, Any]:
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    message = answer["choices"][0]["message"]
    yield chunk({"role": "assistant", "content": ""})
    for piece in (message["content"] or "").partition(" "):
        if piece:
            yield chunk({"content": piece})
    for index, call in enumerate(message.get("tool_calls", [])):
        head = {"name": call["function"]["name"], "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": head}]})
        for piece in (call["function"]["arguments"][:4], call["function"]["arguments"][4:]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, answer["choices"][0]["finish_reason"])
    if body.get("stream_options", {}).get("include_usage"):
        yield {**base, "choices": [], "usage": answer["usage"]}


def response(*output: dict[str, Any], usage: Any = (160, 96, 12, 4)) -> dict[str, Any]:
    """An answer of the Responses API."""
    return {
        "id": "resp_1", "object": "response", "created_at": 1767225600, "status": "completed", "model": "gpt-5-2026",
        "output": list(output), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": usage[0], "input_tokens_details": {"cached_tokens": usage[1], "cache_write_tokens": 0},
            "output_tokens": usage[2], "output_tokens_details": {"reasoning_tokens": usage[3]},
            "total_tokens": usage[0] + usage[2],
        },
    }  # fmt: skip


def says(text: str) -> dict[str, Any]:
    content = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [content]}


def calls(identifier: str, name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": f"fc_{identifier}", "call_id": identifier, "name": name,
            "arguments": json.dumps(arguments), "status": "completed"}  # fmt: skip


def responses_parts(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "sequence_number": 0, "response": {**answer, "output": [], "usage": None, "status": "in_progress"}}
    for index, item in enumerate(answer["output"]):
        yield {"type": "response.output_item.added", "sequence_number": 1, "output_index": index, "item": {**item, "content": []}}
        for part in item.get("content", []):
            yield {"type": "response.content_part.added", "sequence_number": 2, "output_index": index, "content_index": 0,
                   "item_id": item["id"], "part": {**part, "text": ""}}  # fmt: skip
            yield {"type": "response.output_text.delta", "sequence_number": 2, "output_index": index, "content_index": 0,
                   "item_id": item["id"], "delta": part["text"], "logprobs": []}  # fmt: skip
    yield {"type": "response.completed", "sequence_number": 3, "response": answer}


def claude(*content: dict[str, Any], usage: Any = (20, 64, 32, 14)) -> dict[str, Any]:
    """An answer of Anthropic. The usage is fresh input, read from cache, written to cache, output."""
    reason = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-2026", "content": list(content),
        "stop_reason": reason, "stop_sequence": None,
        "usage": {"input_tokens": usage[0], "cache_read_input_tokens": usage[1], "cache_creation_input_tokens": usage[2],
                  "output_tokens": usage[3]},
    }  # fmt: skip


def claude_parts(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    start = {**answer, "content": [], "stop_reason": None, "usage": {**answer["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(answer["content"]):
        empty = {"text": {"text": ""}, "tool_use": {"input": {}}, "thinking": {"thinking": "", "signature": ""}}[block["type"]]
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
        if block["type"] == "tool_use":
            text = json.dumps(block["input"])
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in (text[:3], text[3:])]
        else:
            name = block["type"]
            deltas = [{"type": f"{name}_delta", name: piece} for piece in block[name].partition(" ") if piece]
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": answer["stop_reason"], "stop_sequence": None},
           "usage": {"output_tokens": answer["usage"]["output_tokens"]}}  # fmt: skip
    yield {"type": "message_stop"}
