"""Starts a built gate, signs people in, calls tools and reads its log: what the fault tests have in
common. Knows the product from outside only: its command line, its ready line and the wire.

Standard library only.
"""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import walk  # noqa: E402

LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
FORM = "application/x-www-form-urlencoded"
META = "io.modelcontextprotocol/"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def hostport(url):
    return urllib.parse.urlsplit(url).netloc


def path_of(url):
    parts = urllib.parse.urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


class Gate:
    """A gate as a process of its own group. What it says on standard error goes to a file."""

    def __init__(self, command, errors, ready=json.loads, env=None, patience=60):
        self.errors = pathlib.Path(errors)
        with open(self.errors, "ab") as sink:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, start_new_session=True,
                                            env={**os.environ, **(env or {})})
        self.patience, self.ready, self.about = patience, ready, None

    @classmethod
    def demo(cls, binary, directory, port, errors, prefix=(), env=None):
        return cls([*prefix, str(binary), "demo", "--json", "--listen", f"127.0.0.1:{port}", "--data", str(directory)],
                   errors, env=env)

    def wait_ready(self):
        """The ready line."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            line = self.process.stdout.readline()
            if line.startswith(b"{"):
                self.about = self.ready(line)
                return self.about
            if not line and self.process.poll() is not None:
                break
        said = self.errors.read_text(errors="replace")[-1500:]
        raise SystemExit(f"the gate did not become ready (exit {self.process.poll()}):\n{said}")

    def kill(self):
        """SIGKILL to the whole group, whatever it is doing."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(30)
        self.process.stdout.close()

    def stop(self, patience=30):
        """SIGTERM, as an operator would; the exit status."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return None


def audit(binary, verb, *arguments):
    """`sallyport audit VERB …`: exit status and text."""
    run = subprocess.run([str(binary), "audit", verb, *map(str, arguments)], capture_output=True, text=True)
    return run.returncode, run.stdout, run.stderr


def export(binary, directory, first=0):
    """The log's entries from index `first`, each `{"log": {…}, "event": {…}}`."""
    code, out, err = audit(binary, "export", "--data", directory, "--format", "jsonl", "--from", first)
    if code != 0:
        raise RuntimeError(f"audit export ended with {code}: {err.strip()}")
    return [json.loads(line) for line in out.splitlines()]


