"""Registers a service with furt and keeps it registered. Python 3.9 or newer, standard library only.
One daemon thread does everything, one step after the other, so that a registration never follows the order to leave.
`on_error` and `on_registered` are called in that thread, `on_sigterm` in the main thread. No error and no log holds the token.
"""
import http.client
import io
import json
import logging
import os
import queue
import random
import re
import signal
import socket
import ssl
import threading
import time
import urllib.parse
import uuid

DEFAULT_TTL = 30  # Longer than that of `furt join`, 10 s: a client within the process pauses when the process does.
MAX_ANSWER_BYTES = 1024 * 1024  # furt answers these calls with a few KiB. A stranger at the address may send anything.
FAREWELL = 5  # For what is left to say after the drain: a few gateways in turn.
LONGEST_DRAIN, LONGEST_TTL = 3600, 86400  # furt's own bounds. The latter is one of Retry-After as well.
# These blame the registration itself. 401, 403, 409 and 412 may become right: a grant, an owner or a rival may change.
FINAL = (400, 413, 415, 422)
GONE = (404, 412)  # The registration expired, or another process has its place.
_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?/?")
_SIGTERM, _QUIT = object(), object()
_incarnations = {}  # By process: a child made by fork needs one of its own.


class FurtError(Exception):
    """Why a gateway did not do what it was asked. `problem` is its answer, if there was one. `final`: it is not tried again."""
    def __init__(self, message, status=None, problem=None):
        super().__init__(message)
        self.status, self.problem, self.final = status, problem, False


class _Gateway:
    def __init__(self, url):
        match = _URL.fullmatch(url)
        self.port, self.held_until = int((match and match[3]) or 8081), 0.0
        if not match or not 0 < self.port < 65536:  # The url is not shown: a password may be in it.
            raise ValueError("a gateway's url is http or https, a host and an optional port, and nothing else")
        self.is_https, self.host, self.name = match[1] == "https", match[2].strip("[]"), f"{match[2]}:{self.port}"


class _Incoming(io.RawIOBase):
    """Reads a socket until a deadline. The timeout of a socket starts anew with each byte that trickles in."""
    def __init__(self, sock, deadline):
        self._sock, self._deadline = sock, deadline

    def readable(self):
        return True

    def readinto(self, buffer):
        if time.monotonic() >= self._deadline:
            raise socket.timeout("timed out")
        self._sock.settimeout(max(0.001, self._deadline - time.monotonic()))
        return self._sock.recv_into(buffer)

    def makefile(self, *_):
        return io.BufferedReader(self)


