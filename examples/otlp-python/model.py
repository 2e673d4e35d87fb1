"""A scripted model. It implements just enough of the Responses API."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Iterator


def call(call_id: str, name: str, **arguments) -> dict:
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": json.dumps(arguments),
        "status": "completed",
    }


def say(text: str) -> dict:
    content = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [content],
    }


# Each answer with its tokens: input, cached input, output, reasoning output.
SCRIPT = [
    (call("call_1", "lookup_order", order_id="1234"), (120, 0, 18, 0)),
    (call("call_2", "transfer_to_refunds"), (160, 96, 12, 0)),
    (call("call_3", "refund", order_id="1234", amount=49.0), (190, 0, 40, 16)),
    (say("EUR 49.00 are on their way to you."), (240, 128, 14, 0)),
]


class Model(BaseHTTPRequestHandler):
    turns: Iterator[tuple[int, tuple]]

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number, (output, (tokens_in, cached, tokens_out, reasoning)) = next(self.turns)
        answer = {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": 1767225600,
            "status": "completed",
            "model": f"{request['model']}-2024-07-18",
            "output": [output],
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": tokens_in,
                "input_tokens_details": {"cached_tokens": cached},
                "output_tokens": tokens_out,
                "output_tokens_details": {"reasoning_tokens": reasoning},
                "total_tokens": tokens_in + tokens_out,
            },
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args) -> None:
        pass


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """Serves the script on a free port. Yields the base URL of the API."""
    Model.turns = iter(enumerate(SCRIPT, 1))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
