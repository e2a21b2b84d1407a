#!/usr/bin/env python3
"""Tests the laboratory itself: starts each identity provider, signs a person in at a small relying
party of its own, and makes it lock, delete, log out and push. Says nothing about the product.

    selftest.py [--only NAME]…      the last line is `N passed, N failed`
"""

import argparse
import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import traceback
import urllib.parse
import zlib

HERE = pathlib.Path(__file__).resolve().parent
LAB = pathlib.Path(os.environ.get("SALLYPORT_LAB") or HERE.parent.parent / ".test/lab").resolve()
if pathlib.Path(sys.prefix) != LAB / "py":
    os.execv(LAB / "py/bin/python", [str(LAB / "py/bin/python"), *sys.argv])
sys.path.insert(0, str(HERE))
sys.path.insert(1, str(HERE.parent))
import browser  # noqa: E402
import front_door  # noqa: E402
import jwt  # noqa: E402
import parties  # noqa: E402
import providers  # noqa: E402
import tokens  # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402

ALICE = {"username": "alice", "password": "alice-password", "email": "alice@one.example", "otp": "123456"}
ALICE_THERE = {"password": "alice-password", "email": "alice@one.example", "email_verified": True, "name": "Alice One", "groups": ["eng", "ops"], "otp": "123456"}
BOB = {"username": "bob", "password": "bob-password", "email": "bob@two.example"}
BOB_THERE = {"password": "bob-password", "email": "bob@two.example", "name": "Bob Two"}


