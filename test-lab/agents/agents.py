#!/usr/bin/env python3
"""Agents, delegation and bound tokens, from outside, against a running `sallyport demo`: every way in that an agent
has, with raw requests and with the SDKs' own providers; what ends access; and what the audit log says of it.

    agents.py [--binary PATH]      the last line is `N passed, N failed`
"""

import argparse
import asyncio
import base64
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
LAB = pathlib.Path(os.environ.get("SALLYPORT_LAB") or HERE.parent.parent / ".test/lab").resolve()
if pathlib.Path(sys.prefix) != LAB / "py":
    os.execv(LAB / "py/bin/python", [str(LAB / "py/bin/python"), *sys.argv])
sys.path.insert(0, str(HERE))
sys.path.insert(1, str(HERE.parent))
import httpx2  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
import walk  # noqa: E402
from fixture import Issuer, Key, b64  # noqa: E402
from mcp import Client  # noqa: E402
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider, PrivateKeyJWTOAuthProvider  # noqa: E402
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402

MODERN = "2026-07-28"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
OPENER = urllib.request.build_opener(walk.NoRedirect, urllib.request.ProxyHandler({}))


class Checks:
    """Counts what held, and says what did not."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def __call__(self, good, what, seen=None):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        print(f"{'ok' if good else 'FAILED':7}{what}" + ("" if good else f": {str(seen)[:900]}"), flush=True)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        text = self.body.decode(errors="replace")
        if text.startswith(("event:", "data:", "id:", ":")):
            text = next(line[5:] for line in text.splitlines() if line.startswith("data:") and line[5:].strip())
        return json.loads(text) if text.strip() else {}

    def __str__(self):
        return f"{self.status} {self.headers.get('WWW-Authenticate', '')} {self.body[:500]}"


def send(url, body=None, headers=None, opener=OPENER):
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        answer = opener.open(request, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    return Answer(answer.status, answer.headers, answer.read())


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def tool_call(tool, arguments):
    """Headers and body of a tool call of the modern era, without a token."""
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "lab", "version": "1"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments, "_meta": meta}})
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": MODERN,
               "Mcp-Method": "tools/call", "Mcp-Name": tool}
    return headers, body.encode()


class Demo:
    """A running demo, and the command line beside it."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, pathlib.Path(folder)
        self.errors = open(self.folder / "demo.log", "w")
        command = [binary, "demo", "--json", "--listen", "127.0.0.1:0", "--data", str(self.folder / "demo")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError((self.folder / "demo.log").read_text()[-1500:])
        self.about = json.loads(line)
        self.issuer = self.about["issuer"]
        self.endpoint, self.second = self.about["mcp_endpoints"]
        self.config = self.folder / "sallyport.toml"
        upstreams = "".join(f'[[upstreams]]\nname = "{name}"\nurl = "https://unused.example/mcp"\n' for name in ("desk", "archive"))
        self.config.write_text(
            f'[server]\nlisten = "127.0.0.1:1"\npublic_url = "{self.issuer}"\n[data]\ndirectory = "{self.folder / "demo"}"\n'
            f'[[tenants]]\nid = "demo"\nname = "Demo tenant"\n{upstreams}')

    def person(self, name):
        return next(account for account in self.about["accounts"] if account["username"] == name)

    def run(self, *words, environment=None):
        # The log's keys are found by --data alone; every other command reads the configuration.
        found = {} if words[0] == "audit" else {"SALLYPORT_CONFIG": str(self.config)}
        return subprocess.run([self.binary, *words], capture_output=True, text=True, timeout=60,
                              env={**os.environ, **found, **(environment or {})})

    def cli(self, *words, environment=None):
        done = self.run(*words, "--json", environment=environment)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr.strip()[-600:]}")
        return json.loads(done.stdout)

    def token(self, headers=None, **form):
        body = urllib.parse.urlencode(form, doseq=True).encode()
        return send(f"{self.issuer}/oauth/token", body, {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})})

    def by_key(self, client, key, **form):
        return self.token(client_id=client, client_assertion_type=ASSERTION,
                          client_assertion=key.assertion(client, self.issuer), **form)

    def own_token(self, client, key, **more):
        return self.by_key(client, key, grant_type="client_credentials", resource=self.endpoint, **more)

    def bound(self, client, key, held, **form):
        """The same with a DPoP proof, once more with the server's nonce."""
        url, nonce = f"{self.issuer}/oauth/token", None
        for _ in range(2):
            answer = self.token(headers={"DPoP": held.proof("POST", url, nonce=nonce)}, client_id=client, client_assertion_type=ASSERTION,
                                client_assertion=key.assertion(client, self.issuer), **form)
            if answer.status == 200 or answer.json().get("error") != "use_dpop_nonce":
                break
            nonce = answer.headers["DPoP-Nonce"]
        return answer

    def call(self, token, tool="list_tickets", arguments=None, scheme="Bearer", held=None, endpoint=None):
        """One tool call of the modern era; with `held`, a DPoP key, once more with the gate's nonce."""
        endpoint, nonce = endpoint or self.endpoint, None
        plain, body = tool_call(tool, arguments or {})
        for _ in range(2):
            headers = {**plain, "Authorization": f"{scheme} {token}"}
            if held:
                headers["DPoP"] = held.proof("POST", endpoint, token, nonce)
            answer = send(endpoint, body, headers)
            if answer.status != 401 or not held or nonce or "use_dpop_nonce" not in str(answer.headers.get_all("WWW-Authenticate")):
                break
            nonce = answer.headers["DPoP-Nonce"]
        return answer

    def works(self, token, **how):
        answer = self.call(token, **how)
        return answer.status == 200 and not answer.json().get("result", {}).get("isError", "error" in answer.json())

    def until_refused(self, token, most=2.5, **how):
        """Seconds until a token that worked is refused; None when it is not, in `most` seconds."""
        begun = time.monotonic()
        while time.monotonic() - begun < most:
            if self.call(token, **how).status == 401:
                return time.monotonic() - begun
            time.sleep(0.02)
        return None

    def events(self):
        done = self.run("audit", "export", "--data", str(self.folder / "demo"))
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        return [line.get("event", line) for line in lines]

    def agent(self, name, *words, key=True):
        """Makes one with scope desk:read for Ada Admin; its key."""
        path = self.folder / f"{name}.pem"
        more = ["--generate-key", str(path)] if key else []
        made = self.cli("agent", "create", "demo", name.title(), "--client-id", name, "--owner", "admin", "--purpose", "Lab work",
                        *(words if "--scope" in words else ("--scope", "desk:read", *words)), *more)
        return made, Key(path.read_bytes()) if key else None

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.errors.close()


