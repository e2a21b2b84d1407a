"""What the Python drivers share: their arguments, the walker as a browser, the report.

It holds no client code: each driver uses its own library's OAuth and nothing of ours.
"""

import json
import os
import pathlib
import socket
import sys

HERE = pathlib.Path(__file__).resolve().parent
LAB = pathlib.Path(os.environ.get("SALLYPORT_LAB") or HERE.parent.parent / ".test/lab").resolve()
NODE = str(LAB / "bin/node")
BROWSER = HERE.parent / "browser"
ACCEPTANCE = {"name": "Ada", "color": "green", "time": "Thursday 14:00"}


def task():
    """ENDPOINT [ERA]; `stdio:["command", …]` is a server without a gate in front."""
    if len(sys.argv) < 2:
        sys.exit("usage: ENDPOINT [legacy|modern|auto], SALLYPORT_ACCOUNT, SALLYPORT_CALLS")
    target, era = sys.argv[1], (sys.argv[2:] or ["auto"])[0]
    calls = json.loads(pathlib.Path(os.environ["SALLYPORT_CALLS"]).read_text()) if "SALLYPORT_CALLS" in os.environ else []
    command = json.loads(target[6:]) if target.startswith("stdio:") else None
    return target, command, era, calls, os.environ.get("SALLYPORT_ACCOUNT")


def browser_environment(log):
    """An environment whose browser is the walker; `log` gets one line a walk."""
    path = f"{BROWSER}:{LAB / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "BROWSER": str(BROWSER / "xdg-open"), "SALLYPORT_WALK_LOG": str(log)}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def walks(log):
    """How often the browser came back to the client; raises when it once did not."""
    path = pathlib.Path(log)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for line in lines:
        if "failed" in line:
            raise RuntimeError(f"walk: {line['failed']}")
    return sum("walked" in line for line in lines)


def text(result):
    """A call's result, as plain JSON, as text: what a model would read."""
    parts = [part["text"] if "text" in part else json.dumps(part, sort_keys=True, ensure_ascii=False) for part in result.get("content") or []]
    if result.get("structuredContent") is not None:
        parts.append(json.dumps(result["structuredContent"], sort_keys=True, ensure_ascii=False))
    return "\n".join(parts)


def refusal(code, message):
    """A JSON-RPC error of the server's as an outcome; the library's own time-out and lost connection are failures."""
    if code in (-32001, -32000, 408):
        raise RuntimeError(f"error {code}: {message}")
    return {"isError": True, "content": [{"text": f"error {code}: {message}"}]}


def report(client, era, negotiated, transport, sign_ins, tools, calls):
    """Prints the one line that every driver ends with."""
    print(json.dumps({
        "client": client, "era": era, "negotiated": negotiated, "transport": transport,
        "signed_in": sign_ins > 0, "sign_ins": sign_ins, "tools": [tool["name"] for tool in tools], "calls": calls,
        "definitions": {tool["name"]: tool for tool in tools},
    }, ensure_ascii=False, sort_keys=False))
