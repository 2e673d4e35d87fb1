"""A small agent with tools. It sends its trace to runtraced while it works."""

import argparse
import time

import grpc

from runtraced_trace import Run, Tracer, event, ingest_pb, new_id, pb, services

MODEL = "claude-sonnet-4-5"


def look_up_usage(customer):
    time.sleep(0.08)
    return {"customer": customer, "seats_used": 412, "seats": 600}


def open_tickets(customer, attempt):
    time.sleep(0.05)
    if attempt == 1:
        raise TimeoutError("the help desk did not answer")
    return [{"id": 8841, "title": "SSO outage", "customer": customer}]


def agent(run):
    """Asks a (scripted) model, calls the tools that the model wants, and answers."""
    run.message(pb.MESSAGE_ROLE_USER, "How is Acme doing?")
    with run.step(pb.STEP_TYPE_LLM_CALL, "choose tools", {"model": MODEL}) as step:
        time.sleep(0.12)
        step.output = {"tool_calls": ["look_up_usage", "open_tickets"]}
        step.used(MODEL, input=1_840, cache_read=1_024, output=96, reasoning=32)

    with run.step(pb.STEP_TYPE_TOOL_CALL, "look_up_usage", {"customer": "acme"}) as step:
        step.output = look_up_usage("acme")

    for attempt in (1, 2):
        try:
            with run.step(pb.STEP_TYPE_TOOL_CALL, "open_tickets", {"customer": "acme"}) as step:
                step.output = open_tickets("acme", attempt)
            break
        except TimeoutError:
            continue

    with run.step(pb.STEP_TYPE_LLM_CALL, "answer", {"model": MODEL}) as step:
        time.sleep(0.2)
        answer = "Acme uses 412 of 600 seats and has one open ticket, an SSO outage."
        step.output = {"text": answer}
        step.used(MODEL, input=2_310, cache_read=1_024, output=148)
    run.message(pb.MESSAGE_ROLE_ASSISTANT, answer)
    return answer


def print_ack(ack):
    durability = ingest_pb.Durability.Name(ack.durability).removeprefix("DURABILITY_").lower()
    print(
        f"ack: up to batch {ack.settled_sequence}, {durability}: {ack.outcome.committed} events, "
        f"{ack.outcome.duplicate} duplicate, {len(ack.outcome.refused)} refused"
    )
    for refusal in ack.outcome.refused:
        code = ingest_pb.RefusalCode.Name(refusal.code)
        print(f"  batch {refusal.sequence}, event {refusal.index}: {code}: {refusal.reason}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--endpoint", default="127.0.0.1:4317", help="the daemon's gRPC address")
    endpoint = arguments.parse_args().endpoint.removeprefix("http://")

    with grpc.insecure_channel(endpoint) as channel:
        # Submit sends one batch and answers when all of it is settled.
        session_id = new_id()
        session = pb.SessionUpsert(session_id=session_id.bytes, title="Questions about Acme")
        request = ingest_pb.SubmitRequest(events=[event(session_upsert=session)])
        answer = services.TraceIngestStub(channel).Submit(request, timeout=30, wait_for_ready=True)
        print(f"submit: {answer.outcome.committed} event committed")

        # Stream is for live runs. A thread reads the acks.
        tracer = Tracer(channel, on_ack=print_ack)
        run = Run(tracer, "account-helper", "assistant", "How is Acme doing?", session_id)
        try:
            run.end(output=agent(run))
        except Exception as error:
            run.end(error=f"{type(error).__name__}: {error}")
            raise
        finally:
            tracer.close()
    print(f"run: {run.id}")


if __name__ == "__main__":
    main()