class Checks:
    """Counts what held, and says what did not."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def __call__(self, good, what, seen=None):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        if not good:
            print(f"FAILED {what}: {str(seen)[:600]}", flush=True)

    def refused(self, what, act, wanted=""):
        try:
            self(False, what, f"went through: {act()}")
        except (browser.WalkError, providers.Trouble, AssertionError, jwt.PyJWTError, StopIteration) as error:
            self(wanted in str(error), what, error)


def oidc_provider(check, folder):
    client = parties.Client()
    with providers.start("oidc-provider", folder, {"users": {"alice": ALICE_THERE}, "ttl": {"AccessToken": 60}}) as idp:
        idp("client", **client.metadata())
        about = client.discover(idp.discovery)
        check(about["issuer"] == idp.issuer and about["backchannel_logout_session_supported"], "discovery", about)
        given = client.sign_in(ALICE, "openid profile email groups offline_access", prompt="consent")
        claims = given["claims"]
        check(claims["sub"] == "alice" and claims["email_verified"] is True and claims["groups"] == ["eng", "ops"], "claims", claims)
        check(client.iss == idp.issuer, "iss in the authorization response", client.iss)
        check("sid" in claims, "sid, as back-channel logout by session wants it", claims)
        again = client.refresh(given)
        check(again["claims"]["sub"] == "alice" and again["refresh_token"] != given["refresh_token"], "refresh rotates and brings an ID token", again)
        weak = client.sign_in({**ALICE, "otp": ""}, max_age="0", acr_values="pwd")["claims"]
        check(weak["acr"] == "pwd" and weak["amr"] == ["pwd"] and abs(weak["auth_time"] - time.time()) < 30, "one factor", weak)
        strong = client.sign_in(ALICE, acr_values="mfa")["claims"]
        check(strong["acr"] == "mfa" and "otp" in strong["amr"], "two factors", strong)
        check.refused("a wrong password", lambda: client.sign_in({**ALICE, "password": "wrong"}))
        told = idp("end-sessions", login="alice")["told"]
        check(told and all(one["error"] is None for one in told), "back-channel logout was delivered", told)
        logout = [client.verify(token) for token in client.logout_tokens]
        check(claims["sid"] in [one.get("sid") for one in logout], "the logout token names the session", logout)
        check(all("nonce" not in one and "http://schemas.openid.net/event/backchannel-logout" in one["events"] for one in logout), "the logout token's form", logout)
        check.refused("refresh after the logout", lambda: client.refresh(again), "invalid_grant")
        given = client.sign_in(ALICE, "openid offline_access", prompt="consent")
        idp("lock", login="alice")
        check.refused("refresh of one who is locked", lambda: client.refresh(given), "invalid_grant")
        check.refused("sign-in of one who is locked", lambda: client.sign_in(ALICE))
        idp("unlock", login="alice")
        check(client.sign_in(ALICE)["claims"]["sub"] == "alice", "sign-in once unlocked")
        key_and_push(check, idp, "oidc-provider")
        idp("delete", login="alice")
        check.refused("sign-in of one who was deleted", lambda: client.sign_in(ALICE))


def key_and_push(check, idp, name):
    """A client that signs assertions instead of showing a secret, and pushes its requests."""
    client = parties.Client("keyed", key=tokens.Key())
    idp("client", **client.metadata())
    client.discover(idp.discovery)
    check(client.sign_in(ALICE, url=client.push("openid"))["claims"]["sub"], f"{name}: private_key_jwt and a pushed request")
    client.key = tokens.Key(client.key.kid)
    check.refused(f"{name}: another key", lambda: client.sign_in(ALICE, "openid"), "invalid_client")


def canaille(check, folder):
    client, server = parties.Client(), parties.ScimServer("bearer-made-by-the-receiver")
    config = {"users": {"bob": BOB_THERE}, "groups": {"eng": ["bob"]}}
    with providers.start("canaille", folder, config) as idp:
        idp("client", **client.metadata(), scim_base=server.url, bearer=server.bearer)
        about = client.discover(idp.discovery)
        check(about["issuer"] == idp.issuer, "discovery", about)
        check("plain" in about["code_challenge_methods_supported"] and "none" in about["id_token_signing_alg_values_supported"], "it still advertises what no client should use", about)
        given = client.sign_in(BOB, "openid profile email groups")
        check(given["claims"]["sub"] == "bob" and given["claims"]["email"] == "bob@two.example", "claims", given["claims"])
        check(client.iss == idp.issuer, "iss in the authorization response", client.iss)
        # Two access tokens of one second are the same JWT to this version, which answers 500 then.
        renewed = given
        for _ in range(2):
            time.sleep(1.1)
            renewed = client.refresh(renewed)
        check(renewed["access_token"] != given["access_token"] and renewed["refresh_token"] != given["refresh_token"], "refresh, twice", given.keys())
        check.refused("a wrong password", lambda: client.sign_in({**BOB, "password": "wrong"}))
        idp("client", client_id="plain", redirect_uris=[client.redirect_uri], audience=False)
        bare = parties.Client("plain", "plain-secret")
        bare.redirect_uri = client.redirect_uri
        bare.discover(idp.discovery)
        check.refused("a client made the ordinary way gets aud []", lambda: bare.sign_in(BOB, "openid"), "")
        push(check, idp, server)
        check.refused("sign-in of one who is locked", lambda: client.sign_in(BOB, "openid"))
        check.refused("refresh of one who is locked", lambda: client.refresh(renewed), "invalid_request: There is no 'user'")


def push(check, idp, server):
    """Creates, changes, locks and deletes by Canaille's commands, and looks at what arrived."""
    idp("user", login="carol", email="carol@two.example", name="Carol Two")
    method, where, body = server.writes()[-1]
    check((method, where, body["userName"], body.get("active")) == ("POST", "Users", "carol", True), "creating pushes POST", server.writes()[-1])
    check(body["password"].startswith("$pbkdf2"), "a receiver whose schema has `password` is sent the hash", body.get("password"))
    idp("group", name="eng", members=["bob", "carol"])
    groups = [one for one in server.writes() if one[1] == "Groups"]
    check(groups and len(groups[-1][2]["members"]) == 1, "a group is pushed with the members that the receiver knows", groups[-1:])
    before = len(server.requests)
    start = time.monotonic()
    idp("lock", login="carol")
    warm = time.monotonic() - start
    asked = [f"{one['method']} {one['path'].split('/')[3]}" for one in server.requests[before:]]
    method, body = last_user(server)
    check((method, body["active"]) == ("PUT", False), "locking pushes PUT active:false", body)
    idp("unlock", login="carol")
    check(last_user(server)[1]["active"] is True, "unlocking pushes active:true", last_user(server))
    idp("lock", login="bob", cold=True)
    check(last_user(server)[1]["active"] is False, "the command in a process of its own pushes the same", last_user(server))
    idp("delete", login="carol")
    check(last_user(server)[0] == "DELETE", "deleting pushes DELETE", last_user(server))
    check({one["method"] for one in server.requests} == {"GET", "POST", "PUT", "DELETE"}, "nothing else is sent", server.requests)
    print(f"  a lock by the warm command line took {warm * 1000:.0f} ms and sent {', '.join(asked)}", flush=True)


