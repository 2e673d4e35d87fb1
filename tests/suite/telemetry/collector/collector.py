"""A collector made of OpenTelemetry's own messages and gRPC's own server. It prints its port, and then every span that
it gets: one line of JSON each. With a certificate and its key, both in PEM, it takes spans by TLS only.
Usage: collector.py [CERTIFICATE KEY]"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def attributes(pairs):
    """Attributes as a dictionary. The daemon's values are numbers and words."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def described(span, resource, scope, metadata):
    """A span as plain data: ids as hexadecimal numbers, times as nanoseconds, enums by their names."""
    return {
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind),
        "status": Status.StatusCode.Name(span.status.code),
        "begin": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "links": [link.span_id.hex() for link in span.links],
        "events": len(span.events),
        "attributes": attributes(span.attributes),
        "resource": attributes(resource.attributes),
        "scope": scope.name,
        "authorization": metadata.get("authorization", ""),
    }


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes everything."""

    def Export(self, request, context):
        metadata = dict(context.invocation_metadata())
        for of_resource in request.resource_spans:
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    found = described(span, of_resource.resource, of_scope.scope, metadata)
                    print(json.dumps(found), flush=True)
        return trace_service_pb2.ExportTraceServiceResponse()


def content(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    # One thread: lines do not mix.
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Collector(), server)
    if len(sys.argv) == 3:
        certificate, key = (content(path) for path in sys.argv[1:])
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    # Until whoever started it closes its input.
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
