"""Does to a server of HTTP/2 what only costs it, or what the protocol forbids, and prints as JSON how the server ended that.
Frames are hyperframe's, headers hpack's, and what a connection begins with is h2's.
Usage: ADDRESS SCRIPT [CA]; without arguments it prints the names of the scripts. With CA it is under TLS, for a.example."""

import collections
import itertools
import json
import select
import socket
import ssl
import struct
import sys
import time

import h2.config
import h2.connection
import hpack
from hyperframe import frame

# How long the server may take to end what a script does, and how much of it a script does at most.
LONGEST = 40
MOST = 200_000
# What waits here to be sent before a script goes on.
MOST_UNSENT = 64 * 1024
CANCEL = 8


class Over(Exception):
    """The server has ended the connection, or the script's time is up."""


class Client:
    """A connection whose frames are sent as they are. `reads` of False: it takes nothing of what is sent to it."""

    def __init__(self, address, ca):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.setblocking(False)
        self.begin = time.monotonic()
        self.unsent, self.unread, self.reads = bytearray(), bytearray(), True
        self.is_closed, self.goaways, self.resets, self.statuses = False, [], collections.Counter(), {}
        self.ended, self.sent, self.received = set(), 0, 0
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.tls = None
        if ca:
            context = ssl.create_default_context(cafile=ca)
            context.set_alpn_protocols(["h2"])
            self.arriving, self.leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = context.wrap_bio(self.arriving, self.leaving, server_hostname="a.example")
            while not self.shakes_hands():
                self.pump(1)
            assert self.tls.selected_alpn_protocol() == "h2"

    def shakes_hands(self):
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        finally:
            self.unsent += self.leaving.read()

    def preface(self, **values):
        """What every connection begins with, with these settings."""
        begin = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        begin.initiate_connection()
        self.raw(begin.data_to_send())
        if values:
            self.send(settings(**values))

    def send(self, *frames):
        self.raw(b"".join(one.serialize() for one in frames))

    def raw(self, text):
        self.sent += len(text)
        if self.tls:
            self.tls.write(text)
            self.unsent += self.leaving.read()
        else:
            self.unsent += text
        self.pump(0)
        while len(self.unsent) > MOST_UNSENT:
            self.pump(0.1)

    def pump(self, wait):
        """Sends and reads what it can within that time."""
        if self.is_over():
            raise Over
        reading = [self.socket] if self.reads else []
        writing = [self.socket] if self.unsent else []
        readable, writable, _ = select.select(reading, writing, [], wait)
        try:
            if writable:
                del self.unsent[: self.socket.send(self.unsent[:65536])]
            if readable:
                got = self.socket.recv(65536)
                self.is_closed = not got
                self.take(got)
        except BlockingIOError:
            pass
        except (ConnectionError, ssl.SSLError):
            self.is_closed = True

    def take(self, text):
        if self.tls:
            self.arriving.write(text)
            text = b""
            try:
                while part := self.tls.read(65536):
                    text += part
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                pass
            except ValueError:
                return  # The handshake is not done.
        self.received += len(text)
        self.unread += text
        while len(self.unread) >= 9:
            head, length = frame.Frame.parse_frame_header(memoryview(bytes(self.unread[:9])))
            if len(self.unread) < 9 + length:
                return
            head.parse_body(memoryview(bytes(self.unread[9 : 9 + length])))
            del self.unread[: 9 + length]
            self.note(head)

    def note(self, got):
        if isinstance(got, frame.GoAwayFrame):
            self.goaways.append(got.error_code)
        elif isinstance(got, frame.RstStreamFrame):
            self.resets[got.error_code] += 1
            self.ended.add(got.stream_id)
        elif isinstance(got, frame.HeadersFrame):
            fields = dict(self.decoder.decode(got.data))
            self.statuses.setdefault(got.stream_id, fields.get(":status"))
        elif isinstance(got, frame.PingFrame) and "ACK" not in got.flags:
            self.send(frame.PingFrame(opaque_data=got.opaque_data, flags=["ACK"]))
        if "END_STREAM" in got.flags:
            self.ended.add(got.stream_id)

    def is_over(self):
        return self.is_closed or any(self.goaways) or time.monotonic() - self.begin > LONGEST

    def wait(self, until=lambda: False, longest=LONGEST):
        """Waits until that is so."""
        end = time.monotonic() + longest
        while not until() and time.monotonic() < end:
            self.pump(0.05)

    def rest(self):
        """Takes what the server has still to say, up to the end of the connection: it may have said why before that."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if select.select([self.socket], [], [], 0.1)[0]:
                try:
                    got = self.socket.recv(65536)
                    self.take(got)
                except (ConnectionError, ssl.SSLError):
                    got = b""
                if not got:
                    self.is_closed = True
                    return

    def block(self, path="/echo/a", method="GET", more=()):
        fields = [(":method", method), (":scheme", "https" if self.tls else "http"), (":authority", "a.example")]
        return self.encoder.encode([*fields, (":path", path), *more])

    def headers(self, stream, path="/echo/a", method="GET", more=(), flags=("END_HEADERS", "END_STREAM")):
        return frame.HeadersFrame(stream, data=self.block(path, method, more), flags=flags)

    def open(self, stream, path="/hangs/a"):
        """A request whose body follows."""
        self.send(self.headers(stream, path, "POST", flags=["END_HEADERS"]))


def reset(stream, code=CANCEL):
    return frame.RstStreamFrame(stream, error_code=code)


def data(stream, part=b"", **more):
    return frame.DataFrame(stream, data=part, **more)


def window(stream, increment):
    return frame.WindowUpdateFrame(stream, window_increment=increment)


def unchecked(kind, flags, stream, payload):
    """A frame that hyperframe does not make."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    return frame.SettingsFrame(settings={getattr(frame.SettingsFrame, name): value for name, value in values.items()})