def last_user(server):
    """Method and body of the last write of a person; Canaille pushes her groups again after it."""
    return next((method, body) for method, where, body in reversed(server.writes()) if where == "Users")


def samlp(check, folder):
    party = parties.ServiceProvider()
    with providers.start("samlp", folder, {"users": {"alice": ALICE_THERE}}) as idp:
        idp("sp", metadata=party.metadata())
        party.read_metadata(idp.metadata)
        check(party.idp == idp.entity_id and len(party.certificates) == 1, "metadata", party.idp)
        root, text, relay = party.sign_in(ALICE)
        check(parties.signed_parts(root) == ["Assertion"], "the assertion alone is signed", parties.signed_parts(root))
        check(relay == "relay-1" and root.get("InResponseTo") == party.request_id, "RelayState and InResponseTo", root.attrib)
        check(parties.attributes(root) == {"email": ["alice@one.example"], "name": ["Alice One"], "groups": ["eng", "ops"]}, "attributes", parties.attributes(root))
        check("SessionNotOnOrAfter" not in text, "no SessionNotOnOrAfter unless asked")
        idp("set", sign_response=True, session_not_on_or_after=600, omit=["email"], name_id_format="email")
        root, text, _ = party.sign_in(ALICE)
        check(parties.signed_parts(root) == ["Assertion", "Response"], "both are signed", parties.signed_parts(root))
        check("SessionNotOnOrAfter" in text and "email" not in parties.attributes(root), "SessionNotOnOrAfter, and an attribute left out", text)
        check(verified(text, party.certificates[0]), "xmlsec1 accepts both signatures", text)
        idp("set", sign_response=False, sign_assertion=False)
        check(parties.signed_parts(party.sign_in(ALICE)[0]) == [], "nothing is signed")
        idp("set", sign_assertion=True, session_not_on_or_after=None, skew=3600)
        conditions = party.sign_in(ALICE)[0].find(".//saml:Conditions", parties.SAML)
        check(conditions.get("NotBefore") > time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 3000)), "a skewed clock", conditions.attrib)
        idp("set", skew=0)
        encrypted(check, idp, folder)
        signed_requests(check, idp, folder)
        certificate_roll_over(check, idp, party)
        person = browser.Browser(ALICE)
        person.follow(f"{idp.start}?sp={party.entity_id}&RelayState=deep", done=lambda url, page: url == party.acs)
        check(party.responses[-1]["RelayState"] == "deep" and "InResponseTo" not in decoded(party.responses[-1]), "a start that the provider initiates", party.responses[-1])
        single_logout(check, idp, party)
        idp("lock", login="alice")
        check.refused("sign-in of one who is locked", lambda: party.sign_in(ALICE))
        check.refused("a wrong password", lambda: party.sign_in({**ALICE, "password": "wrong"}))


def decoded(form, name="SAMLResponse"):
    return base64.b64decode(form[name]).decode()


def verified(text, certificate):
    """Debian's xmlsec1 on every signature of the document, innermost first, as it stands."""
    with tempfile.TemporaryDirectory() as folder:
        cert, document = pathlib.Path(folder, "idp.pem"), pathlib.Path(folder, "response.xml")
        cert.write_text("-----BEGIN CERTIFICATE-----\n" + "\n".join(textwrap.wrap(certificate, 64)) + "\n-----END CERTIFICATE-----\n")
        document.write_text(text)
        runs = []
        for where in re.findall(r"<(?:\w+:)?(Response|Assertion)\b", text):
            spot = f"//*[local-name(.)='{where}']/*[local-name(.)='Signature']"
            runs.append(subprocess.run(["xmlsec1", "--verify", "--pubkey-cert-pem", str(cert), "--id-attr:ID", where, "--id-attr:ID", "Assertion",
                                        "--node-xpath", spot, str(document)], capture_output=True, text=True).returncode)
        return runs and not any(runs)


