"""One SDK in one process: `python sdks.py SDK PHASE ENDPOINT COUNT`. Prints figures as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from typing import Any, Callable, Iterator

# About 1 KB of JSON.
PAYLOAD: Any = {"question": "How is Acme doing?", "rows": [{"id": n, "name": f"customer {n}", "seats": n * 7} for n in range(20)]}
TEXT = "How is Acme doing? " * 54
Step = Callable[[str], Any]


@contextlib.contextmanager
def with_runtraced(endpoint: str) -> Iterator[tuple[Step, Callable[[], Any]]]:
    import runtraced

    runtraced.configure(endpoint=endpoint, exit_timeout=0.0)

    def step(name: str) -> None:
        with runtraced.step(name, kind="tool", input=PAYLOAD) as one:
            one.output = PAYLOAD

    with runtraced.run("bench"):
        yield step, lambda: runtraced.flush(600)


@contextlib.contextmanager
def with_langfuse(endpoint: str) -> Iterator[tuple[Step, Callable[[], Any]]]:
    from langfuse import Langfuse

    client = Langfuse(public_key="pk", secret_key="sk", base_url=endpoint)

    def step(name: str) -> None:
        with client.start_as_current_observation(as_type="tool", name=name, input=PAYLOAD) as one:
            one.update(output=PAYLOAD)

    with client.start_as_current_observation(as_type="agent", name="bench"):
        yield step, client.flush


@contextlib.contextmanager
def with_langsmith(endpoint: str) -> Iterator[tuple[Step, Callable[[], Any]]]:
    os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_ENDPOINT=endpoint, LANGSMITH_API_KEY="none")
    os.environ["LANGSMITH_DISABLE_RUN_COMPRESSION"] = "true"
    from langsmith import Client, trace

    client = Client(api_url=endpoint, api_key="none")

    def step(name: str) -> None:
        with trace(name, run_type="tool", inputs=PAYLOAD, client=client) as one:
            one.end(outputs=PAYLOAD)

    with trace("bench", run_type="chain", client=client):
        yield step, client.flush


@contextlib.contextmanager
def with_mlflow(endpoint: str) -> Iterator[tuple[Step, Callable[[], Any]]]:
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = endpoint + "/v1/traces"
    os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
    os.environ["MLFLOW_TRACKING_URI"] = endpoint
    import mlflow
    from mlflow.tracing import provider

    def step(name: str) -> None:
        with mlflow.start_span(name, span_type="TOOL") as one:
            one.set_inputs(PAYLOAD)
            one.set_outputs(PAYLOAD)

    def flush() -> None:
        provider.provider.get().force_flush()

    with mlflow.start_span("bench", span_type="AGENT"):
        yield step, flush


SDKS = {"runtraced": with_runtraced, "langfuse": with_langfuse, "langsmith": with_langsmith, "mlflow": with_mlflow}


def memory_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def percentile(values: list[int], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))] / 1000, 1)


def cost(step: Step, flush: Callable[[], Any], count: int) -> dict[str, Any]:
    """What a step costs the thread that makes it, and the process as a whole."""
    for number in range(200):
        step(f"warm {number}")
    flush()
    walls: list[int] = []
    own, whole = time.thread_time_ns(), time.process_time_ns()
    for number in range(count):
        began = time.perf_counter_ns()
        step(f"mark-{number:07}")
        walls.append(time.perf_counter_ns() - began)
        if number % 20 == 19:
            time.sleep(0.002)  # an agent does something else, too
    own = time.thread_time_ns() - own
    flush()
    whole = time.process_time_ns() - whole
    return {
        "thread_us": round(own / count / 1000, 1), "process_us": round(whole / count / 1000, 1),
        "median_us": percentile(walls, 0.5), "p99_us": percentile(walls, 0.99), "max_us": percentile(walls, 1),
    }  # fmt: skip


def away(step: Step, _flush: Callable[[], Any], count: int) -> dict[str, Any]:
    """Memory while nobody answers."""
    step("first")
    before, began = memory_mib(), time.monotonic()
    peak = before
    for number in range(count):
        step(f"mark-{number:07}")
        if number % 1000 == 0:
            peak = max(peak, memory_mib())
    return {"steps": count, "grown_mib": round(max(peak, memory_mib()) - before, 1), "seconds": round(time.monotonic() - began, 1)}


def killed(step: Step, flush: Callable[[], Any], count: int) -> dict[str, Any]:
    """100 steps a second, and then a kill that nobody sees coming."""
    step("first")
    flush()
    for number in range(count):
        step(f"mark-{number:07}")
        time.sleep(0.01)
    print(json.dumps({"made": count}), flush=True)
    os.kill(os.getpid(), 9)
    return {}


def throughput(step: Step, flush: Callable[[], Any], count: int) -> dict[str, Any]:
    """As many steps as one thread can make, until all are sent. No queue overflows."""
    step("first")
    flush()
    began = time.monotonic()
    for number in range(count):
        step(f"mark-{number:07}")
        if number % 1000 == 999:
            flush()
    flush()
    return {"seconds": time.monotonic() - began}


def durable(step: Step, flush: Callable[[], Any], count: int) -> dict[str, Any]:
    """As many steps as one thread can make, until the daemon has settled the last. Of runtraced alone."""
    import runtraced

    began, cpu = time.monotonic(), time.process_time()
    for number in range(count):
        step(f"mark-{number:07}")
        # Twice what is sent at a time: the queue never has to drop anything.
        while number % 100 == 99 and runtraced.stats().waiting > 4000:
            time.sleep(0.001)
    left = flush()
    took = time.monotonic() - began
    cpu = time.process_time() - cpu
    counts = runtraced.stats()
    lost = left + counts.refused + counts.dropped_events + counts.dropped_payloads
    return {"steps": count, "settled_per_s": round(count / took), "process_us": round(cpu / count * 1e6, 1), "lost": lost}


PHASES = {"cost": cost, "away": away, "killed": killed, "throughput": throughput, "durable": durable, "durable_texts": durable}

if __name__ == "__main__":
    sdk, phase, endpoint, count = sys.argv[1:5]
    if phase == "durable_texts":
        PAYLOAD = TEXT
    with SDKS[sdk](endpoint) as (step, flush):
        print(json.dumps(PHASES[phase](step, flush, int(count))), flush=True)
        os._exit(0)
