"""What is asked of the gate on behalf of one person, again and again, while her access is taken away:
calls on every node, refreshes at every node, and a stream that stays open on every node. Each keeps
the moments (CLOCK_MONOTONIC, seconds) at which answers were complete.

Standard library only.
"""

import http.client
import json
import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))
import driver  # noqa: E402

VERSION = "2025-11-25"
# Refusals in a row after which nobody asks again.
ENOUGH = 10


class AtNode(driver.Wire):
    """One keep-alive connection to one node, under the name of the whole deployment."""

    def __init__(self, node, host):
        super().__init__(node, timeout=15)
        self.host = host

    def send(self, method, path, body=None, headers=None):
        return super().send(method, path, body, {**(headers or {}), "Host": self.host})


def caller(node, endpoint, token):
    """An MCP client of the deployment's endpoint that asks one node."""
    made = driver.Caller(endpoint, token, VERSION, agent="deprovision-test")
    made.wire = AtNode(node, driver.hostport(endpoint))
    return made


def mcp_session(node, endpoint, token):
    """One with an open session."""
    made = caller(node, endpoint, token)
    made.open()
    return made


class Asking(threading.Thread):
    """Asks, every `every` seconds. `ask` returns whether it was granted, and what was answered."""

    def __init__(self, kind, node, every, ask):
        super().__init__(daemon=True)
        self.kind, self.node, self.every, self.ask = kind, node, every, ask
        self.granted, self.last_granted, self.granted_again = 0, None, None
        self.refused, self.first_refused, self.refusal = 0, None, None
        self.stopping, self.patient = threading.Event(), threading.Event()

    def run(self):
        turn = time.monotonic()
        while not self.stopping.is_set() and (self.patient.is_set() or self.refused < ENOUGH):
            try:
                good, answer = self.ask()
            except (OSError, http.client.HTTPException, ValueError) as error:
                good, answer = False, f"no answer: {error!r}"
            self.note(good, answer, time.monotonic())
            turn = max(turn + self.every, time.monotonic())
            self.stopping.wait(turn - time.monotonic())

    def note(self, good, answer, now):
        if good:
            if self.refused:
                self.granted_again = now
            self.granted, self.last_granted = self.granted + 1, now
        else:
            if self.first_refused is None:
                self.first_refused, self.refusal = now, answer
            self.refused += 1

    def ended(self):
        return self.refused >= ENOUGH

    def stop(self):
        self.stopping.set()


class Stream(threading.Thread):
    """A session's GET stream (MCP 2025-11-25, Streamable HTTP): it is open when this exists."""

    def __init__(self, node_name, caller, kind="stream"):
        super().__init__(daemon=True)
        self.kind, self.node, self.end, self.bytes = kind, node_name, None, 0
        self.connection = http.client.HTTPConnection(caller.wire.netloc, timeout=15)
        headers = {**caller.headers(), "Accept": "text/event-stream", "Host": caller.wire.host}
        del headers["Content-Type"]
        self.connection.request("GET", caller.path, headers=headers)
        self.socket = self.connection.sock
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            raise RuntimeError(f"the stream on {node_name} was answered {self.answer.status}: {self.answer.read()[:200]!r}")
        self.socket.settimeout(None)

    def run(self):
        try:
            while chunk := self.answer.read1(1 << 16):
                self.bytes += len(chunk)
        except (OSError, http.client.HTTPException):
            pass
        self.end = time.monotonic()

    def ended(self):
        return self.end is not None

    def stop(self):
        if self.end is None:
            self.socket.shutdown(socket.SHUT_RDWR)


def calls(node_name, caller, every, kind="call"):
    """`echo` through a session; granted is an answer that holds what was sent."""
    def ask():
        status, answer = caller.tool("echo", {"message": "still here"})
        return status == 200 and "still here" in json.dumps((answer or {}).get("result", {})), f"{status} {answer}"

    return Asking(kind, node_name, every, ask)


def refreshes(node_name, client, node, host, token, every, kind="refresh"):
    """A grant's refresh token, used and replaced."""
    wire, kept = AtNode(node, host), [token]

    def ask():
        status, answer = client.refresh(kept[0], wire)
        if status == 200:
            kept[0] = answer["refresh_token"]
        return status == 200, f"{status} {answer}"

    asking = Asking(kind, node_name, every, ask)
    asking.newest = kept
    return asking
