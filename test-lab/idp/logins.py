#!/usr/bin/env python3
"""Real logins, end to end: real MCP clients through `sallyport serve` to a real MCP server, their people signed in by
real identity providers (oidc-provider, Canaille, samlp, SimpleSAMLphp), which are connected by `sallyport tenant …`
alone while the gate runs, two tenants at once. Then what ends access, what goes wrong and which page says so, SCIM by
`scim2 test`, and six vendors' quirks and lies against the fixture (vendors.py).

    logins.py [--only PART]… [--binary PATH] [--keep]       binary: default $SALLYPORT, then target/release/sallyport

One line a check; the last line is `N passed, N failed`, and the exit status is 1 if any failed. Standard library only.
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

import bound
import ending
import providers
import trust
import vendor_logins
import wrong
from stage import Checks, Ended, Stage, browser, started

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SECRET = "secret-of-the-gate"


def person(login, domain, name, groups=("eng", "ops"), email=None):
    """Somebody as her provider knows her."""
    return {"password": f"{login}-password", "email": email or f"{login}@{domain}", "email_verified": True, "name": name, "groups": list(groups)}


def account(login, domain):
    """The same as she types herself in."""
    return {"username": login, "password": f"{login}-password", "email": f"{login}@{domain}"}


class Cast:
    """Two tenants, each with an OpenID provider and a SAML provider, and their people. Four of them are called Alice."""

    # Connection: tenant, provider, the domain that leads there.
    CONNECTIONS = {"Engine": ("one", "oidc-provider", "one.example"), "Samlp": ("one", "samlp", "one-saml.example"),
                   "Canaille": ("two", "canaille", "two.example"), "Simple": ("two", "simplesamlphp", "two-saml.example")}

    def __init__(self, binary, folder):
        self.stage, self.idps, self.ids = Stage(binary, folder / "gate", local_directory=False), {}, {}
        # What is judged when all parts are through.
        self.pending = []
        # What must never be written anywhere in the clear.
        self.secrets = {SECRET}
        try:
            self.idps = started({provider: lambda provider=provider, domain=domain: providers.start(provider, folder / provider, self.config(provider, domain))
                                 for _, provider, domain in self.CONNECTIONS.values()})
            self.connect()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def config(provider, domain):
        alice, carol = person("alice", domain, "Alice Same"), person("carol", domain, "Carol Same", ["eng"])
        # He says an address of the other tenant's; nobody verified that.
        bob = person("bob", domain, "Bob Borrowed", email="bob@one.example")
        users = {"alice": alice, "bob": bob, "carol": carol}
        return {"users": users, "groups": {"eng": ["alice", "carol"], "ops": ["alice"]}} if provider == "canaille" else {
            "users": users, **({"refresh_tokens": "always"} if provider == "oidc-provider" else {})}

    def connect(self):
        """By the operator's commands alone, and by what they print for the provider's side."""
        self.stage.create("one", "Tenant One")
        self.stage.create("two", "Tenant Two")
        for name, (tenant, provider, domain) in self.CONNECTIONS.items():
            idp = self.idps[provider]
            if idp.kind == "oidc":
                self.stage.tenant("connect-oidc", tenant, name, "--preset", "standard", "--issuer", idp.issuer, "--client-id", "gate",
                                  "--client-secret-env", "LAB_SECRET", "--scope", "groups", LAB_SECRET=SECRET)
            else:
                self.stage.tenant("connect-saml", tenant, name, "--metadata-url", idp.metadata, "--entity-id", idp.entity_id)
            found = self.stage.connection(tenant, name)
            self.ids[name] = found["id"]
            if idp.kind == "oidc":
                back = {} if provider == "canaille" else {"backchannel_logout_uri": found["urls"]["backchannel_logout_uri"],
                                                          "backchannel_logout_session_required": True}
                idp("client", client_id="gate", client_secret=SECRET, redirect_uris=[found["urls"]["redirect_uri"]], **back)
            else:
                idp("sp", metadata=found["urls"]["entity_id"])
            self.stage.domain(tenant, domain, name)

    def account(self, login, connection):
        return account(login, self.CONNECTIONS[connection][2])

    def sign_in(self, login, connection, person=None, **query):
        if connection == "Canaille":
            # Two access tokens of one second are the same to it, and it refuses to make the second.
            time.sleep(1.1)
        return self.stage.sign_in(self.account(login, connection), person, **query)

    def session_connections(self):
        """Browser session → connection, by the log."""
        return {event["who"]["session"]: event["facts"].get("connection") for event in self.stage.events(kind="signed_in")}

    def close(self):
        for idp in self.idps.values():
            idp.stop()
        self.stage.processes.end()


# ---- parts: real providers

REAL_CLIENTS = [("ts2", "auto", "Engine"), ("py-mcp", "legacy", "Samlp"), ("rmcp", "auto", "Canaille"), ("mcp-remote", "legacy", "Simple")]


def clients(check, cast):
    """Four real clients at once, each at another provider: the page, the provider, consent, a call, and the log."""
    reports = cast.stage.clients_at_once([(client, era, cast.account("alice", connection)) for client, era, connection in REAL_CLIENTS])
    for (client, era, connection), (report, trouble) in zip(REAL_CLIENTS, reports):
        good = report and report["calls"][0]["ok"] and "hello" in report["calls"][0]["text"] and report["sign_ins"] == 1
        check(good, f"{client} ({era}) signs in by {connection} and calls a tool", trouble or report and {**report, "definitions": 0})
    sessions, alices = cast.session_connections(), {}
    calls = [event for event in cast.stage.events(kind="call_closed") if event["call"].get("name") == "echo"]
    for client, _, connection in REAL_CLIENTS:
        tenant = cast.CONNECTIONS[connection][0]
        mine = [event for event in calls if sessions.get(event["who"].get("session")) == cast.ids[connection]]
        people = {one["id"]: one for one in cast.stage.people(tenant)}
        right = mine and all(event["tenant"] == tenant and event["who"]["subject"]["kind"] == "human" and event["who"]["subject"]["id"] in people
                             and event["who"].get("client") and event["who"].get("grant") for event in mine)
        check(right, f"the log has the call of {client} with tenant, human and (by its session) connection", mine or calls)
        if right:
            alices[connection] = people[mine[0]["who"]["subject"]["id"]]
            check(alices[connection]["email"] == cast.account("alice", connection)["email"], f"she of {connection} has her own address", alices[connection])
    check(len({one["id"] for one in alices.values()}) == 4, "four people of one name are four people", alices)


def hint(check, cast):
    """An address in the request leads straight to the provider; the browser is remembered; a tenant may be named."""
    stage = cast.stage
    for connection in ("Engine", "Simple"):
        who = cast.account("alice", connection)
        access = cast.sign_in("alice", connection, login_hint=who["email"])
        trail = access.browser.trail
        there = next(place for place, (_, url, _) in enumerate(trail) if not url.startswith(stage.origin))
        shown = [(url, status) for _, url, status in trail[:there] if status == 200]
        check(there and not shown, f"login_hint leads straight to {connection}", trail[:there + 1])
    # The request itself is pushed; what came of the hint is in the provider's form.
    fresh = browser.Browser({**cast.account("alice", "Engine"), "federated": True})
    stage.walk(fresh, f"{stage.origin}/signin?login_hint=alice%40one.example", done=lambda url, page: "<form" in page)
    check('name="login" type="text" value="alice@one.example"' in fresh.page, "and is passed on to an OpenID provider", fresh.page)
    person = access.browser
    person.follow(f"{stage.origin}/signin", done=lambda url, page: True)
    check("Continue with Simple" in person.page, "the browser's last provider is offered next time", person.page[-900:])
    fresh = browser.Browser({**cast.account("alice", "Canaille"), "federated": True})
    ended = stage.walk(fresh, f"{stage.origin}/signin?tenant=two", done=lambda url, page: not url.startswith(stage.origin))
    check(ended.url.startswith(cast.idps["canaille"].issuer), "a tenant's name leads to its first provider", ended)


def twins(check, cast):
    """The same name, login, subject and even address in two tenants is somebody else there."""
    stage = cast.stage
    cast.sign_in("bob", "Engine")
    before = next(one for one in stage.people("one") if one["email"] == "bob@one.example")
    cast.sign_in("bob", "Canaille")
    after = [one for one in stage.people("one") if one["email"] == "bob@one.example"]
    other = [one for one in stage.people("two") if one["display_name"] == "Bob Borrowed"]
    check(len(after) == 1 and after[0] == before, "the other tenant's Bob with this one's address changes nobody here", after)
    check(len(other) == 1 and other[0]["id"] != before["id"], "and is another person there", other)
    again = stage.people("two")
    cast.sign_in("bob", "Canaille")
    check(len(stage.people("two")) == len(again), "who signs in again is the same person", stage.people("two"))
    cast.sign_in("alice", "Samlp")
    cast.sign_in("alice", "Engine")
    alices = {one["id"] for one in stage.people("one") if one["display_name"] == "Alice Same"}
    check(len(alices) == 2, "nobody is linked by address who was not told to be", alices)


def linking(check, cast):
    """Two connections of one tenant: who is known by a verified address of a proved domain is linked where the tenant wants that."""
    stage, idp = cast.stage, cast.idps["oidc-provider"]
    stage.tenant("connect-oidc", "one", "Second", "--preset", "standard", "--issuer", idp.issuer, "--client-id", "second", "--client-secret-env", "LAB_SECRET",
                 "--link-by-email", LAB_SECRET=SECRET)
    idp("client", client_id="second", client_secret=SECRET, redirect_uris=[stage.connection("one", "Second")["urls"]["redirect_uri"]])
    stage.domain("one", "one-second.example", "Second")

    def of(login):
        return [one["id"] for one in stage.people("one") if one["email"] == f"{login}@one.example"]

    for login, verified in (("erin", True), ("vera", False)):
        idp("user", login=login, password=f"{login}-password", email=f"{login}@one.example", email_verified=verified, name=f"{login} Link")
        cast.sign_in(login, "Engine")
        before = of(login)
        found = stage.go(account(login, "one-second.example"))
        if verified:
            check(not isinstance(found, Ended) and of(login) == before, "a verified address of a proved domain is the same person by another connection", (found, of(login)))
        else:
            check(len(before) == 1 and (isinstance(found, Ended) or len(of(login)) == 2), "one that is not verified never is", (found, of(login)))


def mapping(check, cast):
    """Groups decide who administers, and who may come in; the preview says so before."""
    stage, idp = cast.stage, cast.idps["oidc-provider"]

    def alice():
        return next(one for one in stage.people("one") if one["email"] == "alice@one.example")

    cast.sign_in("alice", "Engine")
    check(alice()["role"] == "user" and alice()["groups"] == ["eng", "ops"], "without a mapping she is a user, with her groups", alice())
    stage.tenant("set-mapping", "one", "Engine", "--rename-group", "ops=operations", "--administrator-group", "operations")
    seen = stage.tenant("preview", "one", "Engine", "--user", "alice@one.example")
    check(seen["profile"]["role"] == "administrator" and seen["profile"]["admitted"], "the preview of what she asserted says administrator", seen)
    check(alice()["role"] == "user", "and changes nothing yet", alice())
    cast.sign_in("alice", "Engine")
    check(alice()["role"] == "administrator" and "operations" in alice()["groups"], "after her next sign-in she is one", alice())
    cast.sign_in("carol", "Engine")
    carol = next(one for one in stage.people("one") if one["email"] == "carol@one.example")
    check(carol["role"] == "user", "Carol, who is in eng alone, is none", carol)
    asserted = stage.folder / "asserted.json"
    asserted.write_text('{"email": "dora@one.example", "name": "Dora", "groups": ["guests"]}')
    stage.tenant("set-mapping", "one", "Engine", "--admit-group", "operations")
    refused = stage.tenant("preview", "one", "Engine", "--asserted", asserted, ends=1)
    check(refused["profile"]["groups"] == ["guests"] and not refused["profile"]["admitted"], "the preview of a file says no, and the exit status too", refused)
    stage.refused(check, "who is in no admitted group", stage.go(cast.account("carol", "Engine")), "group_missing", ["operations"], "one")
    idp("user", login="alice", groups=["eng"])
    stage.refused(check, "who has left the group", stage.go(cast.account("alice", "Engine")), "group_missing", ["operations"], "one")
    idp("user", login="alice", groups=["eng", "ops"])
    stage.tenant("set-mapping", "one", "Engine", "--reset")
    cast.sign_in("alice", "Engine")
    check(alice()["role"] == "user", "and without the mapping she administers no more", alice())


REAL = {"clients": clients, **bound.PARTS, "hint": hint, "twins": twins, "linking": linking, "mapping": mapping, **ending.PARTS, **wrong.PARTS, **trust.PARTS, **ending.LAST}
PARTS = [*REAL, *vendor_logins.PARTS]


def each(check, parts, options, set_up):
    """Runs `parts`, as far as they are asked for, on what `set_up` makes."""
    wanted = {name: part for name, part in parts.items() if not options.only or name in options.only}
    if not wanted:
        return
    start, made = time.monotonic(), None
    try:
        made = set_up()
        print(f"       set up in {time.monotonic() - start:.1f} s", flush=True)
        for name, part in wanted.items():
            start = time.monotonic()
            try:
                part(check, made)
                made.stage.in_log(check)
            except Exception as error:
                check(False, name, f"{type(error).__name__}: {error}")
                if options.keep:
                    traceback.print_exc()
            print(f"       {name}: {time.monotonic() - start:.1f} s", flush=True)
        for judge in made.pending:
            judge(check)
    except Exception as error:
        check(False, "set up", f"{type(error).__name__}: {error}")
        if options.keep:
            traceback.print_exc()
    finally:
        if made is not None:
            made.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--binary", "--gate", default=os.environ.get("SALLYPORT") or str(ROOT / "target/release/sallyport"))
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args()
    check, folder = Checks(), pathlib.Path(tempfile.mkdtemp(prefix="lab-logins-"))
    each(check, REAL, options, lambda: Cast(options.binary, folder / "real"))
    each(check, vendor_logins.PARTS, options, lambda: vendor_logins.Vendors(options.binary, folder / "vendors"))
    if options.keep or check.failed:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed or not check.passed else 0


if __name__ == "__main__":
    sys.exit(main())
