"""What ends access, part by part: a provider's logout, a lock there, single logout, an operator's command, SCIM.

Used by logins.py; each part takes the checks and the cast. Standard library only.
"""

import json
import os
import re
import subprocess
import time
import urllib.parse

import stage as stages
from stage import Ended, driver, matrix, walk

SCIM2 = matrix.LAB / "py/bin/scim2"
BOUND = 2.0


def gone(check, what, access, since):
    """Calls and refreshes of `access` are refused within the bound."""
    after = access.gone_after(since, BOUND)
    check(after is not None and after <= BOUND, f"{what}: calls are refused within {BOUND:.0f} s", "still answered" if after is None else f"{after:.2f} s")
    status, answer = access.refresh()
    check(status == 400 and answer.get("error") == "invalid_grant", f"{what}: a refresh is refused", f"{status} {answer}")


def back_channel(check, cast):
    """oidc-provider ends a person's sessions and says so by logout token."""
    hers, other = cast.sign_in("alice", "Engine"), cast.sign_in("carol", "Engine")
    told = cast.idps["oidc-provider"]("end-sessions", login="alice")["told"]
    since = time.monotonic()
    check(told and all(one["error"] is None for one in told), "oidc-provider's logout tokens are taken", told)
    gone(check, "back-channel logout", hers, since)
    check(other.call()[0], "somebody else of the same provider goes on", other.call()[1])
    revoked = [event for event in cast.stage.events(kind="revoked") if event.get("tenant") == "one"]
    check(revoked and cast.ids["Engine"] in json.dumps(revoked), "the log says by which connection", revoked[-1:])
    check(cast.sign_in("alice", "Engine", hers.browser).call()[0], "and she may sign in again")


def locked(check, cast):
    """A provider that pushes nothing is asked again at every refresh."""
    for connection, provider in (("Canaille", "canaille"), ("Engine", "oidc-provider")):
        idp, access = cast.idps[provider], cast.sign_in("carol", connection)
        # Two access tokens of one second are the same to Canaille, which refuses to make the second.
        time.sleep(1.1)
        status, answer = access.refresh()
        check(status == 200, f"{connection}: a refresh goes through while she may", f"{status} {answer}")
        idp("lock", login="carol")
        time.sleep(1.1)
        status, answer = access.refresh()
        check(status == 400 and answer.get("error") == "invalid_grant", f"{connection}: locked there, her next refresh is refused", f"{status} {answer}")
        gone(check, f"{connection}: locked", access_of(access), time.monotonic())
        idp("unlock", login="carol")
        check(cast.sign_in("carol", connection).call()[0], f"{connection}: unlocked, she may sign in again")


def access_of(access):
    """The same session with the newest token, where a refresh has replaced the first."""
    access.caller.token = access.tokens["access_token"]
    return access


def single_logout(check, cast):
    """SAML's, from both sides."""
    stage = cast.stage
    for connection, provider in (("Samlp", "samlp"), ("Simple", "simplesamlphp")):
        idp, tenant = cast.idps[provider], cast.CONNECTIONS[connection][0]
        access = cast.sign_in("alice", connection)
        before = len(stage.tenant("sessions", tenant))
        since = time.monotonic()
        url = idp.slo if provider == "samlp" else f"{idp.slo}?{urllib.parse.urlencode({'ReturnTo': idp.metadata})}"
        heard = lambda: len(stage.tenant("sessions", tenant)) < before  # noqa: E731
        access.browser.home = None
        there = lambda url: url.startswith(idp.slo) and "SAMLResponse" in url  # noqa: E731
        stage.walk(access.browser, url, done=lambda url, page: any(there(url) for _, url, _ in access.browser.trail))
        check(heard(), f"{connection}: a logout there ends the session here", (access.browser.trail[-2:], access.browser.page[:1500]))
        gone(check, f"{connection}: a logout there", access, since)
        check(any(there(url) for _, url, _ in access.browser.trail), f"{connection}: and is answered", access.browser.trail[-6:])
        leaving(check, cast, connection, idp)


