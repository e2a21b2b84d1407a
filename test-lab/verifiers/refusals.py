"""Alters copies of a log in the ways that must be seen, and asks every foreign verifier: each must
refuse each copy.

usage: refusals.py VERIFIERS LOGDIR [OLDER_LOGDIR]

OLDER_LOGDIR is an honest copy of the same log from before it grew to what LOGDIR holds: it must be
accepted by itself, and refused against LOGDIR's checkpoint, as a log that was rolled back.
"""

import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

RUN = Path(__file__).parent / "run.sh"


def last_bundle(log):
    """The path of the bundle that holds the newest entries, with their number."""
    size = int((log / "checkpoint").read_text().split("\n")[1])
    n, width = divmod(size, 256)
    if width == 0:
        n, width = n - 1, 256
    parts = [f"{n % 1000:03}"]
    while n >= 1000:
        n //= 1000
        parts.insert(0, f"x{n % 1000:03}")
    path = log / "tile" / "entries" / "/".join(parts)
    return path if width == 256 else path.with_name(f"{path.name}.p") / str(width)


def edit_entries(edit):
    def apply(log):
        path = last_bundle(log)
        rest, entries = path.read_bytes(), []
        while rest:
            (length,) = struct.unpack(">H", rest[:2])
            entries.append(rest[2 : 2 + length])
            rest = rest[2 + length :]
        edit(entries)
        path.write_bytes(b"".join(struct.pack(">H", len(entry)) + entry for entry in entries))

    return apply


def flip(find, at):
    def apply(log):
        path = find(log)
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)

    return apply


def swap(entries):
    entries[0], entries[1] = entries[1], entries[0]


def tile_over(log):
    path = last_bundle(log)
    return log / "tile" / "0" / path.relative_to(log / "tile" / "entries")


CHANGES = {
    "one byte flipped in an entry": flip(last_bundle, 300),
    "one byte flipped in a tile": flip(tile_over, 33),
    "one byte flipped in the checkpoint's root": flip(lambda log: log / "checkpoint", 40),
    "one entry dropped": edit_entries(lambda entries: entries.pop(1)),
    "two entries changed places": edit_entries(swap),
    "the last entry cut off": edit_entries(lambda entries: entries.pop()),
    "the last bundle removed": lambda log: last_bundle(log).unlink(),
}


def main():
    verifiers, log = sys.argv[1], Path(sys.argv[2])
    failed = 0

    def expect(what, *args):
        nonlocal failed
        print(f"-- {what}", flush=True)
        if subprocess.run([RUN, *args]).returncode != 0:
            failed += 1
            print(f"NOT AS EXPECTED: {what}", flush=True)

    expect("the log as it is", verifiers, log, log / "checkpoint")
    for what, change in CHANGES.items():
        with tempfile.TemporaryDirectory() as elsewhere:
            copy = Path(elsewhere) / "log"
            shutil.copytree(log, copy)
            change(copy)
            expect(what, "--all-refuse", verifiers, copy)
    if len(sys.argv) > 3:
        older = Path(sys.argv[3])
        expect("the older log by itself", verifiers, older)
        expect("the log grown from the older checkpoint", verifiers, log, older / "checkpoint")
        expect("rolled back", "--all-refuse", verifiers, older, log / "checkpoint")
    print(f"{len(CHANGES)} changes, {failed} not as expected")
    sys.exit(1 if failed else 0)


main()
