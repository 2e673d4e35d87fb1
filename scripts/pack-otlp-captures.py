#!/usr/bin/env python3
"""Packs captures of OTLP exporters into tests/data/otlp/, a file per SDK.

    scripts/pack-otlp-captures.py CAPTURES

CAPTURES holds SDK/SCENARIO/ with the bodies of the requests, decompressed, as
NNN.pb or NNN.json (logs_NNN.* for logs), NNN.meta.json beside each (`path`,
`signal`, `recv_unix_ms`), and expectations.json: what the scenario did
(`truth`) and what the bodies hold (`payload`).

Each line of a packed file is one capture, as JSON: its requests in the order of
arrival, a protobuf body in hexadecimal (which zstd packs like the bytes
themselves), and of the expectations what tests/suite/otlp compares.

Nothing of the machine that made them comes along: home folders and host names
are replaced by others of the same length, and what looks like one after that
is an error. Needs zstd.
"""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "tests/data/otlp"
PYENV = re.compile(rb"/(?:home|Users)/\w+/\.pyenv")
VENV = b"/app/.local/venv"
# The value of a host.name attribute: field 2 (AnyValue), its field 1 (string).
HOST_NAME = re.compile(rb"(host\.name\x12.\x0a(.))", re.DOTALL)
FORBIDDEN = re.compile(rb"/(?:home|Users|root|tmp|var/folders)/|[A-Z]:\\\\?Users")
TRUTH = """top_level_invocations agent_invocations nesting llm_calls llm_calls_failed
    tool_calls input_tokens output_tokens cached_input_tokens reasoning_output_tokens
    per_call_tokens models_requested models_responded user_prompts
    assistant_final_answers thinking_text status session_id error""".split()
PAYLOAD = "traces root_spans op_counts llm_like_spans texts".split()


def neutral(body: bytes, file: Path) -> bytes:
    # As long as before: protobuf strings have their length before them.
    body = PYENV.sub(lambda found: VENV.ljust(len(found[0]), b"v")[: len(found[0])], body)
    out = bytearray(body)
    for match in HOST_NAME.finditer(body):
        start, length = match.end(), match.group(2)[0]
        out[start : start + length] = b"h" * length
    found = FORBIDDEN.search(out)
    host = socket.gethostname().encode()
    if found or (len(host) > 4 and host in out):
        sys.exit(f"{file}: names the machine: {found}")
    return bytes(out)


def request(meta_file: Path) -> dict:
    meta = json.loads(meta_file.read_text())
    stem = meta_file.name.removesuffix(".meta.json")
    packed = {"signal": meta["signal"], "path": meta["path"]}
    file = meta_file.with_name(stem + ".pb")
    if file.exists():
        packed["protobuf"] = neutral(file.read_bytes(), file).hex()
    else:
        file = meta_file.with_name(stem + ".json")
        packed["json"] = neutral(file.read_bytes(), file).decode()
    return packed


def capture(folder: Path) -> dict:
    wanted = json.loads((folder / "expectations.json").read_text())
    metas = sorted(
        folder.glob("*.meta.json"),
        key=lambda file: (json.loads(file.read_text())["recv_unix_ms"], file.name),
    )
    return {
        "scenario": folder.name,
        "truth": {key: wanted["truth"][key] for key in TRUTH if key in wanted["truth"]},
        "payload": {key: wanted["payload"][key] for key in PAYLOAD},
        "requests": [request(meta) for meta in metas],
    }


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.jsonl.zst"):
        old.unlink()
    for sdk in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
        folders = sorted(file.parent for file in sdk.glob("*/expectations.json"))
        lines = [
            json.dumps(capture(folder), ensure_ascii=False, separators=(",", ":"))
            for folder in folders
        ]
        file = OUT / f"{sdk.name}.jsonl.zst"
        command = ["zstd", "-q", "--ultra", "-22", "--long=25", "--no-check", "-o", file]
        subprocess.run(command, input="\n".join(lines).encode() + b"\n", check=True)
        print(f"{file.name}: {len(lines)} captures, {file.stat().st_size} bytes")


main()
