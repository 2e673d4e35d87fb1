"""What the tests share: a sink, a client that has sent nothing yet, and Python processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import unittest
from typing import Any

import runtraced
from runtraced import _given, _scope
from runtraced._client import client
from runtraced._settings import Settings
from tests.sink import Sink

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def fresh(endpoint: str, **settings: Any) -> None:
    """The client as it is when a process starts."""
    client.sender.stopping = True
    client.sender.wake()
    client.settings.__dict__.update(Settings().__dict__)
    client.masking_failures = client.faults = 0
    client.reset()
    _given._told.clear()
    _scope._open.clear()
    _scope._left_out.clear()
    _scope._beat[1] = 60.0
    runtraced.configure(endpoint=endpoint, **settings)


class ClientTest(unittest.TestCase):
    """A test with a sink that settles everything."""

    def setUp(self) -> None:
        self.sink = Sink()
        self.addCleanup(self.sink.close)
        fresh(self.sink.endpoint)

    def tearDown(self) -> None:
        self.assertEqual(client.faults, 0, "the client had a fault of its own")

    def flush(self, timeout: float = 10.0) -> None:
        self.assertEqual(runtraced.flush(timeout), 0)

    def folder(self) -> str:
        made = tempfile.TemporaryDirectory(prefix="runtraced-test-")
        self.addCleanup(made.cleanup)
        return made.name

    def start(self, program: str, **environment: str) -> subprocess.Popen[str]:
        """A process that runs this program, with the sink as its daemon."""
        env = {**os.environ, "RUNTRACED_ENDPOINT": self.sink.endpoint, **environment}
        # Python warns of forks beside threads, which is what these programs are about.
        env["PYTHONWARNINGS"] = "ignore::DeprecationWarning"
        env.setdefault("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            env=env, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

        def end() -> None:
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def run_program(self, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(program, **environment)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)
