#!/usr/bin/env python3
"""A FIXTURE, not a vendor's software: a small, strict OpenID Connect issuer that behaves by the
documented quirks of Okta, Entra ID, Google, Keycloak or Ping (vendor_profiles.py), and on request lies.

    vendors.py --state DIR [--port N] [--config FILE|-]

Configuration: {"vendor": "okta-org" | "okta-custom" | "entra" | "google" | "keycloak" | "ping" | "standard",
"options": {"tenant", "audience": "common", "bare_issuer", "environment"}, "clients": [{"client_id",
"client_secret", "redirect_uris", "jwks", "backchannel_logout_uri"}], "users": {LOGIN: {"password", "sub", "email",
"email_verified", "name", "groups", "otp", "tid", "oid", "hd"}}, "mode": null}

It refuses: a redirect URI or a client that it does not know, a request without PKCE S256, a code used
twice (and ends what came of it), a wrong verifier, client authentication that fails, a used refresh token.
Modes (also by the control port's `set`) are the lies; MODES below lists them.

Control port (POST JSON): client {…}, user {login, …}, lock, unlock, delete {login}, set {mode}, rotate {}, retire {},
back-channel {login, …} (logout token, Keycloak), front-channel {login} (returns the parameters),
global-token-revocation {url, login, …} (Okta's Universal Logout), state {}.

Needs cryptography and PyJWT (`.test/lab/py`).
"""

import base64
import hashlib
import html
import http.cookies
import json
import os
import pathlib
import secrets
import sys
import time
import urllib.parse
import urllib.request
import uuid

HERE = pathlib.Path(__file__).resolve().parent
LAB = pathlib.Path(os.environ.get("SALLYPORT_LAB") or HERE.parent.parent / ".test/lab").resolve()
if pathlib.Path(sys.prefix) != LAB / "py":
    os.execv(LAB / "py/bin/python", [str(LAB / "py/bin/python"), *sys.argv])
import control  # noqa: E402
import jwt  # noqa: E402
import tokens  # noqa: E402
from vendor_profiles import VENDORS  # noqa: E402

MODES = {
    "alg_none": "the ID token is not signed",
    "alg_hs256": "it is signed HS256 with the public key as the secret",
    "foreign_key": "another key signs under the published kid",
    "unknown_kid": "a key signs that was never published",
    "embedded_jwk": "another key signs, and stands in the header",
    "jku": "another key signs, and the header says where it is",
    "unknown_crit": "the header has a critical extension that nobody knows",
    "jwks_swap": "the published keys are replaced at each fetch, and the token is signed by none of them",
    "wrong_aud": "the audience is another client", "empty_aud": "the audience is [] (Canaille's default)",
    "many_aud": "two audiences and no azp", "wrong_azp": "azp is another client",
    "wrong_nonce": "another nonce", "no_nonce": "no nonce",
    "other_issuer": "iss of the ID token is another issuer", "expired": "exp was an hour ago", "no_exp": "no exp",
    "future": "iat and nbf are in an hour", "no_sub": "no sub", "wrong_at_hash": "at_hash of another token",
    "response_iss_missing": "no iss in the authorization response", "response_iss_wrong": "iss of another issuer in it (mix-up)",
    "response_iss_added": "iss in it although it is not announced, and right", "wrong_state": "another state in the response",
    "metadata_issuer": "discovery says another issuer", "metadata_plain": "discovery offers PKCE plain and alg none (Canaille)",
    "userinfo_other_sub": "userinfo speaks of another person", "refresh_other_sub": "a refreshed ID token speaks of another person",
    "refresh_unavailable": "the token endpoint answers 503 to a refresh", "no_id_token": "no ID token",
}
ELSEWHERE = "https://attacker.example"
PAGE = """<!doctype html><title>Sign in</title><p>{note}</p><form method="post" action="{action}"><input type="text" name="login">
<input type="password" name="password"><input type="text" name="otp" autocomplete="one-time-code"><button>Sign in</button></form>"""


class Refused(Exception):
    """An OAuth error: status and members of the answer."""

    def __init__(self, error, description, status=400, **more):
        self.status, self.answer = status, {"error": error, "error_description": description, **more}
        super().__init__(description)


