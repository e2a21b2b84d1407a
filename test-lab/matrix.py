#!/usr/bin/env python3
"""Runs real MCP clients against real MCP servers through the gate, and compares what each client
sees with what it sees from the same server without the gate.

A cell is client × era × transport of the upstream × upstream. It passes when the client signed in
exactly once, spoke the era it was told to, and got the same tool definitions and the same call
results as directly. Where a server has nothing to give directly in the client's era, the reference
is what the same client gets in another.

    matrix.py --pairs            every pair of two factors at least once (the default)
    matrix.py --full             every cell
    matrix.py --gate PATH        the built binary (default: $SALLYPORT, else target/release/sallyport)
    matrix.py --demo             `sallyport demo` instead: every client and era at its first endpoint; all
                                 must see the same tools and get the same answers
    matrix.py --stand-in         the lab's own stand-in for the gate: tests the lab, not the product
    matrix.py --stand-in --broken result      … spoilt; must fail
    matrix.py --direct           no gate at all: only the references, to see that they can be had

Standard library only. The last line is `N passed, N failed`; the exit status is 1 if any failed.
"""

import argparse
import atexit
import concurrent.futures
import dataclasses
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
LAB = pathlib.Path(os.environ.get("SALLYPORT_LAB") or ROOT / ".test/lab").resolve()
NODE, PYTHON = str(LAB / "bin/node"), str(LAB / "py/bin/python")
MODULES = LAB / "node_modules/@modelcontextprotocol"
MODERN = "2026-07-28"
CELL_SECONDS = 180
TENANT = "lab"

# Which eras a client offers. TypeScript SDK 1.x knows one; mcp-remote has no way to insist on modern.
CLIENTS = {
    "ts1": ["legacy"],
    "ts2": ["legacy", "modern", "auto"],
    "py-mcp": ["legacy", "modern", "auto"],
    "fastmcp": ["legacy", "modern", "auto"],
    "mcp-remote": ["legacy", "auto"],
    "inspector": ["legacy", "modern", "auto"],
    "rmcp": ["legacy", "modern", "auto"],
}
DRIVERS = {
    "ts1": [NODE, str(HERE / "clients/ts1.mjs")],
    "ts2": [NODE, str(HERE / "clients/ts2.mjs")],
    "py-mcp": [PYTHON, str(HERE / "clients/py_mcp.py")],
    "fastmcp": [PYTHON, str(HERE / "clients/py_fastmcp.py")],
    "mcp-remote": [PYTHON, str(HERE / "clients/mcp_remote.py")],
    "inspector": [PYTHON, str(HERE / "clients/inspector.py")],
    "rmcp": [os.environ.get("SALLYPORT_RMCP_CLIENT") or str(ROOT / "target/debug/rmcp_client")],
}
SERVERS, TRANSPORTS = ["everything", "filesystem", "fastmcp"], ["http", "stdio"]


