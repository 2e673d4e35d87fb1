"""What tracing costs an agent: this client, and the SDKs of Langfuse, LangSmith and MLflow, in one run.

    python -m venv venv && venv/bin/pip install . -r bench/requirements.txt
    venv/bin/python bench/run.py                         # against a sink
    venv/bin/python bench/run.py --serve ../../target/release/runtraced   # also how much a daemon makes durable

Each figure comes from a process of its own. Every step has 1 KB of input and 1 KB of output. The daemon of `--serve`
has a private Postgres, and both are gone afterwards; `--daemon URL` names one that runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator

SDKS = ("runtraced", "langfuse", "langsmith", "mlflow")
PACKAGES = {"mlflow": "mlflow-tracing"}


class Sink(BaseHTTPRequestHandler):
    """Answers every SDK with success, and remembers which steps arrived."""

    protocol_version = "HTTP/1.1"
    seen: set[bytes] = set()

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b"".join(iter(self.chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        Sink.seen.update(re.findall(rb"mark-\d{7}", body))
        native = self.path.endswith("/v1/events")
        lines = body.count(b"\n") + 1
        answer = json.dumps({"accepted": lines, "duplicate": 0, "refused": []}).encode() if native else b""
        self.reply(answer)

    do_PATCH = do_POST

    def chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def do_GET(self) -> None:
        self.reply(b"{}")

    def reply(self, answer: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_args: Any) -> None:
        pass


def measure(sdk: str, phase: str, endpoint: str, count: int) -> dict[str, Any]:
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sdks.py")
    command = [sys.executable, program, sdk, phase, endpoint, str(count)]
    try:
        done = subprocess.run(command, text=True, capture_output=True, timeout=600)
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return {"failed": "more than 600 s"}
    except (IndexError, ValueError):
        return {"failed": done.stderr.strip().splitlines()[-1:] or ["no output"]}


@contextlib.contextmanager
def serving(program: str) -> Iterator[str]:
    """The HTTP address of a daemon that runs meanwhile. It has no spool: what is settled is in Postgres."""
    with tempfile.TemporaryDirectory(prefix="runtraced-bench-") as folder:
        os.chmod(folder, 0o755)  # root starts Postgres as another user
        command = [program, "serve", "--data-dir", os.path.join(folder, "data")]
        command += ["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--spool-bytes", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as daemon:
            try:
                assert daemon.stdout is not None
                for line in daemon.stdout:
                    listening = json.loads(line)["fields"] if line.startswith("{") else {"message": line}
                    if listening["message"] == "listening":
                        address = f"http://{listening['http']}"
                    if listening["message"] == "ready":
                        break
                else:
                    sys.exit(f"{program} does not serve: {listening['message']}")
                threading.Thread(target=daemon.stdout.read, daemon=True).start()
                yield address
            finally:
                daemon.terminate()


def settled(url: str, count: int, rounds: int) -> dict[str, list[Any]]:
    """How fast the daemon settles, several times: other work on the machine takes turns."""
    return {phase: [measure("runtraced", phase, url, count) for _ in range(rounds)] for phase in ("durable", "durable_texts")}


def version(sdk: str) -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed(PACKAGES.get(sdk, sdk))
    except PackageNotFoundError:
        return ""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    daemon = arguments.add_mutually_exclusive_group()
    daemon.add_argument("--serve", metavar="PROGRAM", help="starts this daemon, to measure how fast it settles")
    daemon.add_argument("--daemon", metavar="URL", help="the same with a daemon that runs")
    arguments.add_argument("--steps", type=int, default=5_000, help="steps of which the cost is measured")
    arguments.add_argument("--away", type=int, default=20_000, help="steps while nobody answers")
    arguments.add_argument("--away-runtraced", type=int, default=1_000_000, help="the same for runtraced alone")
    arguments.add_argument("--throughput", type=int, default=20_000, help="steps that each SDK sends as fast as it can")
    arguments.add_argument("--durable", type=int, default=200_000, help="steps that the daemon is to settle")
    arguments.add_argument("--rounds", type=int, default=3, help="how often the daemon settles them")
    given = arguments.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sink, nobody = f"http://127.0.0.1:{server.server_port}", "http://127.0.0.1:9"
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, load average {load:.2f}", flush=True)
    for sdk in SDKS:
        if not version(sdk):
            print(f"{sdk}: not installed", flush=True)
            continue
        Sink.seen.clear()
        found: dict[str, Any] = {"version": version(sdk), "cost": measure(sdk, "cost", sink, given.steps)}
        found["arrived"] = len(Sink.seen)
        Sink.seen.clear()
        found["throughput"] = sent = measure(sdk, "throughput", sink, given.throughput)
        found["arrived_per_s"] = round(len(Sink.seen) / sent["seconds"]) if "seconds" in sent else None
        found["away"] = measure(sdk, "away", nobody, given.away)
        Sink.seen.clear()
        made = measure(sdk, "killed", sink, 300).get("made", 0)
        time.sleep(1)
        found["killed"] = {"made": made, "lost": made - len(Sink.seen)}
        print(sdk, json.dumps(found), flush=True)
    print("runtraced", json.dumps({"away": measure("runtraced", "away", nobody, given.away_runtraced)}), flush=True)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(serving(given.serve)) if given.serve else given.daemon
        if url:
            print("runtraced", json.dumps(settled(url, given.durable, given.rounds)), flush=True)
    print(f"load average {os.getloadavg()[0]:.2f}", flush=True)


if __name__ == "__main__":
    main()
