"""Each vendor's preset against the fixture that behaves by that vendor's documents (vendors.py), and each of its lies.

Used by logins.py; each part takes the checks and `Vendors`. This gate has its own directory too: the page offers both.
Standard library only.
"""

import subprocess
import time
import urllib.parse
import uuid

import providers
import stage as stages
from stage import Ended, Stage, started

SECRET = "secret-of-the-gate"
ENG = str(uuid.uuid5(uuid.NAMESPACE_DNS, "eng"))
# Fixture: preset, options of connect-oidc, the groups that come of ["eng", "ops"].
VENDORS = {
    "standard": ("standard", ["--scope", "groups", "--scope", "offline_access"], ["eng", "ops"]),
    "okta-org": ("okta", ["--scope", "groups"], ["eng", "ops"]),
    "okta-custom": ("okta", ["--scope", "groups"], ["eng", "ops"]),
    "entra": ("entra", ["--rename-group", f"{ENG}=eng"], ["eng", str(uuid.uuid5(uuid.NAMESPACE_DNS, "ops"))]),
    "google": ("google", ["--organisation", "google.example"], []),
    "keycloak": ("keycloak", [], ["/eng", "/ops"]),
    # Whose applications give a refresh token only where it is asked for: without it nobody could be asked about her.
    "ping": ("ping", ["--scope", "offline_access"], ["eng", "ops"]),
}
DIRECTORY, FOREIGN = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"


class Vendors:
    """One gate, seven issuers, a tenant for each."""

    def __init__(self, binary, folder):
        self.folder, self.stage, self.idps = folder, Stage(binary, folder / "gate", local_directory=True), {}
        self.pending = []
        try:
            self.idps = started({name: lambda name=name: self.start(name, name) for name in VENDORS})
            for name in VENDORS:
                self.stage.create(name, f"Customer with {name}")
                self.connect(name, name, name, self.idps[name], f"{name}.example")
        except BaseException:
            self.close()
            raise

    def start(self, vendor, name, **config):
        many = [f"group-{number}" for number in range(201)]
        of = lambda login, **more: {"password": f"{login}-password", "email": f"{login}@{vendor}.example", "name": f"{login.title()} Vendor",  # noqa: E731
                                    "groups": ["eng", "ops"], "otp": "123456", **more}
        google = {"hd": "google.example"} if vendor == "google" else {}
        users = {"alice": of("alice", **google), "bob": of("bob", groups=many, hd="another.example"), "carol": of("carol"), "dave": of("dave", tid=FOREIGN, **google)}
        return providers.start("vendors", self.folder / f"idp-{name}", {"vendor": vendor, "users": users, **config})

    def connect(self, vendor, tenant, name, idp, domain, *more, issuer=None):
        """A connection with the vendor's preset and its usual options, whose client the issuer knows."""
        preset, options, _ = VENDORS[vendor]
        secret = () if "--private-key-jwt" in more else ("--client-secret-env", "LAB_SECRET")
        self.stage.tenant("connect-oidc", tenant, name, "--preset", preset, "--issuer", issuer or idp.issuer, "--client-id", "gate", *secret, *options, *more,
                          LAB_SECRET=SECRET)
        found = self.stage.connection(tenant, name)
        client = {"client_secret": SECRET} if secret else {"jwks": {"keys": [found["jwk"]]}}
        idp("client", client_id="gate", **client, redirect_uris=[found["urls"]["redirect_uri"]], backchannel_logout_uri=found["urls"]["backchannel_logout_uri"])
        self.stage.domain(tenant, domain, name)
        return found

    def account(self, login, domain, otp=""):
        return {"username": login, "password": f"{login}-password", "email": f"{login}@{domain}", "otp": otp}

    def go(self, login, domain, otp=""):
        return self.stage.go(self.account(login, domain, otp))

    def sign_in(self, login, domain, otp=""):
        return self.stage.sign_in(self.account(login, domain, otp))

    def close(self):
        for idp in self.idps.values():
            idp.stop()
        self.stage.processes.end()


def presets(check, cast):
    """Each preset: a login, who came of it, a new key of the vendor's, a lock that the next refresh hears of."""
    for name, (_, _, groups) in VENDORS.items():
        idp, domain = cast.idps[name], f"{name}.example"
        access = cast.sign_in("alice", domain)
        answered, seen = access.call()
        check(answered, f"{name}: she signs in and calls a tool", seen)
        people = cast.stage.people(name)
        alice = people[0] if people else {}
        want = (f"alice@{name}.example", "Alice Vendor", sorted(groups))
        check((alice.get("email"), alice.get("display_name"), sorted(alice.get("groups", []))) == want, f"{name}: address, name and groups", alice)
        idp("rotate")
        check(not isinstance(found := cast.go("carol" if name != "google" else "alice", domain), Ended), f"{name}: a new key of the vendor's is found", found)
        status, answer = access.refresh()
        check(status == 200, f"{name}: a refresh asks and goes through", f"{status} {answer}")
        asked = idp("state")["refreshes"]
        check(asked >= 1, f"{name}: the vendor was asked about her", idp("state"))
        idp("lock", login="alice")
        status, answer = access.refresh()
        check((status, answer.get("error")) == (400, "invalid_grant"), f"{name}: locked there, her next refresh is refused", f"{status} {answer}")
        after = access.gone_after(time.monotonic())
        check(after is not None and after <= 2, f"{name}: and so are her calls, at once", after)
        idp("unlock", login="alice")


