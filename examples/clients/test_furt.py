"""Tests of furt.py against a scripted gateway in this process. They need python3 and, for TLS, openssl; no furt."""

import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import furt

HERE = os.path.dirname(os.path.abspath(__file__))
TOKEN = "f9b3-secret-of-the-grant"
LONGEST = 20
REGISTER = "POST /internal/register-service"
INSTANCE = "/internal/services/comments/instances/comments-1"
BEAT, DRAIN, LEAVE = f"POST {INSTANCE}/heartbeat", f"POST {INSTANCE}/drain", f"DELETE {INSTANCE}"
DEFINITION = {"service": "comments", "url": "http://127.0.0.1:7812", "routes": [{"method": "GET", "path": "/api/*"}]}


def until(what, describe=lambda: ""):
    ends = time.monotonic() + LONGEST
    while not what():
        if time.monotonic() > ends:
            raise AssertionError(f"it did not come about within {LONGEST} s {describe()}")
        time.sleep(0.005)


def problem(status, code, headers=(), **fields):
    body = {"type": f"urn:furt:problem:{code}", "title": "A title", "status": status, "code": code, **fields}
    return status, body, dict(headers)


class Request:
    def __init__(self, handler, body):
        self.time, self.headers = time.monotonic(), handler.headers
        path, _, self.query = handler.path.partition("?")
        self.line, self.body = f"{handler.command} {path}", json.loads(body) if body else None