def encrypted(check, idp, folder):
    """A service provider with a key gets an assertion that only the key opens."""
    key, cert = folder / "sp.key", folder / "sp.crt"
    if not key.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=sp", "-keyout", key, "-out", cert], check=True, capture_output=True)
    party = parties.ServiceProvider("".join(cert.read_text().splitlines()[1:-1]))
    idp("sp", metadata=party.metadata())
    party.read_metadata(idp.metadata)
    idp("set", encrypt=True)
    _, text, _ = party.sign_in(ALICE)
    idp("set", encrypt=False)
    (folder / "encrypted.xml").write_text(text)
    run = subprocess.run(["xmlsec1", "--decrypt", "--privkey-pem", key, folder / "encrypted.xml"], capture_output=True, text=True)
    check("EncryptedAssertion" in text and "alice@one.example" not in text and "alice@one.example" in run.stdout, "an encrypted assertion opens with the key", run.stderr or text)


def signed_requests(check, idp, folder):
    """Where signed requests are wanted, an unsigned and an altered one are refused."""
    key, cert = folder / "sp.key", folder / "sp.crt"
    party = parties.ServiceProvider("".join(cert.read_text().splitlines()[1:-1]), serialization.load_pem_private_key(key.read_bytes(), None))
    idp("sp", metadata=party.metadata())
    idp("set", want_signed_requests=True)
    party.read_metadata(idp.metadata)
    check(party.sign_in(ALICE)[0] is not None, "a signed request")
    altered = party.redirect(party.sso, party.authn_request(), "relay-1").replace("relay-1", "relay-2")
    check.refused("an altered RelayState", lambda: browser.Browser(ALICE).follow(altered, done=lambda url, page: url == party.acs))
    party.key = None
    check.refused("an unsigned request", lambda: party.sign_in(ALICE))
    idp("set", want_signed_requests=False)


def certificate_roll_over(check, idp, party):
    old = party.certificates[0]
    idp("certificate", step="announce")
    party.read_metadata(idp.metadata)
    check(len(party.certificates) == 2 and party.certificates[0] == old, "the next certificate is announced")
    idp("certificate", step="use")
    root, text, _ = party.sign_in(ALICE)
    check(old not in text and party.certificates[1] in "".join(text.split()), "then used")
    idp("certificate", step="retire")
    party.read_metadata(idp.metadata)
    check(len(party.certificates) == 1 and party.certificates[0] != old, "then the only one", party.certificates)


def single_logout(check, idp, party):
    """From the service provider: LogoutRequest by redirect, LogoutResponse back; the session is over."""
    root, _, _ = party.sign_in(ALICE)
    person = party.browser
    sent = len(party.responses)
    party.sign_in(ALICE, person=person)
    check(not any("login" in url for _, url, _ in person.trail[-2:]), "the session is remembered", person.trail[-3:])
    name = root.find(".//saml:NameID", parties.SAML)
    index = root.find(".//saml:AuthnStatement", parties.SAML).get("SessionIndex")
    request = party.logout_request(name, index)
    before = len(party.logouts)
    person.follow(party.redirect(party.slo, request), done=lambda url, page: len(party.logouts) > before)
    answer = party.logouts[-1] if len(party.logouts) > before else {}
    check("SAMLResponse" in answer, "the logout was answered", answer)
    check(b"status:Success" in zlib.decompress(base64.b64decode(answer["SAMLResponse"]), -15), "with success", answer)
    check(sent and not any(one["login"] == "alice" and index in one["indices"].values() for one in idp("state")["sessions"]), "the session is over", idp("state"))


