#!/usr/bin/env python3
"""A real client steps up: it reads with a small token, is refused a tool with the scope to ask for,
asks for it, and calls the tool. Against `sallyport demo`.

    step_up.py [--gate PATH]      the last line is `N passed, N failed`
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import matrix


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gate", default=os.environ.get("SALLYPORT", str(matrix.HERE.parent / "target/release/sallyport")))
    gate = parser.parse_args().gate
    with tempfile.TemporaryDirectory(prefix="lab-step-up-") as folder:
        demo = subprocess.Popen([gate, "demo", "--json", "--listen", "127.0.0.1:0", "--data", f"{folder}/demo"], stdout=subprocess.PIPE, text=True)
        try:
            about = json.loads(demo.stdout.readline())
            account = next(a for a in about["accounts"] if a["role"] == "user")
            command = [matrix.NODE, str(matrix.HERE / "clients/step_up.mjs"), about["mcp_endpoints"][0], "add_note",
                       json.dumps({"number": 1042, "text": "stepped up"})]
            environment = {**os.environ, "SALLYPORT_LAB": str(matrix.LAB), "SALLYPORT_ACCOUNT": json.dumps(account)}
            run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        finally:
            demo.terminate()
            demo.wait(20)
    if run.returncode:
        print(run.stderr[-2000:])
        print("0 passed, 1 failed")
        return 1
    seen = json.loads(run.stdout.splitlines()[-1])
    checks = {
        "the tool was not on the list before": "add_note" not in seen["before"] and seen["before"],
        "the call went through after stepping up": not seen["failed"],
        "the tool is on the list afterwards": "add_note" in seen["after"],
        "nothing else came with it": set(seen["after"]) == {*seen["before"], "add_note"},
        "the new token keeps what the old one had": set(seen["scopeBefore"].split()) < set(seen["scopeAfter"].split()),
        "two sign-ins, not more": seen["signIns"] == 2,
    }
    for check, good in checks.items():
        print(f"{'ok' if good else 'FAILED':7}{check}")
    failed = [check for check, good in checks.items() if not good]
    if failed:
        print(json.dumps(seen))
    print(f"{len(checks) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