def flood(client, make, times=100):
    """Sends what is made until the server ends it."""
    for number in range(MOST):
        client.raw(b"".join(one.serialize() for one in make(number)) * times)


SCRIPTS = {}


def script(function):
    SCRIPTS[function.__name__.replace("_", "-")] = function
    return function


# --- Floods.


@script
def rapid_reset(client):
    client.preface()
    flood(client, lambda n: [client.headers(2 * n + 1, "/hangs/a"), reset(2 * n + 1)], 1)


@script
def reset_after_accept(client):
    client.preface()
    for number in range(MOST):
        client.send(client.headers(2 * number + 1, "/hangs/a"))
        client.wait(longest=0.02)
        client.send(reset(2 * number + 1))


@script
def pings(client):
    client.preface()
    flood(client, lambda n: [frame.PingFrame(opaque_data=b"12345678")])


@script
def pings_unread(client):
    client.preface()
    client.reads = False
    flood(client, lambda n: [frame.PingFrame(opaque_data=b"12345678")])


@script
def ping_answers(client):
    client.preface()
    flood(client, lambda n: [frame.PingFrame(opaque_data=b"12345678", flags=["ACK"])])


@script
def settings_frames(client):
    client.preface()
    flood(client, lambda n: [settings(MAX_CONCURRENT_STREAMS=100)])


@script
def settings_unread(client):
    client.preface()
    client.reads = False
    flood(client, lambda n: [settings(MAX_CONCURRENT_STREAMS=100)])


@script
def settings_that_move_windows(client):
    client.preface()
    for number in range(50):
        client.send(client.headers(2 * number + 1, "/hangs/a"))
    flood(client, lambda n: [settings(INITIAL_WINDOW_SIZE=0), settings(INITIAL_WINDOW_SIZE=1_000_000)])


@script
def settings_of_many_fields(client):
    client.preface()
    flood(client, lambda n: [frame.SettingsFrame(settings={1000 + key: 1 for key in range(2000)})], 1)


@script
def window_updates(client):
    client.preface()
    flood(client, lambda n: [window(0, 1)])


@script
def window_updates_of_a_stream(client):
    client.preface()
    client.open(1)
    flood(client, lambda n: [window(1, 1)])


@script
def windows_opened_byte_by_byte(client):
    """A large answer, of which the client takes a byte at a time."""
    client.preface(INITIAL_WINDOW_SIZE=1)
    client.send(client.headers(1, "/zeros/a"))
    for _ in range(MOST):
        before = client.received
        client.send(window(1, 1))
        client.wait(lambda: client.received > before, longest=5)


@script
def goaways(client):
    client.preface()
    client.send(client.headers(1, "/hangs/a"))
    flood(client, lambda n: [frame.GoAwayFrame(0, last_stream_id=0, error_code=0)])


@script
def priorities(client):
    client.preface()
    flood(client, lambda n: [frame.PriorityFrame(2 * n + 1, depends_on=0, stream_weight=n % 256)])


@script
def unknown_frames(client):
    client.preface()
    # hyperframe says their length wrong.
    unknown = unchecked(200, 0, 0, bytes(100))
    for _ in range(MOST):
        client.raw(unknown * 100)


@script
def resets_of_ended_streams(client):
    client.preface()
    client.send(client.headers(1))
    client.wait(lambda: 1 in client.ended)
    flood(client, lambda n: [reset(1)])