class Gateway:
    """Answers as furt does, unless `script`, a function of the request, gives (status, body, headers) or None."""

    def __init__(self, script=lambda request: None, ttl=30, port=0, tls=None):
        self.requests, self.script, self.ttl, self.epoch = [], script, ttl, "epoch-1"
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self, body)
                gateway.requests.append(request)
                status, answer, headers = gateway.script(request) or gateway.answer(request)
                text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"X-Furt-Listener": "internal", "Content-Length": len(text), **headers}.items():
                    if value is not None:
                        self.send_header(name, str(value))
                self.end_headers()
                try:
                    self.wfile.write(text)
                except OSError:
                    pass

            do_GET = do_POST = do_DELETE = do

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, request):
        answer = {"service": "comments", "instance": "comments-1", "epoch": self.epoch, "heartbeat_ttl": self.ttl}
        if request.line == REGISTER:
            return 200, {**answer, "status": "registered", "routes": 1, "health": "UNKNOWN"}, {}
        if request.line == BEAT:
            return 200, {**answer, "status": "ok", "health": "UP"}, {}
        if request.line in (DRAIN, LEAVE):
            status = "draining" if request.line == DRAIN else "deregistered"
            return 200, {"status": status, "instances": 1, "in_flight": 0, "generation": 1}, {}
        return problem(404, "not-found")

    def lines(self):
        return [request.line for request in self.requests]

    def times(self, line):
        return [request.time for request in self.requests if request.line == line]

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Tests(unittest.TestCase):
    def setUp(self):
        self.errors, self.answers = [], []
        # Cleanups run from the last to the first, so this one sees what all others have left.
        self.addCleanup(self.check_threads)
        for name in ("FURT_TOKEN", "FURT_CA"):
            os.environ.pop(name, None)

    def check_threads(self):
        left = [thread for thread in threading.enumerate() if thread.name == "furt"]
        for thread in left:
            thread.join(LONGEST)
        self.assertFalse([thread for thread in left if thread.is_alive()])

    def gateway(self, *arguments, **options):
        gateway = Gateway(*arguments, **options)
        self.addCleanup(gateway.stop)
        return gateway

    def registration(self, *gateways, definition=DEFINITION, **options):
        options = {"backoff": (0.05, 1), "on_error": self.errors.append, "on_registered": self.answers.append, **options}
        urls = [gateway if isinstance(gateway, str) else gateway.url for gateway in gateways]
        registration = furt.Registration(urls if len(urls) > 1 else urls[0], definition, **options)
        self.addCleanup(registration.stop, 0)
        return registration

    def texts(self):
        return " | ".join(map(str, self.errors))

    def check_gaps_grow(self, times, count):
        gaps = [after - before for before, after in zip(times, times[1:])][:count]
        for number, gap in enumerate(gaps):
            self.assertGreater(gap, 0.05 * 2**number / 2 - 0.005, gaps)
        self.assertGreater(gaps[-1], gaps[0] * 1.5, gaps)

    def test_it_registers_and_beats_at_a_third_of_the_ttl(self):
        gateway = self.gateway(ttl=1)
        registration = self.registration(gateway).start(wait=LONGEST)
        self.assertTrue(registration.registered)
        until(lambda: len(gateway.requests) >= 6)
        first = gateway.requests[0]
        self.assertEqual(first.line, REGISTER)
        self.assertEqual(first.headers["Content-Type"], "application/json")
        incarnation = first.body.pop("incarnation")
        self.assertRegex(incarnation, r"^[!-~]{1,64}$")
        self.assertEqual(first.body, {**DEFINITION, "heartbeat_ttl": 30})
        beats = gateway.requests[1:6]
        self.assertEqual({(beat.line, beat.query) for beat in beats}, {(BEAT, f"incarnation={incarnation}")})
        gaps = [after.time - before.time for before, after in zip(gateway.requests, beats)]
        self.assertTrue(all(gap > 0.32 for gap in gaps) and min(gaps) < 0.48, gaps)
        self.assertEqual(self.answers[0]["status"], "registered")
        self.assertEqual(self.errors, [])

    def test_the_incarnation_is_one_of_the_process(self):
        gateway = self.gateway()
        for _ in range(2):
            self.registration(gateway).start(wait=LONGEST).stop()
        one, other = [request.body["incarnation"] for request in gateway.requests if request.line == REGISTER]
        self.assertEqual(one, other)

    def test_a_ttl_that_an_answer_to_a_heartbeat_changes_is_taken(self):
        gateway = self.gateway(ttl=1)
        self.registration(gateway).start(wait=LONGEST)
        gateway.ttl = 6
        until(lambda: len(gateway.times(BEAT)) >= 2)
        before, after = gateway.times(BEAT)[:2]
        self.assertGreater(after - before, 1.98)

    def test_retry_after_is_kept(self):
        for refusal in (429, "rate-limited"), (503, "stopping"):
            with self.subTest(refusal):
                count = []

                def script(_):
                    count.append(1)
                    return problem(*refusal, {"Retry-After": 1}) if len(count) == 1 else None

                gateway = self.gateway(script)
                registration = self.registration(gateway, backoff=(0.01, 0.02)).start(wait=LONGEST)
                first, second = gateway.times(REGISTER)
                self.assertGreater(second - first, 0.99)
                registration.stop()

    def test_an_http_date_as_retry_after_is_as_none(self):
        count = []

        def script(_):
            count.append(1)
            return problem(503, "busy", {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}) if len(count) < 3 else None

        self.registration(self.gateway(script)).start(wait=LONGEST)

    def test_a_404_or_a_412_to_a_heartbeat_registers_again(self):
        for status, code in (404, "not-found"), (412, "another-incarnation"):
            with self.subTest(status):
                is_known = threading.Event()

                def script(request):
                    if request.line == BEAT and not is_known.is_set():
                        is_known.set()
                        return problem(status, code)

                gateway = self.gateway(script, ttl=1)
                registration = self.registration(gateway).start(wait=LONGEST)
                until(lambda: len(gateway.times(BEAT)) >= 2)
                self.assertEqual(gateway.lines()[:4], [REGISTER, BEAT, REGISTER, BEAT])
                self.assertEqual(self.errors, [])
                registration.stop()

    def test_another_epoch_registers_again(self):
        gateway = self.gateway(ttl=1)
        self.registration(gateway).start(wait=LONGEST)
        gateway.epoch = "epoch-2"
        until(lambda: len(gateway.times(BEAT)) >= 2)
        self.assertEqual(gateway.lines()[:4], [REGISTER, BEAT, REGISTER, BEAT])

    def test_the_back_off_grows_while_a_gateway_fails_and_ends_when_it_is_well(self):
        is_well = threading.Event()
        gateway = self.gateway(lambda _: None if is_well.is_set() else problem(500, "internal"))
        registration = self.registration(gateway).start()
        until(lambda: len(gateway.requests) >= 5)
        self.assertFalse(registration.registered)
        is_well.set()
        until(lambda: registration.registered)
        self.check_gaps_grow(gateway.times(REGISTER), 4)
        self.assertEqual(len(self.errors), 1, self.texts())
        self.assertIn("500 internal; A title", self.texts())
        self.assertFalse(self.errors[0].final)

    def test_a_registration_waits_for_a_gateway_that_refuses_connections(self):
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
        registration = self.registration(f"http://127.0.0.1:{port}").start()
        until(lambda: self.errors)
        self.assertIn("refused", self.texts())
        gateway = self.gateway(port=port)
        until(lambda: registration.registered)
        self.assertEqual(gateway.lines(), [REGISTER])

    def test_the_back_off_of_a_registered_instance_is_a_third_of_the_ttl_at_most(self):
        is_well = threading.Event()
        gateway = self.gateway(lambda request: problem(503, "busy") if request.line == BEAT and not is_well.is_set() else None, ttl=1)
        self.registration(gateway, backoff=(0.3, 600)).start(wait=LONGEST)
        until(lambda: len(gateway.times(BEAT)) >= 8)
        is_well.set()
        self.assertEqual(len(gateway.times(REGISTER)), 1)

    def test_a_422_stops_it_and_tells_all_errors(self):
        errors = [{"pointer": "/routes/0/path", "detail": "write *"}, {"pointer": "/weight", "detail": "1 to 255"}]
        refusal = problem(422, "invalid-fields", detail="2 fields are wrong", errors=errors, request_id="r-1")
        gateway = self.gateway(lambda _: refusal)
        registration = self.registration(gateway)
        with self.assertRaises(furt.FurtError) as raised:
            registration.start(wait=LONGEST)
        error = raised.exception
        for text in "422 invalid-fields; A title; 2 fields are wrong", "/routes/0/path: write *", "/weight: 1 to 255":
            self.assertIn(text, str(error))
        self.assertEqual((error.status, error.problem, error.final), (422, refusal[1], True))
        self.assertEqual(self.errors, [error])
        self.assertEqual(gateway.lines(), [REGISTER])

    def test_other_final_answers_stop_it_without_a_wait_as_well(self):
        for status in 400, 413, 415:
            gateway = self.gateway(lambda _: problem(status, "x"))
            registration = self.registration(gateway).start()
            until(lambda: self.errors and self.errors[-1].status == status)
            self.assertEqual(registration.stop(), 0)
            self.assertTrue(self.errors[-1].final)
            self.assertEqual(gateway.lines(), [REGISTER])

    def test_what_may_become_right_is_told_once_and_tried_again(self):
        for status, code in (401, "token-missing"), (403, "not-owner"), (409, "taken"), (412, "another-incarnation"):
            is_right = threading.Event()
            gateway = self.gateway(lambda _: None if is_right.is_set() else problem(status, code, detail="why"))
            registration = self.registration(gateway).start()
            until(lambda: len(gateway.requests) >= 3)
            is_right.set()
            until(lambda: registration.registered)
            self.assertEqual([str(error) for error in self.errors], [f"127.0.0.1:{gateway.port} refused: {status} {code}; A title; why"])
            self.assertFalse(self.errors.pop().final)
            registration.stop()

    def test_a_422_after_it_was_registered_is_tried_again(self):
        is_right = threading.Event()
        is_right.set()
        gateway = self.gateway(lambda _: None if is_right.is_set() else problem(404 if gateway.lines()[-1] == BEAT else 422, "x"), ttl=1)
        registration = self.registration(gateway).start(wait=LONGEST)
        is_right.clear()
        until(lambda: self.errors and self.errors[-1].status == 422)
        is_right.set()
        until(lambda: registration.registered)
        self.assertFalse(self.errors[-1].final)

    def test_a_start_that_waits_raises_when_its_time_is_over_and_leaves_nothing_behind(self):
        # A registration that was refused is not there; one without an answer may be.
        for reply, is_deleted in (problem(409, "taken", detail="a rival"), False), (problem(503, "busy", detail="a rival"), True):
            gateway = self.gateway(lambda request: reply if request.line == REGISTER else None)
            registration = self.registration(gateway)
            with self.assertRaisesRegex(furt.FurtError, "not registered within 0.3 s: .*; A title; a rival"):
                registration.start(wait=0.3)
            count = len(gateway.requests)
            self.assertEqual(gateway.lines()[-1] == "DELETE /internal/services/comments/instances/comments", is_deleted)
            self.assertEqual(registration.stop(), 0)
            self.assertEqual(len(gateway.requests), count)

    def test_the_second_gateway_takes_over_and_is_asked_first_then(self):
        for reply in problem(503, "stopping"), (200, {}, {"X-Furt-Listener": None}), (302, {}, {"X-Furt-Listener": None, "Location": "/x"}):
            is_well = threading.Event()
            is_well.set()
            first = self.gateway(lambda _: None if is_well.is_set() else reply, ttl=1)
            second = self.gateway(ttl=1)
            registration = self.registration(first, second).start(wait=LONGEST)
            is_well.clear()
            until(lambda: len(second.requests) >= 3)
            self.assertEqual(second.lines()[:3], [BEAT, BEAT, BEAT])
            self.assertEqual(first.lines(), [REGISTER, BEAT])
            self.assertEqual(self.errors, [])
            registration.stop()

    def test_a_4xx_is_an_answer_and_no_other_gateway_is_asked(self):
        first, second = self.gateway(lambda _: problem(409, "taken")), self.gateway()
        self.registration(first, second).start()
        until(lambda: len(first.requests) >= 3)
        self.assertEqual(second.lines(), [])

    def test_a_gateway_that_asked_for_a_pause_is_passed_over(self):
        first, second = self.gateway(lambda _: problem(503, "busy", {"Retry-After": 3600}), ttl=1), self.gateway(ttl=1)
        second.script = lambda _: None if len(second.requests) > 2 else problem(503, "busy")
        self.registration(first, second).start(wait=LONGEST)
        self.assertEqual((first.lines(), second.lines()), ([REGISTER], [REGISTER, REGISTER, REGISTER]))

    def test_silence_a_trickle_and_what_is_no_answer_lead_to_the_next_gateway(self):
        for sent in b"", b"HTTP/1.1 200 OK\r\nX-Furt-Listener: internal\r\n", b"nonsense\r\n\r\n":
            with socket.create_server(("127.0.0.1", 0)) as listener, self.subTest(sent):
                ended = threading.Event()

                def serve():
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        try:
                            connection.sendall(sent)
                            # Each byte comes well within the timeout, and the answer never ends.
                            while not ended.wait(0.02):
                                connection.sendall(b"X")
                        except OSError:
                            pass

                thread = threading.Thread(target=serve)
                thread.start()
                second = self.gateway()
                begin = time.monotonic()
                registration = self.registration(f"http://127.0.0.1:{listener.getsockname()[1]}", second, timeout=0.4)
                registration.start(wait=LONGEST)
                self.assertLess(time.monotonic() - begin, 5)
                ended.set()
                thread.join()
                registration.stop()

    def test_an_answer_that_is_too_large_is_not_read_to_its_end(self):
        large = {"instance": "comments-1", "epoch": "e", "heartbeat_ttl": 30, "x": "y" * furt.MAX_ANSWER_BYTES}
        gateway = self.gateway(lambda _: (200, large, {}))
        registration = self.registration(gateway).start()
        until(lambda: self.errors)
        self.assertIn("no heartbeat_ttl", self.texts())
        gateway.script = lambda _: None
        until(lambda: registration.registered)

    def test_stop_drains_and_deregisters(self):
        gateway = self.gateway()
        with self.registration(gateway, grace=3) as registration:
            until(lambda: registration.registered)
        self.assertEqual(gateway.lines(), [REGISTER, BEAT, DRAIN, LEAVE])
        incarnation = gateway.requests[0].body["incarnation"]
        wait, named = gateway.requests[2].query.split("&")
        self.assertTrue(2 < float(wait[len("wait="):]) <= 3, wait)
        self.assertEqual((named, gateway.requests[3].query), (f"incarnation={incarnation}",) * 2)
        self.assertEqual(registration.stop(), 0)
        self.assertEqual(len(gateway.requests), 4)

    def test_a_drain_goes_on_until_nothing_is_in_flight_and_the_instance_is_kept_alive_meanwhile(self):
        left = [2, 1, 0]
        answer = lambda: (200, {"status": "draining", "in_flight": left.pop(0)}, {})
        gateway = self.gateway(lambda request: answer() if request.line == DRAIN else None, ttl=3)
        registration = self.registration(gateway).start(wait=LONGEST)
        self.assertEqual(registration.stop(60), 0)
        self.assertEqual(gateway.lines(), [REGISTER] + [BEAT, DRAIN] * 3 + [LEAVE])
        self.assertTrue(gateway.requests[2].query.startswith("wait=1.0&"))

    def test_a_drain_ends_with_the_grace(self):
        busy = lambda request: (200, {"in_flight": 7}, {}) if request.line in (DRAIN, LEAVE) else None
        registration = self.registration(self.gateway(busy)).start(wait=LONGEST)
        self.assertEqual(registration.stop(0.3), 7)

    def test_a_stop_without_a_gateway_tells_it_and_returns_none(self):
        gateway = Gateway()
        registration = self.registration(gateway).start(wait=LONGEST)
        gateway.stop()
        self.assertIsNone(registration.stop())
        self.assertIn("refused", self.texts())

    def test_a_stop_of_an_instance_that_is_gone_is_good(self):
        gateway = self.gateway()
        registration = self.registration(gateway).start(wait=LONGEST)
        gateway.script = lambda _: problem(404, "not-found")
        self.assertEqual(registration.stop(), 0)
        self.assertEqual(self.errors, [])

    def test_a_stop_keeps_retry_after(self):
        gateway = self.gateway()
        registration = self.registration(gateway).start(wait=LONGEST)
        gateway.script = lambda _: problem(503, "busy", {"Retry-After": 1}) if len(gateway.requests) == 2 else None
        self.assertEqual(registration.stop(0), 0)
        first, second = gateway.times(LEAVE)
        self.assertGreater(second - first, 0.99)

    def test_the_token_is_in_the_header_and_in_no_error(self):
        echo = lambda request: problem(403, "beyond-grant", detail=request.headers["Authorization"], errors=[{"detail": TOKEN}])
        gateway = self.gateway(echo)
        self.registration(gateway, token=f" {TOKEN}\n").start()
        until(lambda: self.errors)
        self.assertEqual(gateway.requests[0].headers["Authorization"], f"Bearer {TOKEN}")
        error = self.errors[0]
        self.assertIn("Bearer [token]", str(error))
        self.assertNotIn(TOKEN, repr([str(error), vars(error)]))
        with self.assertRaises(ValueError) as raised:
            self.registration(gateway, token=f"{TOKEN}\r\nX: y")
        self.assertNotIn(TOKEN, str(raised.exception))

    def test_the_token_of_the_environment_is_taken_and_none_is_sent_without_one(self):
        for token in TOKEN, "":
            os.environ["FURT_TOKEN"] = token
            gateway = self.gateway()
            self.registration(gateway).start(wait=LONGEST).stop()
            self.assertEqual(gateway.requests[0].headers["Authorization"], f"Bearer {token}" if token else None)

    def test_a_url_that_is_none_of_a_gateway_is_refused_and_not_shown(self):
        for url in "127.0.0.1:8081", "ftp://a", "http://u:secret@a", "http://a/x", "http://a:0", "http://a:99999", "", []:
            with self.assertRaises(ValueError) as raised:
                furt.Registration(url, DEFINITION)
            self.assertNotIn("secret", str(raised.exception))
        self.assertEqual([(one.host, one.port) for one in map(furt._Gateway, ("http://a", "https://[::1]:80/"))], [("a", 8081), ("::1", 80)])

    def test_a_callback_that_fails_changes_nothing(self):
        def fail(_):
            raise RuntimeError("for the test")

        gateway = self.gateway(lambda _: problem(500, "internal") if len(gateway.requests) < 2 else None)
        with self.assertLogs("furt"):
            self.registration(gateway, on_error=fail, on_registered=fail).start(wait=LONGEST)

    def test_https_trusts_the_given_authority_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
            make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            make += ["-subj", "/CN=furt", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
            subprocess.run(make, check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
            gateway = self.gateway(tls=context)
            self.registration(gateway, token=TOKEN).start()
            until(lambda: self.errors)
            self.assertIn("certificate verify failed", self.texts())
            self.assertEqual(gateway.requests, [])
            self.registration(gateway, ca=cert, token=TOKEN).start(wait=LONGEST)

    def test_a_handler_of_sigterm_is_installed_from_the_main_thread_alone(self):
        raised = []

        def start():
            try:
                self.registration(self.gateway(), handle_sigterm=True).start()
            except ValueError as error:
                raised.append(error)

        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        self.assertEqual(len(raised), 1)

    def test_stop_gives_the_handler_of_sigterm_back(self):
        before = signal.getsignal(signal.SIGTERM)
        registration = self.registration(self.gateway(), handle_sigterm=True).start(wait=LONGEST)
        self.assertNotEqual(signal.getsignal(signal.SIGTERM), before)
        registration.stop()
        self.assertEqual(signal.getsignal(signal.SIGTERM), before)


PROGRAM = """
import os, signal, sys, threading, furt
def ended(text, code):
    assert threading.current_thread() is threading.main_thread()
    print(text, flush=True)
    sys.exit(code)
kind = sys.argv[2]
if kind in ("previous", "both"):
    signal.signal(signal.SIGTERM, lambda number, frame: ended("previous", 3))
callback = (lambda: ended("callback", 4)) if kind in ("callback", "both") else None
options = dict(handle_sigterm=True, on_sigterm=callback, grace=5, on_registered=lambda answer: os.write(1, b"registered\\n"))
one = furt.Registration(sys.argv[1], {"service": "comments", "url": "http://127.0.0.1:7812"}, **options).start()
if kind == "two":
    furt.Registration(sys.argv[1], {"service": "comments", "url": "http://127.0.0.1:7812"}, **options).start()
if kind == "stopping":
    one.stop()
# Not for ever: Python may miss a signal that comes just before a wait without an end.
while True:
    threading.Event().wait(0.1)
"""


class SigtermTests(unittest.TestCase):
    def run_program(self, kind, script=lambda request: None, registrations=1):
        gateway = Gateway(script)
        self.addCleanup(gateway.stop)
        program = subprocess.Popen([sys.executable, "-c", PROGRAM, gateway.url, kind], stdout=subprocess.PIPE, cwd=HERE, text=True)
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        for _ in range(registrations):
            self.assertEqual(program.stdout.readline(), "registered\n")
        return gateway, program

    def test_sigterm_drains_and_deregisters_and_then_goes_on_as_before(self):
        expected = {"default": ("", -signal.SIGTERM), "previous": ("previous\n", 3), "callback": ("callback\n", 4), "both": ("callback\n", 4)}
        for kind, (said, code) in expected.items():
            with self.subTest(kind):
                gateway, program = self.run_program(kind)
                program.send_signal(signal.SIGTERM)
                self.assertEqual(program.wait(LONGEST), code)
                self.assertEqual(program.stdout.read(), said)
                self.assertEqual(gateway.lines(), [REGISTER, BEAT, DRAIN, LEAVE])

    def test_a_second_sigterm_does_not_wait_for_the_drain(self):
        answers = threading.Event()
        self.addCleanup(answers.set)
        gateway, program = self.run_program("previous", lambda request: answers.wait(LONGEST) and None if request.line == DRAIN else None)
        program.send_signal(signal.SIGTERM)
        until(lambda: DRAIN in gateway.lines())
        begin = time.monotonic()
        program.send_signal(signal.SIGTERM)
        self.assertEqual(program.wait(LONGEST), 3)
        self.assertLess(time.monotonic() - begin, 4)
        self.assertNotIn(LEAVE, gateway.lines())

    def test_a_sigterm_while_the_program_stops_by_itself_is_not_lost(self):
        answers = threading.Event()
        self.addCleanup(answers.set)
        gateway, program = self.run_program("stopping", lambda request: answers.wait(LONGEST) and None if request.line == DRAIN else None)
        until(lambda: DRAIN in gateway.lines())
        program.send_signal(signal.SIGTERM)
        answers.set()
        self.assertEqual(program.wait(LONGEST), -signal.SIGTERM)
        self.assertEqual(gateway.lines(), [REGISTER, BEAT, DRAIN, LEAVE])

    def test_two_registrations_of_a_process_leave_one_after_the_other(self):
        gateway, program = self.run_program("two", registrations=2)
        program.send_signal(signal.SIGTERM)
        self.assertEqual(program.wait(LONGEST), -signal.SIGTERM)
        self.assertEqual(gateway.lines()[2:], [BEAT, DRAIN, LEAVE] * 2)

    def test_sigterm_ends_a_program_whose_registration_was_refused(self):
        gateway = Gateway(lambda _: problem(422, "invalid-fields"))
        self.addCleanup(gateway.stop)
        program = subprocess.Popen([sys.executable, "-c", PROGRAM, gateway.url, "default"], stderr=subprocess.PIPE, cwd=HERE, text=True)
        self.addCleanup(program.stderr.close)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        self.assertIn("422 invalid-fields", program.stderr.readline())
        program.send_signal(signal.SIGTERM)
        self.assertEqual(program.wait(LONGEST), -signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
