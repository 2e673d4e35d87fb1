"""A daemon for tests: it settles, refuses, delays, breaks off, or is busy, as a test wants."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Sink:
    """Keeps what arrives. `script` holds answers for the next requests, before the usual one.

    An answer is a status, `("refuse", [lines])`, `("busy", seconds)`, or `"drop"`: the
    connection breaks after the events were stored, as when an ack is lost.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[dict[str, Any]] = []
        self.lines: list[bytes] = []
        self.decisions: dict[str, dict[str, Any]] = {}
        self.script: list[Any] = []
        self.delay_s = 0.0
        self.lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sink.post(self)

            def do_GET(self) -> None:
                sink.get(self)

            def log_message(self, *_args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_args: Any) -> None:
                pass  # a client that went away

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.endpoint = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def post(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        time.sleep(self.delay_s)
        lines = body.split(b"\n")
        with self.lock:
            seen = {"path": request.path, "headers": dict(request.headers), "lines": len(lines), "at": time.time()}
            self.requests.append(seen)
            answer = self.script.pop(0) if self.script else 200
            if answer in (200, "drop") or (isinstance(answer, tuple) and answer[0] == "refuse"):
                self.lines.extend(lines)
        if answer == "drop":
            request.close_connection = True
            request.connection.close()
            return
        status, headers, content = 200, {}, {"accepted": len(lines), "duplicate": 0, "refused": [], "durability": "COMMITTED"}
        if isinstance(answer, int) and answer != 200:
            status, content = answer, {"error": f"status {answer}", "code": "test"}
        elif answer == "stranger":
            content = {"hello": "world"}
        elif isinstance(answer, tuple) and answer[0] == "busy":
            status, headers, content = 429, {"Retry-After": str(answer[1])}, {"error": "busy", "code": "busy"}
        elif isinstance(answer, tuple):
            refused = [{"line": line, "code": "INVALID_ID", "reason": "no id"} for line in answer[1]]
            content = {"accepted": len(lines) - len(refused), "duplicate": 0, "refused": refused}
        self.reply(request, status, headers, content)

    def get(self, request: BaseHTTPRequestHandler) -> None:
        if not re.search(r"[?]wait=[1-9][0-9]?s$", request.path):
            self.reply(request, 400, {}, {"error": "wait is not a time like 30s", "code": "bad_request"})
            return
        identifier = request.path.split("?")[0].rsplit("/", 1)[-1]
        ends_at = time.monotonic() + 0.5
        while identifier not in self.decisions and time.monotonic() < ends_at:
            time.sleep(0.01)
        decided = self.decisions.get(identifier, {"status": "pending"})
        self.reply(request, 200, {}, {"approval": {"id": identifier, **decided}})

    def reply(self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: Any) -> None:
        body = json.dumps(content).encode()
        request.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def events(self) -> list[dict[str, Any]]:
        """What is stored, in the order of arrival."""
        with self.lock:
            return [json.loads(line) for line in self.lines if line]

    def kinds(self) -> list[str]:
        return [kind(event) for event in self.events()]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The events of one kind, without their times."""
        return [event[name] for event in self.events() if name in event]


def kind(event: dict[str, Any]) -> str:
    return next(name for name in event if name != "time")
