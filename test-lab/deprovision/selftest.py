#!/usr/bin/env python3
"""What the measurement must notice, without the product: each case is a round that went wrong in one way, and a relay
that must hold back and deliver. About a second.

Standard library only. The last line is `N passed, N failed`.
"""

import json
import pathlib
import queue
import socket
import tempfile
import threading
import time
import types

import watch
from deployment import Relay, free_port
from deprovision import Figures, Taken, percentile
import driver  # watch.py put its folder on the path


def asking(kind="call", granted=-0.01, refused=0.02, refusal="401 {}", again=None):
    """An `Asking` that saw this; seconds after the 2xx."""
    made = watch.Asking(kind, "n1", 1, None)
    for at, good in ((granted, True), (refused, False), (again, True)):
        if at is not None:
            made.note(good, refusal, 1000 + at)
    return made


def stream(end=0.1):
    return types.SimpleNamespace(kind="stream", node="n1", end=None if end is None else 1000 + end)


def judged(*threads, expires=200):
    taken = Taken(None, types.SimpleNamespace(all=threads, expires=lambda: expires))
    taken.since, taken.exchange, figures = 1000.0, {"asked": 999.95, "at": 1000.0}, Figures()
    taken.judge(figures)
    return taken.wrong, figures


CASES = [
    ("a good round", (asking(), asking("refresh", refusal="400 invalid_grant"), stream()), None),
    ("refused while the answer was on its way", (asking(granted=-0.04, refused=-0.02),), None),
    ("granted too late", (asking(granted=2.1, refused=2.11),), "granted 2.1"),
    ("never refused", (asking(granted=2.4, refused=None),), "never refused"),
    ("granted again", (asking(again=0.5),), "granted again"),
    ("refused before anything was asked", (asking(granted=-0.3, refused=-0.2),), "before anything"),
    ("refused for another reason", (asking(refusal="500 {}"),), "refused with 500"),
    ("a refresh refused for another reason", (asking("refresh", refusal="503 {}"),), "refused with 503"),
    ("a stream that stays", (stream(end=None),), "still open"),
    ("a stream that ends late", (stream(end=2.2),), "ended 2.2"),
    ("a stream that broke before", (stream(end=-0.2),), "before anything"),
]


def relay(tally, folder):
    """An echo behind a pass that freezes, and a SCIM server that is told of an end."""
    echo, scim = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    heads = queue.Queue()

    def echoing():
        taken, _ = echo.accept()
        while data := taken.recv(100):
            taken.sendall(data)

    def answering():
        while True:
            taken, _ = scim.accept()
            heads.put(taken.recv(10000))
            taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            taken.close()

    for body in (echoing, answering):
        threading.Thread(target=body, daemon=True).start()
    front, port = free_port(), free_port()
    passes = {"front": {"port": front, "targets": [echo.getsockname()[1]]}}
    made = Relay({"pass": passes, "scim": {"port": port, "targets": [scim.getsockname()[1]], "host": "gate.example"}}, folder / "relay.log")
    try:
        mine = socket.create_connection(("127.0.0.1", front), timeout=0.3)
        mine.sendall(b"one")
        tally.check("a pass delivers", mine.recv(100) == b"one")
        made.tell(freeze_at_end="front")
        wire = driver.Wire(f"http://127.0.0.1:{port}")
        for body in ({"active": True}, {"active": False}):
            status, _, text = wire.send("PUT", "/scim/v2/Users/1", json.dumps(body))
            tally.check("SCIM is handed on whole", (status, text) == (200, b"{}"), (status, text))
            wire.close()
        head = heads.get(timeout=1)
        tally.check("under the deployment's name", b"\r\nHost: gate.example\r\n" in head and head.lower().count(b"\r\nhost:") == 1, head)
        end = made.ends.get(timeout=1)
        tally.check("only what takes access away is an end", made.ends.empty() and end["frozen"] <= end["asked"] <= end["at"], end)
        mine.sendall(b"two")
        tally.check("a frozen pass delivers nothing and closes nothing", silent(mine))
        made.tell(thaw="front")
        tally.check("and everything when it is thawed", mine.recv(100) == b"two")
    finally:
        made.close()


def silent(connection):
    try:
        return connection.recv(100) is None
    except TimeoutError:
        return True


def main():
    tally = driver.Tally()
    for what, threads, expected in CASES:
        wrong, _ = judged(*threads)
        tally.check(what, (not wrong) if expected is None else any(expected in line for line in wrong), wrong)
    tally.check("a token that ends by itself", any("by itself" in line for line in judged(asking(), expires=3)[0]))
    figures = judged(asking(), stream())[1]
    tally.check("the figures", round(figures.granted["all"][0]) == 100 and figures.granted["call n1"] == [0.0], figures.granted)
    tally.check("the rank", (percentile(range(1, 201), 0.99), percentile(range(1, 11), 0.99), percentile([7], 0.5)) == (198, 10, 7))
    sure = watch.Asking("call", "n1", 0.001, lambda: (time.monotonic() < until, "401"))
    until = time.monotonic() + 0.05
    sure.start()
    sure.join(2)
    tally.check("asking goes on until it is refused for good", sure.refused == watch.ENOUGH and sure.granted > 5 and sure.ended(), vars(sure))
    with tempfile.TemporaryDirectory(prefix="lab-deprovision-") as folder:
        relay(tally, pathlib.Path(folder))
    tally.end()


if __name__ == "__main__":
    main()
