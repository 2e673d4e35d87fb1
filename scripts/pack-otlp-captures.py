#!/usr/bin/env python3
"""Packs captures of OTLP exporters into tests/data/, a file per SDK.

    scripts/pack-otlp-captures.py CAPTURES           # tests/data/otlp/
    scripts/pack-otlp-captures.py --truths CAPTURES  # tests/data/otlp-truths/
    scripts/pack-otlp-captures.py --reports CASES    # tests/data/otlp-reports.jsonl.zst

CAPTURES holds SDK/SCENARIO/ with the bodies of the requests, decompressed, as
NNN.pb or NNN.json (logs_NNN.* for logs), NNN.meta.json beside each (`path`,
`signal`, `recv_unix_ms`), and expectations.json: what the scenario did
(`truth`) and what the bodies hold (`payload`).

Each line of a packed file is one capture, as JSON: its requests in the order of
arrival, a protobuf body in hexadecimal (which zstd packs like the bytes
themselves), and of the expectations what tests/suite/otlp compares.

With --truths, each SDK/SCENARIO/ holds truth.json and bodies NNN.pb, NNN.json
and NNN.logs.pb. With --reports, each CASE/ holds bodies input*.json, some of
which are not valid Unicode, and expected.json: facts as SQL. These cases are
packed with one more body for each span.

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

DATA = Path(__file__).resolve().parent.parent / "tests/data"
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


def truth(folder: Path) -> dict:
    requests = []
    for file in sorted(file for file in folder.iterdir() if file.name[0].isdigit()):
        signal = "logs" if ".logs." in file.name else "traces"
        body = neutral(file.read_bytes(), file)
        text = {"json": body.decode()} if file.suffix == ".json" else {"protobuf": body.hex()}
        requests.append({"signal": signal, "path": f"/v1/{signal}", **text})
    wanted = json.loads((folder / "truth.json").read_text())
    return {"scenario": folder.name, "truth": wanted, "requests": requests}


def single_spans(body: dict) -> list:
    return [
        {"resourceSpans": [{**resource, "scopeSpans": [{**scope, "spans": [span]}]}]}
        for resource in body["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def report(folder: Path) -> dict:
    files = sorted(folder.glob("input*.json"))
    bodies = [json.loads(neutral(file.read_bytes(), file)) for file in files]
    singly = [one for body in bodies for one in single_spans(body)]
    wanted = json.loads((folder / "expected.json").read_text())
    return {
        "case": re.sub(r"^\d+-", "", folder.name),
        "facts": wanted["facts"],
        "requests": [json.dumps(body) for body in bodies],
        "singly": [json.dumps(body) for body in singly],
    }


def pack(file: Path, captures: list) -> None:
    lines = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in captures]
    command = ["zstd", "-q", "-f", "--ultra", "-22", "--long=25", "--no-check", "-o", file]
    subprocess.run(command, input="\n".join(lines).encode() + b"\n", check=True)
    print(f"{file.name}: {len(lines)} captures, {file.stat().st_size} bytes")


def pack_sdks(captures: Path, out: Path, of_folder, mark: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.jsonl.zst"):
        old.unlink()
    for sdk in sorted(path for path in captures.iterdir() if path.is_dir()):
        folders = sorted(file.parent for file in sdk.glob(f"*/{mark}"))
        pack(out / f"{sdk.name}.jsonl.zst", [of_folder(folder) for folder in folders])


def main() -> None:
    match sys.argv[1:]:
        case ["--truths", captures]:
            pack_sdks(Path(captures), DATA / "otlp-truths", truth, "truth.json")
        case ["--reports", cases]:
            folders = sorted(file.parent for file in Path(cases).glob("*/expected.json"))
            pack(DATA / "otlp-reports.jsonl.zst", [report(folder) for folder in folders])
        case [captures] if not captures.startswith("-"):
            pack_sdks(Path(captures), DATA / "otlp", capture, "expectations.json")
        case _:
            sys.exit(__doc__)


main()
