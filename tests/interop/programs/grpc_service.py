"""A service of gRPC by grpcio, with its health service: prints its port, and each call of Hang that is over. A line on stdin sets the
status of the health service."""

import sys
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def unary(request, context):
    context.send_initial_metadata((("x-initial", "yes"),))
    context.set_trailing_metadata((("x-sum-bin", b"\x00\x01\xff"),))
    told = dict(context.invocation_metadata())
    return request + b"|" + told.get("x-key-bin", b"")


def fail(request, context):
    code, text = request.decode().split(":", 1)
    context.abort(next(one for one in grpc.StatusCode if one.name == code), text)


def server_stream(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def client_stream(requests, context):
    return str(sum(len(one) for one in requests)).encode()


def bidi(requests, context):
    for one in requests:
        yield one[::-1]


def hang(request, context):
    context.add_callback(lambda: print("over hang", flush=True))
    while context.is_active():
        time.sleep(0.02)
    return b""


def main():
    server = grpc.server(futures.ThreadPoolExecutor(32))
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        "Hang": grpc.unary_unary_rpc_method_handler(hang),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("furt.Test", methods),))
    checks = health.HealthServicer()
    checks.set("furt.Test", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("port", port, flush=True)
    for line in sys.stdin:
        checks.set("furt.Test", health_pb2.HealthCheckResponse.ServingStatus.Value(line.strip()))
    server.stop(0)


main()