def quirks(check, cast):
    """What single vendors do that others do not."""
    stage = cast.stage
    stage.refused(check, "google: an account of another Workspace", cast.go("bob", "google.example"), "oidc_hosted_domain", ("another.example",), "google")
    stage.refused(check, "google: an account of no Workspace", cast.go("carol", "google.example"), "oidc_hosted_domain", (), "google")
    # Google's own issuer has a second spelling; nobody else's has.
    cast.idps["google"]("set", options={"bare_issuer": True})
    stage.refused(check, "google: the issuer without its scheme, of somebody else", cast.go("alice", "google.example"), "jwt_issuer", (), "google")
    cast.idps["google"]("set", options={"bare_issuer": False})
    stage.refused(check, "entra: a token of another directory", cast.go("dave", "entra.example"), ("jwt_issuer", "oidc_directory"), (), "entra")
    stage.tenant("set-mapping", "entra", "entra", "--admit-group", "eng")
    check(not isinstance(found := cast.go("alice", "entra.example"), Ended), "entra: a member of the admitted group", found)
    stage.refused(check, "entra: more groups than stand in a token", cast.go("bob", "entra.example"), "oidc_groups_overage", ("groups",), "entra")
    common(check, cast)
    keyed(check, cast)
    factors(check, cast)


def common(check, cast):
    """Entra's issuer for many directories: only the customer's may come in."""
    idp = cast.idps["common"] = cast.start("entra", "common", options={"audience": "common", "tenant": DIRECTORY})
    base = idp.discovery.split("/common/")[0]
    cast.stage.create("common", "Customer of many")
    cast.connect("entra", "common", "Common", idp, "common.example", "--organisation", DIRECTORY, issuer=f"{base}/common/v2.0")
    check(not isinstance(found := cast.go("alice", "common.example"), Ended), "entra, common: the customer's directory", found)
    cast.stage.refused(check, "entra, common: another customer's", cast.go("dave", "common.example"), ("oidc_directory", "jwt_issuer"), (), "common")


def keyed(check, cast):
    """A key instead of a secret; only its public half was given to the provider."""
    idp = cast.idps["keyed"] = cast.start("keycloak", "keyed")
    cast.stage.create("keyed", "Customer with a key")
    cast.connect("keycloak", "keyed", "Keyed", idp, "keyed.example", "--private-key-jwt")
    check(not isinstance(found := cast.go("alice", "keyed.example"), Ended), "keycloak: private_key_jwt, and a pushed request", found)
    cast.stage.tenant("connect-oidc", "keyed", "Another", "--preset", "keycloak", "--issuer", idp.issuer, "--client-id", "other", "--private-key-jwt")
    first, other = (cast.stage.connection("keyed", name)["jwk"] for name in ("Keyed", "Another"))
    idp("client", client_id="gate", jwks={"keys": [{**other, "kid": first["kid"]}]})
    found = cast.go("alice", "keyed.example")
    cast.stage.refused(check, "keycloak: a key that the provider does not know", found, ("oidc_invalid_client", "oidc_token_endpoint"), (), "keyed")


def factors(check, cast):
    """More than one factor, as each vendor shows it, and as none would without being told."""
    for name, options in (("standard", []), ("okta-org", []), ("entra", ["--mfa-acr", "c1"]), ("keycloak", ["--mfa-acr", "2"]), ("ping", ["--mfa-acr", "Multi_Factor"])):
        _, more, _ = VENDORS[name]
        cast.stage.tenant("connect-oidc", name, name, "--preset", VENDORS[name][0], "--issuer", cast.idps[name].issuer, "--client-id", "gate",
                          "--client-secret-env", "LAB_SECRET", *more, "--require-mfa", *options, "--replace", LAB_SECRET=SECRET)
        found = cast.go("carol", f"{name}.example")
        if name == "standard":
            cast.stage.refused(check, f"{name}: one factor where two are demanded", found, ("oidc_mfa", "oidc_acr"), ("factor",), name)
        else:
            there = isinstance(found, Ended) and found.url.startswith(cast.idps[name].issuer.split("/", 3)[2].join(["http://", "/"])) and "asks again" in found.what
            check(there, f"{name}: is asked for two factors, and keeps her who has one", found)
        found = cast.go("carol", f"{name}.example", "123456")
        check(not isinstance(found, Ended), f"{name}: two factors are shown", found)