def by_keys_and_secrets(check, demo):
    made, key = demo.agent("night")
    check(made["credential"]["kind"] == "private_key_jwt" and "no_owner" not in made["risks"], "an agent is made by command, with a key", made)
    given = demo.own_token("night", key)
    check(given.status == 200, "private_key_jwt brings a token", given)
    token = given.json()["access_token"]
    about = claims(token)
    check(about["sub"] == "night" and "act" not in about, "it is the agent's own, nobody acts for anybody", about)
    check(demo.works(token), "the gate takes it", demo.call(token))
    stranger = demo.own_token("night", Key())
    check(stranger.status in (400, 401) and stranger.json()["error"] == "invalid_client", "another key is refused", stranger)
    wide = demo.own_token("night", key, scope="desk:write")
    check(wide.status == 400 and wide.json()["error"] == "invalid_scope", "nothing beyond its ceiling", wide)
    elsewhere = demo.by_key("night", key, grant_type="client_credentials", resource=demo.second)
    check(elsewhere.status == 400, "no server that it is not let at", elsewhere)

    agent = demo.about["agents"][0]
    basic = base64.b64encode(f"{agent['client_id']}:{agent['client_secret']}".encode()).decode()
    given = demo.token({"Authorization": f"Basic {basic}"}, grant_type="client_credentials", resource=demo.endpoint)
    check(given.status == 200 and demo.works(given.json()["access_token"]), "a secret where the tenant allows it", given)
    listed = {one["id"]: one for one in demo.cli("agent", "list", "demo")}
    check("secret" in listed[agent["client_id"]]["risks"], "and the inventory marks it", listed[agent["client_id"]]["risks"])
    check(listed["night"]["last_used_at"], "the inventory says when an agent was last used", listed["night"])
    return key