@script
def empty_data(client):
    client.preface()
    client.open(1)
    flood(client, lambda n: [data(1)])


@script
def padding_alone(client):
    client.preface()
    client.open(1)
    flood(client, lambda n: [data(1, pad_length=255, flags=["PADDED"])], 1)


@script
def continuations(client):
    client.preface()
    client.send(frame.HeadersFrame(1, data=client.block(), flags=["END_STREAM"]))
    flood(client, lambda n: [frame.ContinuationFrame(1, data=client.encoder.encode([(f"a{n}", "b" * 20)]))], 1)


@script
def empty_continuations(client):
    client.preface()
    client.send(frame.HeadersFrame(1, data=client.block(), flags=["END_STREAM"]))
    flood(client, lambda n: [frame.ContinuationFrame(1, data=b"")])


@script
def continuations_as_large_as_frames_are(client):
    client.preface()
    client.send(frame.HeadersFrame(1, data=client.block(), flags=["END_STREAM"]))
    # Of a field whose value is 2 GB long.
    client.send(frame.ContinuationFrame(1, data=b"\x00\x01a\x7f\x80\xff\xff\xff\x07"))
    flood(client, lambda n: [frame.ContinuationFrame(1, data=b"b" * 16_384)], 1)


@script
def headers_that_are_large_and_taken_back(client):
    """Headers that are as large as they may be, again and again, of requests that are taken back."""
    client.preface()
    fields = [(f"a{n}", "b" * 3000) for n in range(15)]

    def make(n):
        block = hpack.Encoder().encode([*base(client, "/hangs/a"), *fields])
        pieces = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
        rest = [frame.ContinuationFrame(2 * n + 1, data=piece) for piece in pieces[1:]]
        rest[-1].flags.add("END_HEADERS")
        return [frame.HeadersFrame(2 * n + 1, data=pieces[0]), *rest, reset(2 * n + 1)]

    flood(client, make, 1)


# --- Requests that the server is made to reset (MadeYouReset): each has cost a service a request.


def made(client, break_it, method="GET"):
    client.preface()
    for number in range(MOST):
        stream = 2 * number + 1
        if method == "GET":
            client.send(client.headers(stream, "/hangs/a"))
        else:
            client.open(stream)
        client.wait(longest=0.01)
        client.raw(break_it(stream))


@script
def made_reset_by_an_increment_of_zero(client):
    made(client, lambda stream: unchecked(8, 0, stream, bytes(4)))


@script
def made_reset_by_a_window_that_overflows(client):
    made(client, lambda stream: window(stream, 2**31 - 1).serialize() * 2)


@script
def made_reset_by_data_after_the_end(client):
    made(client, lambda stream: data(stream, b"x").serialize())


@script
def made_reset_by_a_header_after_the_end(client):
    made(client, lambda stream: client.headers(stream).serialize())


@script
def made_reset_by_a_second_header(client):
    made(client, lambda stream: client.headers(stream, flags=["END_HEADERS"]).serialize(), "POST")


@script
def made_reset_by_a_dependency_on_itself(client):
    made(client, lambda stream: unchecked(2, 0, stream, struct.pack(">IB", stream, 16)))


@script
def made_reset_by_a_priority_of_a_wrong_length(client):
    made(client, lambda stream: unchecked(2, 0, stream, bytes(4)))


@script
def made_reset_by_a_body_longer_than_said(client):
    client.preface()
    for number in range(MOST):
        stream = 2 * number + 1
        more = [("content-length", "1")]
        client.send(client.headers(stream, "/hangs/a", "POST", more, ["END_HEADERS"]), data(stream, b"xx"))
        client.wait(longest=0.01)


# --- Headers.


@script
def a_header_list_that_is_too_large(client):
    """Answered 431; it is asked for again and again."""
    client.preface()
    value = "b" * 900

    def make(n):
        block = client.encoder.encode([*base(client), *[(f"a{m}", value) for m in range(80)]])
        pieces = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
        frames = [frame.HeadersFrame(2 * n + 1, data=pieces[0], flags=["END_STREAM"])]
        frames += [frame.ContinuationFrame(2 * n + 1, data=piece) for piece in pieces[1:]]
        frames[-1].flags.add("END_HEADERS")
        return frames

    for number in range(20):
        client.send(*make(number))
    client.wait(lambda: len(client.ended) == 20)


def base(client, path="/echo/a"):
    scheme = "https" if client.tls else "http"
    return [(":method", "GET"), (":scheme", scheme), (":authority", "a.example"), (":path", path)]