@dataclasses.dataclass(frozen=True)
class Cell:
    client: str
    era: str
    transport: str
    server: str

    @property
    def upstream(self):
        return f"{self.server}-{self.transport}"

    def __str__(self):
        return f"{self.client:<11}{self.era:<8}{self.transport:<7}{self.server}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Processes:
    """Everything started here, ended at the end whatever happens."""

    def __init__(self, folder):
        self.folder, self.running = folder, []
        atexit.register(self.end)

    def start(self, name, command, **options):
        log = open(self.folder / f"{name}.log", "w")
        stdout = options.pop("stdout", log)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=log, start_new_session=True, **options)
        process.log = self.folder / f"{name}.log"
        self.running.append(process)
        return process

    def end(self):
        for process in self.running:
            try:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(10)
            except ProcessLookupError:
                pass
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(what, url, good, process=None, seconds=60):
    """Waits until `url` answers with a status that `good` accepts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            sys.exit(f"{what} ended with {process.returncode}; see the end of its log:\n{process.log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = None
        if status is not None and good(status):
            return
        time.sleep(0.2)
    sys.exit(f"{what} was not ready within {seconds} s at {url}")


def write_calls(folder, servers, files=""):
    """One file of calls for each client and server: "unless" names clients that cannot do what a call needs."""
    calls, written = json.loads((HERE / "upstreams/calls.json").read_text().replace("{folder}", files)), {}
    for client, name in itertools.product(CLIENTS, servers):
        written[client, name] = folder / f"{client}.{name}.calls.json"
        written[client, name].write_text(json.dumps([call for call in calls[name] if client not in call.get("unless", [])]))
    return written


class Upstreams:
    """The servers without a gate: each HTTP one running, each stdio one as a command."""

    def __init__(self, processes, folder):
        self.files = folder / "files"
        self.files.mkdir()
        everything = [NODE, str(MODULES / "server-everything/dist/index.js")]
        filesystem = [NODE, str(MODULES / "server-filesystem/dist/index.js"), str(self.files)]
        fastmcp = [PYTHON, str(HERE / "upstreams/fastmcp_server.py")]
        self.commands = {"everything-stdio": [*everything, "stdio"], "filesystem-stdio": filesystem, "fastmcp-stdio": [*fastmcp, "stdio"]}
        ports = {name: free_port() for name in SERVERS}
        processes.start("everything", [*everything, "streamableHttp"], env={**os.environ, "PORT": str(ports["everything"])})
        processes.start("filesystem", [PYTHON, str(HERE / "upstreams/bridge.py"), str(ports["filesystem"]), *filesystem])
        processes.start("fastmcp", [*fastmcp, "http", str(ports["fastmcp"])])
        self.urls = {f"{name}-http": f"http://127.0.0.1:{port}/mcp" for name, port in ports.items()}
        for name, url in self.urls.items():
            wait_for(name, url, lambda status: True)
        self.calls = write_calls(folder, SERVERS, str(self.files))

    def direct(self, upstream):
        return self.urls.get(upstream) or "stdio:" + json.dumps(self.commands[upstream])


def write_config(path, listen, admin, folder, upstreams):
    """The product's configuration file. All that this lab knows of its schema is in here."""
    lines = ["[server]", f'listen = "{listen}"', f'admin_listen = "{admin}"', f'public_url = "http://{listen}"',
             "[data]", f"directory = {json.dumps(str(folder))}", "[oauth]", "dynamic_registration = true",
             # One person plays every client, and some of them leave their sessions behind.
             "[limits]", "sessions = 500", "streams = 500", "calls = 500",
             "[[tenants]]", f'id = "{TENANT}"', 'name = "Lab"']
    for name, url in upstreams.urls.items():
        lines += ["[[upstreams]]", f'name = "{name}"', f'url = "{url}"', 'initial_scopes = ["read", "write"]']
    for name, command in upstreams.commands.items():
        lines += ["[[upstreams]]", f'name = "{name}"', f"command = {json.dumps(command[0])}", f"args = {json.dumps(command[1:])}", 'initial_scopes = ["read", "write"]']
    path.write_text("\n".join(lines) + "\n")


def create_account(binary, config):
    """A person who may use every upstream. All that this lab knows of the command is in here."""
    account = {"username": "ada", "email": "ada@example.test", "password": "correct horse battery staple 7"}
    command = [binary, "user", "add", "--config", str(config), account["username"], "--tenant", TENANT,
               "--email", account["email"], "--password-stdin"]
    run = subprocess.run(command, input=account["password"], text=True, capture_output=True)
    if run.returncode:
        sys.exit(f"{' '.join(command[1:3])} ended with {run.returncode}: {run.stderr.strip()[-800:]}")
    return account


