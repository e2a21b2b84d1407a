#!/usr/bin/env python3
"""Hooks about a copy of the gate's audit log: gate_copy.py alter AUDIT_DIRECTORY | gate_copy.py verify BINARY

`alter` puts a copy into $SALLYPORT_OUT with one byte of its newest entry bundle changed; `verify` has the product
look at that copy and passes its exit status on.
"""

import os
import pathlib
import shutil
import subprocess
import sys


def main(what, argument):
    copy = pathlib.Path(os.environ["SALLYPORT_OUT"]) / "audit"
    if what == "verify":
        sys.exit(subprocess.run([argument, "audit", "verify", "--log", str(copy)]).returncode)
    shutil.copytree(argument, copy)
    bundles = sorted((copy / "tile" / "entries").rglob("*"), key=lambda path: (path.is_file(), path.stat().st_mtime))
    content = bytearray(bundles[-1].read_bytes())
    content[len(content) // 2] ^= 1
    bundles[-1].chmod(0o600)
    bundles[-1].write_bytes(content)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("alter", "verify"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
