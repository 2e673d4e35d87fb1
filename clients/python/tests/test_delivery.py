"""Between the queue and the daemon: retries, limits, the spool."""

from __future__ import annotations

import glob
import json
import os
import socket
import subprocess
import sys
import threading
import time
import unittest
from typing import Any

import runtraced
from runtraced._client import client
from runtraced._events import item
from runtraced._queue import EventQueue
from tests.case import ROOT, ClientTest, fresh
from tests.sink import Sink


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def record(steps: int, payload: Any = None) -> None:
    with runtraced.run("a"):
        for number in range(steps):
            with runtraced.step(str(number), input=payload):
                pass


class Delivery(ClientTest):
    def test_a_start_is_sent_while_the_step_is_open(self) -> None:
        with runtraced.run("a"), runtraced.step("s"):
            ends_at = time.monotonic() + 5
            while self.sink.kinds() != ["run_started", "step_started"] and time.monotonic() < ends_at:
                time.sleep(0.005)
            self.assertEqual(self.sink.kinds(), ["run_started", "step_started"])
        self.flush()

    def test_a_lost_ack_and_a_busy_daemon_lose_nothing_and_repeat_only_what_they_must(self) -> None:
        self.sink.script = ["drop", 503, ("busy", 0.3), 500]
        record(10)
        self.flush()
        ids = [line for line in self.sink.lines]
        self.assertEqual(len(set(ids)), 22)
        self.assertEqual(runtraced.stats().settled, 22)
        # Only the batch whose ack was lost is there twice.
        self.assertEqual(len(ids) - len(set(ids)), self.sink.requests[0]["lines"])

    def test_the_daemon_is_given_the_time_that_it_asks_for(self) -> None:
        self.sink.script = [("busy", 1)]
        record(1)
        time.sleep(0.1)
        self.flush()
        first, second = self.sink.requests[:2]
        self.assertGreaterEqual(second["at"] - first["at"], 0.99)

    def test_refused_events_are_counted_and_told(self) -> None:
        self.sink.script = [("refuse", [1, 3])]
        with self.assertLogs("runtraced", "WARNING") as logs:
            record(3)
            self.flush()
        self.assertEqual((runtraced.stats().refused, runtraced.stats().settled), (2, 6))
        self.assertIn("INVALID_ID: no id", logs.output[0])

    def test_an_answer_of_another_server_settles_nothing(self) -> None:
        self.sink.script = ["stranger"]
        record(1)
        self.flush()
        self.assertEqual(runtraced.stats().settled, 4)
        self.assertEqual(len(self.sink.requests), 2)
        self.assertEqual(len(self.sink.lines), 4)

    def test_a_batch_that_is_too_large_is_halved(self) -> None:
        self.sink.script = [413, 413]
        record(10)
        self.flush()
        self.assertEqual(len(set(self.sink.lines)), 22)
        self.assertEqual(runtraced.stats().settled, 22)

    def test_an_event_that_cannot_be_sent_alone_harms_no_other(self) -> None:
        self.sink.script = [400] * 3
        with self.assertLogs("runtraced", "WARNING"):
            record(1)
            self.flush()
        stats = runtraced.stats()
        self.assertEqual((stats.settled + stats.refused, stats.waiting), (4, 0))
        self.assertGreaterEqual(stats.settled, 3)

    def test_headers_carry_key_and_customer(self) -> None:
        fresh(self.sink.endpoint + "/prefix/", key="rt_1", customer="0194bb0a-0000-7000-8000-00000000000c")
        record(1)
        self.flush()
        request = self.sink.requests[0]
        self.assertEqual(request["path"], "/prefix/v1/events")
        self.assertEqual(request["headers"]["Authorization"], "Bearer rt_1")
        self.assertEqual(request["headers"]["Runtraced-Customer"], "0194bb0a-0000-7000-8000-00000000000c")

    def test_one_connection_is_used_again_also_after_the_daemon_closed_it(self) -> None:
        for _ in range(3):
            record(1)
            self.flush()
            client.sender._transport._connection.sock.shutdown(socket.SHUT_RD)  # type: ignore[union-attr]
        self.assertEqual(len(set(self.sink.lines)), 12)

    def test_nothing_waits_for_a_daemon_that_hangs(self) -> None:
        self.sink.delay_s = 3
        started = time.monotonic()
        record(100)
        self.assertLess(time.monotonic() - started, 2)
        self.assertGreater(runtraced.flush(0.1), 0)

    def test_a_daemon_that_comes_later_gets_everything(self) -> None:
        port = free_port()
        fresh(f"http://127.0.0.1:{port}")
        record(5)
        self.assertEqual(runtraced.flush(0.2), 12)
        with Sink(port) as late:
            self.flush()
            self.assertEqual(len(late.events()), 12)

    def test_memory_is_bounded_and_the_drops_are_counted(self) -> None:
        fresh(f"http://127.0.0.1:{free_port()}", max_queue_bytes=200_000)
        record(1000, payload="x" * 1000)
        self.assertLessEqual(client.queue.bytes, 200_000)
        stats = runtraced.stats()
        self.assertEqual(stats.waiting + stats.dropped_events, 2002)
        self.assertGreater(stats.dropped_payloads, 100)
        with Sink() as late:
            runtraced.configure(endpoint=late.endpoint)
            self.assertEqual(runtraced.flush(10), 0)
            # The newest events are kept.
            self.assertEqual(late.of("step_started")[-1]["details"]["name"], "999")
            self.assertEqual(late.kinds()[-1], "run_ended")

    def test_payloads_go_before_events(self) -> None:
        queue = EventQueue(10_000)
        for number in range(10):
            queue.put(item(number, '"x":{"y":1', (("input_json", "z" * 1500),)))
        self.assertEqual((queue.dropped_events, len(queue)), (0, 10))
        self.assertGreater(queue.dropped_payloads, 0)
        self.assertLessEqual(queue.bytes, 10_000)
        for number in range(30):
            queue.put(item(number, '"x":{"y":1', ()))
        self.assertEqual(queue.dropped_payloads, 10)
        self.assertGreater(queue.dropped_events, 0)
        self.assertEqual(queue.outstanding, len(queue))

    def test_a_value_larger_than_the_queue_costs_only_itself(self) -> None:
        fresh(self.sink.endpoint, max_queue_bytes=100_000)
        with runtraced.run("a"), runtraced.step("s", input="x" * 200_000) as step:
            step.output = "y"
        self.flush()
        self.assertEqual(self.sink.kinds(), ["run_started", "step_started", "step_ended", "run_ended"])
        self.assertEqual(runtraced.stats().dropped_payloads, 1)

    def test_an_event_that_cannot_be_written_harms_no_other(self) -> None:
        with runtraced.run("a"):
            client.put(item(0, '"x":{"y":1', (("input_json", b"not a copy"),)))
        self.flush()
        self.assertEqual(self.sink.kinds(), ["run_started", "run_ended"])
        self.assertEqual(runtraced.stats().refused, 1)

    def test_many_threads_lose_nothing(self) -> None:
        threads = [threading.Thread(target=record, args=(200,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.flush()
        self.assertEqual(len(self.sink.lines), 8 * 402)
        self.assertEqual(len(set(self.sink.lines)), 8 * 402)


    def test_a_value_that_would_push_out_all_others_goes_first(self) -> None:
        fresh(self.sink.endpoint, max_queue_bytes=100_000)
        self.sink.delay_s = 0.5
        with runtraced.run("a", input="question"):
            for _ in range(20):
                with runtraced.step("small", input="x"):
                    pass
            with runtraced.step("large", input="z" * 80_000):
                pass
        self.flush()
        self.assertEqual(runtraced.stats().dropped_payloads, 1)
        kept = [one["details"].get("input_json") for one in self.sink.of("step_started")]
        self.assertEqual(kept, ['"x"'] * 20 + [None])

    def test_no_message_shows_the_key(self) -> None:
        fresh(self.sink.endpoint, key="rt_1\n")
        record(1)
        self.flush()
        self.assertEqual(self.sink.requests[0]["headers"]["Authorization"], "Bearer rt_1")
        with self.assertRaises(ValueError) as wrong:
            runtraced.configure(key="rt_secret\nx")
        self.assertNotIn("rt_secret", str(wrong.exception))
        client.settings.key = "rt_secret\nx"
        with self.assertLogs("runtraced", "WARNING") as logs:
            record(1)
            self.assertGreater(runtraced.flush(0.5), 0)
        self.assertNotIn("rt_secret", str(logs.output))


class Spool(ClientTest):
    def test_a_file_that_is_too_large_at_once_is_sent_in_parts(self) -> None:
        folder, port = self.folder(), free_port()
        fresh(f"http://127.0.0.1:{port}", spool=folder)
        record(10)
        self.assertGreater(runtraced.flush(5), 0)
        with Sink(port) as late:
            late.script = [413, 413, 413]
            ends_at = time.monotonic() + 20
            while runtraced.stats().settled < 22 and time.monotonic() < ends_at:
                time.sleep(0.02)
            self.assertEqual((len(set(late.lines)), len(late.lines)), (22, 22))
        self.assertEqual(os.listdir(folder), [])

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_files_and_folders_of_other_users_stop_nothing(self) -> None:
        folder = self.folder()
        path = f"{folder}/00.jsonl"
        with open(path, "w", encoding="utf-8") as file:
            file.write("{}")
        os.chmod(path, 0)
        fresh(self.sink.endpoint, spool=folder)
        record(1)
        self.flush()
        os.chmod(folder, 0)
        try:
            fresh(self.sink.endpoint, spool=folder)
            record(1)
            self.flush()
        finally:
            os.chmod(folder, 0o700)
        self.assertEqual(len(self.sink.of("run_started")), 2)

    def test_the_spool_gives_the_daemon_the_time_that_it_asks_for(self) -> None:
        folder = self.folder()
        with open(f"{folder}/00.jsonl", "w", encoding="utf-8") as file:
            file.write(json.dumps({"time": "2026-01-01T00:00:00Z", "heartbeat": {"run_id": "1"}}))
        self.sink.script = [("busy", 2)]
        fresh(self.sink.endpoint, spool=folder)
        record(1)
        ends_at = time.monotonic() + 20
        while os.listdir(folder) and time.monotonic() < ends_at:
            time.sleep(0.02)
        lone = [one["at"] for one in self.sink.requests if one["lines"] == 1]
        self.assertGreaterEqual(lone[1] - lone[0], 1.9)

    def test_events_wait_on_disk_for_the_daemon(self) -> None:
        folder, port = self.folder(), free_port()
        fresh(f"http://127.0.0.1:{port}", spool=folder)
        for _ in range(3):
            record(10)
            self.assertGreater(runtraced.flush(5), 0, "spooled is not settled")
        stats = runtraced.stats()
        self.assertEqual((stats.waiting, stats.spooled), (0, 66))
        self.assertEqual(client.queue.bytes, 0)
        with Sink(port) as late:
            ends_at = time.monotonic() + 10
            while runtraced.stats().settled < 66 and time.monotonic() < ends_at:
                time.sleep(0.02)
            self.assertEqual(len(set(late.lines)), 66)
            self.assertEqual(len(late.lines), 66, "nothing is sent twice")
        self.assertEqual(os.listdir(folder), [])

    def test_another_process_sends_what_was_left(self) -> None:
        folder = self.folder()
        program = "import runtraced\nwith runtraced.run('a'): pass\n"
        left = self.run_program(program, RUNTRACED_ENDPOINT=f"http://127.0.0.1:{free_port()}", RUNTRACED_SPOOL=folder)
        self.assertEqual(left.returncode, 0)
        self.assertNotIn("lost", left.stderr)
        self.assertEqual(len(glob.glob(folder + "/*.jsonl")), 1)
        self.assertEqual(self.run_program(program, RUNTRACED_SPOOL=folder).stderr, "")
        self.assertEqual(sorted(self.sink.kinds()), ["run_ended"] * 2 + ["run_started"] * 2)
        self.assertEqual(os.listdir(folder), [])

    def test_two_processes_do_not_send_a_file_twice(self) -> None:
        folder = self.folder()
        for number in range(20):
            with open(f"{folder}/{number:02}.jsonl", "w", encoding="utf-8") as file:
                file.write(json.dumps({"time": "2026-01-01T00:00:00Z", "heartbeat": {"run_id": str(number)}}))
        program = "import runtraced\nwith runtraced.run('a'): pass\nassert runtraced.flush(20) == 0\n"
        several = [self.start(program, RUNTRACED_SPOOL=folder) for _ in range(4)]
        for process in several:
            self.assertEqual(process.communicate(timeout=30)[1], "")
        self.assertEqual(self.sink.kinds().count("heartbeat"), 20)

    def test_a_full_spool_leaves_events_in_memory(self) -> None:
        folder, port = self.folder(), free_port()
        fresh(f"http://127.0.0.1:{port}", spool=folder, max_spool_bytes=10)
        with self.assertLogs("runtraced", "WARNING"):
            record(10)
            self.assertEqual(runtraced.flush(0.5), 22)
        self.assertEqual(runtraced.stats().waiting, 22)
        with Sink(port) as late:
            self.flush()
            self.assertEqual(len(late.lines), 22)


class Sampling(ClientTest):
    def test_a_share_of_the_runs_is_recorded_whole(self) -> None:
        fresh(self.sink.endpoint, sample=0.25)
        for _ in range(400):
            with runtraced.run("a"), runtraced.run("child"), runtraced.step("s"):
                pass
        self.flush()
        kinds = self.sink.kinds()
        self.assertTrue(120 < kinds.count("run_started") < 290, kinds.count("run_started"))
        self.assertEqual(len(kinds) % 8, 0, "each run has all of its 8 events")

    def test_a_left_out_caller_leaves_out_the_agent_that_it_calls(self) -> None:
        fresh(self.sink.endpoint, sample=0)
        with runtraced.run("caller"):
            header = runtraced.traceparent()
        self.assertTrue(str(header).endswith("-00"))
        fresh(self.sink.endpoint)
        with runtraced.run("callee", traceparent=header):
            pass
        self.flush()
        self.assertEqual(self.sink.events(), [])

    def test_what_a_left_out_run_holds_back_is_bounded(self) -> None:
        fresh(self.sink.endpoint, sample=0)
        with self.assertRaises(ValueError), runtraced.run("a"):
            for _ in range(3000):
                with runtraced.step("s", input="x" * 1000):
                    pass
            raise ValueError
        self.flush()
        self.assertLess(sum(map(len, self.sink.lines)), 2_000_000)
        self.assertEqual(self.sink.kinds()[-1], "run_ended")


class Import(ClientTest):
    def test_the_import_is_fast_and_pulls_in_no_network(self) -> None:
        """It takes less than that of asyncio, measured in turns: machines are fast and slow."""
        program = """
            import sys, time
            started = time.process_time()
            import {module}
            took = time.process_time() - started
            heavy = {{"http.client", "ssl", "asyncio", "inspect", "concurrent.futures"}} & set(sys.modules)
            print(took, sorted(heavy))
        """
        times: dict[str, list[float]] = {"runtraced": [], "asyncio": []}
        for module in list(times) * 5:
            lines = [line.strip() for line in program.format(module=module).splitlines()]
            command = [sys.executable, "-I", "-S", "-c", "\n".join([f"import sys; sys.path[:0] = {sys.path!r}", *lines])]
            ran = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True)
            took, _, heavy = ran.stdout.partition(" ")
            if module == "runtraced":
                self.assertEqual(heavy.strip(), "[]")
            times[module].append(float(took))
        self.assertLess(min(times["runtraced"]), min(times["asyncio"]))