class Gate:
    """The product, in front of all upstreams."""

    def __init__(self, binary, processes, folder, upstreams, name="gate"):
        listen, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        config = folder / f"{name}.toml"
        write_config(config, listen, admin, folder / f"{name}.state", upstreams)
        self.account = create_account(binary, config)
        process = processes.start(name, [binary, "serve", "--config", str(config)])
        self.endpoints = {name: f"http://{listen}/mcp/{name}" for name in (*upstreams.urls, *upstreams.commands)}
        wait_for("the gate", next(iter(self.endpoints.values())), lambda status: status == 401, process)

    def serves(self, cell):
        return True


class StandIn:
    """Not the product: tests the lab. It forwards as it is, so cells that need translation are left out."""

    def __init__(self, processes, upstreams, broken):
        pairs = [word for pair in upstreams.urls.items() for word in ("--upstream", "=".join(pair))]
        command = [NODE, str(HERE / "stand-in.mjs"), *pairs, *(["--broken", broken] if broken else [])]
        process = processes.start("stand-in", command, stdout=subprocess.PIPE, text=True)
        about = json.loads(process.stdout.readline())
        self.account = about["accounts"][0]
        self.endpoints = {url.rsplit("/", 1)[1]: url for url in about["mcp_endpoints"]}

    def serves(self, cell):
        return cell.transport == "http" and (cell.era == "legacy" or cell.server == "fastmcp")


def drive(cell, target, calls, account=None):
    """Runs one driver; returns its report, or the reason why there is none."""
    environment = {**os.environ, "SALLYPORT_LAB": str(LAB), "SALLYPORT_CALLS": str(calls), "SALLYPORT_WALK": str(HERE / "walk.py"), "RUST_BACKTRACE": "0"}
    environment.pop("SALLYPORT_ACCOUNT", None)
    if account:
        environment["SALLYPORT_ACCOUNT"] = json.dumps(account)
    try:
        run = subprocess.run([*DRIVERS[cell.client], target, cell.era], env=environment, stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, timeout=CELL_SECONDS)
    except subprocess.TimeoutExpired as error:
        tail = error.stderr.decode(errors="replace")[-800:] if error.stderr else ""
        return None, f"no end within {CELL_SECONDS} s; {tail}"
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    if run.returncode or not lines:
        said = " ".join((run.stderr or run.stdout).split())
        return None, f"exit {run.returncode}: {said if len(said) < 1200 else said[:600] + ' … ' + said[-600:]}"
    return json.loads(lines[-1]), None


class Demo:
    """`sallyport demo`, which serves a server of its own that nobody can reach but through it."""

    def __init__(self, binary, processes, folder):
        command = [binary, "demo", "--json", "--listen", "127.0.0.1:0", "--data", str(folder / "demo")]
        process = processes.start("demo", command, stdout=subprocess.PIPE, text=True)
        about = json.loads(process.stdout.readline() or sys.exit("demo --json printed no ready line"))
        # Nobody reads what it may print later; a full pipe would stop it.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        self.account = next(a for a in about["accounts"] if a.get("role") not in ("administrator", "operator", "admin"))
        self.endpoint, self.first, self.lock = about["mcp_endpoints"][0], None, threading.Lock()

    def judge(self, cell, calls):
        seen, trouble = drive(cell, self.endpoint, calls, self.account)
        if trouble:
            return trouble
        answers = {call["tool"] + str(place): (call["ok"], plain(call["text"])) for place, call in enumerate(seen["calls"])}
        with self.lock:
            self.first = self.first or (sorted(seen["tools"]), answers)
        tools, first = self.first
        if seen["sign_ins"] != 1:
            return f"{seen['sign_ins']} sign-ins"
        # A client that asks for every scope there is (the Inspector) is shown every tool; none is shown less.
        if not tools or not set(tools) <= set(seen["tools"]):
            return f"tools {sorted(seen['tools'])}, the first client saw {tools}"
        differing = [f"{key}: {answers[key]}, the first client got {first[key]}" for key in answers if key in first and answers[key] != first[key]]
        return differing[0][:800] if differing else None