class Wire:
    """One keep-alive connection."""

    def __init__(self, url, timeout=30):
        self.netloc, self.timeout, self.connection = hostport(url), timeout, None

    def send(self, method, path, body=None, headers=None):
        """Status, headers, bytes of the whole answer. Raises on a broken connection."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.netloc, timeout=self.timeout)
        try:
            self.connection.request(method, path, body, headers or {})
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def message_of(headers, text, wanted):
    """The JSON-RPC response to the id `wanted` in an answer of either content type."""
    if not text.strip():
        return None
    if "text/event-stream" in (headers.get("Content-Type") or ""):
        found = [json.loads(line[5:]) for line in text.decode().splitlines() if line.startswith("data:") and line[5:].strip()]
    else:
        found = json.loads(text)
        found = found if isinstance(found, list) else [found]
    return next((m for m in found if m.get("id") == wanted and ("result" in m or "error" in m)), None)


def modern_headers(method, params, version=MODERN):
    headers = {"MCP-Protocol-Version": version, "Mcp-Method": method}
    source = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(method)
    if source:
        headers["Mcp-Name"] = str(params.get(source, ""))
    return headers


def modern_meta(version=MODERN):
    return {META + "protocolVersion": version, META + "clientCapabilities": {},
            META + "clientInfo": {"name": "fault-test", "version": "1"}}


class Caller:
    """An MCP client with one token, of one version, over one connection."""

    def __init__(self, endpoint, token, version=MODERN, agent="fault-test"):
        self.endpoint, self.token, self.version = endpoint, token, version
        self.wire, self.path = Wire(endpoint), path_of(endpoint)
        self.session, self.next, self.agent = None, 0, agent

    def headers(self, **more):
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
                   "User-Agent": self.agent, **more}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.session:
            headers.update({"MCP-Session-Id": self.session, "MCP-Protocol-Version": self.version})
        return headers

    def open(self):
        """The handshake, where the version has one."""
        if self.version == MODERN:
            return
        params = {"protocolVersion": self.version, "capabilities": {}, "clientInfo": {"name": "fault-test", "version": "1"}}
        body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        status, headers, text = self.wire.send("POST", self.path, body, self.headers())
        answer = message_of(headers, text, 0)
        if status != 200 or not answer or "result" not in answer:
            raise RuntimeError(f"initialize: {status} {text[:300]!r}")
        if answer["result"]["protocolVersion"] != self.version:
            raise RuntimeError(f"initialize answered version {answer['result']['protocolVersion']}, not {self.version}")
        self.session = headers["MCP-Session-Id"]
        body = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.wire.send("POST", self.path, body, self.headers())

    def request(self, method, params):
        """Body, headers and id of a request of this version."""
        self.next += 1
        params = dict(params)
        headers = {}
        if self.version == MODERN:
            headers = modern_headers(method, params)
            params["_meta"] = modern_meta()
        return {"jsonrpc": "2.0", "id": self.next, "method": method, "params": params}, headers, self.next

    def call(self, method, params):
        """HTTP status and the JSON-RPC response, None if there was none."""
        body, headers, wanted = self.request(method, params)
        status, answered, text = self.wire.send("POST", self.path, json.dumps(body), self.headers(**headers))
        return status, message_of(answered, text, wanted)

    def tool(self, name, arguments):
        return self.call("tools/call", {"name": name, "arguments": arguments})


class Client:
    """An OAuth client of one endpoint, public unless it has a secret; discovery from its 401, then registration."""

    redirect = "http://127.0.0.1:45999/callback"

    def __init__(self, endpoint, client_id=None, client_secret=None):
        self.endpoint, self.client_secret = endpoint, client_secret
        self.wire = Wire(endpoint)
        status, headers, text = self.wire.send("POST", path_of(endpoint), b"{}", {"Content-Type": "application/json"})
        # The gate answered without reading the body, and may close the connection for it.
        self.wire.close()
        where = re.search(r'resource_metadata="([^"]+)"', headers.get("WWW-Authenticate") or "")
        if status != 401 or not where:
            raise SystemExit(f"{endpoint}: expected 401 with resource_metadata, got {status} {text[:200]!r}")
        self.resource = self.read(where.group(1))["resource"]
        issuer = urllib.parse.urlsplit(endpoint)
        self.metadata = self.read(f"{issuer.scheme}://{issuer.netloc}/.well-known/oauth-authorization-server")
        self.client_id = client_id or self.register()

    def read(self, url):
        status, _, text = self.wire.send("GET", path_of(url))
        if status != 200:
            raise SystemExit(f"{url} answered {status}")
        return json.loads(text)

    def register(self):
        asked = {"client_name": "fault test", "redirect_uris": [self.redirect], "grant_types": ["authorization_code", "refresh_token"],
                 "response_types": ["code"], "token_endpoint_auth_method": "none", "application_type": "native"}
        status, _, text = self.wire.send("POST", path_of(self.metadata["registration_endpoint"]), json.dumps(asked),
                                         {"Content-Type": "application/json"})
        if status != 201:
            raise SystemExit(f"registration answered {status}: {text[:300]!r}")
        return json.loads(text)["client_id"]

    def query(self, scope, **override):
        """An authorization request and its verifier."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"response_type": "code", "client_id": self.client_id, "redirect_uri": self.redirect, "scope": scope,
                 "state": secrets.token_urlsafe(12), "code_challenge": challenge, "code_challenge_method": "S256",
                 "resource": self.resource, **override}
        return {k: v for k, v in query.items() if v is not None}, verifier

    def authorize(self, browser, scope):
        """A code and its verifier, by a browser that signs in and consents where it is asked."""
        query, verifier = self.query(scope)
        back = browser.callback(self.metadata["authorization_endpoint"] + "?" + urllib.parse.urlencode(query))
        answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
        if answer.get("state") != query["state"] or "code" not in answer:
            raise RuntimeError(f"the authorization answer was {answer}")
        return answer["code"], verifier

    def post(self, endpoint, wire=None, **form):
        """Status and JSON of a form to an endpoint of the metadata."""
        form.setdefault("client_id", self.client_id)
        if self.client_secret:
            form["client_secret"] = self.client_secret
        status, _, text = (wire or self.wire).send("POST", path_of(self.metadata[endpoint]), urllib.parse.urlencode(form),
                                                   {"Content-Type": FORM})
        return status, json.loads(text or b"{}")

    def redeem(self, code, verifier, wire=None):
        return self.post("token_endpoint", wire, grant_type="authorization_code", code=code, redirect_uri=self.redirect,
                         code_verifier=verifier, resource=self.resource)

    def refresh(self, token, wire=None):
        return self.post("token_endpoint", wire, grant_type="refresh_token", refresh_token=token, resource=self.resource)

    def sign_in(self, browser, scope):
        status, tokens = self.redeem(*self.authorize(browser, scope))
        if status != 200:
            raise RuntimeError(f"token endpoint answered {status}: {tokens}")
        return tokens


def browsers(about):
    """A browser for each of the demo's people, signed in when first used."""
    return {account["username"]: walk.Walk(account) for account in about["accounts"]}


def claims(token):
    """An access token's claims, unverified."""
    middle = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))


class Tally:
    """Checks, one line each when they fail, and the last line."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, holds, seen=""):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {what}: {str(seen)[:1200]}", flush=True)
        return bool(holds)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)
