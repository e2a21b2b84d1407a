"""Starts the targets: each a process (or several) of its own at free ports, ended when it is no longer needed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LAB = Path(os.environ.get("SALLYPORT_LAB") or ROOT / ".test/lab").resolve()
GATE = Path(os.environ.get("SALLYPORT") or ROOT / "target/release/sallyport").resolve()
PYTHON, NODE = str(LAB / "py/bin/python"), str(LAB / "bin/node")
DVMCP_PYTHON = LAB / "py-dvmcp/bin/python"
EVERYTHING = [NODE, str(LAB / "node_modules/@modelcontextprotocol/server-everything/dist/index.js")]
READY_SECONDS = 60
PASSWORD = "correct horse battery staple 7"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class StartError(Exception):
    """A target did not start; says why."""


@dataclass
class Running:
    """What the assessor is told about a target."""

    url: str | None = None
    command: list[str] = field(default_factory=list)  # over stdio instead of a URL
    environment: dict[str, str] = field(default_factory=dict)
    hooks: str = ""

    def arguments(self, access: list[str]) -> list[str]:
        given = [word.replace("{hooks}", self.hooks) for word in access]
        return [*given, "--stdio", "--", *self.command] if self.command else [self.url or "", *given]


class Processes:
    """Ends whatever it started, in groups, so that no child stays."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.running: list[subprocess.Popen[str]] = []

    def start(self, name: str, command: list[str], environment: dict[str, str] | None = None, told: bool = False) -> subprocess.Popen[str]:
        """`told`: whether somebody reads its standard output; a pipe that nobody reads would stop it."""
        log = (self.folder / f"{name}.log").open("w")
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE if told else log, stderr=log, text=True,
            start_new_session=True, env={**os.environ, **(environment or {})},
        )
        log.close()
        self.running.append(process)
        return process

    def ready(self, name: str, command: list[str]) -> Running:
        """Starts a program that prints one line of JSON when it serves."""
        process = self.start(name, command, told=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("{"):
            raise StartError(f"{name} did not start: {self.tail(name)}")
        told = json.loads(line)
        return Running(told["url"], environment=told["environment"], hooks=told.get("hooks", ""))

    def tail(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-800:].strip()

    def wait(self, name: str, process: subprocess.Popen[str], url: str, good: Callable[[int], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if (status := status_of(url)) is not None and good(status):
                return
            time.sleep(0.1)
        raise StartError(f"{name} was not ready at {url}: {self.tail(name)}")

    def end(self) -> None:
        for process in reversed(self.running):
            for how, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
                try:
                    os.killpg(process.pid, how)
                    process.wait(patience)
                    break
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue


def status_of(url: str) -> int | None:
    try:
        with OPENER.open(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def started(start: str) -> Iterator[Running]:
    """Runs the target that `start` names, for the length of a `with`."""
    kind, *words = start.split()
    folder = Path(tempfile.mkdtemp(prefix="assess-"))
    processes = Processes(folder)
    try:
        yield STARTERS[kind](processes, words)
    finally:
        processes.end()
        shutil.rmtree(folder, ignore_errors=True)


def fixture(processes: Processes, words: list[str]) -> Running:
    return processes.ready("fixture", [sys.executable, str(HERE / "fixtures/server.py"), *words])


def authlab(processes: Processes, words: list[str]) -> Running:
    told = dict(zip(words[::2], words[1::2]))
    flags = [told["--flag"]] if "--flag" in told else []
    return processes.ready("authlab", [PYTHON, str(HERE / "targets/authlab.py"), told["--profile"], *flags])


def dvmcp(processes: Processes, words: list[str]) -> Running:
    return processes.ready("dvmcp", [str(DVMCP_PYTHON), str(HERE / "targets/dvmcp.py"), os.environ["SALLYPORT_DVMCP"], *words])


def sdk(processes: Processes, words: list[str]) -> Running:
    return processes.ready("sdk", [PYTHON, str(HERE / "targets/sdk_simple_auth.py"), *words])


def fastmcp(processes: Processes, words: list[str]) -> Running:
    return processes.ready("fastmcp", [PYTHON, str(HERE / "targets/fastmcp_jwt.py"), *words])


def everything_http(processes: Processes, _: list[str]) -> Running:
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    process = processes.start("everything", [*EVERYTHING, "streamableHttp"], {"PORT": str(port)})
    processes.wait("everything", process, url, lambda status: True)
    return Running(url)


def everything_stdio(_: Processes, __: list[str]) -> Running:
    return Running(command=[*EVERYTHING, "stdio"])


def everything_sallyport(processes: Processes, _: list[str]) -> Running:
    """The gate in front of one server twice, with two people and hooks about its log."""
    behind = everything_http(processes, [])
    listen, data, config = f"127.0.0.1:{free_port()}", processes.folder / "data", processes.folder / "gate.toml"
    upstreams = [f'[[upstreams]]\nname = "{name}"\nurl = "{behind.url}"' for name in ("everything", "other")]
    config.write_text("\n".join([
        "[server]", f'listen = "{listen}"', f'admin_listen = "127.0.0.1:{free_port()}"', f'public_url = "http://{listen}"',
        "[data]", f"directory = {json.dumps(str(data))}", "[oauth]", "dynamic_registration = true", "registrations_per_hour = 1000",
        "[[tenants]]", 'id = "lab"', 'name = "Lab"', *upstreams,
    ]))
    for person in ("ada", "bob"):
        command = [str(GATE), "user", "add", "--config", str(config), "--tenant", "lab", "--email", f"{person}@example.test", "--password-stdin", person]
        run = subprocess.run(command, input=PASSWORD, text=True, capture_output=True, check=False)
        if run.returncode:
            raise StartError(f"user add: {run.stderr.strip()}")
    process = processes.start("gate", [str(GATE), "serve", "--config", str(config)])
    url = f"http://{listen}/mcp/everything"
    processes.wait("gate", process, url, lambda status: status == 401)
    environment = {"GATE_PASSWORD": PASSWORD, "GATE_FOREIGN": gate_token(f"http://{listen}/mcp/other")}
    return Running(url, environment=environment, hooks=str(gate_hooks(processes.folder, config, data)))


def gate_token(endpoint: str) -> str:
    """A person's token for another endpoint of the gate."""
    account = {"username": "bob", "email": "bob@example.test", "password": PASSWORD}
    run = subprocess.run(
        [sys.executable, str(HERE.parent / "sign_in.py"), endpoint], capture_output=True, text=True, check=False,
        env={**os.environ, "SALLYPORT_ACCOUNT": json.dumps(account)},
    )
    if run.returncode:
        raise StartError(f"no token for {endpoint}: {run.stderr.strip()[-800:]}")
    return json.loads(run.stdout)["access_token"]


def gate_hooks(folder: Path, config: Path, data: Path) -> Path:
    copy = [sys.executable, str(HERE / "targets/gate_copy.py")]
    hooks = {
        "audit_export": [str(GATE), "audit", "export", "--config", str(config)],
        "audit_verify": [str(GATE), "audit", "verify", "--config", str(config)],
        "audit_tamper": [*copy, "alter", str(data / "audit")],
        "audit_verify_copy": [*copy, "verify", str(GATE)],
    }
    path = folder / "hooks.toml"
    path.write_text("".join(f"[{name}]\ncommand = {json.dumps(command)}\n" for name, command in hooks.items()))
    return path


STARTERS: dict[str, Callable[[Processes, list[str]], Running]] = {
    "fixture": fixture,
    "authlab": authlab,
    "dvmcp": dvmcp,
    "sdk": sdk,
    "fastmcp": fastmcp,
    "everything-http": everything_http,
    "everything-stdio": everything_stdio,
    "everything-sallyport": everything_sallyport,
}


def require(groups: set[str]) -> None:
    """StartError, with the remedy, when something that these groups need is missing. Installs what DVMCP needs."""
    if groups & {"authlab", "sdk", "fastmcp", "everything"} and not Path(NODE).exists():
        raise StartError(f"{LAB} is not installed; run test-lab/install.sh")
    if "authlab" in groups:
        found = subprocess.run([PYTHON, "-c", "import mcp_authlab"], capture_output=True, check=False)
        if found.returncode:
            raise StartError("mcp-authlab is not installed; run test-lab/install.sh")
    if "dvmcp" in groups:
        require_dvmcp()


def require_dvmcp() -> None:
    checkout = os.environ.get("SALLYPORT_DVMCP")
    if not checkout or not (Path(checkout) / "challenges/easy/challenge1/server_sse.py").exists():
        raise StartError(
            "SALLYPORT_DVMCP names no checkout of Damn Vulnerable MCP Server; run git clone "
            "https://github.com/harishsg993010/damn-vulnerable-MCP-server, or say --without dvmcp"
        )
    wanted = (HERE / "requirements-dvmcp.txt").read_text()
    stamp = LAB / "py-dvmcp/.installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    venv = LAB / "py-dvmcp"
    for command in (
        ["python3", "-m", "venv", str(venv)],
        [str(venv / "bin/pip"), "install", "-q", "--disable-pip-version-check", "-r", str(HERE / "requirements-dvmcp.txt")],
    ):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise StartError(f"{' '.join(command)}: {run.stderr.strip()[-800:]}")
    stamp.write_text(wanted)