def simplesamlphp(check, folder):
    party = parties.ServiceProvider()
    with providers.start("simplesamlphp", folder, {"users": {"alice": ALICE_THERE}}) as idp:
        idp("sp", metadata=party.metadata())
        party.read_metadata(idp.metadata)
        check(party.idp == idp.entity_id, "metadata", party.idp)
        root, text, relay = party.sign_in(ALICE)
        check(parties.signed_parts(root) == ["Assertion", "Response"], "response and assertion are signed", parties.signed_parts(root))
        check(verified(text, party.certificates[0]), "xmlsec1 accepts both signatures", text)
        check(relay == "relay-1" and root.get("InResponseTo") == party.request_id, "RelayState and InResponseTo", root.attrib)
        wanted = {"uid": ["alice"], "mail": ["alice@one.example"], "displayName": ["Alice One"], "groups": ["eng", "ops"]}
        check(parties.attributes(root) == wanted, "attributes", parties.attributes(root))
        check(root.findtext(".//saml:NameID", namespaces=parties.SAML) == "alice", "a persistent NameID", text)
        check("SessionNotOnOrAfter" in text, "SessionNotOnOrAfter", text)
        idp("set", sign_response=False, sign_metadata=True, omit=["mail"])
        root = party.sign_in(ALICE)[0]
        check(parties.signed_parts(root) == ["Assertion"] and "mail" not in parties.attributes(root), "settings take effect", parties.attributes(root))
        metadata = party.read_metadata(idp.metadata)
        check(metadata.find("ds:Signature", parties.SAML) is not None, "signed metadata")
        person = browser.Browser(ALICE)
        person.follow(f"{idp.start}{urllib.parse.quote(party.entity_id)}&RelayState=deep", done=lambda url, page: url == party.acs)
        check(party.responses[-1]["RelayState"] == "deep" and "InResponseTo" not in decoded(party.responses[-1]), "a start that the provider initiates", party.responses[-1])
        idp("set", omit=[])
        encrypted(check, idp, folder)
        signed_requests(check, idp, folder)
        logout_there(check, party)
        check.refused("a wrong password", lambda: party.sign_in({**ALICE, "password": "wrong"}))
        party.sign_in(ALICE)
        person = party.browser
        idp("lock", login="alice")
        check.refused("a remembered session of one who is locked", lambda: party.sign_in(ALICE, person=person))
        idp("unlock", login="alice")
        idp("delete", login="alice")
        check.refused("sign-in of one who was deleted", lambda: party.sign_in(ALICE))


def logout_there(check, party):
    root, _, _ = party.sign_in(ALICE)
    person, name = party.browser, root.find(".//saml:NameID", parties.SAML)
    index = root.find(".//saml:AuthnStatement", parties.SAML).get("SessionIndex")
    before = len(party.logouts)
    person.follow(party.redirect(party.slo, party.logout_request(name, index)), done=lambda url, page: len(party.logouts) > before)
    check(b"status:Success" in zlib.decompress(base64.b64decode(party.logouts[-1]["SAMLResponse"]), -15), "single logout succeeds", party.logouts[-1])
    again = party.sign_in(ALICE, person=person)[0].find(".//saml:AuthnStatement", parties.SAML).get("SessionIndex")
    check(again != index, "and the next sign-in is a new session", again)


def vendors(check, folder):
    many = [f"group-{number}" for number in range(201)]
    people = {"alice": {**ALICE_THERE, "hd": "one.example"}, "bob": {**BOB_THERE, "groups": many, "tid": "11111111-2222-3333-4444-555555555555"}}
    scope = {"google": "openid profile email"}
    for name in ("standard", "okta-org", "okta-custom", "entra", "google", "keycloak", "ping"):
        client = parties.Client()
        with providers.start("vendors", folder / name, {"vendor": name, "users": people, "clients": [client.metadata()]}) as idp:
            about = client.discover(idp.discovery)
            check(about["issuer"] == idp.issuer, f"{name}: discovery", about)
            given = client.sign_in(ALICE, scope.get(name, "openid profile email groups offline_access"), access_type="offline")
            check(VENDOR_CHECKS[name](given["claims"], about, client), f"{name}: claims", given["claims"])
            again = client.refresh(given)
            check(again["claims"]["sub"] == given["claims"]["sub"], f"{name}: refresh", again)
            check.refused(f"{name}: a used refresh token", lambda: client.refresh(given), "invalid_grant")
            if "pushed_authorization_request_endpoint" in about:
                key_and_push(check, idp, name)
            idp("rotate")
            check(client.sign_in(ALICE, scope.get(name, "openid"))["claims"]["sub"], f"{name}: a new key")
            idp("lock", login="alice")
            check.refused(f"{name}: refresh of one who is locked", lambda: client.refresh(again), "invalid_grant")
            if name == "keycloak":
                logout_token(check, idp, client)
            if name == "okta-org":
                universal_logout(check, idp)
            if name == "google":
                check.refused("google refuses offline_access", lambda: client.sign_in(BOB, "openid offline_access"), "invalid_scope")


