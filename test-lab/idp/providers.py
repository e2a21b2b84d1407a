"""Starts the lab's identity providers for a driver, and changes their people while they run.

    with providers.start("canaille", folder, {"users": {…}, "clients": […]}) as canaille:
        canaille.issuer; canaille.control("lock", login="bob")

Standard library only.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
LAB = pathlib.Path(os.environ.get("SALLYPORT_LAB") or HERE.parent.parent / ".test/lab").resolve()
NODE, PYTHON, PYTHON_IDP = str(LAB / "bin/node"), str(LAB / "py/bin/python"), str(LAB / "py-idp/bin/python")
COMMANDS = {
    "oidc-provider": [NODE, str(HERE / "oidc_provider.mjs")],
    "canaille": [PYTHON_IDP, str(HERE / "canaille.py")],
    "samlp": [NODE, str(HERE / "samlp.mjs")],
    "simplesamlphp": [sys.executable, str(HERE / "simplesamlphp.py")],
    "vendors": [PYTHON, str(HERE / "vendors.py")],
    "ssf": [PYTHON, str(HERE / "ssf_transmitter.py")],
}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Trouble(Exception):
    """A provider did not start, or its control port refused."""


class Provider:
    """One running provider; what its first line said is its attributes."""

    def __init__(self, process, log, line):
        self.process, self.log, self.line = process, log, line
        threading.Thread(target=process.stdout.read, daemon=True).start()

    def __getattr__(self, name):
        try:
            return self.line[name]
        except KeyError:
            raise AttributeError(name) from None

    def control_verb(self, verb, **asked):
        request = urllib.request.Request(f"{self.line['control']}/{verb}", json.dumps(asked).encode(), {"Content-Type": "application/json"})
        try:
            return json.loads(OPENER.open(request, timeout=120).read())
        except urllib.error.HTTPError as error:
            raise Trouble(f"{self.line['name']}: {verb}: {error.read().decode()[:600]}") from None

    __call__ = control_verb

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def start(name, state, config=None, port=0):
    """Starts `name` with its state in a folder of its own, and waits for its first line."""
    state = pathlib.Path(state)
    state.mkdir(parents=True, exist_ok=True)
    given = state / "given.json"
    given.write_text(json.dumps(config or {}))
    log = state / "output.log"
    command = [*COMMANDS[name], "--state", str(state), "--port", str(port), "--config", str(given)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(log, "w"), text=True)
    first = process.stdout.readline()
    if not first.startswith("{"):
        process.kill()
        raise Trouble(f"{name} printed {first!r} and not its line; its log ends:\n{log.read_text()[-2000:]}")
    return Provider(process, log, json.loads(first))


def main():
    """`providers.py NAME STATE [CONFIG]`: starts one by hand."""
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: providers.py {{{','.join(COMMANDS)}}} STATE [CONFIG]")
    config = ["--config", sys.argv[3]] if sys.argv[3:] else []
    os.execv(COMMANDS[sys.argv[1]][0], [*COMMANDS[sys.argv[1]], "--state", sys.argv[2], *config])


if __name__ == "__main__":
    main()