def logouts(check, cast):
    """Keycloak's back-channel logout, Entra's front-channel logout, Okta's Universal Logout."""
    stage, keycloak, okta = cast.stage, cast.idps["keycloak"], cast.idps["okta-org"]
    otp = "123456"
    access = cast.sign_in("alice", "keycloak.example", otp)
    told = keycloak("back-channel", login="alice")["told"]
    since = time.monotonic()
    check(told and told[-1]["status"] == 200, "keycloak: a logout token is taken", told)
    ended(check, "keycloak: back-channel logout", access, since)
    status, text = post(told[-1]["logout_token"], stage.connection("keycloak", "keycloak")["urls"]["backchannel_logout_uri"])
    check(status == 400, "keycloak: and not a second time", (status, text))
    access = cast.sign_in("alice", "keycloak.example", otp)
    told = keycloak("back-channel", login="alice", header={"alg": "none"})["told"]
    check(told[-1]["status"] == 400 and access.call()[0], "keycloak: an unsigned one is refused and ends nothing", told)
    access = cast.sign_in("alice", "entra.example", otp)
    for answer in cast.idps["entra"]("front-channel", login="alice")["told"]:
        uri = stage.connection("entra", "entra")["urls"]["frontchannel_logout_uri"]
        access.browser.from_origin = None
        access.browser.fetch(f"{uri}?{urllib.parse.urlencode({'iss': answer['iss'], 'sid': answer['sid']})}")
    ended(check, "entra: front-channel logout", access, time.monotonic())
    endpoint = stage.tenant("signals", "revocation-endpoint", "okta-org", "--connection", "okta-org")
    url = next(value for value in flat(endpoint) if str(value).startswith(stage.origin))
    access, other = cast.sign_in("alice", "okta-org.example", otp), cast.sign_in("carol", "okta-org.example", otp)
    for what, forged in (("a forged", {"client_id": "gate", "header": {"alg": "HS256"}}), ("another application's", {"client_id": "0oaother"})):
        done = okta("global-token-revocation", url=url, login="alice", **forged)
        check(done["status"] == 401 and access.call()[0], f"okta: {what} Universal Logout ends nothing", done)
    done = okta("global-token-revocation", url=url, login="alice", client_id="gate")
    check(done["status"] == 204, "okta: Universal Logout is taken", (done, stage.tenant("signals", "list", "okta-org")))
    ended(check, "okta: Universal Logout", access, time.monotonic())
    check(other.call()[0], "okta: of nobody else", other.call()[1])


def flat(value):
    return [one for part in (value.values() if isinstance(value, dict) else value) for one in flat(part)] if isinstance(value, (dict, list)) else [value]


def post(logout_token, url):
    wire = stages.driver.Wire(url)
    form = {"Content-Type": stages.driver.FORM}
    status, _, text = wire.send("POST", stages.driver.path_of(url), urllib.parse.urlencode({"logout_token": logout_token}), form)
    return status, text


def ended(check, what, access, since):
    after = access.gone_after(since)
    check(after is not None and after <= 2, f"{what}: calls are refused within 2 s", after)
    status, answer = access.refresh()
    check((status, answer.get("error")) == (400, "invalid_grant"), f"{what}: and a refresh", f"{status} {answer}")


# Lie → code. Told by a Keycloak, which announces `iss` in its responses, unless another says it below.
LIES = {
    "alg_none": "jwt_algorithm", "alg_hs256": "jwt_algorithm", "foreign_key": "jwt_signature", "unknown_kid": "jwt_unknown_key",
    "embedded_jwk": "jwt_header", "jku": "jwt_header", "unknown_crit": "jwt_header", "jwks_swap": ("jwt_signature", "jwt_unknown_key"),
    "wrong_aud": "jwt_audience", "empty_aud": "jwt_audience", "many_aud": "oidc_authorized_party", "wrong_azp": "oidc_authorized_party",
    "wrong_nonce": "oidc_nonce", "no_nonce": "oidc_nonce", "other_issuer": "jwt_issuer", "expired": "jwt_expired", "no_exp": "jwt_claim",
    "future": "jwt_from_future", "no_sub": "jwt_claim", "wrong_at_hash": "oidc_token_hash", "response_iss_missing": "oidc_response_issuer_missing",
    "response_iss_wrong": "oidc_response_issuer", "wrong_state": "sign_in_ended", "metadata_issuer": "oidc_metadata_issuer",
    "userinfo_other_sub": "oidc_user_info_subject", "no_id_token": "oidc_token_response",
}
# Not refused, because nothing wrong is believed: at which vendor.
HARMLESS = {"response_iss_added": "standard", "metadata_plain": "keycloak"}
# Read once and kept, so told from the start.
FROM_THE_START = {"metadata_issuer", "metadata_plain", "jwks_swap"}
AT = {"userinfo_other_sub": "okta-org", "response_iss_added": "standard"}


