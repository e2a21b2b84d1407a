"""What keeps one sign-in from becoming another: answers that are crossed or used twice; keys and metadata that change on
either side while nobody looks; and what a provider says by Shared Signals.

Used by logins.py; each part takes the checks and the cast. Standard library only.
"""

import time

import providers
from stage import Ended, browser


def crossed(check, cast):
    """An answer of the provider counts once, in the browser that was sent, at the connection that was asked."""
    stage, who = cast.stage, {**cast.account("alice", "Engine"), "federated": True}

    def answer(person):
        return stage.walk(person, f"{stage.origin}/signin?login_hint=alice%40one.example", lambda url: url.startswith(f"{stage.origin}/signin/oidc/"))

    first, second = browser.Browser(who), browser.Browser(who)
    found = answer(first)
    stage.refused(check, "an answer in another browser", stage.walk(second, found), ("sign_in_elsewhere", "sign_in_ended"))
    check(not signed_in(stage, second), "and nobody is signed in there")
    first = browser.Browser(who)
    found = answer(first)
    stage.refused(check, "an answer at another connection", stage.walk(first, found.replace(cast.ids["Engine"], cast.ids["Canaille"])), "provider_mix_up")
    first = browser.Browser(who)
    found = answer(first)
    first.follow(found, done=lambda url, page: url == f"{stage.origin}/account")
    check(signed_in(stage, first), "an answer where it belongs signs her in", first.trail[-3:])
    stage.refused(check, "the same answer again", stage.walk(first, found), "sign_in_ended")
    who = {**cast.account("alice", "Samlp"), "federated": True}
    start = f"{stage.origin}/signin?login_hint=alice%40one-saml.example"
    first, second = Holding(who), browser.Browser(who)
    try:
        first.follow(start)
    except Held:
        pass
    stage.refused(check, "a SAML answer in another browser", post(stage, second, *first.answer), "sign_in_elsewhere")
    check(not signed_in(stage, second), "and nobody is signed in there by it")
    first = Holding(who)
    try:
        first.follow(start)
    except Held:
        pass
    post(stage, first, *first.answer)
    check(signed_in(stage, first), "a SAML answer where it belongs signs her in", first.trail[-3:])
    stage.refused(check, "the same SAML answer again", post(stage, first, *first.answer), ("sign_in_ended", "saml_replayed"))


def signed_in(stage, person):
    """Whether the account page opens."""
    person.from_origin = None
    return person.fetch(f"{stage.origin}/account")[0] == 200


class Held(Exception):
    """An answer was kept back."""


class Holding(browser.Browser):
    """Keeps back what our own page would post to the assertion consumer service."""

    answer = None

    def fetch(self, url, body=None, headers=None):
        if self.answer is None and url.endswith("/acs/continue"):
            self.answer = (url, body)
            raise Held
        return super().fetch(url, body, headers)


def post(stage, person, url, body):
    person.from_origin = stage.origin
    status, _, page = person.fetch(url, body, {"Content-Type": "application/x-www-form-urlencoded", "Origin": stage.origin, "Referer": url})
    return Ended.of(url, status, page)


def keys(check, cast):
    """Requests signed, assertions encrypted, and keys replaced on both sides, each judged by another's software."""
    stage = cast.stage
    for connection, provider in (("Samlp", "samlp"), ("Simple", "simplesamlphp")):
        idp, tenant = cast.idps[provider], cast.CONNECTIONS[connection][0]
        idp("set", want_signed_requests=True)
        comes_in(check, cast, connection, "our signature on the request is good")
        for step in ("announce", "use"):
            stage.tenant("connection", "saml-keys", tenant, connection, "--step", step)
        idp("sp", metadata=stage.connection(tenant, connection)["urls"]["entity_id"])
        stage.tenant("connection", "saml-keys", tenant, connection, "--step", "retire")
        idp("sp", metadata=stage.connection(tenant, connection)["urls"]["entity_id"])
        comes_in(check, cast, connection, "and so is that of our next key")
        idp("set", want_signed_requests=False, encrypt=True)
        comes_in(check, cast, connection, "an assertion encrypted for our next key is read")
        idp("set", encrypt=False)
    idp = cast.idps["samlp"]
    for step in ("announce", "use"):
        idp("certificate", step=step)
    idp("certificate", step="retire")
    deadline = time.monotonic() + 35
    # The metadata are fetched again because of a signature, but not more often than every 30 s.
    while isinstance(found := stage.go(cast.account("alice", "Samlp")), Ended) and time.monotonic() < deadline and found.code == "saml_wrong_certificate":
        time.sleep(2)
    check(not isinstance(found, Ended), "Samlp: the provider's next certificate needs nobody", found)


def comes_in(check, cast, connection, what):
    found = cast.stage.go(cast.account("alice", connection))
    check(not isinstance(found, Ended), f"{connection}: {what}", found)


def signals(check, cast):
    """A transmitter of Shared Signals says when access should end: pushed, and fetched."""
    stage, issuer = cast.stage, cast.idps["oidc-provider"].issuer
    for how in ("push", "poll"):
        with providers.start("ssf", stage.folder / f"ssf-{how}", {"path": "/lab", "tokens": ["lab-token"]}) as transmitter:
            added = stage.tenant("signals", "add", "one", "--transmitter", transmitter.issuer, "--token-env", "LAB_TOKEN", "--connection", "Engine", f"--{how}",
                                 LAB_TOKEN="lab-token")
            check(added, f"{how}: a stream is made by one command", added)
            verified = wait(lambda: any(one.get("verified_at") or one.get("verified") for one in stage.tenant("signals", "list", "one") if one.get("issuer") == transmitter.issuer), 8)
            check(verified, f"{how}: and verified by an event", stage.tenant("signals", "list", "one"))
            hers, other = cast.sign_in("alice", "Engine"), cast.sign_in("carol", "Engine")
            for mode in ("forged", "other_audience") if how == "push" else ():
                transmitter("send", type="session-revoked", sub_id={"format": "iss_sub", "iss": issuer, "sub": "alice"}, mode=mode)
            check(hers.call()[0], f"{how}: what is forged ends nothing", hers.call()[1])
            sent = transmitter("send", type="session-revoked", sub_id={"format": "iss_sub", "iss": issuer, "sub": "alice"})
            bound = 2 if how == "push" else 8
            after = hers.gone_after(time.monotonic(), bound)
            check(after is not None and after <= bound, f"{how}: session-revoked ends her access within {bound} s", (after, sent))
            status, answer = hers.refresh()
            check((status, answer.get("error")) == (400, "invalid_grant"), f"{how}: and a refresh is refused", f"{status} {answer}")
            check(other.call()[0], f"{how}: nobody else's", other.call()[1])
            check(not transmitter("state")["complaints"], f"{how}: the transmitter has nothing to complain of", transmitter("state")["complaints"])
            found = next(one for one in stage.tenant("signals", "list", "one") if one.get("issuer") == transmitter.issuer)
            stage.tenant("signals", "remove", "one", found["id"])


def wait(good, seconds):
    deadline = time.monotonic() + seconds
    while not (found := good()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


PARTS = {"crossed": crossed, "keys": keys, "signals": signals}