@script
def hpack_bomb(client):
    """A field of 4,000 bytes in the table, to which a byte each refers: a block of 16 KB says 64 MB."""
    client.preface()
    first = client.encoder.encode([*base(client), ("bomb", "b" * 3900)])
    client.send(frame.HeadersFrame(1, data=first, flags=["END_HEADERS", "END_STREAM"]))
    for number in range(1, 30):
        block = client.block() + b"\xbe" * 16_000
        client.send(frame.HeadersFrame(2 * number + 1, data=block, flags=["END_HEADERS", "END_STREAM"]))
    client.wait(lambda: len(client.ended) == 30)


@script
def an_index_beyond_the_table(client):
    client.preface()
    client.send(frame.HeadersFrame(1, data=client.block() + b"\xff\x80\x01", flags=["END_HEADERS", "END_STREAM"]))
    client.wait()


@script
def a_table_larger_than_allowed(client):
    client.preface()
    client.send(frame.HeadersFrame(1, data=b"\x3f\xe1\xff\x03" + client.block(), flags=["END_HEADERS", "END_STREAM"]))
    client.wait()


@script
def an_integer_without_an_end(client):
    client.preface()
    block = client.block() + b"\x7f" + b"\xff" * 40
    client.send(frame.HeadersFrame(1, data=block, flags=["END_HEADERS", "END_STREAM"]))
    client.wait()


def malformed(client, *fields):
    client.preface()
    for number in itertools.count():
        block = client.encoder.encode(fields)
        client.send(frame.HeadersFrame(2 * number + 1, data=block, flags=["END_HEADERS", "END_STREAM"]))


@script
def fields_of_a_connection(client):
    malformed(client, *base(client), ("connection", "close"))


@script
def fields_in_upper_case(client):
    malformed(client, *base(client), ("Upper", "x"))


@script
def two_paths(client):
    malformed(client, *base(client), (":path", "/echo/b"))


@script
def no_path(client):
    malformed(client, *base(client)[:3])


@script
def line_ends_in_a_value(client):
    malformed(client, *base(client), ("a", "b\r\nc: d"))


# --- Stalls.


@script
def windows_that_are_never_opened(client):
    client.preface(INITIAL_WINDOW_SIZE=0)
    for number in range(100):
        client.send(client.headers(2 * number + 1, "/zeros/a"))
    client.wait(lambda: len(client.ended) == 100)


@script
def a_connection_that_is_never_read(client):
    """Its windows are open, and its socket is not."""
    client.preface(INITIAL_WINDOW_SIZE=2**31 - 1)
    client.send(window(0, 2**31 - 1 - 65_535))
    for number in range(100):
        client.send(client.headers(2 * number + 1, "/zeros/a"))
    client.reads = False
    # The server cannot say so here; it is seen by its own figures. A reset of the socket tells that it has closed.
    client.wait(longest=8)
    client.reads = True
    client.wait(longest=8)


@script
def a_preface_that_stays_half(client):
    client.raw(b"PRI * HTTP/2.0\r\n\r\nSM")
    client.wait()


@script
def a_preface_that_comes_slowly(client):
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":
        client.raw(bytes([byte]))
        client.wait(longest=1)


@script
def nothing_at_all(client):
    client.wait()


@script
def a_continuation_that_comes_slowly(client):
    client.preface()
    client.send(frame.HeadersFrame(1, data=client.block(), flags=["END_STREAM"]))
    for _ in range(100):
        client.send(frame.ContinuationFrame(1, data=b""))
        client.wait(longest=0.5)


@script
def a_header_whose_frame_comes_slowly(client):
    client.preface()
    for byte in client.headers(1).serialize():
        client.raw(bytes([byte]))
        client.wait(longest=0.5)


@script
def bodies_that_never_come(client):
    client.preface()
    for number in range(100):
        client.open(2 * number + 1, "/echo/a")
    client.wait(lambda: len(client.ended) == 100)


# --- What the protocol forbids.


def forbidden(name, make):
    def run(client):
        client.preface()
        client.raw(make(client))
        client.wait(longest=8)

    SCRIPTS[name] = run