def lies(check, cast):
    """Every lie of the fixture is refused with a page and a reference, and the truth afterwards is believed."""
    stage, table = cast.stage, []
    told = set(LIES) | set(HARMLESS) | {"refresh_other_sub", "refresh_unavailable"}
    check(told == set(cast.idps["keycloak"].modes), "every lie of the fixture is told", told ^ set(cast.idps["keycloak"].modes))
    for mode in [*HARMLESS, *LIES]:
        vendor = AT.get(mode, "keycloak")
        idp, domain, tenant = told_by(cast, vendor, mode)
        idp("set", mode=mode)
        found = cast.go("alice", domain, "123456")
        idp("set", mode=None)
        if mode in HARMLESS:
            check(not isinstance(found, Ended), f"{mode}: nothing wrong is believed, and she comes in", found)
        else:
            stage.refused(check, mode, found, LIES[mode], (), tenant if mode != "wrong_state" else None)
        table.append((mode, found.code if isinstance(found, Ended) else "(comes in)"))
    check(not isinstance(found := cast.go("alice", "liar.example"), Ended), "the truth afterwards is believed", found)
    refreshed(check, cast, table)
    for mode, code in table:
        print(f"       {mode:<22}{code}", flush=True)


def told_by(cast, vendor, mode):
    """The issuer that lies, the domain that leads there, its tenant."""
    if mode not in FROM_THE_START and vendor != "keycloak":
        return cast.idps[vendor], f"{vendor}.example", vendor
    name = mode.replace("_", "-") if mode in FROM_THE_START else "liar"
    if name not in cast.idps:
        cast.idps[name] = cast.start(vendor, name, **({"mode": mode} if mode in FROM_THE_START else {}))
        cast.stage.create(name, f"Customer of a {name}")
        cast.connect(vendor, name, name, cast.idps[name], f"{name}.example")
    return cast.idps[name], f"{name}.example", name


def refreshed(check, cast, table):
    """Lies at a refresh: an end, and a provider that cannot be asked."""
    idp = cast.idps["liar"]
    access = cast.sign_in("alice", "liar.example")
    idp("set", mode="refresh_unavailable")
    status, answer = access.refresh()
    check(status == 503, "refresh_unavailable: no answer is no leave", f"{status} {answer}")
    table.append(("refresh_unavailable", f"{status} {answer.get('error')}"))
    check(access.call()[0], "refresh_unavailable: and ends nothing", access.call()[1])
    idp("set", mode=None)
    status, answer = access.refresh()
    check(status == 200, "refresh_unavailable: later it goes through", f"{status} {answer}")
    idp("set", mode="refresh_other_sub")
    status, answer = access.refresh()
    check((status, answer.get("error")) == (400, "invalid_grant"), "refresh_other_sub: refused", f"{status} {answer}")
    table.append(("refresh_other_sub", f"{status} {answer.get('error')}"))
    idp("set", mode=None)
    ended(check, "refresh_other_sub", access, time.monotonic())


def local(check, cast):
    """Beside all that, somebody of the gate's own directory signs in by password, on the same page."""
    account = {"username": "ada", "email": "ada@house.example", "password": "correct horse battery staple 7"}
    command = [cast.stage.binary, "user", "add", "--config", str(cast.stage.config), "ada", "--tenant", "house", "--email", account["email"], "--password-stdin"]
    run = subprocess.run(command, input=account["password"], text=True, capture_output=True)
    check(run.returncode == 0, "somebody is added to the gate's own directory", run.stderr)
    found = cast.stage.go(account, stages.browser.Browser(account))
    check(not isinstance(found, Ended), "and signs in by her password, where others sign in elsewhere", found)
    stage = cast.stage
    stage.tenant("set", "standard", "--federated-only", "true")
    command[command.index("ada")], command[command.index("house")], command[command.index("ada@house.example")] = "eve", "standard", "eve@standard.example"
    subprocess.run(command, input=account["password"], text=True, capture_output=True)
    found = stage.go({**account, "username": "eve"}, stages.browser.Browser({**account, "username": "eve"}))
    check(isinstance(found, Ended), "but not of a tenant whose people sign in elsewhere only", found)


PARTS = {"presets": presets, "quirks": quirks, "logouts": logouts, "lies": lies, "local": local}
