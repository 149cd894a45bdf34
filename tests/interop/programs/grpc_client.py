"""Calls the service of grpc_service.py through a gateway by grpcio, every kind of call; exits with 1 at the first that is wrong.
Usage: ADDRESS [CA]"""

import sys
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def is_equal(got, expected):
    if got != expected:
        sys.exit(f"{got!r} is not {expected!r}")


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    sys.exit("the call did not fail")


def main(address, ca=None):
    if ca:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(open(ca, "rb").read()), LARGE)
    else:
        channel = grpc.insecure_channel(address, LARGE)
    call = "/furt.Test/"
    unary = channel.unary_unary(call + "Unary")
    got, told = unary.with_call(b"hello", metadata=(("x-key-bin", b"\x00\xfe"),), timeout=20)
    is_equal(got, b"hello|\x00\xfe")
    is_equal(dict(told.initial_metadata())["x-initial"], "yes")
    is_equal(dict(told.trailing_metadata())["x-sum-bin"], b"\x00\x01\xff")
    large = bytes(range(256)) * 12_000
    is_equal(unary(large, timeout=60), large + b"|")
    is_equal(unary(large, timeout=60, compression=grpc.Compression.Gzip), large + b"|")
    is_equal(list(channel.unary_stream(call + "ServerStream")(b"500", timeout=60)), [str(n).encode() for n in range(500)])
    is_equal(channel.stream_unary(call + "ClientStream")(iter([b"x" * 1000] * 500), timeout=60), b"500000")
    is_equal(list(channel.stream_stream(call + "Bidi")(iter([b"ab", b"cd"]), timeout=60)), [b"ba", b"dc"])
    many = [unary.future(str(n).encode(), timeout=60) for n in range(300)]
    is_equal([one.result() for one in many], [str(n).encode() + b"|" for n in range(300)])

    fail = channel.unary_unary(call + "Fail")
    for code in ("NOT_FOUND", "INTERNAL", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED"):
        error = failure(lambda: fail(f"{code}:grüße, 100%".encode(), timeout=20))
        is_equal((error.code().name, error.details()), (code, "grüße, 100%"))
    error = failure(lambda: channel.unary_unary("/nothing/Here")(b"", timeout=20))
    is_equal((error.code().name, error.details()), ("UNIMPLEMENTED", "No route matches"))
    is_equal(dict(error.trailing_metadata())["x-furt-code"], "route-not-found")

    hang = channel.unary_unary(call + "Hang")
    is_equal(failure(lambda: hang(b"", timeout=0.5)).code().name, "DEADLINE_EXCEEDED")
    given_up = hang.future(b"", timeout=60)
    time.sleep(0.5)
    given_up.cancel()
    is_equal(given_up.cancelled(), True)
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="furt.Test"), timeout=20)
    is_equal(answer.status, health_pb2.HealthCheckResponse.SERVING)
    print("all is well", flush=True)


main(*sys.argv[1:])