def rotation(check, demo):
    made, old = demo.agent("rotating")
    first = made["credential"]["id"]
    path = demo.folder / "rotated.pem"
    rotated = demo.cli("agent", "credential", "rotate", "rotating", first, "--generate-key", str(path), "--overlap", "4s")
    begun, new = time.monotonic(), Key(path.read_bytes())
    check(demo.own_token("rotating", new).status == 200, "the new key works at once")
    check(demo.own_token("rotating", old).status == 200, "the old one works during the overlap")
    time.sleep(max(0, 4.3 - (time.monotonic() - begun)))
    check(demo.own_token("rotating", old).status in (400, 401), "and not after it")
    token = demo.own_token("rotating", new).json()["access_token"]
    demo.cli("agent", "credential", "revoke", "rotating", rotated["id"])
    took = demo.until_refused(token)
    check(took is not None and took < 2, "a revoked credential's tokens end within 2 s", took)
    check(demo.own_token("rotating", new).status in (400, 401), "and it gives no new one")


def bound_to_a_key(check, demo):
    _, key = demo.agent("bound", "--sender-bound")
    held, thief = Key(), Key()
    bare = demo.own_token("bound", key)
    check(bare.status == 400, "an agent whose tokens must be bound gets none without a proof", bare)
    given = demo.bound("bound", key, held, grant_type="client_credentials", resource=demo.endpoint)
    check(given.status == 200 and given.json().get("token_type", "").lower() == "dpop", "with a proof it gets one", given)
    token = given.json()["access_token"]
    check(claims(token).get("cnf", {}).get("jkt") == held.thumbprint, "bound to that key", claims(token))
    check(demo.works(token, scheme="DPoP", held=held), "the gate takes it with a proof by that key", demo.call(token, scheme="DPoP", held=held))
    for what, how in (("as a bearer token", {}), ("without a proof", {"scheme": "DPoP"}), ("with another key's proof", {"scheme": "DPoP", "held": thief})):
        answer = demo.call(token, **how)
        check(answer.status == 401, f"stolen, it is worth nothing {what}", answer)
    return key


def suspending(check, demo):
    _, key = demo.agent("stopped")
    token = demo.own_token("stopped", key).json()["access_token"]
    check(demo.works(token), "it works before")
    demo.cli("agent", "suspend", "stopped")
    took = demo.until_refused(token)
    check(took is not None and took < 2, "suspended: refused within 2 s", took)
    print(f"       (after {took:.2f} s)" if took is not None else "")
    check(demo.own_token("stopped", key).status == 400, "and it gets no new token")
    demo.cli("agent", "resume", "stopped")
    check(demo.own_token("stopped", key).status == 200, "resumed, it may ask again")
    check(demo.call(token).status == 401, "the old token stays dead")


def delegate(demo, client, key, person, redirect, scope="desk:read"):
    """A person lets an agent act for her by the code flow; the token endpoint's answer."""
    verifier = secrets.token_urlsafe(48)
    query = {"response_type": "code", "client_id": client, "redirect_uri": redirect, "scope": scope, "state": "s", "resource": demo.endpoint,
             "code_challenge": b64(hashlib.sha256(verifier.encode()).digest()), "code_challenge_method": "S256"}
    back = walk.walk(f"{demo.issuer}/oauth/authorize?{urllib.parse.urlencode(query)}", person)
    answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
    if "code" not in answer:
        raise RuntimeError(back)
    return demo.by_key(client, key, grant_type="authorization_code", code=answer["code"], redirect_uri=redirect, code_verifier=verifier,
                       resource=demo.endpoint)