for name, make in {
    "an-even-stream": lambda c: c.headers(2).serialize(),
    "streams-that-decrease": lambda c: c.headers(5).serialize() + c.headers(3).serialize(),
    "a-header-on-stream-0": lambda c: unchecked(1, 5, 0, c.block()),
    "data-on-an-idle-stream": lambda c: data(1, b"x").serialize(),
    "data-on-stream-0": lambda c: unchecked(0, 0, 0, b"x"),
    "a-window-of-an-idle-stream": lambda c: window(1, 1).serialize(),
    "a-reset-of-an-idle-stream": lambda c: reset(1).serialize(),
    "a-reset-of-stream-0": lambda c: unchecked(3, 0, 0, bytes(4)),
    "a-reset-of-a-wrong-length": lambda c: c.headers(1, "/hangs/a").serialize() + unchecked(3, 0, 1, bytes(3)),
    "a-push": lambda c: unchecked(5, 4, 1, struct.pack(">I", 2) + c.block()),
    "a-continuation-alone": lambda c: unchecked(9, 4, 1, c.block()),
    "a-frame-within-a-header": lambda c: unchecked(1, 1, 1, c.block()) + unchecked(6, 0, 0, bytes(8)),
    "a-continuation-of-another-stream": lambda c: unchecked(1, 1, 1, c.block()) + unchecked(9, 4, 3, b""),
    "a-frame-that-is-too-long": lambda c: unchecked(0, 0, 1, bytes(16_385)),
    "a-ping-of-a-wrong-length": lambda c: unchecked(6, 0, 0, bytes(7)),
    "a-ping-on-a-stream": lambda c: unchecked(6, 0, 1, bytes(8)),
    "settings-on-a-stream": lambda c: unchecked(4, 0, 1, b""),
    "settings-of-a-wrong-length": lambda c: unchecked(4, 0, 0, bytes(5)),
    "an-answer-to-settings-with-fields": lambda c: unchecked(4, 1, 0, bytes(6)),
    "a-window-that-is-too-large": lambda c: unchecked(4, 0, 0, struct.pack(">HI", 4, 2**31)),
    "a-frame-size-that-is-too-small": lambda c: unchecked(4, 0, 0, struct.pack(">HI", 5, 1)),
    "push-that-is-neither-on-nor-off": lambda c: unchecked(4, 0, 0, struct.pack(">HI", 2, 2)),
    "a-window-of-the-connection-that-overflows": lambda c: window(0, 2**31 - 1).serialize() * 2,
    "an-increment-of-zero": lambda c: unchecked(8, 0, 0, bytes(4)),
    "a-goaway-on-a-stream": lambda c: unchecked(7, 0, 1, bytes(8)),
    "padding-longer-than-its-frame": lambda c: c.headers(1, method="POST", flags=["END_HEADERS"]).serialize()
    + unchecked(0, 8, 1, b"\xffx"),
    "more-data-than-the-window": lambda c: c.headers(1, "/hangs/a", "POST", flags=["END_HEADERS"]).serialize()
    + data(1, bytes(16_000)).serialize() * 200,
}.items():
    forbidden(name, make)


@script
def a_preface_that_is_none(client):
    client.raw(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + settings().serialize())
    client.wait(longest=8)


@script
def the_last_stream_and_one_more(client):
    client.preface()
    client.send(client.headers(2**31 - 1))
    client.wait(lambda: 2**31 - 1 in client.ended)
    client.raw(unchecked(1, 5, 1, client.block()))
    client.wait(longest=8)


# --- What is no attack.


@script
def a_goaway_of_the_client(client):
    """What it asked for before is answered, and the connection ends."""
    client.preface()
    client.send(client.headers(1, "/slow/a"), frame.GoAwayFrame(0, last_stream_id=0, error_code=0))
    client.wait(longest=8)


def how(client):
    """The end in a word or two: what the connection got, else what its streams got."""
    errors = [code for code in client.goaways if code]
    if errors:
        return f"goaway {errors[-1]}"
    if client.resets:
        return "reset " + ",".join(str(code) for code in sorted(client.resets))
    answered = {status.decode() if isinstance(status, bytes) else status for status in client.statuses.values()}
    if answered:
        return "answered " + ",".join(sorted(answered))
    if client.goaways:
        return "goaway 0"
    return "closed" if client.is_closed else "open"


def main(address=None, name=None, ca=None):
    if name is None:
        return print("\n".join(SCRIPTS))
    client = Client(address, ca)
    try:
        SCRIPTS[name](client)
    except Over:
        pass
    is_up = time.monotonic() - client.begin > LONGEST
    # What is sent on would be read and dropped; nothing more is.
    if client.is_closed or any(client.goaways):
        client.rest()
    told = {"end": "open" if is_up else how(client), "is_closed": client.is_closed, "sent": client.sent}
    told |= {"resets": sum(client.resets.values()), "answers": len(client.statuses), "received": client.received}
    print(json.dumps(told | {"seconds": round(time.monotonic() - client.begin, 2)}))


main(*sys.argv[1:])
