"""Forks, exits and crashes: for each, what is kept and what is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
import time
import unittest

from tests.case import ClientTest

RUN = "import runtraced\nwith runtraced.run('a'):\n    with runtraced.step('s'): pass\n"
WHOLE = ["run_started", "step_started", "step_ended", "run_ended"]


class ProcessTest(ClientTest):
    """A test that starts processes."""

    def ok(self, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = self.run_program(program, **environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done

    def once(self) -> list[str]:
        """The kinds of what arrived, after a check that nothing arrived twice."""
        self.assertEqual(len(set(self.sink.lines)), len(self.sink.lines))
        return self.sink.kinds()

    def eventually(self, kinds: list[str]) -> None:
        ends_at = time.monotonic() + 10
        while sorted(self.sink.kinds()) != sorted(kinds) and time.monotonic() < ends_at:
            time.sleep(0.02)
        self.assertEqual(sorted(self.once()), sorted(kinds))


class Exits(ProcessTest):
    def test_exit_sends_what_is_queued(self) -> None:
        self.ok(RUN)
        self.assertEqual(self.once(), WHOLE)

    def test_sys_exit_and_an_uncaught_error_send_it_too(self) -> None:
        self.ok(RUN + "import sys; sys.exit(0)")
        done = self.run_program("import runtraced\nwith runtraced.run('a'): raise ValueError('no')")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.once(), [*WHOLE, "run_started", "run_ended"])
        self.assertEqual(self.sink.of("run_ended")[1]["error"], "ValueError: no")

    def test_exit_waits_no_longer_than_it_may_and_says_what_is_lost(self) -> None:
        self.sink.delay_s = 30
        started = time.monotonic()
        done = self.run_program("import runtraced\nruntraced.configure(exit_timeout=0.5)\n" + RUN)
        self.assertLess(time.monotonic() - started, 10)
        self.assertEqual(done.returncode, 0)
        self.assertIn("runtraced: 4 events are lost", done.stderr)

    def test_exit_without_a_daemon_is_quick_and_says_what_is_lost(self) -> None:
        started = time.monotonic()
        done = self.run_program(RUN + "import time; time.sleep(0.3)", RUNTRACED_ENDPOINT="http://127.0.0.1:9")
        self.assertLess(time.monotonic() - started, 5)
        self.assertIn("runtraced: 4 events are lost: http://127.0.0.1:9 does not answer", done.stderr)

    def test_a_handler_that_runs_after_ours_is_recorded(self) -> None:
        program = """
            import atexit
            def late():
                import runtraced
                with runtraced.run("late"): pass
            atexit.register(late)
            import runtraced
            with runtraced.run("a"): pass
        """
        self.ok(program)
        self.assertEqual(self.once(), ["run_started", "run_ended"] * 2)

    def test_events_that_begin_at_exit_are_sent(self) -> None:
        program = """
            import atexit, runtraced
            def late():
                with runtraced.run("late"): pass
            atexit.register(late)
        """
        self.ok(program)
        self.assertEqual(self.once(), ["run_started", "run_ended"])

    def test_a_handler_that_runs_after_ours_may_be_the_first_to_record(self) -> None:
        program = """
            import atexit
            def late():
                with runtraced.run("late"): pass
            atexit.register(late)
            import runtraced
        """
        self.ok(program)
        self.assertEqual(self.once(), ["run_started", "run_ended"])

    def test_with_a_spool_nothing_is_lost_at_exit_though_the_daemon_hangs(self) -> None:
        self.sink.delay_s = 30
        folder = self.folder()
        program = "import runtraced\nruntraced.configure(exit_timeout=0.3)\n" + RUN
        self.ok(program, RUNTRACED_SPOOL=folder)
        lines = []
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as file:
                lines += file.read().split(b"\n")
        self.assertEqual(len(set(lines)), 4)

    def test_os_exit_keeps_what_was_flushed(self) -> None:
        done = self.ok(RUN + "print(runtraced.flush(10)); import os\nwith runtraced.run('b'): os._exit(0)")
        self.assertEqual(done.stdout, "0\n")
        self.assertEqual(self.once()[:4], WHOLE)
        self.assertNotIn("run_ended", self.once()[4:])

    def test_sigterm_keeps_what_was_sent_and_with_the_option_everything(self) -> None:
        for option in (False, True):
            self.sink.lines.clear()
            self.sink.delay_s = 0.2
            program = f"import runtraced, time\nruntraced.configure(flush_on_sigterm={option})\n"
            program += RUN + "print(runtraced.flush(10), flush=True)\n"
            program += "with runtraced.run('b'):\n    print('open', flush=True)\n    time.sleep(60)\n"
            process = self.start(program)
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "0\n")
            self.assertEqual(process.stdout.readline(), "open\n")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(10), -signal.SIGTERM)
            time.sleep(0.3)
            self.assertEqual(self.once()[:4], WHOLE)
            if option:
                self.assertEqual(self.once()[4:], ["run_started"])

    def test_kill_9_keeps_what_was_flushed(self) -> None:
        program = RUN + "print(runtraced.flush(10), flush=True)\nwhile True:\n    with runtraced.run('b'): pass\n"
        process = self.start(program)
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "0\n")
        process.kill()
        process.wait(10)
        self.assertEqual(self.once()[:4], WHOLE)

    def test_a_frozen_process_goes_on(self) -> None:
        """As a serverless platform freezes it: what was on the way is settled once."""
        self.sink.delay_s = 0.1
        program = RUN + "print('queued', flush=True)\nimport time; time.sleep(0.5)\nprint(runtraced.flush(20), flush=True)"
        process = self.start(program)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        process.send_signal(signal.SIGCONT)
        self.assertEqual(process.stdout.readline(), "0\n")
        self.assertEqual(self.once(), WHOLE)


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class Forks(ProcessTest):
    def test_a_child_sends_its_own_and_the_parent_its_own(self) -> None:
        self.sink.delay_s = 0.05  # so that events of the parent wait when it forks
        program = """
            import os, runtraced
            with runtraced.run("parent"):
                with runtraced.step("before"): pass
                child = os.fork()
                if child == 0:
                    with runtraced.step("in the child"): pass
                    assert runtraced.flush(10) == 0
                    os._exit(0)
                os.waitpid(child, 0)
        """
        self.ok(program)
        self.assertEqual(sorted(self.once()), sorted(["run_started", "run_ended", *["step_started", "step_ended"] * 2]))
        runs = {one["run_id"] for one in self.sink.of("step_started")}
        self.assertEqual(len(runs), 1, "the child goes on in the run of its parent")

    def test_a_fork_right_after_the_first_event(self) -> None:
        """The background thread imports what it needs just then."""
        program = """
            import os, runtraced
            with runtraced.run("parent"): pass
            children = [os.fork()]
            if children[-1] == 0:
                with runtraced.run("child"): pass
                os._exit(runtraced.flush(20))
            assert os.waitpid(children[0], 0)[1] == 0
        """
        for _ in range(5):
            self.ok(program)
        self.assertEqual(len(self.once()), 20)

    def test_a_child_that_leaves_the_run_does_not_end_it(self) -> None:
        program = """
            import os, runtraced, sys
            with runtraced.run("parent"), runtraced.step("s"):
                child = os.fork()
            if child: os.waitpid(child, 0)
        """
        self.ok(program)
        self.assertEqual(sorted(self.once()), sorted(WHOLE))

    def test_a_fork_while_other_threads_record(self) -> None:
        program = """
            import os, threading, time, runtraced
            stop = threading.Event()
            def record():
                while not stop.is_set():
                    with runtraced.run("thread"): pass
                    time.sleep(0.001)
            threads = [threading.Thread(target=record) for _ in range(3)]
            for thread in threads: thread.start()
            children = []
            for _ in range(10):
                child = os.fork()
                if child == 0:
                    with runtraced.run("child"): pass
                    os._exit(0 if runtraced.flush(20) == 0 else 1)
                children.append(child)
            codes = [os.waitpid(child, 0)[1] for child in children]
            stop.set()
            for thread in threads: thread.join()
            assert codes == [0] * 10, codes
        """
        self.ok(program)
        self.once()
        self.assertEqual([one["agent_id"] for one in self.sink.of("run_started")].count("child"), 10)
        self.assertEqual(len(self.sink.of("run_started")), len(self.sink.of("run_ended")))

    def multiprocessing(self, method: str) -> None:
        program = f"""
            import multiprocessing, runtraced, sys
            def work(number):
                with runtraced.run(f"worker {{number}}"): pass
            if __name__ == "__main__":
                context = multiprocessing.get_context("{method}")
                with runtraced.run("parent"):
                    processes = [context.Process(target=work, args=(n,)) for n in range(3)]
                    for process in processes: process.start()
                    for process in processes: process.join()
                    with context.Pool(2) as pool:
                        pool.map(work, range(3, 7))
                        pool.close()
                        pool.join()
        """
        path = os.path.join(self.folder(), "program.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(program))
        done = self.run_program(f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, {path!r}]))")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.eventually(["run_started", "run_ended"] * 8 + self.handoffs(method))

    def handoffs(self, method: str) -> list[str]:
        # A forked child knows the run that was open: its runs are below it.
        return ["step_started", "step_ended"] * 7 if method == "fork" else []

    def test_multiprocessing_fork(self) -> None:
        self.multiprocessing("fork")

    def test_multiprocessing_spawn(self) -> None:
        self.multiprocessing("spawn")

    def test_a_process_pool(self) -> None:
        program = """
            import concurrent.futures, multiprocessing, runtraced
            def work(number):
                with runtraced.run(f"worker {number}"): pass
            context = multiprocessing.get_context("fork")
            with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
                list(pool.map(work, range(6)))
        """
        self.ok(program)
        self.eventually(["run_started", "run_ended"] * 6)

    def test_a_preloaded_server(self) -> None:
        """As gunicorn --preload: the master records, forks workers, and ends them with SIGTERM."""
        program = """
            import os, signal, sys, time, runtraced
            with runtraced.run("master"): pass
            workers = []
            for number in range(3):
                worker = os.fork()
                if worker == 0:
                    alive = [True]
                    signal.signal(signal.SIGTERM, lambda *_: alive.clear())
                    with runtraced.run(f"request of {number}"): pass
                    while alive: time.sleep(0.01)
                    with runtraced.run(f"last request of {number}"): pass
                    sys.exit(0)
                workers.append(worker)
            time.sleep(0.5)
            for worker in workers: os.kill(worker, signal.SIGTERM)
            codes = [os.waitpid(worker, 0)[1] for worker in workers]
            assert codes == [0] * 3, codes
        """
        self.ok(program)
        self.assertEqual(len(self.once()), 14)

    def test_a_worker_pool_that_ends_its_workers_with_os_exit(self) -> None:
        """As Celery's prefork pool, which has finalizers of its own, and then `os._exit`."""
        billiard = """
            import os, sys, types
            process, util = types.ModuleType("billiard.process"), types.ModuleType("billiard.util")
            class Current:
                name, _parent_pid = "ForkPoolWorker-1", 1
            finalizers = []
            process.current_process = lambda: Current()
            util.Finalize = lambda obj, function, exitpriority: finalizers.append(function)
            sys.modules["billiard.process"], sys.modules["billiard.util"] = process, util
            import runtraced
            child = os.fork()
            if child == 0:
                with runtraced.run("task"): pass
                for function in finalizers: function()
                os._exit(0)
            os.waitpid(child, 0)
        """
        self.ok(billiard)
        self.assertEqual(self.once(), ["run_started", "run_ended"])

    def test_a_notebook_that_runs_its_cells_again(self) -> None:
        """A cell with the import and `configure` runs again: one thread, nothing is sent twice."""
        program = """
            import code, sys, threading
            shell = code.InteractiveInterpreter()
            cell = "import runtraced; runtraced.configure(sample=1.0)\\nwith runtraced.run('a'): pass\\n"
            for _ in range(3): shell.runcode(compile(cell, "cell", "exec"))
            names = [thread.name for thread in threading.enumerate()]
            assert names.count("runtraced") == 1, names
        """
        self.ok(program)
        self.assertEqual(len(self.once()), 6)