def leaving(check, cast, connection, idp):
    """Who signs out here may sign out there too."""
    stage = cast.stage
    access = cast.sign_in("alice", connection)
    person = access.browser
    person.from_origin = None
    _, _, page = person.fetch(f"{stage.origin}/account")
    pages = walk.Pages()
    pages.feed(page)
    form = next((form for form in pages.forms if (form["action"] or "").endswith("/signout")), None)
    if not check(form, f"{connection}: the account page has a way out", page[-600:]):
        return
    values = urllib.parse.urlencode([(field["name"], field["value"] or "") for field in form["fields"] if field["name"]])
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": stage.origin, "Referer": f"{stage.origin}/account"}
    _, _, page = person.fetch(f"{stage.origin}/signout", values.encode(), headers)
    offered = re.search(r'<a class="button full" href="([^"]*)">Also sign out at', page)
    if not check(offered, f"{connection}: signing out here offers to sign out there", " ".join(re.sub(r"<[^>]*>", " ", page).split())[-400:]):
        return
    url = offered.group(1).replace("&amp;", "&")
    found = stage.walk(person, url, done=lambda url, page: "You are signed out here and at" in page)
    check("You are signed out here and at" in getattr(found, "what", "") + getattr(found, "remedy", ""), f"{connection}: there and back", found)
    again = len(person.trail)
    cast.sign_in("alice", connection, person)
    asked = [url for method, url, _ in person.trail[again:] if method == "POST" and not url.startswith(stage.origin)]
    check(asked, f"{connection}: whose session is over there too: she is asked for her password", person.trail[again:])


def disabled(check, cast):
    """The operator switches a connection off."""
    stage = cast.stage
    hers, other = cast.sign_in("alice", "Samlp"), cast.sign_in("alice", "Engine")
    told = stage.tenant("connection", "disable", "one", "Samlp")
    check(told["sessions"] >= 1, "switching a connection off ends the sessions that it began", told)
    gone(check, "a connection that was switched off", hers, time.monotonic())
    check(other.call()[0], "the tenant's other connection goes on", other.call()[1])
    ended = stage.go(cast.account("alice", "Samlp"))
    check(isinstance(ended, Ended), "nobody signs in by it", ended)
    person = stages.browser.Browser({**cast.account("alice", "Samlp"), "federated": True})
    ended = stage.walk(person, f"{stage.origin}/signin/sso/{cast.ids['Samlp']}")
    stage.refused(check, "its own address", ended, "connection_off")
    stage.tenant("connection", "enable", "one", "Samlp")
    check(not hers.call()[0], "switched on again, it revives no token", hers.call()[1])
    check(cast.sign_in("alice", "Samlp").call()[0], "and people sign in by it again")


def scim(check, cast):
    """`scim2 test`: the compliance check of another house against our SCIM server."""
    stage = cast.stage
    token = stage.tenant("scim-token", "add", "two", "scim2")
    cast.secrets.add(token["token"])
    url = token["base_url"]
    environment = {**os.environ, "SCIM_CLI_HEADERS": f"Authorization: Bearer {token['token']}", "NO_PROXY": "*"}
    run = subprocess.run([str(SCIM2), "--url", url, "test"], env=environment, capture_output=True, text=True, timeout=170)
    lines = (run.stdout + run.stderr).splitlines()
    (stage.folder / "scim2.log").write_text("\n".join(lines))
    words = [line.split()[0] for line in lines if line.strip()]
    counts = {word: words.count(word) for word in ("SUCCESS", "COMPLIANT", "ACCEPTABLE", "SKIPPED", "DEVIATION", "ERROR", "CRITICAL") if word in words}
    bad = [line for line in lines if re.match(r"\s*(ERROR|CRITICAL|DEVIATION)", line)]
    print(f"       scim2 test: {counts}", flush=True)
    check(run.returncode == 0 and not bad and counts, "scim2 test finds no error", bad or lines[-15:])
    status, _, _ = driver.Wire(url).send("GET", "/scim/v2/Users", headers={"Authorization": "Bearer sps_wrong"})
    check(status == 401, "another bearer is refused", status)
    stage.tenant("scim-token", "remove", "two", token["id"])
    status, _, _ = driver.Wire(url).send("GET", "/scim/v2/Users", headers={"Authorization": f"Bearer {token['token']}"})
    check(status == 401, "and so is this one once it is removed", status)


