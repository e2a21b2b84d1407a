#!/usr/bin/env python3
"""The gate on a disk that fails: nothing passes that cannot be recorded.

`sallyport serve` stands in front of an MCP server of this script's own, which notes every call that
reaches it. While callers read and write, the disk fails in one of these ways:

  full     the data directory is a small file system, and something else fills it (needs root and mount)
  fsync    fdatasync and fsync report an input/output error (needs fiu-run of Debian's fiu-utils)
  nospace  fdatasync reports that there is no space left (likewise)

What must hold: calls are refused from then on and none that acts is forwarded; `/readyz` names the audit
log; whatever reached the server before had its opening on the record, and whatever was acknowledged its
end; a call that was executed but could not be recorded is answered as just that; after a restart with
space the gate serves again, and the log verifies and continues the checkpoint from before.

    disk.py --binary target/release/sallyport [--only full|fsync|nospace]

Ends with `N passed, N failed`; a way that this machine cannot do fails unless --only leaves it out.
"""

import argparse
import errno
import http.client
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request


from driver import MODERN, Caller, Client, Gate, Tally, audit, export, free_port, walk

SIZE = "24m"
TOOLS = [
    {"name": "look", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}, "annotations": {"readOnlyHint": True, "openWorldHint": False}},
    {"name": "act", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}, "annotations": {"readOnlyHint": False}},
]


class Upstream(http.server.ThreadingHTTPServer):
    """A small MCP server of 2025-11-25 without sessions; `seen` is what reached its tools, with the time."""

    daemon_threads, request_queue_size = True, 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answering)
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """The gate goes away in the middle; that is what is tested."""


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.reply(405, None)

    def do_DELETE(self):
        self.reply(405, None)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        params = message.get("params", {})
        if "id" not in message:
            return self.reply(202, None)
        result = {}
        if message["method"] == "initialize":
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "notes", "version": "1"}}
        elif message["method"] == "tools/list":
            result = {"tools": TOOLS}
        elif message["method"] == "tools/call":
            self.server.seen.append((time.monotonic(), params["name"], params["arguments"]["text"]))
            time.sleep(0.01)  # So that some calls are under way when the disk fails.
            result = {"content": [{"type": "text", "text": "done"}]}
        return self.reply(200, {"jsonrpc": "2.0", "id": message["id"], "result": result})

    def reply(self, status, answer):
        text = json.dumps(answer).encode() if answer else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Full:
    """A small file system that something else fills."""

    name, prefix = "full", ()

    def __init__(self, scratch):
        self.directory = scratch / "small"
        self.directory.mkdir()
        run = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", self.directory], capture_output=True, text=True)
        if run.returncode != 0:
            raise NotHere(f"cannot mount a small file system: {run.stderr.strip()}")

    def fail(self, gate):
        with open(self.directory / "filler", "ab", buffering=0) as filler:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        filler.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def mend(self):
        (self.directory / "filler").unlink()

    def end(self):
        subprocess.run(["umount", "-l", self.directory], check=False)


class Injected:
    """Calls of the C library that fail when told to."""

    def __init__(self, scratch, name, points):
        if not shutil.which("fiu-run") or not shutil.which("fiu-ctrl"):
            raise NotHere("there is no fiu-run; install fiu-utils")
        self.name, self.points = name, points
        self.directory, self.control = scratch / name, scratch / f"fiu-{name}"
        self.directory.mkdir()
        self.prefix = ("fiu-run", "-x", "-f", str(self.control))

    def fail(self, gate):
        (pipe,) = self.control.parent.glob(f"{self.control.name}-*.in")
        pid = pipe.name.removeprefix(f"{self.control.name}-").removesuffix(".in")
        for point, code in self.points:
            subprocess.run(["fiu-ctrl", "-f", self.control, "-c", f"enable name={point},failinfo={int(code)}", pid], check=True, timeout=20)

    def mend(self):
        self.prefix = ()

    def end(self):
        pass


class NotHere(Exception):
    pass


def configuration(data, listen, admin, upstream):
    return f"""
[server]
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
public_url = "http://127.0.0.1:{listen}"
[data]
directory = "{data}"
[oauth]
dynamic_registration = true
[identity]
local_directory = true
[[tenants]]
id = "acme"
name = "Acme"
[[upstreams]]
name = "notes"
title = "Notes"
url = "http://127.0.0.1:{upstream}/mcp"
initial_scopes = ["read", "write"]
"""