def logout_token(check, idp, client):
    claims = client.sign_in(BOB, "openid")["claims"]
    told = idp("back-channel", login="bob")["told"]
    seen = client.verify(client.logout_tokens[-1])
    check(told[0]["status"] == 200 and seen["sid"] == claims["sid"] and "nonce" not in seen, "keycloak: back-channel logout", (told, seen))


def universal_logout(check, idp):
    recorder = parties.Recorder()
    idp("global-token-revocation", url=f"{recorder.url}/revoke", login="alice")
    method, path, headers, body = recorder.requests[-1]
    check(json.loads(body)["sub_id"]["format"] == "iss_sub" and headers["Authorization"].startswith("Bearer ey"), "okta: global token revocation", body)


VENDOR_CHECKS = {
    "standard": lambda claims, about, client: claims["groups"] == ["eng", "ops"] and client.iss is None,
    "okta-org": lambda claims, about, client: "email" not in claims and claims["groups"] == ["eng", "ops"] and claims["sub"].startswith("00u"),
    "okta-custom": lambda claims, about, client: claims["iss"].endswith("/oauth2/default") and "email" not in claims,
    "entra": lambda claims, about, client: claims["iss"].endswith(f"/{claims['tid']}/v2.0") and "email_verified" not in claims and "code_challenge_methods_supported" not in about,
    "google": lambda claims, about, client: claims["hd"] == "one.example" and claims["azp"] == client.client_id and client.iss == about["issuer"],
    "keycloak": lambda claims, about, client: claims["groups"] == ["/eng", "/ops"] and claims["typ"] == "ID" and client.iss == about["issuer"],
    "ping": lambda claims, about, client: claims["acr"] == "Multi_Factor" and "env" in claims and "email" not in claims,
}


def entra_common(check, folder):
    """The issuer template and the overage of groups, and that each lie is told."""
    many = [f"group-{number}" for number in range(201)]
    person = {**BOB_THERE, "groups": many, "tid": "11111111-2222-3333-4444-555555555555"}
    client = parties.Client()
    config = {"vendor": "entra", "options": {"audience": "common"}, "users": {"bob": person}, "clients": [client.metadata()]}
    with providers.start("vendors", folder / "entra", config) as idp:
        about = client.discover(idp.discovery)
        check(about["issuer"].endswith("/{tenantid}/v2.0"), "an issuer template", about)
        client.provider["issuer"] = about["issuer"].replace("{tenantid}", person["tid"])
        given = client.sign_in(BOB, "openid email")
        claims = given["claims"]
        check(claims["tid"] == person["tid"] and "groups" not in claims, "the tenant's issuer", claims)
        source = claims["_claim_sources"][claims["_claim_names"]["groups"]]["endpoint"]
        status, _, text = parties.fetch(source, b"{}", {"Authorization": f"Bearer {given['access_token']}"})
        check(status == 200 and len(json.loads(text)["value"]) == 201, "groups beyond the token", text[:200])
    config = {"vendor": "keycloak", "users": {"bob": BOB_THERE}, "clients": [client.metadata()]}
    with providers.start("vendors", folder / "lies", config) as idp:
        client.discover(idp.discovery)
        quiet = {"response_iss_missing", "response_iss_added", "response_iss_wrong", "wrong_at_hash", "metadata_issuer", "metadata_plain", "userinfo_other_sub",
                 "refresh_other_sub", "refresh_unavailable", "no_id_token", "no_exp", "no_sub", "many_aud", "wrong_azp", "unknown_crit"}
        for mode in idp.modes:
            idp("set", mode=mode)
            if mode not in quiet:
                check.refused(f"PyJWT believes the lie {mode}", lambda: client.sign_in(BOB, "openid"))
        idp("set", mode=None)
        check(client.sign_in(BOB, "openid")["claims"]["sub"], "the truth again")


