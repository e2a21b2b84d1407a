"""npm `mcp-remote`: the stdio bridge that desktop hosts use, driven as such a host would.

The host's side is the smallest JSON-RPC over lines that will do. Standard library only.
"""

import json
import pathlib
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import common


class Host:
    """One stdio MCP server process and its messages."""

    def __init__(self, command, environment, walks):
        self.walks = walks
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
        self.inbox, self.complaints, self.next_id, self.progress = queue.Queue(), [], 0, 0
        threading.Thread(target=self.read, daemon=True).start()
        threading.Thread(target=lambda: self.complaints.extend(self.process.stderr), daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            if line.strip():
                self.inbox.put(json.loads(line))
        self.inbox.put(None)

    def send(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def ask(self, method, params, timeout=90):
        self.next_id += 1
        self.send({"id": self.next_id, "method": method, "params": params})
        while True:
            message = self.next_message(method, time.monotonic() + timeout)
            if message is None:
                raise RuntimeError(f"mcp-remote ended before it answered {method}; {self.tail()}")
            if "method" in message:
                self.answer(message)
            elif message.get("id") == self.next_id:
                if "error" not in message:
                    return message["result"]
                if method != "tools/call":
                    raise RuntimeError(f"{method}: {message['error']}")
                return common.refusal(message["error"]["code"], message["error"]["message"])

    def next_message(self, method, deadline):
        while time.monotonic() < deadline:
            try:
                return self.inbox.get(timeout=1)
            except queue.Empty:
                # A sign-in that failed in the browser would be waited for in vain.
                common.walks(self.walks)
        raise RuntimeError(f"no answer to {method} in time; {self.tail()}")

    def answer(self, message):
        if message["method"] == "notifications/progress":
            self.progress += 1
        if "id" not in message:
            return
        if message["method"] == "elicitation/create":
            self.send({"id": message["id"], "result": {"action": "accept", "content": common.ACCEPTANCE}})
        elif message["method"] == "ping":
            self.send({"id": message["id"], "result": {}})
        else:
            self.send({"id": message["id"], "error": {"code": -32601, "message": "not here"}})

    def tail(self):
        return "".join(self.complaints[-12:])

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def main():
    target, command, era, calls, _ = common.task()
    if era not in ("legacy", "auto"):
        sys.exit("mcp-remote: legacy or auto")
    home = pathlib.Path(tempfile.mkdtemp(prefix="lab-mcp-remote-"))
    environment = {**common.browser_environment(home / "walks"), "MCP_REMOTE_CONFIG_DIR": str(home), "HOME": str(home)}
    bridge = common.LAB / "node_modules/mcp-remote/dist/proxy.js"
    # A stdio server needs no bridge: then this is what the host itself gets.
    host = Host(command or [common.NODE, str(bridge), target, str(common.free_port()), "--host", "127.0.0.1",
                 "--transport", "http-only", "--protocol", era, "--auth-timeout", "60"], environment, home / "walks")
    try:
        opened = host.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}},
                                         "clientInfo": {"name": "lab-mcp-remote", "version": "1"}})
        host.send({"method": "notifications/initialized"})
        tools, cursor = [], None
        while True:
            page = host.ask("tools/list", {"cursor": cursor} if cursor else {})
            tools += page["tools"]
            cursor = page.get("nextCursor")
            if not cursor:
                break
        outcomes = []
        for number, call in enumerate(calls):
            host.progress = 0
            result = host.ask("tools/call", {"name": call["tool"], "arguments": call.get("arguments", {}), "_meta": {"progressToken": f"p{number}"}})
            outcomes.append({"tool": call["tool"], "ok": not result.get("isError"), "text": common.text(result), "progress": host.progress})
    finally:
        host.close()
    common.report("mcp-remote", era, opened["protocolVersion"], "stdio" if command else "http", common.walks(home / "walks"), tools, outcomes)
    shutil.rmtree(home, ignore_errors=True)


main()