class Load:
    """Callers that go on until told to stop, whatever is answered."""

    def __init__(self, endpoint, token):
        self.endpoint, self.token = endpoint, token
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.answers = []  # (tag, tool, time sent, status, answer)

    def run(self, callers=16):
        self.threads = [threading.Thread(target=self.call, args=(n,), daemon=True) for n in range(callers)]
        for thread in self.threads:
            thread.start()

    def call(self, n):
        caller, count = Caller(self.endpoint, self.token, MODERN), 0
        while not self.stop.is_set():
            count += 1
            tag, tool = f"disk-{n}-{count}", ("look", "act")[count % 2]
            sent = time.monotonic()
            try:
                status, answer = caller.tool(tool, {"text": tag})
            except (OSError, http.client.HTTPException, ValueError) as error:
                status, answer = None, repr(error)
            self.answers.append((tag, tool, sent, status, answer))
            if status != 200:
                time.sleep(0.02)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(40)


def acknowledged(answer):
    return answer[3] == 200 and isinstance(answer[4], dict) and "result" in answer[4]


def reason(answer):
    return ((answer[4].get("error") or {}).get("data") or {}).get("reason") if isinstance(answer[4], dict) else None


def readyz(admin):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")
    except OSError as error:
        return None, repr(error)


class Trial:
    def __init__(self, binary, tally, scratch, fault):
        self.binary, self.tally, self.scratch, self.fault = binary, tally, scratch, fault
        self.data, self.upstream = fault.directory / "gate", Upstream()
        self.listen, self.admin = free_port(), free_port()
        self.config = scratch / f"{fault.name}.toml"
        self.config.write_text(configuration(self.data, self.listen, self.admin, self.upstream.server_address[1]))
        self.endpoint = f"http://127.0.0.1:{self.listen}/mcp/notes"

    def check(self, what, holds, seen=""):
        return self.tally.check(f"{self.fault.name}: {what}", holds, seen)

    def start(self):
        command = [*self.fault.prefix, str(self.binary), "serve", "--config", str(self.config)]
        gate = Gate(command, self.scratch / f"errors-{self.fault.name}")
        deadline = time.monotonic() + 60
        while readyz(self.admin)[0] != 200:
            if time.monotonic() > deadline or gate.process.poll() is not None:
                gate.kill()
                raise RuntimeError(f"serve does not become ready: {gate.errors.read_text(errors='replace')[-800:]}")
            time.sleep(0.1)
        return gate

    def sign_in(self):
        client = Client(self.endpoint)
        return client.sign_in(walk.Walk({"username": "ann", "password": self.password}), "notes:read notes:write")["access_token"]

    def run(self):
        made = subprocess.run([self.binary, "user", "add", "ann", "--config", self.config, "--tenant", "acme"], capture_output=True, text=True)
        if made.returncode != 0:
            raise RuntimeError(f"user add: {made.stderr}")
        self.password = made.stdout.strip()
        gate = self.start()
        try:
            load = Load(self.endpoint, self.sign_in())
            load.run()
            time.sleep(1.5)
            kept = self.scratch / f"kept-{self.fault.name}"
            shutil.copy(self.data / "audit" / "checkpoint", kept)
            self.fault.fail(gate)
            self.failing(load)
        finally:
            gate.kill()
        self.fault.mend()
        self.after(load, kept)

    def failing(self, load):
        """While the disk fails: waits until the log has ended, then watches what still passes."""
        deadline = time.monotonic() + 20
        while "audit_log" not in (self.faults() or {}) and time.monotonic() < deadline:
            time.sleep(0.05)
        ended, self.at_end = readyz(self.admin), time.monotonic()
        self.check("/readyz is 503 and names the audit log", ended[0] == 503 and "audit_log" in ended[1].get("faults", {}), ended)
        time.sleep(1.5)
        load.end()
        late = [answer for answer in load.answers if answer[2] > self.at_end]
        passed = [answer for answer in late if acknowledged(answer)]
        self.check("callers went on after the end of the log", len(late) > 10, len(late))
        self.check("no call passes after the end of the log", not passed, passed[:2])
        refused = [answer for answer in late if answer[3] == 503 and reason(answer) == "no_record"]
        self.check("each is refused as 503 no_record", len(refused) == len(late), [a for a in late if a not in refused][:2])
        tags = {answer[0] for answer in late}
        leaked = [seen for seen in self.upstream.seen if seen[2] in tags and seen[1] == "act"]
        self.check("none that acts was forwarded", not leaked, leaked[:3])
        leaked = [seen for seen in self.upstream.seen if seen[2] in tags]
        self.check("none at all was forwarded", not leaked, leaked[:3])
        self.withheld = [a for a in load.answers if reason(a) == "executed_unrecorded"]
        print(f"  {self.fault.name}: {sum(map(acknowledged, load.answers))} acknowledged, {len(late)} sent after the end of the log, "
              f"{len(self.withheld)} executed and withheld; {ended[1]}", flush=True)
        reached = {seen[2] for seen in self.upstream.seen}
        kinds = {(a[3], reason(a)) for a in load.answers if a[1] == "act" and a[0] in reached and not acknowledged(a)}
        self.check("an act that was executed and not acknowledged says so", kinds <= {(500, "executed_unrecorded")}, kinds)

    def faults(self):
        status, answer = readyz(self.admin)
        return answer.get("faults") if status else None

    def after(self, load, kept):
        """With space again: the same directory serves, and the log holds what it must."""
        code, out, err = audit(self.binary, "verify", "--config", self.config, "--against", kept)
        self.check("the log verifies before the restart", code == 0, out + err)
        gate = self.start()
        try:
            status, answer = Caller(self.endpoint, self.sign_in()).tool("act", {"text": "afterwards"})
            self.check("it serves again", status == 200 and "result" in (answer or {}), (status, answer))
            self.check("it is ready again", readyz(self.admin)[0] == 200, readyz(self.admin))
        finally:
            self.check("the orderly stop", gate.stop() == 0, gate.process.returncode)
        code, out, err = audit(self.binary, "verify", "--config", self.config, "--against", kept)
        self.check("the log verifies and continues the kept checkpoint", code == 0, out + err)
        opened, closed, ends = {}, {}, {}
        for entry in export(self.binary, self.data):
            call = entry["event"].get("call") or {}
            tag = (call.get("arguments") or {}).get("text")
            kind = entry["event"]["kind"]
            if tag and kind == "call_opened":
                opened[tag] = call["id"]
            elif tag and kind == "call_closed":
                closed[tag] = call["id"]
            if tag and kind in ("call_closed", "outcome_unknown"):
                ends.setdefault(call["id"], []).append(kind)
        lost = [a[0] for a in load.answers if acknowledged(a) and a[0] not in closed]
        self.check("every acknowledged call has its entry", not lost, lost[:5])
        unopened = [seen[2] for seen in self.upstream.seen if seen[1] == "act" and seen[2] not in opened]
        self.check("every act that was executed was opened on the record", not unopened, unopened[:5])
        loose = {tag: ends.get(call) for tag, call in opened.items() if len(ends.get(call, [])) != 1}
        self.check("every opened call has exactly one end", not loose, list(loose.items())[:5])
        # A failed sync may have left the closing entry on the disk all the same; either end is true.
        endless = [a for a in self.withheld if a[1] == "act" and not ends.get(opened.get(a[0]))]
        self.check("every act whose result was withheld has an end, as it was or as unknown", not endless, endless[:2])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", default="target/release/sallyport", type=pathlib.Path)
    parser.add_argument("--only", action="append", choices=("full", "fsync", "nospace"))
    options = parser.parse_args()
    scratch, tally = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-disk-")), Tally()
    eio, enospc = errno.EIO, errno.ENOSPC
    ways = {
        "full": lambda: Full(scratch),
        "fsync": lambda: Injected(scratch, "fsync", [("posix/io/sync/fdatasync", eio), ("posix/io/sync/fsync", eio)]),
        "nospace": lambda: Injected(scratch, "nospace", [("posix/io/sync/fdatasync", enospc)]),
    }
    for name in options.only or ways:
        try:
            fault = ways[name]()
        except NotHere as why:
            tally.check(name, False, why)
            continue
        try:
            Trial(options.binary.resolve(), tally, scratch, fault).run()
        except Exception as error:  # noqa: BLE001
            tally.check(f"{name}: to the end", False, repr(error))
        finally:
            fault.end()
    if not tally.failed:
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        print(f"left for a look: {scratch}", flush=True)
    tally.end()


if __name__ == "__main__":
    main()
