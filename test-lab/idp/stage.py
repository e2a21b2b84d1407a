"""One gate in front of a real MCP server, with tenants that are set up by its commands alone while it runs, and what a
person does at it: sign in with her work address, call a tool, be refused on a page.

All that these tests know of the product's configuration, commands and pages is in here. Standard library only.
"""

import concurrent.futures
import dataclasses
import html
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE.parent, HERE.parent / "faults"):
    sys.path.append(str(folder))
import browser  # noqa: E402
import driver  # noqa: E402
import matrix  # noqa: E402
import walk  # noqa: E402,F401

VERSION = "2025-11-25"
UPSTREAM = "everything"
# An error page's last line.
CODE = re.compile(r"Code <code>([^<]*)</code>(?:\. Reference <code>([^<]*)</code>)?")


class Checks:
    """One line a check; counts them."""

    def __init__(self):
        self.passed, self.failed, self.lock = 0, 0, threading.Lock()

    def __call__(self, good, what, seen=""):
        with self.lock:
            self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
            why = "" if good else f": {' '.join(str(seen).split())[:700]}"
            print(f"{'ok    ' if good else 'FAILED'} {what}{why}", flush=True)
        return bool(good)


@dataclasses.dataclass
class Ended:
    """Where somebody ended who is not back at the client: a page of ours with code and reference, or another's."""

    url: str
    status: int
    code: str = None
    reference: str = None
    what: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, url, status, page):
        code = CODE.search(page)
        # A heading may stand above the two sentences.
        found = re.findall(r"<(?:h1|p|p class=\"lead\")>(.*?)</(?:h1|p)>", page, re.S)
        what, remedy = ["", "", *(html.unescape(re.sub(r"<[^>]*>", "", part)) for part in found)][-2:]
        return cls(url, status, *(code.groups() if code else (None, None)), what, remedy)


class Access:
    """What a person's client has: tokens, an MCP session, and calls with it."""

    def __init__(self, client, tokens, person):
        self.client, self.tokens, self.browser = client, tokens, person
        self.caller = driver.Caller(client.endpoint, tokens["access_token"], VERSION, agent="logins-test")
        self.caller.open()

    def call(self):
        """Whether a call is answered, and what came."""
        status, answer = self.caller.tool("echo", {"message": "still here"})
        return status == 200 and "still here" in json.dumps((answer or {}).get("result", {})), f"{status} {answer}"

    def refresh(self):
        status, answer = self.client.refresh(self.tokens["refresh_token"], driver.Wire(self.client.endpoint))
        if status == 200:
            self.tokens = answer
        return status, answer

    def gone_after(self, since, bound=2.0):
        """Seconds from `since` until a call was refused; None if calls still are answered after `bound`."""
        while time.monotonic() < since + bound + 0.5:
            answered, _ = self.call()
            if not answered:
                return time.monotonic() - since
            time.sleep(0.02)
        return None