def plain(text):
    """Each language writes JSON its own way."""
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.dumps(json.loads(line), sort_keys=True))
        except ValueError:
            lines.append(line)
    return lines


class NoGate:
    """Every client straight at every upstream, in the legacy era, which all of them speak."""

    account = None

    def __init__(self, upstreams):
        self.endpoints = {name: upstreams.direct(name) for name in (*upstreams.urls, *upstreams.commands)}

    def serves(self, cell):
        return cell.era == "legacy"


class References:
    """What a client gets without the gate, asked once for each client, era and upstream."""

    def __init__(self, upstreams):
        self.upstreams, self.kept, self.lock = upstreams, {}, threading.Lock()

    def of(self, cell, era):
        key = dataclasses.replace(cell, era=era)
        with self.lock:
            mine = key not in self.kept
            if mine:
                self.kept[key] = concurrent.futures.Future()
        if mine:
            self.kept[key].set_result(drive(key, self.upstreams.direct(cell.upstream), self.upstreams.calls[cell.client, cell.server]))
        return self.kept[key].result()


def difference(seen, own, others):
    """The first thing in which what was seen differs from every reference, or None.

    `own` is the reference of the cell's own era, or None; `others` those of the other eras. Where the
    own era has a good result, nothing else will do; where it has none, because the server has no
    answer to give in that era, the gate's translation is held against what another era gets.
    """
    best = own or others[0]
    if seen["tools"] != best["tools"]:
        return f"tools {seen['tools']}, directly {best['tools']}"
    for name in seen["tools"]:
        # `execution` is a word of 2025-11-25 alone: a client may drop it when it speaks that version
        # itself, and keep it as unknown when the gate speaks it for it.
        if all(timeless(seen["definitions"][name]) != timeless(reference["definitions"].get(name, {})) for reference in (best, *others)):
            return f"definition of {name}: {json.dumps(seen['definitions'][name])[:500]}, directly {json.dumps(best['definitions'][name])[:500]}"
    for place, mine in enumerate(seen["calls"]):
        wanted = [best["calls"][place]]
        # A server that asks a client which declared no elicitation is told so by the gate, and the client is
        # not asked. The Inspector is such a client; without the gate it is asked, and cancels.
        if not mine["ok"] and "the client did not declare elicitation" in mine["text"]:
            continue
        # A tool that is not on the list is refused by the gate before the server could say so.
        if mine["tool"] not in best["tools"] and not mine["ok"] and not wanted[0]["ok"]:
            continue
        if not wanted[0]["ok"]:
            wanted += [reference["calls"][place] for reference in others]
        if all((mine["ok"], mine["text"]) != (direct["ok"], direct["text"]) for direct in wanted):
            return f"{mine['tool']}: ok {mine['ok']} {mine['text'][:300]!r}, directly ok {wanted[0]['ok']} {wanted[0]['text'][:300]!r}"
    # Which call a progress notification is counted for is a race in some clients; that they come at all is not.
    mine, theirs = (any(call["progress"] for call in report["calls"]) for report in (seen, best))
    return None if mine == theirs else f"progress came: {mine}, directly {theirs}"


def timeless(definition):
    return {key: value for key, value in definition.items() if key != "execution"}