def ssf(check, folder):
    subject = {"format": "iss_sub", "iss": "https://idp.one.example", "sub": "alice"}
    receiver = parties.Recorder()
    receiver.answers["/push"] = 202
    with providers.start("ssf", folder, {"path": "/lab", "tokens": ["receiver-token"], "clients": {"gate": "secret"}}) as idp:
        about = json.loads(parties.fetch(idp.metadata)[2])
        check(about["issuer"] == idp.issuer and about["spec_version"] == "1_0", "configuration", about)
        form = {"grant_type": "client_credentials", "client_id": "gate", "client_secret": "secret", "scope": "ssf.manage"}
        check(parties.fetch(idp.token_endpoint, form)[0] == 200, "client credentials")
        check(asked(about["configuration_endpoint"], {}, token="wrong")[0] == 401, "a wrong token")
        delivery = {"method": "urn:ietf:rfc:8935", "endpoint_url": f"{receiver.url}/push", "authorization_header": "Bearer mine"}
        status, stream = asked(about["configuration_endpoint"], {"delivery": delivery, "events_requested": list(idp.events.values())})
        check(status == 201 and stream["iss"] == idp.issuer and "authorization_header" not in stream["delivery"], "a stream", stream)
        check(asked(about["verification_endpoint"], {"stream_id": stream["stream_id"], "state": "s-1"})[0] == 204, "verification is taken")
        wait(lambda: receiver.requests)
        method, path, headers, token = receiver.requests[-1]
        check(headers["Content-Type"] == "application/secevent+jwt" and headers["Authorization"] == "Bearer mine", "pushed by RFC 8935", headers)
        head, claims = opened(token, about)
        event = claims["events"]["https://schemas.openid.net/secevent/ssf/event-type/verification"]
        check(head["typ"] == "secevent+jwt" and event == {"state": "s-1"} and claims["sub_id"]["id"] == stream["stream_id"] and "exp" not in claims, "a verification event", claims)
        for name in idp.events:
            found = idp("send", type=name, sub_id=subject)
            check(found["status"] == 202 and next(iter(opened(receiver.requests[-1][3], about)[1]["events"])) == idp.events[name], f"sends {name}", found)
        again = idp("replay", jti=found["jti"])
        check(receiver.requests[-1][3] == receiver.requests[-2][3] and again["status"] == 202, "replays the same bytes")
        for mode in [None, *idp.modes]:
            idp("send", type="session-revoked", sub_id=subject, mode=mode)
            check(sound(receiver.requests[-1][3], about) == (mode is None), f"a strict receiver judges the mode {mode}", receiver.requests[-1])
        receiver.answers["/push"] = 200
        idp("send", type="session-revoked", sub_id=subject)
        check(any("acceptance is 202" in line for line in idp("state")["complaints"]), "complains about 200", idp("state")["complaints"])
        poll(check, idp, about, subject)


def sound(token, about):
    """Whether RFC 8417 and SSF section 4.1 let a receiver take this token."""
    try:
        header, claims = opened(token, about)
        young = abs(time.time() - claims["iat"]) < 600
        return header["typ"] == "secevent+jwt" and young and len(claims["events"]) == 1 and {"jti", "sub_id"} <= set(claims) and not {"exp", "sub"} & set(claims)
    except (jwt.PyJWTError, KeyError):
        return False


def poll(check, idp, about, subject):
    status, stream = asked(about["configuration_endpoint"], {"events_requested": [idp.events["account-purged"]]})
    check(stream["delivery"]["method"] == "urn:ietf:rfc:8936" and stream["events_delivered"] == [idp.events["account-purged"]], "poll is the default", stream)
    idp("send", type="account-purged", sub_id=subject)
    idp("send", type="account-purged", sub_id=subject)
    where = stream["delivery"]["endpoint_url"]
    first = asked(where, {"maxEvents": 1, "returnImmediately": True})[1]
    check(len(first["sets"]) == 1 and first["moreAvailable"], "one of two", first)
    jti = next(iter(first["sets"]))
    second = asked(where, {"ack": [jti], "returnImmediately": True})[1]
    check(len(second["sets"]) == 1 and jti not in second["sets"], "an acknowledged one is gone", second)
    other = next(iter(second["sets"]))
    third = asked(where, {"setErrs": {other: {"err": "invalid_audience", "description": "not mine"}}, "returnImmediately": True})[1]
    check(third["sets"] == {}, "so is a refused one", third)
    asked(where, {"ack": ["never-given"], "returnImmediately": True})
    check("never-given" in idp("state")["complaints"][-1], "complains about a foreign acknowledgement", idp("state")["complaints"])
    check(asked(about["status_endpoint"], {"stream_id": stream["stream_id"], "status": "paused"})[1]["status"] == "paused", "paused")
    check(idp("send", type="account-purged", sub_id=subject).get("held"), "held while paused")
    asked(about["status_endpoint"], {"stream_id": stream["stream_id"], "status": "enabled"})
    check(len(asked(where, {})[1]["sets"]) == 1, "and given afterwards")


