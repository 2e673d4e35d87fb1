"""Servers that fork: gunicorn with --preload, and Celery's prefork pool, as people run them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import unittest
import urllib.request
from importlib.util import find_spec

from tests.case import ClientTest

APP = """
    import runtraced

    with runtraced.run("master"):
        pass

    def app(environ, start_response):
        with runtraced.run("request"), runtraced.step("work"):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"done"]
"""
TASKS = """
    import celery, runtraced

    app = celery.Celery("tasks")
    app.conf.update(
        broker_url="filesystem://",
        broker_transport_options={"data_folder_in": "queue", "data_folder_out": "queue"},
        worker_hijack_root_logger=False,
    )

    with runtraced.run("master"):
        pass

    @app.task
    def work(number):
        with runtraced.run("task", input=number), runtraced.step("work"):
            pass
"""


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class Servers(ClientTest):
    def needs(self, package: str) -> None:
        if find_spec(package) is None:
            if os.environ.get("CI") == "true":
                self.fail(f"{package} is needed where CI=true")
            self.skipTest(f"{package} is not installed")

    def serve(self, module: str, text: str, *command: str) -> subprocess.Popen[bytes]:
        self.place = self.folder()
        os.mkdir(os.path.join(self.place, "queue"))
        with open(os.path.join(self.place, module + ".py"), "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(text))
        self.env = {**os.environ, "RUNTRACED_ENDPOINT": self.sink.endpoint}
        self.env["PYTHONPATH"] = os.pathsep.join([self.place, *filter(None, sys.path)])
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=self.place, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

        def end() -> None:
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def ends_well(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        self.assertNotIn(b"lost", said)
        self.assertEqual(len(set(self.sink.lines)), len(self.sink.lines), "nothing is sent twice")

    def test_gunicorn_with_preload(self) -> None:
        self.needs("gunicorn")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = self.serve("served", APP, "gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}", "served:app")
        for number in range(20):
            self.assertEqual(self.get(f"http://127.0.0.1:{port}/{number}"), b"done")
        self.ends_well(process)
        agents = [one["agent_id"] for one in self.sink.of("run_started")]
        self.assertEqual((agents.count("master"), agents.count("request")), (1, 20))
        self.assertEqual(len(self.sink.of("run_ended")), 21)
        self.assertEqual(len(self.sink.of("step_ended")), 20)

    def get(self, url: str) -> bytes:
        ends_at = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(url, timeout=10) as response:
                    return bytes(response.read())
            except OSError:
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.05)

    def test_celery_with_its_prefork_pool(self) -> None:
        self.needs("celery")
        process = self.serve("tasks", TASKS, "celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "ERROR")
        send = "import runtraced; runtraced.configure(disabled=True)\nimport tasks\nfor n in range(10): tasks.work.delay(n)"
        subprocess.run([sys.executable, "-c", send], cwd=self.place, env=self.env, check=True, timeout=30)
        ends_at = time.monotonic() + 40
        while len(self.tasks()) < 10 and time.monotonic() < ends_at:
            time.sleep(0.05)
        self.assertEqual(sorted(self.tasks()), sorted(str(n) for n in range(10)))
        self.ends_well(process)
        self.assertEqual(len(self.sink.of("step_ended")), 10)

    def tasks(self) -> list[str]:
        return [one["input"] for one in self.sink.of("run_started") if one["agent_id"] == "task"]