def acting_for_somebody(check, demo):
    redirect = "http://127.0.0.1:1/callback"
    _, key = demo.agent("helper", "--scope", "desk:read", "--redirect-uri", redirect)
    _, sub = demo.agent("sub")
    _, other = demo.agent("other")
    demo.cli("agent", "set", "helper", "--delegate", "sub")
    given = delegate(demo, "helper", key, demo.person("ann"), redirect)
    check(given.status == 200, "a person lets an agent act for her by the code flow", given)
    token = given.json()["access_token"]
    about = claims(token)
    check(about["sub"] != "helper" and about.get("act", {}).get("sub") == "helper", "the token says who acts for whom", about)
    check(demo.works(token), "the gate takes it", demo.call(token))

    def exchanged(client, credential, subject):
        return demo.by_key(client, credential, grant_type=EXCHANGE, subject_token=subject, subject_token_type=ACCESS_TOKEN, resource=demo.endpoint)

    passed = exchanged("sub", sub, token)
    check(passed.status == 200, "its delegate gets a token by exchange", passed)
    below = passed.json()["access_token"]
    chain = claims(below)
    check(chain["sub"] == about["sub"] and chain["act"]["sub"] == "sub" and chain["act"]["act"]["sub"] == "helper", "with the whole chain in it", chain)
    check(chain["exp"] <= about["exp"], "and no longer to live", (chain["exp"], about["exp"]))
    check(demo.works(below), "the gate takes that too")
    check(exchanged("other", other, token).status == 400, "an agent that is no delegate gets none")
    check(exchanged("helper", key, below).status == 400, "nobody stands twice in a chain")

    time.sleep(1.5)
    page = Signed(demo, demo.person("ann"))
    text = page.open("/account")
    check("Agents that act for you" in text and "Helper" in text, "her account page lists it", text[-400:])
    page.click("/account/grants/revoke", "End Helper")
    took = demo.until_refused(token)
    check(took is not None and took < 2, "she ends it there: refused within 2 s", took)
    check(demo.until_refused(below) is not None, "and so is what was made out of it")

    events = demo.events()
    calls = [event for event in events if event.get("kind") in ("call_closed", "call_opened") and event.get("who")]
    marks = {(event["who"]["subject"]["id"], event["who"].get("mark"), tuple(one["id"] for one in event["who"].get("on_behalf_of", []))) for event in calls}
    check(("helper", "agent_for_human", (about["sub"],)) in marks, "the log says that an agent acted for her", marks)
    check(("sub", "agent_for_human", ("helper", about["sub"])) in marks, "and through whom", marks)
    check(any(mark == "agent" for _, mark, _ in marks), "and marks an agent that acts for itself", marks)
    tail = demo.run("audit", "tail", "--data", str(demo.folder / "demo"), "-n", "400").stdout
    check("agent_for_human" in tail, "`audit tail` shows the mark", tail[-300:])


class Signed(walk.Walk):
    """A signed-in browser at the account page."""

    def __init__(self, demo, account):
        super().__init__(account)
        self.origin, url = demo.issuer, f"{demo.issuer}/account"
        status, headers, page = self.fetch(url)
        for _ in range(10):
            if 300 <= status < 400:
                url = urllib.parse.urljoin(url, headers["Location"])
                status, headers, page = self.fetch(url)
            elif 'name="password"' in page:
                url, status, headers, page = self.submit(url, status, page)
        self.page = page

    def open(self, path):
        _, _, self.page = self.fetch(self.origin + path)
        return self.page

    def click(self, action, label):
        """Posts the form of this action whose button is called so."""
        before = self.page[:self.page.index(f'aria-label="{label}"')]
        forms = walk.Pages()
        forms.feed(before[before.rindex("<form"):])
        form = next(form for form in forms.forms if form["action"] == action)
        body = urllib.parse.urlencode([(field["name"], field["value"]) for field in form["fields"]]).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.origin, "Referer": f"{self.origin}/account"}
        return self.fetch(self.origin + action, body, headers)


def workloads(check, demo, issuer):
    made, _ = demo.agent("runner", key=False)
    check("no_credential" in made["risks"], "an agent without a credential is marked", made["risks"])
    trust = demo.folder / "trust.json"
    wide = {"platform": "other", "issuer": issuer.url, "keys": "discovery", "rules": []}
    trust.write_text(json.dumps(wide))
    refused = demo.run("agent", "credential", "add", "runner", "--workload", str(trust))
    check(refused.returncode == 2, "a trust without rules is refused as too wide", refused.stderr)
    trust.write_text(json.dumps({**wide, "rules": [{"claim": "sub", "equals": "job:nightly"}]}))
    demo.cli("agent", "credential", "add", "runner", "--workload", str(trust))

    def asked(token):
        return demo.token(grant_type=JWT_BEARER, assertion=token, resource=demo.endpoint)

    given = asked(issuer.token("job:nightly", demo.issuer))
    check(given.status == 200 and claims(given.json()["access_token"])["sub"] == "runner", "a platform's token proves the agent", given)
    check(given.status == 200 and demo.works(given.json()["access_token"]), "the gate takes what it got")
    for what, token in (("another workload's", issuer.token("job:other", demo.issuer)), ("one for somebody else", issuer.token("job:nightly", "https://x.example")),
                        ("an unsigned one", issuer.token("job:nightly", demo.issuer)[:-8] + "AAAAAAAA")):
        check(asked(token).status in (400, 401), f"{what} is refused")


