"""A tracer for runtraced in plain grpcio. Copy this file and change it as you like."""

import collections
import contextlib
import json
import os
import pathlib
import random
import sys
import threading
import time
import uuid

import grpc

# grpcio-tools generates the stubs from the .proto files.
PROTO_DIR = pathlib.Path(__file__).resolve().parents[2] / "proto"
sys.path.insert(0, os.environ.get("RUNTRACED_PROTO_DIR", str(PROTO_DIR)))
pb = grpc.protos("runtraced/v1/event.proto")
ingest_pb, services = grpc.protos_and_services("runtraced/v1/trace_ingest.proto")


def new_id():
    """A UUIDv7. Its order follows time, which keeps the indexes of the database dense."""
    millis = time.time_ns() // 1_000_000
    bits = (millis << 80) | (7 << 76) | (random.getrandbits(12) << 64)
    return uuid.UUID(int=bits | (0b10 << 62) | random.getrandbits(62))


def event(**kind):
    """An event with the current time, for example event(heartbeat=pb.Heartbeat(run_id=…))."""
    happened = pb.Event(**kind)
    happened.time.GetCurrentTime()
    return happened


class Tracer:
    """Sends batches of events over one stream and keeps each batch until its ack.

    A thread reads the acks. When the connection breaks, the thread opens a new
    stream and sends every batch without an ack again.
    """

    MAX_UNACKED = 256
    MAX_BACKOFF_S = 5.0
    # A retry does not help against these.
    FINAL = (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    )

    def __init__(self, channel, on_ack=lambda ack: None):
        self._stub = services.TraceIngestStub(channel)
        self._on_ack = on_ack
        self._changed = threading.Condition()
        self._unacked = collections.deque()  # batches in order of sequence
        self._sequence = 0
        self._call_number = 0
        self._closed = False
        self._failure = None
        self._thread = threading.Thread(target=self._deliver, name="runtraced", daemon=True)
        self._thread.start()

    def emit(self, *events):
        """Queues a batch. Waits only while too many batches have no ack yet."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._unacked) < self.MAX_UNACKED or self._failure)
            if self._failure:
                return  # tracing never breaks the agent; close() raises the error
            self._sequence += 1
            self._unacked.append(ingest_pb.StreamRequest(sequence=self._sequence, events=events))
            self._changed.notify_all()

    def close(self):
        """Waits until every batch has its ack."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        if self._failure:
            raise self._failure

    def _deliver(self):
        backoff_s = 0.1
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unacked or self._closed)
                if not self._unacked:
                    return
                self._call_number += 1
            try:
                for ack in self._stub.Stream(self._requests(self._call_number)):
                    backoff_s = 0.1
                    self._settle(ack)
            except grpc.RpcError as error:
                if error.code() in self.FINAL:
                    with self._changed:
                        self._failure = error
                        self._changed.notify_all()
                    return
            if self._unacked:
                time.sleep(backoff_s * random.uniform(0.5, 1.0))
                backoff_s = min(2 * backoff_s, self.MAX_BACKOFF_S)

    def _requests(self, call_number):
        """The requests of one call: first the batches without an ack, then new ones."""
        sent = 0

        def following():
            return next((batch for batch in self._unacked if batch.sequence > sent), None)

        while True:
            with self._changed:
                # grpcio asks for the next request even after the call has ended.
                self._changed.wait_for(
                    lambda: following() or self._closed or call_number != self._call_number
                )
                batch = following()
                if batch is None or call_number != self._call_number:
                    return
            yield batch
            sent = batch.sequence

    def _settle(self, ack):
        with self._changed:
            while self._unacked and self._unacked[0].sequence <= ack.settled_sequence:
                self._unacked.popleft()
            self._changed.notify_all()
        self._on_ack(ack)


class Run:
    """One run of an agent."""

    def __init__(self, tracer, agent_id, agent_type, name, session_id=None):
        self._tracer = tracer
        self.id = new_id()
        self._messages = 0
        session = {"session_id": session_id.bytes} if session_id else {}
        self._session = session
        started = pb.RunStarted(
            run_id=self.id.bytes, agent_id=agent_id, agent_type=agent_type, name=name, **session
        )
        tracer.emit(event(run_started=started))

    def message(self, role, content):
        """Adds a message. The role is one of pb.MESSAGE_ROLE_*."""
        self._messages += 1
        message = pb.MessageAppended(
            message_id=new_id().bytes,
            run_id=self.id.bytes,
            role=role,
            content=content,
            seq=self._messages,
            **self._session,
        )
        self._tracer.emit(event(message_appended=message))

    @contextlib.contextmanager
    def step(self, step_type, name, arguments=None, parent=None):
        """Traces the block as a step. Set `.output` on the step; an exception fails it."""
        step = Step(self)
        details = pb.StepDetails(step_type=step_type, name=name)
        if arguments is not None:
            details.input_json = json.dumps(arguments)
        if parent is not None:
            details.parent_step_id = parent.id.bytes
        started = pb.StepStarted(step_id=step.id.bytes, run_id=self.id.bytes, details=details)
        self._tracer.emit(event(step_started=started))
        clock = time.monotonic()
        ended = pb.StepEnded(
            step_id=step.id.bytes,
            run_id=self.id.bytes,
            status=pb.END_STATUS_COMPLETED,
            announced=True,  # a StepStarted was sent before
        )
        try:
            yield step
        except BaseException as error:
            ended.status = pb.END_STATUS_FAILED
            ended.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            if step.output is not None:
                ended.output_json = json.dumps(step.output)
            ended.duration_ms = round(1000 * (time.monotonic() - clock))
            self._tracer.emit(event(step_ended=ended), *step.usage)

    def end(self, output=None, error=None):
        """Ends the run. With an error, the run has failed."""
        status = pb.END_STATUS_FAILED if error else pb.END_STATUS_COMPLETED
        ended = pb.RunEnded(run_id=self.id.bytes, status=status, output=output, error=error)
        self._tracer.emit(event(run_ended=ended))


class Step:
    """An open step."""

    def __init__(self, run):
        self.id = new_id()
        self.output = None
        self.usage = []
        self._run = run

    def used(self, model, **tokens):
        """Counts tokens of the step: input, output, cache_read, cache_write, reasoning."""
        count = pb.TokenCount(
            token_count_id=new_id().bytes,
            run_id=self._run.id.bytes,
            step_id=self.id.bytes,
            model=model,
            **tokens,
        )
        self.usage.append(event(token_count=count))