def judge(cell, gate, references, upstreams):
    """None when the cell passes, else why not."""
    seen, trouble = drive(cell, gate.endpoints[cell.upstream], upstreams.calls[cell.client, cell.server], gate.account)
    if trouble:
        return trouble
    if seen["sign_ins"] != (1 if gate.account else 0) or seen["signed_in"] != bool(gate.account):
        return f"{seen['sign_ins']} sign-ins"
    modern = seen["negotiated"] == MODERN
    # mcp-remote answers its host in the old era whatever it speaks itself; the Inspector does not say.
    if cell.client not in ("mcp-remote", "inspector") and modern != (cell.era != "legacy"):
        return f"spoke {seen['negotiated']} when told {cell.era}"
    # Without the gate mcp-remote is not in between a host and a command, so what it sees of one in the era of its
    # choice is asked over HTTP; but not of `filesystem`, which is another program there (a bridge).
    elsewhere = cell.client == "mcp-remote" and cell.era == "auto" and cell.server != "filesystem"
    direct = dataclasses.replace(cell, transport="http") if elsewhere else cell
    own, trouble = references.of(direct, cell.era)
    if own and difference(seen, own, []) is None:
        return None
    others = [reference for era in CLIENTS[cell.client] if era != cell.era and (reference := references.of(cell, era)[0])]
    if own is None and not others:
        return f"no reference: {trouble}"
    return difference(seen, own, others)


def pairs(cells):
    """A small subset in which every pair of values of two factors that occurs at all occurs."""
    def covered(cell):
        return set(itertools.combinations(dataclasses.asdict(cell).items(), 2))

    wanted = set().union(*map(covered, cells))
    chosen = []
    while wanted:
        best = max(cells, key=lambda cell: len(covered(cell) & wanted))
        chosen.append(best)
        wanted -= covered(best)
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--gate", default=os.environ.get("SALLYPORT") or str(ROOT / "target/release/sallyport"))
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--stand-in", action="store_true")
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--broken", choices=["tools", "result", "events"])
    parser.add_argument("--client", action="append", choices=CLIENTS)
    parser.add_argument("--server", action="append", choices=SERVERS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args()
    for needed in (LAB / ".installed", *([] if options.stand_in or options.direct else [pathlib.Path(options.gate)]), pathlib.Path(DRIVERS["rmcp"][0])):
        if not needed.exists():
            sys.exit(f"{needed} is missing; run test-lab/install.sh, and build sallyport and rmcp_client")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lab-matrix-"))
    processes = Processes(folder)
    if options.demo:
        demo = Demo(options.gate, processes, folder)
        cells = [Cell(client, era, "http", "demo") for client, eras in CLIENTS.items() for era in eras if client in (options.client or CLIENTS)]
        calls = write_calls(folder, ["demo"])
        finish(options, processes, folder, cells, lambda cell: demo.judge(cell, calls[cell.client, "demo"]))
    upstreams = Upstreams(processes, folder)
    if options.direct:
        gates = dict.fromkeys(CLIENTS, NoGate(upstreams))
    elif options.stand_in:
        gates = dict.fromkeys(CLIENTS, StandIn(processes, upstreams, options.broken))
    else:
        # One for each client: a gate takes 30 registrations an hour from one address, and every cell registers.
        gates = {client: Gate(options.gate, processes, folder, upstreams, client) for client in options.client or CLIENTS}
    cells = [Cell(client, era, transport, server) for client, eras in CLIENTS.items() for era in eras
             for transport in TRANSPORTS for server in SERVERS]
    cells = [cell for cell in cells if cell.client in (options.client or CLIENTS) and cell.server in (options.server or SERVERS)]
    cells = [cell for cell in cells if gates[cell.client].serves(cell)]
    if not options.full:
        cells = pairs(cells)
    references = References(upstreams)
    finish(options, processes, folder, cells, lambda cell: judge(cell, gates[cell.client], references, upstreams))


def finish(options, processes, folder, cells, judged):
    """Judges every cell, prints the table, and ends the program."""
    def timed(cell):
        start = time.monotonic()
        return cell, judged(cell), time.monotonic() - start

    failed = 0
    print(f"{'client':<11}{'era':<8}{'via':<7}upstream", flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for cell, reason, seconds in pool.map(timed, cells):
            failed += reason is not None
            print(f"{str(cell):<40}{'ok' if reason is None else 'FAILED'} {seconds:5.1f} s{'' if reason is None else '  ' + reason}", flush=True)
    processes.end()
    if options.keep or failed:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(cells) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not cells else 0)


if __name__ == "__main__":
    main()
