#!/usr/bin/env python3
"""Alters copies of a log as somebody with its files, but not its key, could, and asks `audit verify` and
the foreign verifiers: each must accept the untouched log and refuse every altered one.

A demo serves calls, is stopped and copied whole (the older log); serves as many again and is stopped
(the log). The older copy is also started once more and led on another way: a fork, which is good by
itself and refused against the checkpoint that was kept.

    tamper.py --binary target/release/sallyport --verifiers DIR [--calls 600]

DIR is where test-lab/verifiers/install.sh put them; `--verifiers none` asks our own only.
Ends with `N passed, N failed`; a test is one verifier's answer on one copy.
"""

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

from driver import Caller, Client, Gate, Tally, audit, browsers, free_port

RUN = pathlib.Path(__file__).resolve().parent.parent / "verifiers" / "run.sh"
WIDTH = 256


def size_of(log):
    return int((log / "checkpoint").read_text().split("\n")[1])


def tile(log, level, n):
    """The file of tile `n` of `level` ("entries" for bundles) at the log's present size."""
    width = size_of(log) // (WIDTH**level if level != "entries" else 1) - n * WIDTH
    name = f"{n % 1000:03}"
    while n >= 1000:
        n //= 1000
        name = f"x{n % 1000:03}/{name}"
    path = log / "tile" / str(level) / name
    return path if width >= WIDTH else path.with_name(f"{path.name}.p") / str(width)


def last(log):
    return (size_of(log) - 1) // WIDTH


def flip(find, at):
    def change(log):
        path = find(log)
        content = bytearray(path.read_bytes())
        content[at if at >= 0 else len(content) + at] ^= 1
        path.write_bytes(content)

    return change


def entries_of(path):
    rest, entries = path.read_bytes(), []
    while rest:
        (length,) = struct.unpack(">H", rest[:2])
        entries.append(rest[2 : 2 + length])
        rest = rest[2 + length :]
    return entries


def edit(bundle, change_entries, change_hashes=None):
    """Changes a bundle's entries, and the hashes of the tile over it."""

    def change(log):
        n = bundle(log)
        path = tile(log, "entries", n)
        entries = entries_of(path)
        change_entries(entries)
        path.write_bytes(b"".join(struct.pack(">H", len(entry)) + entry for entry in entries))
        if change_hashes:
            over = tile(log, 0, n)
            content = over.read_bytes()
            hashes = [content[at : at + 32] for at in range(0, len(content), 32)]
            change_hashes(hashes)
            over.write_bytes(b"".join(hashes))

    return change


def swap(items):
    items[3], items[4] = items[4], items[3]


def copy_over(items):
    items[3] = items[4]


def line_of_checkpoint(n, change_text):
    def change(log):
        path = log / "checkpoint"
        lines = path.read_text().split("\n")
        lines[n] = change_text(lines[n])
        path.write_text("\n".join(lines))

    return change


def other_letter(text):
    return text[:20] + ("A" if text[20] != "A" else "B") + text[21:]


def first(_):
    return 0


CHANGES = {
    "a byte flipped in the first bundle": flip(lambda log: tile(log, "entries", 0), 300),
    "a byte flipped in a length prefix": flip(lambda log: tile(log, "entries", 0), 1),
    "the last byte of a full bundle flipped": flip(lambda log: tile(log, "entries", 1), -1),
    "a byte flipped in the last, partial bundle": flip(lambda log: tile(log, "entries", last(log)), 400),
    "a byte flipped in a full tile": flip(lambda log: tile(log, 0, 0), 33),
    "a byte flipped in the last, partial tile": flip(lambda log: tile(log, 0, last(log)), 33),
    "a byte flipped in a tile of level 1": flip(lambda log: tile(log, 1, 0), 5),
    "the checkpoint's origin changed": line_of_checkpoint(0, lambda text: text + "x"),
    "the checkpoint's size one less": line_of_checkpoint(1, lambda text: str(int(text) - 1)),
    "the checkpoint's size one more": line_of_checkpoint(1, lambda text: str(int(text) + 1)),
    "the checkpoint's root changed": line_of_checkpoint(2, other_letter),
    "the checkpoint's signature changed": line_of_checkpoint(4, lambda text: text[:-22] + other_letter(text[-22:])),
    "the checkpoint without signature": line_of_checkpoint(4, lambda _: ""),
    "an entry dropped from a full bundle": edit(first, lambda entries: entries.pop(7)),
    "an entry dropped from bundle and tile": edit(first, lambda e: e.pop(7), lambda h: h.pop(7)),
    "an entry dropped from the last bundle": edit(last, lambda entries: entries.pop(1)),
    "two entries changed places": edit(first, swap),
    "two entries changed places, with their hashes": edit(first, swap, swap),
    "two entries of the last bundle changed places": edit(last, swap),
    "an entry copied over its neighbour, with its hash": edit(first, copy_over, copy_over),
    "the last entry cut off": edit(last, lambda entries: entries.pop()),
    "the last bundle removed": lambda log: tile(log, "entries", last(log)).unlink(),
    "a full bundle removed": lambda log: tile(log, "entries", 0).unlink(),
    "a full tile removed": lambda log: tile(log, 0, 0).unlink(),
    "the checkpoint removed": lambda log: (log / "checkpoint").unlink(),
}


