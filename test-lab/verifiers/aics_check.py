"""Verifies a log directory with PyPI's aics-tlog, which shares no code with ours.

The checkpoint by its command line as shipped, then every tile and every entry bundle by its audit,
and, where one is given, consistency with a checkpoint kept elsewhere by its command line.

usage: aics_check.py LOGDIR VKEYFILE [KEPT_CHECKPOINT]
"""

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from aics_tlog.tiles import FileSystemTileReader, read_entry
from aics_tlog.hashing import leaf_hash
from aics_tlog.verified import audit_tiles


def refuse(why):
    print(f"aics-tlog: refused: {why}")
    sys.exit(1)


def aics(*args):
    """Runs the shipped command; its one JSON line, or a refusal."""
    run = subprocess.run([sys.executable, "-m", "aics_tlog", *args], capture_output=True, text=True)
    if run.returncode != 0:
        refuse(run.stdout.strip() or run.stderr.strip())
    return json.loads(run.stdout)


def main():
    if len(sys.argv) < 3:
        print(__doc__)
        sys.exit(2)
    log = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as elsewhere:
        # It refuses a key that lies inside the log it is to check.
        vkey = shutil.copy(sys.argv[2], Path(elsewhere) / "log.vkey")
        origin = Path(vkey).read_text().split("+")[0]
        key = ["--vkey-file", str(vkey), "--origin", origin]
        head = aics("verify-checkpoint", "--note", str(log / "checkpoint"), *key)
        size, root = head["size"], base64.b64decode(head["root"])
        reader = FileSystemTileReader(log)
        try:
            report = audit_tiles(reader, size, root)
        except (ValueError, OSError) as error:
            refuse(f"{type(error).__name__}: {error}")
        if size > 0:
            last = leaf_hash(read_entry(reader, size - 1, size)).hex()
            at = ["--index", str(size - 1), "--leaf-hash", last]
            aics("verify-inclusion", *key, "--tiles", str(log), *at)
        if len(sys.argv) > 3:
            aics("verify-consistency", *key, "--tiles", str(log), "--old-checkpoint", sys.argv[3])
    print(f"aics-tlog: {size} entries verified, {report.tiles} tiles, {report.bundles} bundles")


main()