def cross_app_access(check, demo, issuer):
    demo.cli("tenant", "connect-oidc", "demo", "Fixture", "--preset", "standard", "--issuer", issuer.url, "--client-id", "gate",
             "--client-secret-env", "FIXTURE_SECRET", "--id-jag", environment={"FIXTURE_SECRET": secrets.token_urlsafe(24)})
    # Whoever comes without a browser for the first time must have a verified address of a domain that is the tenant's.
    demo.cli("tenant", "domain", "add", "demo", "corp.example", "--connection", "Fixture")
    demo.cli("tenant", "domain", "verify", "demo", "corp.example", "--by-operator")
    made, _ = demo.agent("assistant", "--secret", key=False)
    secret = made["credential"]["client_secret"]

    def asked(assertion, client="assistant", password=secret):
        basic = base64.b64encode(f"{client}:{password}".encode()).decode()
        return demo.token({"Authorization": f"Basic {basic}"}, grant_type=JWT_BEARER, assertion=assertion)

    assertion = issuer.id_jag("assistant", demo.issuer, demo.endpoint)
    given = asked(assertion)
    check(given.status == 200, "an ID-JAG brings a token for a person", given)
    about = claims(given.json()["access_token"]) if given.status == 200 else {}
    check(about.get("act", {}).get("sub") == "assistant" and about.get("sub") != "assistant", "with the agent as the one that acts", about)
    check(given.status == 200 and "refresh_token" not in given.json(), "and no refresh token", given)
    check(given.status == 200 and demo.works(given.json()["access_token"]), "the gate takes it")
    check(asked(assertion).status == 400, "it counts once")
    for what, other in (("another client's", issuer.id_jag("night", demo.issuer, demo.endpoint)),
                        ("one for another server", issuer.id_jag("assistant", "https://x.example", demo.endpoint)),
                        ("one that is no ID-JAG", issuer.token("erin", demo.issuer, client_id="assistant", resource=demo.endpoint, scope="desk:read")),
                        ("one of an issuer that nobody named", Issuer().id_jag("assistant", demo.issuer, demo.endpoint))):
        check(asked(other).status in (400, 401), f"{what} is refused")
    people = demo.cli("tenant", "people", "demo")
    erin = next(person for person in people if person["email"] == "erin@corp.example")
    if given.status == 200:
        token = given.json()["access_token"]
        sessions = demo.cli("tenant", "sessions", "demo", "--user", erin["id"])
        check(len(sessions) == 1 and "id_jag" in sessions[0]["methods"], "it stands on a session of hers", sessions)
        demo.cli("tenant", "end-session", "demo", sessions[0]["id"])
        took = demo.until_refused(token)
        check(took is not None and took < 2, "that session's end ends it within 2 s", took)
    return secret


def owner_leaves(check, demo):
    _, key = demo.agent("orphan", "--successor", "bob")
    demo.cli("agent", "set", "orphan", "--owner", "ann", "--successor", "none")
    _, kept = demo.agent("heirloom")
    demo.cli("agent", "set", "heirloom", "--owner", "ann", "--successor", "bob")
    tokens = [demo.own_token("orphan", key).json()["access_token"], demo.own_token("heirloom", kept).json()["access_token"]]
    gone = demo.run("user", "disable", "ann")
    check(gone.returncode == 0, "an administrator switches her off", gone.stderr)
    took = demo.until_refused(tokens[0])
    check(took is not None and took < 2, "an agent that nobody inherits stops within 2 s", took)
    check(demo.own_token("orphan", key).status == 400, "and gets no new token")
    check(demo.works(tokens[1]), "one that has an heir goes on")
    shown = demo.cli("agent", "show", "heirloom")
    check(shown["owner"]["called"].startswith("bob"), "under the heir's name", shown["owner"])
    demo.run("user", "enable", "ann")
    check(demo.cli("agent", "show", "orphan")["suspended"], "her coming back revives nothing")
    check(demo.run("agent", "resume", "orphan").returncode == 0, "somebody has to say so")