class Issuer:
    """The state of one issuer."""

    def __init__(self, vendor, config):
        self.vendor, self.mode = vendor, config.get("mode")
        self.clients = {client["client_id"]: client for client in config.get("clients", [])}
        self.users, self.locked = config.get("users", {}), set()
        self.keys, self.other = [tokens.Key()], tokens.Key()
        self.sessions, self.codes, self.refresh, self.access, self.pushed = {}, {}, {}, {}, {}
        self.seen = {"sign_ins": 0, "refreshes": 0, "refused_refreshes": 0, "token_requests": []}

    # ---- what the person sees

    def authorize(self, query, session):
        """Returns ("page", note) or ("redirect", url); errors before the redirect URI is known are pages."""
        if "request_uri" in query:
            query = self.pushed.pop(query["request_uri"], None)
            if query is None:
                raise Refused("invalid_request_uri", "unknown or used request_uri")
        client = self.clients.get(query.get("client_id"))
        if client is None:
            raise Refused("invalid_client", "unknown client_id")
        if query.get("redirect_uri") not in client["redirect_uris"]:
            raise Refused("invalid_request", "the redirect_uri is not registered")
        scopes = query.get("scope", "").split()
        trouble = self.trouble(query, scopes)
        if trouble:
            return "redirect", self.back(query, {"error": trouble[0], "error_description": trouble[1]})
        stale = session and "max_age" in query and time.time() - session["auth_time"] > int(query["max_age"])
        weak = session and self.wants_strong(query) and not session["strong"]
        if session is None or stale or weak or ("login" in query.get("prompt", "") and not session.pop("fresh", False)):
            if query.get("prompt") == "none":
                return "redirect", self.back(query, {"error": "login_required", "error_description": "nobody is signed in"})
            return "page", query
        session.pop("fresh", None)
        code = secrets.token_urlsafe(32)
        self.codes[code] = {"query": query, "session": {**session, "client_id": query["client_id"], "scopes": scopes}, "until": time.time() + 60, "grant": None}
        return "redirect", self.back(query, {"code": code, **self.vendor.response(self.codes[code]["session"])})

    def wants_strong(self, query):
        return self.vendor.strong_acr in (query.get("acr_values", "") + query.get("claims", ""))

    def trouble(self, query, scopes):
        if query.get("response_type") != "code":
            return "unsupported_response_type", "only code"
        if "openid" not in scopes:
            return "invalid_scope", "openid is missing"
        if query.get("code_challenge_method") != "S256" or len(query.get("code_challenge", "")) != 43:
            return "invalid_request", "PKCE with S256 is required"
        refused = self.vendor.refuses_scope(scopes)
        return ("invalid_scope", refused) if refused else None

    def back(self, query, answer):
        answer = {"state": query["state"]} | answer if "state" in query else dict(answer)
        if self.vendor.response_iss or self.mode == "response_iss_added":
            answer["iss"] = self.vendor.issuer
        if self.mode == "response_iss_missing":
            answer.pop("iss", None)
        if self.mode == "response_iss_wrong":
            answer["iss"] = ELSEWHERE
        if self.mode == "wrong_state":
            answer["state"] = secrets.token_urlsafe(16)
        joint = "&" if "?" in query["redirect_uri"] else "?"
        return query["redirect_uri"] + joint + urllib.parse.urlencode(answer)

    def sign_in(self, form):
        """The session of who signed in, or None."""
        user = self.users.get(form.get("login"))
        if user is None or user.get("password", f"{form['login']}-password") != form.get("password") or form["login"] in self.locked:
            return None
        self.seen["sign_ins"] += 1
        sid = secrets.token_hex(16)
        self.sessions[sid] = {"login": form["login"], "sid": sid, "auth_time": int(time.time()), "fresh": True,
                              "strong": bool(user.get("otp")) and user["otp"] == form.get("otp")}
        return self.sessions[sid]

    # ---- what the client asks

    def authenticate(self, form, authorization, endpoint):
        """The client that sent `form`, by one method, or a refusal."""
        if authorization and authorization.startswith("Basic "):
            name, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            form = {**form, "client_id": urllib.parse.unquote_plus(name), "client_secret": urllib.parse.unquote_plus(secret)}
        if form.get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
            return self.assertion(form["client_assertion"], endpoint)
        client = self.clients.get(form.get("client_id"))
        if client is None or not client.get("client_secret") or not secrets.compare_digest(client["client_secret"], form.get("client_secret", "")):
            raise Refused("invalid_client", "client authentication failed", 401)
        return client

    def assertion(self, token, endpoint):
        client = self.clients.get(jwt.decode(token, options={"verify_signature": False}).get("sub"))
        header = jwt.get_unverified_header(token)
        if client is None or not client.get("jwks"):
            raise Refused("invalid_client", "unknown client", 401)
        if self.vendor.name == "entra" and not {"x5t", "x5t#S256"} & set(header):
            raise Refused("invalid_client", "AADSTS700027: the assertion's header has no thumbprint of a certificate (x5t)", 401)
        keys = [key for key in jwt.PyJWKSet.from_dict(client["jwks"]).keys if "kid" not in header or key.key_id == header["kid"]]
        try:
            claims = jwt.decode(token, keys[0], algorithms=["RS256", "PS256", "ES256"], audience=[self.vendor.issuer, endpoint], issuer=client["client_id"],
                                options={"require": ["exp", "jti", "sub", "aud", "iss"]})
        except (jwt.InvalidTokenError, IndexError) as error:
            raise Refused("invalid_client", f"the assertion is refused: {error}", 401) from None
        if (client["client_id"], claims["jti"]) in self.pushed:
            raise Refused("invalid_client", "the assertion was used before", 401)
        self.pushed[client["client_id"], claims["jti"]] = claims["exp"]
        return client

    def token(self, form, client):
        if form.get("grant_type") == "authorization_code":
            return self.exchange(form, client)
        if form.get("grant_type") == "refresh_token":
            return self.renew(form, client)
        raise Refused("unsupported_grant_type", "only authorization_code and refresh_token")

    def exchange(self, form, client):
        kept = self.codes.get(form.get("code"))
        if kept is None or kept["until"] < time.time() or kept["query"]["client_id"] != client["client_id"]:
            raise Refused("invalid_grant", "unknown or expired code")
        if kept["grant"]:
            # Used twice: what came of it ends too (RFC 6749 section 4.1.2).
            self.refresh = {token: one for token, one in self.refresh.items() if one["grant"] != kept["grant"]}
            raise Refused("invalid_grant", "the code was used before")
        if form.get("redirect_uri") != kept["query"]["redirect_uri"]:
            raise Refused("invalid_grant", "another redirect_uri than in the request")
        proof = tokens.b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if len(form.get("code_verifier", "")) < 43 or proof != kept["query"]["code_challenge"]:
            raise Refused("invalid_grant", "the code_verifier does not fit")
        kept["grant"] = secrets.token_hex(8)
        wants = self.vendor.wants_refresh(kept["session"]["scopes"], kept["query"])
        return self.answer(kept["session"], kept["grant"], kept["query"].get("nonce"), wants)

    def renew(self, form, client):
        if self.mode == "refresh_unavailable":
            raise Refused("temporarily_unavailable", "try again later", 503)
        kept = self.refresh.pop(form.get("refresh_token"), None)
        login = kept and kept["session"]["login"]
        self.seen["refused_refreshes"] += 1
        if kept is None or kept["session"]["client_id"] != client["client_id"]:
            raise Refused("invalid_grant", "unknown refresh token")
        if login in self.locked or login not in self.users:
            raise Refused(self.vendor.locked["error"], self.vendor.locked["error_description"], **{
                name: value for name, value in self.vendor.locked.items() if not name.startswith("error") or name == "error_codes"})
        if kept["session"]["sid"] not in self.sessions:
            raise Refused("invalid_grant", "Session not active")
        self.seen["refused_refreshes"] -= 1
        self.seen["refreshes"] += 1
        return self.answer(kept["session"], kept["grant"], None, True)

    def answer(self, session, grant, nonce, refreshable):
        access = secrets.token_urlsafe(32)
        self.access[access] = session
        found = {"access_token": access, "token_type": "Bearer", "expires_in": 3600, "scope": " ".join(session["scopes"])}
        if self.mode != "no_id_token":
            found["id_token"] = self.id_token(session, access, nonce)
        if refreshable:
            found["refresh_token"] = secrets.token_urlsafe(32)
            self.refresh[found["refresh_token"]] = {"session": session, "grant": grant}
        return found

    def id_token(self, session, access, nonce):
        user, now, mode = self.users[session["login"]], int(time.time()), self.mode
        claims = {"iss": self.vendor.token_issuer(user), "sub": self.vendor.sub(session["login"], user), "aud": session["client_id"], "iat": now, "exp": now + 3600,
                  "auth_time": session["auth_time"], "at_hash": tokens.half_hash(access), **self.vendor.claims(session["login"], user, session, session["scopes"]),
                  **self.vendor.strength(session), **({"nonce": nonce} if nonce else {})}
        if self.vendor.name == "entra":
            claims["nbf"] = now
        wrong = {"wrong_aud": {"aud": "another-client"}, "empty_aud": {"aud": []}, "many_aud": {"aud": [session["client_id"], "another-client"]},
                 "wrong_azp": {"azp": "another-client"}, "wrong_nonce": {"nonce": secrets.token_urlsafe(16)}, "other_issuer": {"iss": ELSEWHERE},
                 "expired": {"iat": now - 7200, "exp": now - 3600}, "future": {"iat": now + 3600, "nbf": now + 3600, "exp": now + 7200},
                 "wrong_at_hash": {"at_hash": tokens.half_hash("another")}}
        claims |= wrong.get(mode, {})
        if mode == "refresh_other_sub" and nonce is None:
            claims["sub"] = "somebody-else"
        for name in {"no_nonce": ["nonce"], "no_exp": ["exp"], "no_sub": ["sub"], "many_aud": ["azp"]}.get(mode, []):
            claims.pop(name, None)
        return self.sign({name: value for name, value in claims.items() if value is not None})

    def sign(self, claims):
        key, other, jwk = self.keys[0], self.other, self.other.jwk()
        forged = {"alg_none": (key, {"alg": "none"}), "alg_hs256": (key, {"alg": "HS256"}), "foreign_key": (other, {"kid": key.kid}), "unknown_kid": (other, {}),
                  "embedded_jwk": (other, {"jwk": jwk, "kid": other.kid}), "jku": (other, {"jku": f"{ELSEWHERE}/keys"}),
                  "unknown_crit": (key, {"crit": ["lab"], "lab": True}), "jwks_swap": (other, {"kid": key.kid})}
        signer, header = forged.get(self.mode, (key, {}))
        return signer.sign(claims, header)

    def jwks(self):
        if self.mode == "jwks_swap":
            return self.vendor.published([tokens.Key().jwk()])
        return self.vendor.published([key.jwk() for key in self.keys])

    def metadata(self, issuer):
        known = self.vendor.metadata(ELSEWHERE if self.mode == "metadata_issuer" else issuer)
        if self.mode == "metadata_plain":
            known |= {"code_challenge_methods_supported": ["plain", "S256"], "id_token_signing_alg_values_supported": ["none", "RS256"]}
        return known

    def userinfo(self, authorization):
        session = self.access.get((authorization or "").removeprefix("Bearer "))
        if session is None or session["login"] in self.locked or session["login"] not in self.users:
            raise Refused("invalid_token", "unknown access token", 401)
        user = self.users[session["login"]]
        found = self.vendor.userinfo_claims(session["login"], user, session, session["scopes"])
        sub = "somebody-else" if self.mode == "userinfo_other_sub" else self.vendor.sub(session["login"], user)
        return {"sub": sub, **{name: value for name, value in found.items() if value is not None}}

    # ---- what the driver asks

    def end(self, login):
        """Ends every session of a person; returns their ids with the clients that know them."""
        ended = {sid for sid, one in self.sessions.items() if one["login"] == login}
        known = {(one["session"]["client_id"], one["session"]["sid"]) for one in [*self.refresh.values(), *self.codes.values()] if one["session"]["sid"] in ended}
        self.sessions = {sid: one for sid, one in self.sessions.items() if sid not in ended}
        return sorted(known)

    def back_channel(self, asked):
        """Posts a logout token (OpenID Connect Back-Channel Logout 1.0) to each client; `claims` and `header` replace parts of it."""
        told = []
        for client_id, sid in self.end(asked["login"]):
            uri = asked.get("url") or self.clients[client_id].get("backchannel_logout_uri")
            if not uri:
                continue
            now = int(time.time())
            sub = self.vendor.sub(asked["login"], self.users[asked["login"]])
            claims = {"iss": self.vendor.token_issuer(self.users[asked["login"]]), "aud": client_id, "iat": now, "exp": now + 120, "jti": secrets.token_hex(16),
                      "sub": sub, "sid": sid, "events": {"http://schemas.openid.net/event/backchannel-logout": {}}, **asked.get("claims", {})}
            token = self.keys[0].sign({name: value for name, value in claims.items() if value is not None}, {"typ": "logout+jwt", **asked.get("header", {})})
            status, text = post(uri, urllib.parse.urlencode({"logout_token": token}).encode(), "application/x-www-form-urlencoded")
            told.append({"client_id": client_id, "sid": sid, "status": status, "answer": text, "logout_token": token})
        return {"told": told}

    def global_token_revocation(self, asked):
        """Okta's Universal Logout: the person as `sub_id`, the request signed by the org's key."""
        user, now = self.users[asked["login"]], int(time.time())
        claims = {"iss": self.vendor.issuer, "sub": asked.get("client_id", "0oalab"), "aud": asked.get("audience", asked["url"]), "jti": secrets.token_hex(16),
                  "iat": now, "nbf": now, "exp": now + 300, **asked.get("claims", {})}
        subject = {"format": "iss_sub", "iss": self.vendor.issuer, "sub": self.vendor.sub(asked["login"], user)}
        if asked.get("format") == "email":
            subject = {"format": "email", "email": user["email"]}
        if asked.get("format") == "opaque":
            subject = {"format": "opaque", "id": self.vendor.sub(asked["login"], user)}
        token = self.keys[0].sign(claims, {"typ": "global-token-revocation+jwt", **asked.get("header", {})})
        start = time.monotonic()
        status, text = post(asked["url"], json.dumps({asked.get("member", "sub_id"): asked.get("sub_id", subject)}).encode(), "application/json", f"Bearer {token}")
        return {"status": status, "answer": text, "milliseconds": (time.monotonic() - start) * 1000}

    def set(self, asked):
        if asked.get("mode") is not None and asked["mode"] not in MODES:
            raise ValueError(f"no such mode; there are {', '.join(MODES)}")
        self.mode = asked.get("mode")
        self.vendor.options.update(asked.get("options", {}))

    def rotate(self, _):
        self.keys.insert(0, tokens.Key())
        return {"kids": [key.kid for key in self.keys]}

    def retire(self, _):
        del self.keys[1:]
        return {"kids": [key.kid for key in self.keys]}


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(url, data, kind, authorization=None):
    headers = {"Content-Type": kind, **({"Authorization": authorization} if authorization else {})}
    try:
        with OPENER.open(urllib.request.Request(url, data, headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def handler(issuer):
    vendor = issuer.vendor

    class Handler(control.Quiet):
        def session(self):
            cookie = http.cookies.SimpleCookie(self.headers.get("Cookie", "")).get("vendor")
            return issuer.sessions.get(cookie.value) if cookie else None

        def show(self, query, session, cookie=()):
            try:
                what, found = issuer.authorize(query, session)
            except Refused as error:
                return self.answer(error.status, f"<h1>{html.escape(str(error))}</h1>", "text/html")
            if what == "redirect":
                return self.answer(302, "", "text/html", [("Location", found), *cookie])
            # A pushed request was taken from where it lay; the form carries what it said.
            action = f"{vendor.authorize}?{urllib.parse.urlencode(found)}"
            self.answer(200, PAGE.format(note="", action=html.escape(action)), "text/html", cookie)

        def do_GET(self):
            parts = urllib.parse.urlsplit(self.path)
            if parts.path == vendor.authorize:
                return self.show(dict(urllib.parse.parse_qsl(parts.query)), self.session())
            if urllib.parse.unquote(parts.path) in vendor.discovery_paths():
                return self.answer(200, issuer.metadata(vendor.discovery_paths()[urllib.parse.unquote(parts.path)]))
            if parts.path == vendor.jwks:
                return self.answer(200, issuer.jwks())
            if parts.path == vendor.userinfo:
                return self.said(lambda: issuer.userinfo(self.headers.get("Authorization")))
            if parts.path == vendor.logout:
                return self.answer(200, "<h1>You are signed out</h1>", "text/html", [("Set-Cookie", "vendor=; Max-Age=0; Path=/")])
            self.answer(404, {"error": "not_found"})

        def said(self, act, status=200):
            try:
                self.answer(status, act(), headers=[("Cache-Control", "no-store")])
            except Refused as error:
                self.answer(error.status, error.answer)

        def do_POST(self):
            parts = urllib.parse.urlsplit(self.path)
            form = dict(urllib.parse.parse_qsl(self.body().decode(), keep_blank_values=True))
            if parts.path == vendor.authorize:
                session = issuer.sign_in(form)
                query = dict(urllib.parse.parse_qsl(parts.query))
                if session is None:
                    return self.answer(401, PAGE.format(note="Wrong name or password.", action=html.escape(self.path)), "text/html")
                # Further cookies are the browser's; Lax as vendors' are.
                return self.show(query, session, [("Set-Cookie", f"vendor={session['sid']}; HttpOnly; Path=/; SameSite=Lax")])
            endpoint = vendor.base + parts.path
            if parts.path == vendor.token:
                issuer.seen["token_requests"].append(form.get("grant_type"))
                return self.said(lambda: issuer.token(form, issuer.authenticate(form, self.headers.get("Authorization"), endpoint)))
            if vendor.par and parts.path == vendor.par:
                return self.said(lambda: self.push(form, issuer.authenticate(form, self.headers.get("Authorization"), endpoint)), 201)
            if parts.path.endswith("/getMemberObjects"):
                return self.said(lambda: self.members())
            self.answer(404, {"error": "not_found"})

        def push(self, form, client):
            uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(24)}"
            issuer.pushed[uri] = {**{name: value for name, value in form.items() if not name.startswith("client_")}, "client_id": client["client_id"]}
            return {"request_uri": uri, "expires_in": 60}

        def members(self):
            issuer.userinfo(self.headers.get("Authorization"))
            login = issuer.access[self.headers["Authorization"].removeprefix("Bearer ")]["login"]
            return {"value": [str(uuid.uuid5(uuid.NAMESPACE_DNS, group)) for group in issuer.users[login].get("groups", [])]}

    return Handler


def main():
    _, port, config = control.settings(__doc__)
    port = port or control.free_port()
    vendor = VENDORS[config.get("vendor", "standard")](f"http://127.0.0.1:{port}", config.get("options", {}))
    issuer = Issuer(vendor, config)
    control.serve(handler(issuer), port)
    verbs = {
        "client": lambda asked: issuer.clients.update({asked["client_id"]: {**issuer.clients.get(asked["client_id"], {}), **asked}}),
        "user": lambda asked: issuer.users.setdefault(asked.pop("login"), {}).update(asked),
        "lock": lambda asked: issuer.locked.add(asked["login"]),
        "unlock": lambda asked: issuer.locked.discard(asked["login"]),
        "delete": lambda asked: {"deleted": issuer.users.pop(asked["login"])},
        "set": issuer.set, "rotate": issuer.rotate, "retire": issuer.retire,
        "back-channel": issuer.back_channel, "global-token-revocation": issuer.global_token_revocation,
        "front-channel": lambda asked: {"told": [{"client_id": client, "iss": vendor.issuer, "sid": sid} for client, sid in issuer.end(asked["login"])]},
        "state": lambda _: {**issuer.seen, "sessions": list(issuer.sessions.values())},
    }
    discovery = [vendor.base + path for path in vendor.discovery_paths()]
    control.ready({"kind": "oidc", "name": vendor.name, "fixture": True, "issuer": vendor.issuer, "discovery": discovery[0], "control": control.control(verbs),
                   "users": issuer.users, "modes": list(MODES), "clients": [{name: one.get(name) for name in ("client_id", "client_secret")} for one in issuer.clients.values()]})


if __name__ == "__main__":
    main()
