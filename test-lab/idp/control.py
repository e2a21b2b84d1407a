"""What the Python parts of the identity laboratory share: arguments, free ports, the control port and
the first line on standard output. The control port is no part of any identity provider.

Standard library only.
"""

import argparse
import http.server
import json
import pathlib
import signal
import socket
import sys
import threading


def settings(purpose):
    """`--state DIR [--port N] [--config FILE|-]`; returns the folder, the port and the configuration."""
    parser = argparse.ArgumentParser(description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", required=True, type=pathlib.Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--config", help="a file of JSON, or - for standard input")
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    text = "{}" if not options.config else sys.stdin.read() if options.config == "-" else pathlib.Path(options.config).read_text()
    return options.state.resolve(), options.port, json.loads(text)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Quiet(http.server.BaseHTTPRequestHandler):
    """A handler that keeps connections and says nothing on standard error."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave as two writes; with Nagle's algorithm the second waits for an acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, text=b"", kind="application/json", headers=()):
        if not isinstance(text, (bytes, str)):
            text = json.dumps(text)
        text = text.encode() if isinstance(text, str) else text
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(text))), *headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)


def serve(handler, port=0):
    """Serves in the background; returns the base URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def control(verbs):
    """`verbs`: name → function of the posted JSON, one call at a time. Returns the port's URL."""
    lock = threading.Lock()

    class Control(Quiet):
        def do_POST(self):
            verb, asked = verbs.get(self.path.strip("/")), self.body()
            if verb is None:
                return self.answer(404, {"error": f"no such verb; there are {', '.join(verbs)}"})
            try:
                with lock:
                    found = verb(json.loads(asked or b"{}"))
                self.answer(200, {} if found is None else found)
            except (Exception, SystemExit) as error:  # the driver must see why, whatever it was
                self.answer(400, {"error": f"{type(error).__name__}: {error!r} {error.args} {error.__cause__!r}"})

    return serve(Control)


def ready(line, end=lambda: None):
    """Prints the one line, then waits for SIGTERM or SIGINT, and calls `end`."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    print(json.dumps(line), flush=True)
    try:
        while not stop.wait(3600):
            pass
    finally:
        end()