def started(starts):
    """Name → provider, of name → function that starts it; two at a time. All of them, or none."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = {name: pool.submit(start) for name, start in starts.items()}
    troubles = [future.exception() for future in futures.values() if future.exception()]
    if troubles:
        for future in futures.values():
            if not future.exception():
                future.result().stop()
        raise troubles[0]
    return {name: future.result() for name, future in futures.items()}


class Stage:
    """The server, the gate and what its commands say."""

    def __init__(self, binary, folder, local_directory):
        self.binary, self.folder = str(pathlib.Path(binary).resolve()), folder
        folder.mkdir(parents=True, exist_ok=True)
        self.processes, self.config = matrix.Processes(folder), folder / "sallyport.toml"
        port, admin, upstream = matrix.free_port(), matrix.free_port(), matrix.free_port()
        self.origin, self.endpoint = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}/mcp/{UPSTREAM}"
        server = [matrix.NODE, str(matrix.MODULES / "server-everything/dist/index.js"), "streamableHttp"]
        self.processes.start("everything", server, env={**os.environ, "PORT": str(upstream)})
        lines = ["[server]", f'listen = "127.0.0.1:{port}"', f'admin_listen = "127.0.0.1:{admin}"', f'public_url = "{self.origin}"',
                 "[data]", f"directory = {json.dumps(str(folder / 'state'))}",
                 "[oauth]", "dynamic_registration = true", "registrations_per_hour = 1000",
                 "[identity]", 'provider_networks = ["127.0.0.0/8"]', f"local_directory = {str(local_directory).lower()}",
                 # Of these tests no tenant stands in the file; but one must.
                 "[[tenants]]", 'id = "house"', 'name = "House"',
                 "[[upstreams]]", f'name = "{UPSTREAM}"', f'url = "http://127.0.0.1:{upstream}/mcp"', 'initial_scopes = ["read", "write"]']
        self.config.write_text("\n".join(lines) + "\n")
        matrix.wait_for("server-everything", f"http://127.0.0.1:{upstream}/mcp", lambda status: True)
        self.gate = self.processes.start("gate", [self.binary, "serve", "--config", str(self.config)], env={**os.environ, "SALLYPORT_LOG": "info"})
        matrix.wait_for("the gate", f"http://127.0.0.1:{admin}/readyz", lambda status: status == 200, self.gate)
        self.client, self.references = driver.Client(self.endpoint), []
        self.scope = self.challenged_scope()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.processes.end()

    def challenged_scope(self):
        wire = driver.Wire(self.endpoint)
        _, headers, _ = wire.send("POST", driver.path_of(self.endpoint), b"{}", {"Content-Type": "application/json"})
        wire.close()
        return re.search(r'scope="([^"]*)"', headers["WWW-Authenticate"]).group(1)

    # ---- the operator

    def run(self, *arguments, **environment):
        command = [self.binary, *map(str, arguments), "--config", str(self.config)]
        return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)

    def tenant(self, *arguments, ends=0, **environment):
        """`sallyport tenant … --json`; what it answered. `ends`: the exit status that is expected."""
        run = self.run("tenant", *arguments, "--json", **environment)
        if run.returncode != ends:
            raise RuntimeError(f"sallyport tenant {' '.join(map(str, arguments))} ended with {run.returncode}: {run.stderr.strip()[-800:]}")
        return json.loads(run.stdout)

    def create(self, tenant, name):
        self.tenant("create", tenant, "--name", name)

    def domain(self, tenant, domain, connection=None):
        self.tenant("domain", "add", tenant, domain, *(["--connection", connection] if connection else []))
        self.tenant("domain", "verify", tenant, domain, "--by-operator")

    def connection(self, tenant, name):
        return next(one for one in self.tenant("connections", tenant) if one["name"] == name)

    def people(self, tenant):
        return self.tenant("people", tenant)

    def events(self, **wanted):
        """The audit log's events; with `kind`, of that kind."""
        run = self.run("audit", "export")
        if run.returncode:
            raise RuntimeError(f"sallyport audit export ended with {run.returncode}: {run.stderr.strip()[-800:]}")
        events = [json.loads(line)["event"] for line in run.stdout.splitlines()]
        return [event for event in events if all(event.get(name) == value for name, value in wanted.items())]

    # ---- the person

    def go(self, account, person=None, **query):
        """Walks from an authorization request of a client: the code and its verifier, or where it `Ended`."""
        person = person or browser.Browser({**account, "federated": True})
        asked, verifier = self.client.query(self.scope, **query)
        start = self.client.metadata["authorization_endpoint"] + "?" + urllib.parse.urlencode(asked)
        found = self.walk(person, start, lambda url: url.startswith(driver.Client.redirect + "?"))
        if isinstance(found, Ended):
            return found
        answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(found).query))
        if answer.get("state") != asked["state"] or "code" not in answer:
            return Ended(found, 0, answer.get("error"), None, str(answer))
        return answer["code"], verifier

    def walk(self, person, start, stop=lambda url: False, done=lambda url, page: False):
        def ended(url, page):
            return url.startswith(self.origin) and bool(CODE.search(page)) or done(url, page)

        try:
            url = person.follow(start, stop, ended)
        except browser.WalkError as error:
            return Ended(person.trail[-1][1] if person.trail else start, getattr(person, "status", 0), None, None, str(error))
        if stop(url) and url != person.trail[-1][1]:
            return url
        return Ended.of(url, person.status, person.page)

    def sign_in(self, account, person=None, **query):
        """An `Access`; raises where she does not come back to the client."""
        person = person or browser.Browser({**account, "federated": True})
        found = self.go(account, person, **query)
        if isinstance(found, Ended):
            raise RuntimeError(f"{account['email']} ended at {found}")
        status, tokens = self.client.redeem(*found, driver.Wire(self.endpoint))
        if status != 200:
            raise RuntimeError(f"the code of {account['email']}: {status} {tokens}")
        return Access(self.client, tokens, person)

    def refused(self, check, what, ended, code, tells=(), tenant=None):
        """A page with code and reference; `in_log` looks for the reference later. `tells`: words that must be on the page."""
        codes = (code,) if isinstance(code, str) else code
        if not isinstance(ended, Ended):
            return check(False, what, f"it went through: {ended}")
        missing = [word for word in tells if word.lower() not in f"{ended.what} {ended.remedy}".lower()]
        good = check(ended.code in codes and ended.reference and not missing,
                     f"{what}: {ended.code}, with a reference{' and what to do' if tells else ''}", f"wanted {codes} and {tells}, got {ended}")
        if ended.reference:
            self.references.append((what, ended, tenant))
        return good

    def in_log(self, check):
        """Every reference since the last time is in the audit log, once, with the code of its page."""
        waiting, self.references = self.references, []
        # The log is read up to its last checkpoint, which comes within moments of an entry.
        for _ in range(10):
            events = {event["id"]: event for event in self.events()}
            if all(ended.reference in events for _, ended, _ in waiting):
                break
            time.sleep(0.2)
        lost = []
        for what, ended, tenant in waiting:
            event = events.get(ended.reference)
            if not event or event["decision"]["code"] != ended.code or (tenant and event.get("tenant") != tenant) or not event["facts"].get("reason"):
                lost.append((what, ended, event))
        if waiting:
            check(not lost, f"{len(waiting)} references are found in the log, with code, reason and tenant", lost)

    # ---- real clients

    def clients_at_once(self, runs):
        """`runs`: (client, era, account); each signs in and calls a tool, all at the same time. Reports in their order."""
        calls = self.folder / "calls.json"
        calls.write_text(json.dumps([{"tool": "echo", "arguments": {"message": "hello"}}]))
        os.environ["SALLYPORT_BROWSER"] = str(HERE / "browser.py")

        def one(run):
            client, era, account = run
            cell = matrix.Cell(client, era, "http", UPSTREAM)
            return matrix.drive(cell, self.endpoint, calls, {**account, "federated": True})

        with concurrent.futures.ThreadPoolExecutor(len(runs)) as pool:
            return list(pool.map(one, runs))