def suspended(check, cast):
    """A tenant is suspended: its tokens and its sign-in end; the other's do not."""
    stage = cast.stage
    hers, other = cast.sign_in("alice", "Canaille"), cast.sign_in("alice", "Engine")
    stage.tenant("suspend", "two")
    gone(check, "a suspended tenant", hers, time.monotonic())
    for connection in ("Canaille", "Simple"):
        stage.refused(check, f"sign-in by {connection} of a suspended tenant", stage.go(cast.account("alice", connection)), "connection_off")
    check(other.call()[0], "the other tenant goes on", other.call()[1])
    stage.tenant("resume", "two")
    check(not hers.call()[0] and hers.refresh()[0] != 200, "resumed, no token is revived")
    check(cast.sign_in("alice", "Canaille", hers.browser).call()[0], "and its people sign in again")


def capped(check, cast):
    """What the provider gave an end, or the tenant, ends then."""
    stage, idp = cast.stage, cast.idps["samlp"]
    idp("set", session_not_on_or_after=6)
    start, access = time.monotonic(), cast.sign_in("alice", "Samlp")
    idp("set", session_not_on_or_after=None)
    check(access.tokens["expires_in"] <= 6, "SessionNotOnOrAfter is the access token's end at the latest", access.tokens["expires_in"])
    stage.tenant("set", "one", "--access-token-seconds", "60")
    check(cast.sign_in("alice", "Engine").tokens["expires_in"] <= 60, "a tenant's own lifetime counts for new tokens")
    stage.tenant("set", "one", "--access-token-seconds", "0")
    time.sleep(max(0, start + 6.5 - time.monotonic()))
    # The gate takes its own tokens for five seconds longer than they say.
    after = access.gone_after(start + 6, 6)
    check(after is not None and after <= 6, "a session that the provider gave six seconds has ended", after)
    status, answer = access.refresh()
    check((status, answer.get("error")) == (400, "invalid_grant"), "and cannot be refreshed", f"{status} {answer}")


def commands(check, cast):
    """The operator ends one session, or everything of one person."""
    stage = cast.stage
    hers, again = cast.sign_in("alice", "Engine"), cast.sign_in("alice", "Engine")
    listed = {one["id"]: one for one in stage.tenant("sessions", "one", "--user", "alice@one.example")}
    session = driver.claims(hers.tokens["access_token"])["sid"]
    check(listed.get(session, {}).get("connection") == "Engine", "the list of sessions says by which connection", listed)
    stage.tenant("end-session", "one", session)
    gone(check, "a session that was ended by command", hers, time.monotonic())
    check(again.call()[0], "her other session goes on", again.call()[1])
    person = listed[session]["user"]
    run = stage.run("contain", "user", person, "--tenant", "one")
    check(run.returncode == 0, "everything of hers is ended by command", run.stderr)
    gone(check, "a person who was contained", again, time.monotonic())


def deleted(check, cast):
    """A tenant is deleted: nothing of it works, and nobody comes in."""
    stage = cast.stage
    hers, other = cast.sign_in("carol", "Simple"), cast.sign_in("carol", "Engine")
    said = stage.run("tenant", "delete", "two")
    check(said.returncode == 1 and hers.call()[0], "deleting only says what would go", said.stdout + said.stderr)
    stage.tenant("delete", "two", "--yes")
    gone(check, "a deleted tenant", hers, time.monotonic())
    check(isinstance(stage.go(cast.account("carol", "Simple")), Ended), "nobody signs in there any more")
    check(other.call()[0], "the other tenant goes on", other.call()[1])


def log(check, cast):
    """After all that, the log verifies, and neither it nor what the gate printed holds a secret."""
    stage = cast.stage
    run = stage.run("audit", "verify")
    check(run.returncode == 0, "the audit log verifies", run.stdout + run.stderr)
    access = cast.sign_in("alice", "Engine")
    secrets = {*cast.secrets, *(access.tokens[name] for name in ("access_token", "refresh_token"))}
    written = json.dumps(stage.events()) + (stage.folder / "gate.log").read_text()
    found = [secret[:12] for secret in secrets if secret in written]
    check(not found and "<saml" not in written, "no secret, token or assertion is in the log", found)
    stored = b"".join(path.read_bytes() for path in (stage.folder / "state").glob("sallyport.db*"))
    found = [secret[:12] for secret in secrets if secret.encode() in stored]
    check(not found, "nor in the store", found)


PARTS = {"back-channel": back_channel, "locked": locked, "single-logout": single_logout, "capped": capped, "commands": commands}
LAST = {"disabled": disabled, "scim": scim, "suspended": suspended, "deleted": deleted, "log": log}