class Registration:
    """A service that is registered from `start` to `stop`, or within a `with` statement. It can be started once.

    `url` is the internal listener of a gateway, or a list of several. `definition` is the body of the registration, without
    `incarnation`. A child made by fork needs a `Registration` of its own.
    """
    def __init__(self, url, definition, *, token=None, ca=None, timeout=2.0, grace=10.0, backoff=(0.5, 30.0),
                 on_error=None, on_registered=None, handle_sigterm=False, on_sigterm=None):
        self._gateways = [_Gateway(one) for one in ([url] if isinstance(url, str) else url or [""])]
        self._token = (os.environ.get("FURT_TOKEN", "") if token is None else token).strip()
        if not all("!" <= char <= "~" for char in self._token):
            raise ValueError("the token has a character that cannot be sent, such as a line's end within it")
        is_tls = any(gateway.is_https for gateway in self._gateways)
        self._tls = ssl.create_default_context(cafile=ca or os.environ.get("FURT_CA") or None) if is_tls else None
        self._definition = {"heartbeat_ttl": DEFAULT_TTL, **definition}
        self._timeout, self._grace, self._backoff = timeout, grace, backoff
        self._on_error = on_error or logging.getLogger("furt").warning
        self._on_registered = on_registered or (lambda answer: None)
        self._handles_sigterm, self._after_sigterm, self._previous_handler = handle_sigterm, on_sigterm, None
        self._commands = queue.SimpleQueue()  # Its put() is reentrant, so that a signal handler may call it.
        self._settled, self._has_left, self._thread = threading.Event(), threading.Event(), None
        self._failure, self._told, self._in_flight = None, None, None
        self._is_sent, self._instance, self._epoch, self._beat = False, None, None, None
        self.registered, self._signals, self._is_signalling, self._is_installed = False, 0, False, False

    def start(self, wait=None):
        """Starts the thread. With `wait`, in seconds, returns once the service is registered, or stops and raises FurtError."""
        if self._thread:
            raise RuntimeError("a Registration can be started once")
        self._definition["incarnation"] = _incarnations.setdefault(os.getpid(), str(uuid.uuid4()))
        self._body = json.dumps(self._definition).encode()
        if self._handles_sigterm:  # Raises ValueError in any thread but the main one.
            self._previous_handler, self._is_installed = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL, True
            signal.signal(signal.SIGTERM, self._handle_sigterm)
        self._thread = threading.Thread(target=self._run, name="furt", daemon=True)
        self._thread.start()
        if wait is not None and (not self._settled.wait(wait) or self._failure):
            error = self._failure or FurtError(f"not registered within {wait} s: {self._told or 'no answer yet'}")
            self.stop(0)
            raise error
        return self

    def stop(self, grace=None):
        """Drains for up to `grace` seconds, deregisters, ends the thread. Returns how many requests are still in flight, or None
        if no gateway did it: then the instance goes when its TTL is over."""
        if self._thread and self._thread is not threading.current_thread():
            grace = self._grace if grace is None else grace
            self._commands.put(grace)
            self._has_left.wait(grace + FAREWELL + self._timeout * (len(self._gateways) + 1))
            self._restore_handler()
            if self._signals == 1 and not self._is_installed:  # The thread does not send it any more.
                self._handle_sigterm(signal.SIGTERM, None)
        return self._in_flight

    def __enter__(self):
        return self if self._thread else self.start()

    def __exit__(self, *_):
        self.stop()

    def _handle_sigterm(self, number, frame):
        self._signals += 1
        # The main thread does not wait for the drain: it may still have requests to answer. A third signal is a late one.
        if self._signals > 2 or (self._signals == 1 and self._thread and self._thread.is_alive()):
            return self._commands.put(_SIGTERM)
        # The thread has left and sends the signal again, or the sender does not want to wait any longer.
        self._restore_handler()
        if self._after_sigterm:
            self._after_sigterm()
        elif callable(self._previous_handler):
            self._previous_handler(number, frame)
        elif self._previous_handler == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    def _restore_handler(self):
        is_main = threading.current_thread() is threading.main_thread()
        # A handler that was installed above this one may still call it, and then the thread must answer.
        if is_main and self._is_installed and signal.getsignal(signal.SIGTERM) == self._handle_sigterm:
            self._is_installed = False
            while self._is_signalling:
                time.sleep(0.001)
            signal.signal(signal.SIGTERM, self._previous_handler)
            self._commands.put(_QUIT)

    def _run(self):
        command = self._keep_registered()
        self._in_flight, self.registered = self._leave(self._grace if command is _SIGTERM else command), False
        self._has_left.set()
        while command is not _QUIT:
            self._is_signalling = True
            while command is _SIGTERM and self._signals == 1 and self._is_installed:
                # Again and again: a signal that comes just before the main thread waits for a lock does not wake it.
                signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
                time.sleep(0.02)
            self._is_signalling = False
            command = self._commands.get() if self._is_installed else _QUIT

    def _keep_registered(self):
        pause, failures = 0.0, 0
        while True:
            try:
                return self._commands.get(timeout=pause)
            except queue.Empty:
                pass
            try:
                self._step()
                pause, failures, self._told, self.registered = self._beat, 0, None, True
                self._settled.set()
            except FurtError as error:
                self.registered, error.final = False, error.status in FINAL and not self._instance
                if str(error) != self._told:  # Once, and not with each try.
                    self._told = str(error)
                    self._call(self._on_error, error)
                self._is_sent = error.status is None or self._instance is not None
                if error.final:
                    self._failure = error
                    self._settled.set()
                    return self._commands.get()
                # A third of the TTL at most: a gateway that is back must hear the instance before the instance expires.
                longest = max(self._backoff[0], min(self._backoff[1], self._beat or self._backoff[1]))
                pause = min(longest, self._backoff[0] * 2 ** min(failures, 32)) * (0.5 + random.random() / 2)
                pause, failures = max(pause, self._held_until() - time.monotonic()), failures + 1

    def _step(self):
        answer = self._about_instance("POST", "/heartbeat?") if self._epoch else {}
        is_new = not answer or answer.get("epoch") != self._epoch
        if is_new:
            self._epoch, self._is_sent = None, True
            answer = self._ask("POST", "/internal/register-service", self._body)
        ttl, instance, epoch = (answer.get(name) for name in ("heartbeat_ttl", "instance", "epoch"))
        if not (isinstance(ttl, (int, float)) and ttl > 0 and instance and epoch):
            raise FurtError("a gateway's answer has no heartbeat_ttl, instance or epoch")
        self._beat = min(max(ttl, 1), LONGEST_TTL) / 3
        self._instance, self._epoch = instance, epoch
        if is_new:
            self._call(self._on_registered, answer)

    def _leave(self, grace):
        if not self._is_sent:
            return 0
        ends = time.monotonic() + min(max(grace, 0), LONGEST_DRAIN)
        deadline = ends + FAREWELL
        try:
            while time.monotonic() < ends:
                # It finds out a silent gateway, for which a drain would wait, and keeps the instance from expiring in the drain.
                self._about_instance("POST", "/heartbeat?", deadline=deadline)
                wait = round(max(0, min(ends - time.monotonic(), self._beat or 1)), 3)
                if not self._about_instance("POST", f"/drain?wait={wait}&", wait, deadline).get("in_flight"):
                    break
                # furt answers early when it stops, and when an operator ends the drain.
                time.sleep(max(0, min(ends - time.monotonic(), self._backoff[0])))
        except FurtError:
            pass  # It leaves without a drain: requests that have begun go on.
        try:
            return self._about_instance("DELETE", "?", deadline=deadline).get("in_flight", 0)
        except FurtError as error:
            self._call(self._on_error, error)

    def _about_instance(self, method, what, wait=0.0, deadline=float("inf")):
        # A registration without an answer may be installed all the same.
        names = self._definition.get("service"), self._instance or self._definition.get("instance")
        service, instance = (urllib.parse.quote(str(name or names[0]), safe=":") for name in names)
        path = f"/internal/services/{service}/instances/{instance}{what}incarnation={self._definition['incarnation']}"
        return self._ask(method, path, wait=wait, deadline=deadline)

    def _held_until(self):
        return min(gateway.held_until for gateway in self._gateways)

    def _ask(self, method, path, body=b"", wait=0.0, deadline=float("inf")):
        """Asks the gateways in turn, first the one that answered last. An answer of 4xx is an answer: no other one is asked.
        Returns {} if the instance is gone."""
        while True:
            tries, begin = [], time.monotonic()
            for gateway in self._gateways:
                within = min(self._timeout + wait, deadline - time.monotonic())
                try:
                    if begin < gateway.held_until:
                        raise ValueError("it asked for a pause (Retry-After)")
                    status, answer = self._exchange(gateway, method, path, body, within)
                    if status >= 500:
                        raise ValueError(_describe(status, answer))
                except (OSError, http.client.HTTPException, ValueError) as why:
                    tries.append(f"{gateway.name}: {why or type(why).__name__}")
                else:
                    self._gateways = sorted(self._gateways, key=lambda one: one is not gateway)
                    if status < 300 or (status in GONE and not body):
                        return answer if status < 300 else {}
                    raise FurtError(f"{gateway.name} refused: {_describe(status, answer)}", status, answer)
            if not begin < self._held_until() < deadline < float("inf"):
                raise FurtError("no gateway did it: " + "; ".join(tries))
            time.sleep(max(0, self._held_until() - time.monotonic()))

    def _exchange(self, gateway, method, path, body, within):
        head = [f"{method} {path} HTTP/1.1", f"Host: {gateway.name}", "User-Agent: furt.py", "Accept: application/json"]
        head += ["Connection: close", f"Content-Length: {len(body)}"] + ["Content-Type: application/json"] * bool(body)
        head += [f"Authorization: Bearer {self._token}"] * bool(self._token)
        sock = socket.create_connection((gateway.host, gateway.port), max(0.001, min(within, self._timeout)))
        try:
            if gateway.is_https:
                sock = self._tls.wrap_socket(sock, server_hostname=gateway.host)
            sock.sendall("\r\n".join([*head, "", ""]).encode("ascii") + body)
            response = http.client.HTTPResponse(_Incoming(sock, time.monotonic() + within), method=method)
            response.begin()
            seconds = response.getheader("Retry-After", "")
            if response.status >= 300 and re.fullmatch("[0-9]{1,9}", seconds):
                gateway.held_until = time.monotonic() + min(int(seconds), LONGEST_TTL)
            if response.getheader("X-Furt-Listener") != "internal":
                raise ValueError(f"it answered {response.status} and is not furt's internal listener")
            text = response.read(MAX_ANSWER_BYTES)
        finally:
            sock.close()
        is_secret = self._token and response.status >= 300
        try:
            answer = json.loads(text.replace(self._token.encode(), b"[token]") if is_secret else text)
        except (ValueError, RecursionError):
            answer = None
        return response.status, answer if isinstance(answer, dict) else {}

    def _call(self, callback, argument):
        try:
            callback(argument)
        except Exception:
            logging.getLogger("furt").exception("a callback failed")


def _describe(status, problem):
    said = [f"{status} {problem.get('code') or ''}".strip()]
    said += [str(problem[name]) for name in ("title", "detail") if problem.get(name)]
    errors = problem.get("errors") if isinstance(problem.get("errors"), list) else []
    for error in (error for error in errors if isinstance(error, dict)):
        said.append(f"{error.get('pointer') or error.get('parameter') or 'error'}: {error.get('detail')}")
    return "; ".join(said)