def narrowing(check, demo):
    _, key = demo.agent("wide", "--scope", "desk:read", "--scope", "desk:write")
    token = demo.own_token("wide", key).json()["access_token"]
    check(demo.works(token), "it reads")
    for _ in range(40):
        time.sleep(0.25)
        shown = demo.cli("agent", "show", "wide")
        if any(scope["last_used_at"] for scope in shown["scopes"]):
            break
    idle = [one["scope"] for one in shown["unused_scopes"]]
    check(idle == ["desk:write"], "the inventory shows what it does not use", shown["scopes"])
    demo.cli("agent", "narrow", "wide", "--yes")
    given = demo.own_token("wide", key)
    check(given.json().get("scope") == "desk:list_tickets", "narrowed in one step to what it called", given)


def tls(check, binary, folder):
    """A deployment with TLS of its own that asks clients for certificates."""
    folder = pathlib.Path(folder) / "tls"
    folder.mkdir()
    paths = {name: certificate(folder, name, host) for name, host in (("server", "localhost"), ("agent", "agent.example"), ("thief", "agent.example"))}
    ports = {name: free_port() for name in ("gate", "admin", "upstream")}
    config = folder / "sallyport.toml"
    origin = f"https://localhost:{ports['gate']}"
    config.write_text(
        f'[server]\nlisten = "127.0.0.1:{ports["gate"]}"\nadmin_listen = "127.0.0.1:{ports["admin"]}"\npublic_url = "{origin}"\n'
        f'tls = {{ certificate = "{paths["server"][0]}", key = "{paths["server"][1]}", client_certificates = "optional" }}\n'
        f'[data]\ndirectory = "{folder / "data"}"\n[[tenants]]\nid = "acme"\nname = "Acme"\n'
        f'[[upstreams]]\nname = "lab"\nurl = "http://127.0.0.1:{ports["upstream"]}/mcp"\n')
    environment = {**os.environ, "SALLYPORT_CONFIG": str(config)}

    def opener(name=None):
        context = ssl.create_default_context(cafile=paths["server"][0])
        if name:
            context.load_cert_chain(*paths[name])
        return urllib.request.build_opener(walk.NoRedirect, urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))

    log = open(folder / "log", "w")
    upstream = subprocess.Popen([sys.executable, str(HERE.parent / "upstreams/fastmcp_server.py"), "http", str(ports["upstream"])], stdout=log, stderr=log)
    gate = subprocess.Popen([binary, "serve"], env=environment, stdout=log, stderr=log)
    try:
        ready(f"http://127.0.0.1:{ports['admin']}/readyz", gate)
        made = subprocess.run([binary, "agent", "create", "acme", "Certified", "--client-id", "certified", "--purpose", "Lab work", "--scope", "lab:read",
                               "--certificate", paths["agent"][0], "--json"], env=environment, capture_output=True, text=True)
        check(made.returncode == 0, "an agent is made that proves itself by a certificate", made.stderr)
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": "certified", "resource": f"{origin}/mcp/lab"}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        given = send(f"{origin}/oauth/token", form, kind, opener("agent"))
        check(given.status == 200, "mTLS brings a token", given)
        token = given.json()["access_token"]
        check("x5t#S256" in claims(token).get("cnf", {}), "bound to the certificate", claims(token))
        check(send(f"{origin}/oauth/token", form, kind, opener("thief")).status in (400, 401), "another certificate of the same name is refused")
        check(send(f"{origin}/oauth/token", form, kind, opener()).status in (400, 401), "and so is none")
        headers, body = tool_call("add", {"a": 1, "b": 2})
        headers["Authorization"] = f"Bearer {token}"
        seen = {name: send(f"{origin}/mcp/lab", body, headers, opener(name)) for name in ("agent", "thief", None)}
        # Before the catalogue is read the tool is not known to only read.
        for _ in range(40):
            if seen["agent"].status == 200:
                break
            time.sleep(0.25)
            seen["agent"] = send(f"{origin}/mcp/lab", body, headers, opener("agent"))
        check(seen["agent"].status == 200, "the gate takes it over a connection with that certificate", seen["agent"])
        check(seen["thief"].status == 401 and seen[None].status == 401, "and over no other", (str(seen["thief"]), str(seen[None])))
    finally:
        for process in (gate, upstream):
            process.terminate()
            process.wait(20)
        log.close()


def certificate(folder, name, host):
    """A self-signed one and its key; their paths."""
    key = Key()
    called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(called).issuer_name(called).public_key(key.private.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1)).add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
    made = builder.sign(key.private, hashes.SHA256())
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_text(key.pem())
    return tuple(map(str, paths))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ready(url, process):
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError("the gate ended while it started")
        with contextlib.suppress(OSError):
            if send(url).status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{url} is never ready")


