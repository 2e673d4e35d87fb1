"""A worker of the fault tests (tests/suite/clients/faults.rs): records until its stdin ends."""

from __future__ import annotations

import json
import os
import sys
import threading

import runtraced


def main() -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    number = 0
    while not ended.is_set():
        for _ in range(10):
            with runtraced.run(os.environ["RUNTRACED_TEST_WORKER"], input=str(number)) as run:
                with runtraced.step("outer", input={"number": number}), runtraced.step("inner", kind="tool"):
                    pass
                run.output = str(number)
            number += 1
        if runtraced.flush(0.5) == 0:
            print(f"settled {number - 1}", flush=True)
    runtraced.flush(int(os.environ.get("RUNTRACED_TEST_FLUSH_MS", 60_000)) / 1000)
    # Files of the spool are sent by themselves; here they are waited for.
    while runtraced.stats().spooled:
        runtraced.flush(0.1)
        ended.wait(0.05)
        threading.Event().wait(0.05)
    print(json.dumps({"runs": number, **runtraced.stats()._asdict()}), flush=True)


if __name__ == "__main__":
    main()