class Verifiers:
    """Ours and theirs, each asked with a key that was kept outside the log."""

    def __init__(self, binary, directory, vkey):
        self.binary, self.directory, self.vkey = binary, directory, vkey
        self.tally = Tally()

    def ours(self, what, log, accept, kept=None):
        extra = ["--against", kept] if kept else []
        code, out, err = audit(self.binary, "verify", "--log", log, "--vkey", self.vkey, *extra)
        said = (out + err).strip()
        # A panic or a crash is no refusal: one has a reason and an exit status of its own.
        right = code == 0 if accept else code in (1, 3) and bool(said) and "panicked" not in said
        self.tally.check(f"{what}: audit verify should {'accept' if accept else 'refuse'}", right, f"exit {code}: {said}")
        print(f"  {'ok ' if right else 'NOT'} {what}: {said.splitlines()[0] if said else code}", flush=True)

    def theirs(self, what, log, accept, kept=None):
        if self.directory is None:
            return
        command = [RUN, *([] if accept else ["--all-refuse"]), self.directory, log, *([kept] if kept else [])]
        run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "VKEY": str(self.vkey)})
        self.tally.check(f"{what}: foreign verifiers should {'accept' if accept else 'refuse'}", run.returncode == 0,
                         (run.stdout + run.stderr).strip())

    def ask(self, what, log, accept, kept=None):
        self.ours(what, log, accept, kept)
        self.theirs(what, log, accept, kept)


def serve(binary, directory, port, scratch, calls, word):
    """A run of the demo with that many calls, stopped in order."""
    gate = Gate.demo(binary, directory, port, scratch / "errors")
    try:
        about = gate.wait_ready()
        client = Client(about["mcp_endpoints"][0])
        token = client.sign_in(browsers(about)["ann"], "desk:read desk:write")["access_token"]

        def some(n):
            caller = Caller(client.endpoint, token)
            for count in range(calls // 8):
                status, answer = caller.tool("search_customers", {"text": f"{word}-{n}-{count}"})
                if status != 200 or "result" not in (answer or {}):
                    raise RuntimeError(f"a call answered {status} {answer}")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(some, range(8)))
        if gate.stop() != 0:
            raise RuntimeError(f"the orderly stop ended with {gate.process.returncode}")
    finally:
        if gate.process.poll() is None:
            gate.kill()


def altered_journal(verifiers, scratch, data, port):
    """The gate itself must not start on a journal that was changed where it was durable."""
    copy = scratch / "journal-changed"
    shutil.copytree(data, copy)
    journal = copy / "audit" / "journal"
    flip(lambda _: journal, journal.stat().st_size // 2)(copy)
    gate = Gate.demo(verifiers.binary, copy, port, scratch / "errors-journal")
    try:
        code = gate.process.wait(60)
    except subprocess.TimeoutExpired:
        code = 0
    gate.kill()
    said = (scratch / "errors-journal").read_text(errors="replace").strip()
    right = code not in (0, None) and "panicked" not in said
    verifiers.tally.check("a changed journal: the gate should not start", right, f"exit {code}: {said}")
    print(f"  {'ok ' if right else 'NOT'} a changed journal: exit {code}: {said.splitlines()[-1] if said else ''}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", default="target/release/sallyport", type=pathlib.Path)
    parser.add_argument("--verifiers", required=True, help="their directory, or none")
    parser.add_argument("--calls", default=600, type=int)
    options = parser.parse_args()
    binary = options.binary.resolve()
    foreign = None if options.verifiers == "none" else pathlib.Path(options.verifiers).resolve()
    with tempfile.TemporaryDirectory(prefix="sallyport-tamper-") as scratch:
        scratch = pathlib.Path(scratch)
        data, older, port = scratch / "gate", scratch / "older", free_port()
        serve(binary, data, port, scratch, options.calls, "first")
        shutil.copytree(data, older)
        shutil.copytree(data, scratch / "fork")
        serve(binary, data, port, scratch, options.calls, "second")
        serve(binary, scratch / "fork", port, scratch, options.calls + 80, "other")
        vkey = scratch / "kept.vkey"
        shutil.copy(data / "audit" / "log.vkey", vkey)
        verifiers = Verifiers(binary, foreign, vkey)
        log, kept, kept_older = data / "audit", scratch / "kept", scratch / "kept-older"
        shutil.copy(log / "checkpoint", kept)
        shutil.copy(older / "audit" / "checkpoint", kept_older)
        print(f"{size_of(older / 'audit')} entries, then {size_of(log)}; the fork has {size_of(scratch / 'fork' / 'audit')}", flush=True)
        verifiers.ask("the log as it is", log, True)
        verifiers.ask("the log against its own checkpoint", log, True, kept)
        verifiers.ask("the log against the older checkpoint", log, True, kept_older)
        for what, change in CHANGES.items():
            copy = scratch / "copy"
            shutil.copytree(log, copy)
            change(copy)
            verifiers.ask(what, copy, False)
            shutil.rmtree(copy)
        verifiers.ask("the older log by itself", older / "audit", True)
        verifiers.ask("rolled back to the older log", older / "audit", False, kept)
        verifiers.ask("the fork by itself", scratch / "fork" / "audit", True)
        verifiers.ask("a fork of the older log, grown past the kept one", scratch / "fork" / "audit", False, kept)
        altered_journal(verifiers, scratch, data, port)
        verifiers.tally.end()


if __name__ == "__main__":
    main()