class Kept:
    """Tokens in memory, as the Python SDK wants them."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def python_call(endpoint, auth):
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(auth=auth, timeout=30))
        client = await stack.enter_async_context(Client(streamable_http_client(endpoint, http_client=http), mode="auto", read_timeout_seconds=30))
        result = await client.call_tool("list_tickets", {})
        return not result.is_error if hasattr(result, "is_error") else not result.isError


def real_clients(check, demo, issuer, kept):
    key, secret = kept["key"], kept["secret"]
    agent = demo.about["agents"][0]

    async def assertion(audience):
        return key.assertion("night", audience)

    async def id_jag(audience, resource):
        return issuer.id_jag("assistant", audience, resource)

    python = {
        "client credentials by secret": ClientCredentialsOAuthProvider(
            demo.endpoint, Kept(), agent["client_id"], agent["client_secret"], scope="desk:read", issuer=demo.issuer),
        "client credentials by key": PrivateKeyJWTOAuthProvider(demo.endpoint, Kept(), "night", assertion, scope="desk:read", issuer=demo.issuer),
        "enterprise-managed authorization": IdentityAssertionOAuthProvider(
            demo.endpoint, Kept(), "assistant", secret, demo.issuer, id_jag, token_endpoint_auth_method="client_secret_basic"),
    }
    for what, auth in python.items():
        try:
            good, seen = asyncio.run(python_call(demo.endpoint, auth)), None
        except BaseException as error:  # noqa: BLE001: an exception group is an answer too
            good, seen = False, "".join(traceback.format_exception(error))[-900:]
        check(good, f"Python SDK: {what}", seen)
    common = {"issuer": demo.issuer, "endpoint": demo.endpoint, "tool": "list_tickets", "scope": "desk:read"}
    typescript = {
        "client credentials by secret": {"kind": "secret", "client": agent["client_id"], "secret": agent["client_secret"]},
        "client credentials by key": {"kind": "key", "client": "night", "pem": key.pem()},
        "tokens bound by DPoP": {"kind": "key", "client": "bound", "pem": kept["bound"].pem(), "dpop": True},
        "cross app access": {"kind": "id-jag", "client": "assistant", "secret": secret, "provider": issuer.url},
    }
    for what, task in typescript.items():
        done = subprocess.run([str(LAB / "bin/node"), str(HERE / "machines.mjs")], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "SALLYPORT_LAB": str(LAB), "AGENT_TASK": json.dumps({**common, **task})})
        seen = json.loads(done.stdout) if done.returncode == 0 else {}
        bound = "jkt" in claims(seen["token"]).get("cnf", {}) if seen else None
        check(seen.get("ok") and bound == task.get("dpop", False), f"TypeScript SDK: {what}", done.stderr[-900:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("SALLYPORT", str(HERE.parent.parent / "target/debug/sallyport")))
    binary = str(pathlib.Path(parser.parse_args().binary).resolve())
    check = Checks()
    with tempfile.TemporaryDirectory(prefix="lab-agents-") as folder:
        demo, issuer = Demo(binary, folder), Issuer()
        kept = {}
        parts = [
            ("keys and secrets", lambda: kept.update(key=by_keys_and_secrets(check, demo))),
            ("rotation", lambda: rotation(check, demo)),
            ("bound tokens", lambda: kept.update(bound=bound_to_a_key(check, demo))),
            ("suspending", lambda: suspending(check, demo)),
            ("acting for somebody", lambda: acting_for_somebody(check, demo)),
            ("workloads", lambda: workloads(check, demo, issuer)),
            ("cross app access", lambda: kept.update(secret=cross_app_access(check, demo, issuer))),
            ("narrowing", lambda: narrowing(check, demo)),
            ("real clients", lambda: real_clients(check, demo, issuer, kept)),
            ("the owner leaves", lambda: owner_leaves(check, demo)),
            ("certificates", lambda: tls(check, binary, folder)),
        ]
        try:
            for name, part in parts:
                print(f"-- {name}", flush=True)
                try:
                    part()
                except Exception:  # noqa: BLE001: one part's end is not the others'
                    check(False, name, traceback.format_exc()[-900:])
        finally:
            demo.close()
            issuer.close()
        done = demo.run("audit", "verify", "--data", str(demo.folder / "demo"))
        check(done.returncode == 0, "the audit log verifies", done.stdout + done.stderr)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
