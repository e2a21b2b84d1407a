"""npm `@modelcontextprotocol/inspector`, its command line.

It signs in by itself: opens a browser, waits at its loopback callback, and keeps the tokens in a
store in the home folder, so that one sign-in serves the later invocations. Each call is a process.
It cannot answer an elicitation.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import common


class Inspector:
    """The command line with a home folder of its own, so with an empty token store."""

    def __init__(self, target, command, era, account):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="lab-inspector-"))
        self.account = account
        storage = self.home / "storage"
        self.environment = {**common.browser_environment(self.home / "walks"), "HOME": str(self.home), "MCP_STORAGE_DIR": str(storage),
                            "MCP_AUTO_OPEN_ENABLED": "true", "MCP_INSPECTOR_SECRET_STORE": "file", "MCP_CATALOG_PATH": str(self.home / "mcp.json")}
        # No session bus: nothing may be written to a desktop's key ring.
        self.environment.pop("DBUS_SESSION_BUS_ADDRESS", None)
        launcher = common.LAB / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
        self.base = [common.NODE, str(launcher), "--cli"]
        where = command or [target, "--transport", "http", "--callback-url", f"http://127.0.0.1:{common.free_port()}/oauth/callback"]
        self.base += [*where, "--protocol-era", era, "--format", "json"]

    def invoke(self, *arguments):
        run = subprocess.run(["timeout", "60", *self.base, *arguments], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        common.walks(self.home / "walks")
        lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise RuntimeError(f"inspector {' '.join(arguments)}: exit {run.returncode}: {run.stdout[-600:]} {run.stderr[-1500:]}")
        return run.returncode, json.loads(lines[-1])


def main():
    target, command, era, calls, account = common.task()
    inspector = Inspector(target, command, era, account)
    code, listed = inspector.invoke("--method", "tools/list")
    if code:
        sys.exit(f"inspector tools/list: exit {code}: {listed}")
    listed = listed.get("result", listed)
    outcomes = []
    for call in calls:
        if call["tool"] not in [tool["name"] for tool in listed["tools"]]:
            # It looks at the list itself, and calls nothing that is not on it.
            outcomes.append({"tool": call["tool"], "ok": False, "text": "not on the list", "progress": None})
            continue
        code, result = inspector.invoke("--method", "tools/call", "--tool-name", call["tool"], "--tool-args-json", json.dumps(call.get("arguments", {})))
        result = result.get("result", result)
        if "content" not in result:
            raise RuntimeError(f"inspector {call['tool']}: exit {code}: {result}")
        outcomes.append({"tool": call["tool"], "ok": not result.get("isError"), "text": common.text(result), "progress": None})
    common.report("inspector", era, None, "stdio" if command else "http", common.walks(inspector.home / "walks"), listed["tools"], outcomes)
    if not os.environ.get("SALLYPORT_KEEP"):
        shutil.rmtree(inspector.home, ignore_errors=True)


main()