def asked(url, content, token="receiver-token"):
    status, _, text = parties.fetch(url, json.dumps(content).encode(), {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    return status, json.loads(text) if text else None


def opened(token, about):
    keys = jwt.PyJWKSet.from_dict(json.loads(parties.fetch(about["jwks_uri"])[2])).keys
    header = jwt.get_unverified_header(token)
    key = next((key for key in keys if key.key_id == header["kid"]), None)
    if key is None:
        raise jwt.InvalidKeyError(f"no key {header['kid']}")
    return header, jwt.decode(token, key, algorithms=["RS256"], issuer=about["issuer"], audience="https://receiver.example")


def wait(good, seconds=5):
    deadline = time.monotonic() + seconds
    while not good() and time.monotonic() < deadline:
        time.sleep(0.02)


def person(check, folder):
    """The browser through a page with two forms, to an identity provider and back, with the rules of SameSite."""
    door, client, party = front_door.FrontDoor(), parties.Client(), parties.ServiceProvider()
    account = {**ALICE, "federated": True}
    client.redirect_uri = f"{door.url}/callback"
    party.acs = f"{door.url}/acs"
    with providers.start("oidc-provider", folder / "oidc", {"users": {"alice": ALICE_THERE}}) as idp:
        idp("client", **client.metadata())
        client.discover(idp.discovery)
        door.onward = lambda: client.authorization_url("openid")
        back = browser.Browser(account).callback(door.authorization())
        check("state=client-state" in back and door.address == ALICE["email"], "by address to OpenID Connect and back", back)
        check(door.seen == [("/discover", ["lax", "strict"]), ("callback", ["lax"])], "a Strict cookie stays behind at a redirect from elsewhere", door.seen)
        door.seen.clear()
        browser.Browser({**account, "press": "single sign-on"}).callback(door.authorization())
        check(door.seen[0][0] == "direct", "a preferred link is taken", door.seen)
        run = subprocess.run([sys.executable, str(HERE.parent / "walk.py"), "--no-callback", door.authorization()], capture_output=True, text=True,
                             env={**os.environ, "SALLYPORT_BROWSER": str(HERE / "browser.py"), "SALLYPORT_ACCOUNT": json.dumps(account)})
        check(run.stdout.startswith("http://127.0.0.1:9/client?code="), "walk.py hands over to it", run.stderr)
    with providers.start("samlp", folder / "saml", {"users": {"alice": ALICE_THERE}, "service_providers": [{"metadata": party.metadata()}]}) as idp:
        party.read_metadata(idp.metadata)
        door.onward = lambda: party.redirect(party.sso, party.authn_request())
        door.seen.clear()
        back = browser.Browser(account).callback(door.authorization())
        wanted = [("/discover", ["lax", "strict"]), ("/acs", []), ("/acs/again", ["lax", "strict"])]
        check("state=client-state" in back and door.seen == wanted, "a POST from elsewhere brings no cookie; posted again it does", door.seen)
        check.refused("walk.py's password form is not used", lambda: browser.Browser({**account, "password": "wrong"}).callback(door.authorization()), "asks again")


PARTS = {"person": person, "oidc-provider": oidc_provider, "canaille": canaille, "samlp": samlp, "simplesamlphp": simplesamlphp, "vendors": vendors, "entra-common": entra_common, "ssf": ssf}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", action="append", choices=PARTS)
    options = parser.parse_args()
    check = Checks()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lab-idp-"))
    for name, part in PARTS.items():
        if options.only and name not in options.only:
            continue
        start, before = time.monotonic(), (check.passed, check.failed)
        try:
            part(check, folder / name)
        except Exception:
            check.failed += 1
            print(f"FAILED {name}:\n{traceback.format_exc()}", flush=True)
        print(f"{name:<16}{check.passed - before[0]:4} passed, {check.failed - before[1]} failed, {time.monotonic() - start:.1f} s", flush=True)
    if check.failed:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed or not check.passed else 0


if __name__ == "__main__":
    sys.exit(main())
