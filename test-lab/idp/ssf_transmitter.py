#!/usr/bin/env python3
"""A FIXTURE, not a vendor's software: a strict Shared Signals transmitter by OpenID SSF 1.0, CAEP 1.0,
RISC 1.0, the CAEP interoperability profile, RFC 8417, RFC 8935 (push) and RFC 8936 (poll). It holds the
receiver to those texts: whatever is wrong in a request or in an answer becomes a line in `complaints`.

    ssf_transmitter.py --state DIR [--port N] [--config FILE|-]

Configuration: {"path": "/issuer1" (an issuer with a path), "tokens": [bearer…], "clients": {ID: SECRET}
(client credentials at the token endpoint), "audience": "https://receiver.example", "methods": ["push",
"poll"], "single_stream": false, "min_verification_interval": 0, "events_supported": [URI…], "spec_version": "1_0"}

Control port (POST JSON): send {type, sub_id, event, stream_id, mode, claims, header} → {jti, status, answer,
milliseconds}; replay {jti, stream_id}; verify {stream_id} (unasked, without state); stream-updated
{stream_id, status}; rotate {}; misbehave {mode: null | "verification_wrong_state" | "verification_never" |
"iss_differs" | "metadata_issuer" | "events_delivered_empty" | "unavailable"}; state {}.
`type` is a name of EVENTS or a URI. `mode` of send is one of SENT below.

Needs cryptography (`.test/lab/py`).
"""

import base64
import json
import os
import pathlib
import secrets
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
LAB = pathlib.Path(os.environ.get("SALLYPORT_LAB") or HERE.parent.parent / ".test/lab").resolve()
if pathlib.Path(sys.prefix) != LAB / "py":
    os.execv(LAB / "py/bin/python", [str(LAB / "py/bin/python"), *sys.argv])
import control  # noqa: E402
import tokens  # noqa: E402

CAEP, RISC, SSF = (f"https://schemas.openid.net/secevent/{name}/event-type/" for name in ("caep", "risc", "ssf"))
PUSH, POLL = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"
REASON = {"reason_admin": {"en": "lab"}, "initiating_entity": "admin"}
# Name → (URI, what the event must hold, filled in where a driver does not say).
EVENTS = {
    "session-revoked": (CAEP + "session-revoked", REASON),
    "credential-change": (CAEP + "credential-change", {**REASON, "credential_type": "password", "change_type": "update"}),
    "token-claims-change": (CAEP + "token-claims-change", {"claims": {"role": "reader"}}),
    "assurance-level-change": (CAEP + "assurance-level-change", {"namespace": "NIST-AAL", "current_level": "nist-aal1", "previous_level": "nist-aal2", "change_direction": "decrease"}),
    "device-compliance-change": (CAEP + "device-compliance-change", {"previous_status": "compliant", "current_status": "not-compliant"}),
    "account-disabled": (RISC + "account-disabled", {"reason": "hijacking"}),
    "account-enabled": (RISC + "account-enabled", {}),
    "account-purged": (RISC + "account-purged", {}),
    "credential-compromise": (RISC + "credential-compromise", {"credential_type": "password"}),
    "sessions-revoked": (RISC + "sessions-revoked", {}),
}
VERIFICATION, UPDATED = SSF + "verification", SSF + "stream-updated"
SENT = ("forged", "unknown_kid", "alg_none", "alg_hs256", "embedded_jwk", "other_audience", "other_issuer", "no_typ", "wrong_typ", "with_exp", "with_sub",
        "no_jti", "no_iat", "no_sub_id", "no_events", "two_events", "old", "future", "not_a_token")
# RFC 8935 section 2.4 and SSF section 8.1.4.1.
ERRORS = {"invalid_request", "invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied", "invalid_state"}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Wrong(Exception):
    """The receiver's request is refused; the text is also a complaint unless `complain` says otherwise."""

    def __init__(self, status, text, complain=True):
        self.status, self.complain = status, complain
        super().__init__(text)


class Stream:
    """One event stream: its configuration and what waits or was sent."""

    def __init__(self, transmitter, receiver, asked):
        self.receiver, self.status, self.reason = receiver, "enabled", None
        self.held, self.queue, self.acknowledged, self.errors, self.verified = [], {}, [], {}, 0
        self.arrived = threading.Condition()
        self.content = {"stream_id": secrets.token_hex(16), "iss": transmitter.issuer, "aud": transmitter.config.get("audience", "https://receiver.example")}
        self.take(transmitter, asked)

    def take(self, transmitter, asked):
        supported = transmitter.config.get("events_supported", [uri for uri, _ in EVENTS.values()])
        requested = asked.get("events_requested", self.content.get("events_requested", supported))
        delivery = asked.get("delivery", self.content.get("delivery", {"method": POLL}))
        transmitter.check_delivery(delivery)
        if delivery["method"] == POLL:
            delivery = {"method": POLL, "endpoint_url": f"{transmitter.base}/poll/{self.content['stream_id']}"}
        self.content |= {"delivery": delivery, "events_supported": supported, "events_requested": requested,
                         "events_delivered": [uri for uri in supported if uri in requested],
                         "min_verification_interval": transmitter.config.get("min_verification_interval", 0)}
        if "description" in asked:
            self.content["description"] = asked["description"]

    def shown(self, transmitter):
        """The configuration as the receiver sees it; the secret that it gave for pushing is not given back."""
        delivery = {name: value for name, value in self.content["delivery"].items() if name != "authorization_header"}
        shown = {**self.content, "delivery": delivery}
        if transmitter.misbehaves == "iss_differs":
            shown["iss"] = "https://attacker.example"
        if transmitter.misbehaves == "events_delivered_empty":
            shown["events_delivered"] = []
        return shown


class Transmitter:
    def __init__(self, base, config):
        self.base, self.config = base, config
        self.path = config.get("path", "")
        self.issuer = base + self.path
        self.keys, self.other = [tokens.Key()], tokens.Key()
        self.streams, self.complaints, self.sent, self.tokens = {}, [], {}, {}
        self.misbehaves, self.seen = None, []
        self.tokens = {token: {"receiver": "static", "scope": "ssf.manage ssf.read", "until": float("inf")} for token in config.get("tokens", [])}

    def complain(self, text):
        self.complaints.append(text)

    # ---- what the receiver may ask

    def metadata(self):
        at = f"{self.base}/ssf"
        methods = [{"push": PUSH, "poll": POLL}[name] for name in self.config.get("methods", ["push", "poll"])]
        return {"spec_version": self.config.get("spec_version", "1_0"), "issuer": "https://attacker.example" if self.misbehaves == "metadata_issuer" else self.issuer,
                "jwks_uri": f"{self.base}/jwks.json", "delivery_methods_supported": methods, "configuration_endpoint": f"{at}/stream", "status_endpoint": f"{at}/status",
                "add_subject_endpoint": f"{at}/subjects:add", "remove_subject_endpoint": f"{at}/subjects:remove", "verification_endpoint": f"{at}/verify",
                "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}], "default_subjects": "ALL", "critical_subject_members": ["user"]}

    def check_delivery(self, delivery):
        methods = self.metadata()["delivery_methods_supported"]
        if delivery.get("method") not in methods:
            raise Wrong(400, f"delivery.method is {delivery.get('method')!r} and not one of {methods}")
        if delivery["method"] == PUSH:
            url = urllib.parse.urlsplit(delivery.get("endpoint_url") or "")
            if url.scheme not in ("http", "https") or not url.netloc or url.fragment:
                raise Wrong(400, "push delivery without a usable endpoint_url")
            if not delivery.get("authorization_header"):
                self.complain("push delivery without authorization_header: the endpoint takes events from anybody (SSF section 6.1.1)")
        elif "endpoint_url" in delivery and not delivery["endpoint_url"].startswith(f"{self.base}/poll/"):
            raise Wrong(400, "the endpoint_url of poll delivery is the transmitter's to choose")

    def receiver(self, headers, scope):
        if not headers.get("Authorization", "").startswith("Bearer "):
            raise Wrong(401, "no bearer token")
        token = self.tokens.get(headers["Authorization"][7:])
        if token is None or token["until"] < time.time():
            raise Wrong(401, "unknown or expired token", complain=False)
        if not {scope, "ssf.manage"} & set(token["scope"].split()):
            raise Wrong(403, f"the token's scope is {token['scope']!r}, needed is {scope}")
        return token["receiver"]

    def token(self, form, headers):
        if form.get("grant_type") != "client_credentials":
            raise Wrong(400, f"grant_type is {form.get('grant_type')!r}")
        pair = headers.get("Authorization", "").removeprefix("Basic ")
        name, _, secret = base64.b64decode(pair).decode().partition(":") if pair else (form.get("client_id", ""), "", form.get("client_secret", ""))
        if self.config.get("clients", {}).get(urllib.parse.unquote_plus(name)) != urllib.parse.unquote_plus(secret):
            raise Wrong(401, "client authentication failed")
        token = secrets.token_urlsafe(24)
        self.tokens[token] = {"receiver": name, "scope": form.get("scope", "ssf.manage"), "until": time.time() + 300}
        return {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": self.tokens[token]["scope"]}

    def stream(self, receiver, identity):
        found = self.streams.get(identity)
        if found is None or found.receiver != receiver:
            raise Wrong(404, f"no stream {identity!r}", complain=False)
        return found

    def create(self, receiver, asked):
        unknown = set(asked) - {"events_requested", "delivery", "description"}
        if unknown:
            self.complain(f"a create request has members that are not the receiver's: {sorted(unknown)}")
        if asked.get("events_requested") == []:
            self.complain("events_requested is empty (SSF section 8.1.1)")
        if self.config.get("single_stream") and any(one.receiver == receiver for one in self.streams.values()):
            raise Wrong(409, "this receiver has a stream", complain=False)
        stream = Stream(self, receiver, asked)
        self.streams[stream.content["stream_id"]] = stream
        return stream

    def verify(self, receiver, asked):
        stream = self.stream(receiver, asked.get("stream_id"))
        if not isinstance(asked.get("state", ""), str):
            raise Wrong(400, "state is not a string")
        if time.time() - stream.verified < stream.content["min_verification_interval"]:
            raise Wrong(429, "verification asked more often than min_verification_interval")
        stream.verified = time.time()
        if self.misbehaves == "verification_never":
            return
        state = "another" if self.misbehaves == "verification_wrong_state" else asked.get("state")
        # After the answer: a receiver must not depend on the order (SSF section 8.1.4.2).
        threading.Timer(0.05, self.deliver, (stream, self.claims(stream, VERIFICATION, {"state": state} if state else {}, None))).start()

    def set_status(self, receiver, asked):
        stream = self.stream(receiver, asked.get("stream_id"))
        if asked.get("status") not in ("enabled", "paused", "disabled"):
            raise Wrong(400, f"status is {asked.get('status')!r}")
        stream.status, stream.reason = asked["status"], asked.get("reason")
        held, stream.held = (stream.held, []) if stream.status == "enabled" else ([], stream.held if stream.status == "paused" else [])
        for claims in held:
            threading.Timer(0.01, self.deliver, (stream, claims)).start()
        return stream

    # ---- what is sent

    def claims(self, stream, uri, event, sub_id):
        sub_id = sub_id or {"format": "opaque", "id": stream.content["stream_id"]}
        return {"iss": self.issuer, "jti": secrets.token_hex(16), "iat": int(time.time()), "aud": stream.content["aud"], "txn": secrets.token_hex(8),
                "sub_id": sub_id, "events": {uri: event}}

    def token_of(self, claims, mode=None, header=None):
        """The SET, or what `mode` makes of it."""
        claims, now = dict(claims), int(time.time())
        head = {"typ": "secevent+jwt", **(header or {})}
        key = self.other if mode in ("forged", "unknown_kid", "embedded_jwk") else self.keys[0]
        changed = {"other_audience": {"aud": "https://somebody-else.example"}, "other_issuer": {"iss": "https://attacker.example"}, "with_exp": {"exp": now + 300},
                   "with_sub": {"sub": "alice"}, "old": {"iat": now - 30 * 86400}, "future": {"iat": now + 3600},
                   "two_events": {"events": {**claims["events"], RISC + "account-purged": {}}}}
        headers = {"forged": {"kid": self.keys[0].kid}, "alg_none": {"alg": "none"}, "alg_hs256": {"alg": "HS256"}, "embedded_jwk": {"jwk": self.other.jwk()},
                   "no_typ": {"typ": None}, "wrong_typ": {"typ": "JWT"}}
        claims |= changed.get(mode, {})
        claims.pop(mode.removeprefix("no_") if mode and mode.startswith("no_") else "", None)
        head |= headers.get(mode, {})
        return "eyJ.not.a-token" if mode == "not_a_token" else key.sign(claims, {name: value for name, value in head.items() if value is not None})

    def deliver(self, stream, claims, mode=None, header=None):
        """Pushes, or lays ready for the next poll; what came back is the result."""
        token = self.token_of(claims, mode, header)
        self.sent[claims["jti"]] = (claims, token)
        return self.hand_over(stream, claims, token)

    def hand_over(self, stream, claims, token):
        event = next(iter(claims["events"]), None)
        if stream.status == "paused" and event != UPDATED:
            stream.held.append(claims)
            return {"jti": claims["jti"], "held": True}
        if stream.status == "disabled" and event != UPDATED:
            return {"jti": claims["jti"], "dropped": True}
        if stream.content["delivery"]["method"] == PUSH:
            return {"jti": claims["jti"], **self.push(stream, claims, token)}
        with stream.arrived:
            stream.queue[claims["jti"]] = token
            stream.arrived.notify_all()
        return {"jti": claims["jti"], "queued": True}

    def push(self, stream, claims, token):
        headers = {"Content-Type": "application/secevent+jwt", "Accept": "application/json"}
        if stream.content["delivery"].get("authorization_header"):
            headers["Authorization"] = stream.content["delivery"]["authorization_header"]
        start = time.monotonic()
        try:
            with OPENER.open(urllib.request.Request(stream.content["delivery"]["endpoint_url"], token.encode(), headers), timeout=30) as answer:
                status, kind, body = answer.status, answer.headers.get("Content-Type"), answer.read().decode()
        except urllib.error.HTTPError as error:
            status, kind, body = error.code, error.headers.get("Content-Type"), error.read().decode(errors="replace")
        except OSError as error:
            return {"status": None, "answer": str(error)}
        self.judge_push(status, kind, body)
        return {"status": status, "answer": body, "milliseconds": (time.monotonic() - start) * 1000}

    def judge_push(self, status, kind, body):
        """RFC 8935 sections 2.2 to 2.4."""
        if status == 202 and body:
            self.complain(f"202 with a body: {body[:100]!r}")
        elif 200 <= status < 300 and status != 202:
            self.complain(f"a SET was answered {status}; acceptance is 202")
        elif status == 400:
            try:
                said = json.loads(body)
                good = (kind or "").startswith("application/json") and said["err"] in ERRORS and isinstance(said.get("description", ""), str)
            except (ValueError, KeyError, TypeError):
                good = False
            if not good:
                self.complain(f"400 without a JSON error of RFC 8935 section 2.4: {kind} {body[:200]!r}")

    def poll(self, receiver, identity, asked):
        """RFC 8936 section 2."""
        stream = self.stream(receiver, identity)
        unknown = set(asked) - {"maxEvents", "returnImmediately", "ack", "setErrs"}
        if unknown:
            self.complain(f"a poll has unknown members {sorted(unknown)}")
        if not isinstance(asked.get("ack", []), list) or not isinstance(asked.get("setErrs", {}), dict) or not isinstance(asked.get("returnImmediately", False), bool):
            raise Wrong(400, f"a poll of the wrong shape: {asked}")
        most = asked.get("maxEvents", 100)
        if not isinstance(most, int) or most < 0:
            raise Wrong(400, f"maxEvents is {most!r}")
        self.settle(stream, asked)
        with stream.arrived:
            if not stream.queue and most and not asked.get("returnImmediately", False):
                stream.arrived.wait(25)
            ready = dict(list(stream.queue.items())[:most])
        return {"sets": ready, **({"moreAvailable": True} if len(stream.queue) > len(ready) else {})}

    def settle(self, stream, asked):
        for jti in asked.get("ack", []):
            if stream.queue.pop(jti, None) is None and jti not in stream.acknowledged:
                self.complain(f"acknowledged {jti!r}, which was not given")
            stream.acknowledged.append(jti)
        for jti, error in asked.get("setErrs", {}).items():
            if not isinstance(error, dict) or error.get("err") not in ERRORS or not isinstance(error.get("description"), str):
                self.complain(f"setErrs of the wrong shape for {jti!r}: {error}")
            stream.queue.pop(jti, None)
            stream.errors[jti] = error

    # ---- what the driver asks

    def one(self, asked):
        identity = asked.get("stream_id")
        chosen = [one for one in self.streams.values() if identity in (None, one.content["stream_id"])]
        if not chosen:
            raise LookupError("no such stream; the receiver has created none")
        return chosen[-1]

    def send(self, asked):
        stream = self.one(asked)
        if asked.get("mode") not in (None, *SENT):
            raise ValueError(f"no such mode; there are {', '.join(SENT)}")
        uri, filled = EVENTS.get(asked["type"], (asked["type"], {}))
        if uri not in stream.content["events_delivered"] and not asked.get("mode") and not asked.get("force"):
            raise ValueError(f"{uri} is not in events_delivered of the stream")
        event = {**filled, **({"event_timestamp": int(time.time())} if uri.startswith(CAEP) else {}), **asked.get("event", {})}
        claims = {**self.claims(stream, uri, event, asked["sub_id"]), **asked.get("claims", {})}
        return self.deliver(stream, claims, asked.get("mode"), asked.get("header"))

    def replay(self, asked):
        """The very same token again; with `stream_id` over another stream than its own."""
        claims, token = self.sent[asked["jti"]]
        return self.hand_over(self.one(asked), claims, token)

    def update(self, asked):
        """The transmitter's own decision, told before it takes effect (SSF section 8.1.5)."""
        stream = self.one(asked)
        told = self.deliver(stream, self.claims(stream, UPDATED, {"status": asked["status"], "reason": "lab"}, None))
        stream.status = asked["status"]
        return told

    def rotate(self, _):
        self.keys.insert(0, tokens.Key())
        return {"kids": [key.kid for key in self.keys]}

    def state(self, _):
        streams = [{**one.content, "status": one.status, "waiting": list(one.queue), "acknowledged": one.acknowledged, "errors": one.errors} for one in self.streams.values()]
        return {"streams": streams, "complaints": self.complaints, "requests": self.seen}


def handler(transmitter):
    class Handler(control.Quiet):
        def route(self, method):
            parts = urllib.parse.urlsplit(self.path)
            query, body = dict(urllib.parse.parse_qsl(parts.query)), self.body()
            transmitter.seen.append(f"{method} {parts.path}")
            try:
                if transmitter.misbehaves == "unavailable":
                    raise Wrong(503, "down for the test", complain=False)
                status, found = self.found(method, parts.path, query, body)
            except Wrong as wrong:
                if wrong.complain:
                    transmitter.complain(f"{method} {parts.path}: {wrong}")
                challenge = [("WWW-Authenticate", 'Bearer realm="ssf"')] if wrong.status == 401 else []
                return self.answer(wrong.status, {"error": str(wrong)}, headers=challenge)
            self.answer(status, found if found is not None else b"", headers=[("Cache-Control", "no-store")])

        def parsed(self, body):
            if not (self.headers.get("Content-Type") or "").startswith("application/json"):
                transmitter.complain(f"{self.path}: Content-Type is {self.headers.get('Content-Type')!r} and not application/json")
            try:
                found = json.loads(body)
            except ValueError:
                raise Wrong(400, "the body is not JSON") from None
            if not isinstance(found, dict):
                raise Wrong(400, "the body is not an object")
            return found

        def found(self, method, path, query, body):
            known = transmitter
            if (method, path) == ("GET", f"/.well-known/ssf-configuration{known.path}"):
                return 200, known.metadata()
            if (method, path) == ("GET", "/jwks.json"):
                return 200, {"keys": [{**key.jwk(), "use": "sig", "alg": "RS256"} for key in known.keys]}
            if (method, path) == ("GET", "/.well-known/oauth-authorization-server"):
                return 200, {"issuer": known.base, "token_endpoint": f"{known.base}/token", "grant_types_supported": ["client_credentials"], "response_types_supported": [],
                             "scopes_supported": ["ssf.manage", "ssf.read"], "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"]}
            if (method, path) == ("POST", "/token"):
                return 200, known.token(dict(urllib.parse.parse_qsl(body.decode())), self.headers)
            receiver = known.receiver(self.headers, "ssf.read" if method == "GET" else "ssf.manage")
            if path.startswith("/poll/") and method == "POST":
                return 200, known.poll(receiver, path[6:], self.parsed(body))
            if path == "/ssf/stream":
                return self.configuration(method, receiver, query, body)
            if path == "/ssf/status" and method in ("GET", "POST"):
                asked = query if method == "GET" else self.parsed(body)
                stream = known.stream(receiver, asked.get("stream_id")) if method == "GET" else known.set_status(receiver, asked)
                return 200, {"stream_id": stream.content["stream_id"], "status": stream.status, **({"reason": stream.reason} if stream.reason else {})}
            if path == "/ssf/verify" and method == "POST":
                return 204, known.verify(receiver, self.parsed(body))
            if path in ("/ssf/subjects:add", "/ssf/subjects:remove") and method == "POST":
                asked = self.parsed(body)
                known.stream(receiver, asked.get("stream_id"))
                if not isinstance(asked.get("subject"), dict) or "format" not in asked["subject"]:
                    raise Wrong(400, "no subject with a format")
                return (200 if path.endswith("add") else 204), None
            raise Wrong(404, "there is nothing here")

        def configuration(self, method, receiver, query, body):
            known = transmitter
            if method == "POST":
                return 201, known.create(receiver, self.parsed(body) if body else {}).shown(known)
            if method == "GET" and "stream_id" not in query:
                return 200, [one.shown(known) for one in known.streams.values() if one.receiver == receiver]
            if method == "GET":
                return 200, known.stream(receiver, query["stream_id"]).shown(known)
            if method == "DELETE":
                del known.streams[known.stream(receiver, query.get("stream_id")).content["stream_id"]]
                return 204, None
            asked = self.parsed(body)
            stream = known.stream(receiver, asked.get("stream_id"))
            for name in ("iss", "aud"):
                if name in asked and asked[name] != stream.content[name]:
                    raise Wrong(400, f"{name} is the transmitter's and was changed")
            stream.take(known, asked if method == "PATCH" else {"delivery": {"method": POLL}, **asked})
            return 200, stream.shown(known)

        do_GET = lambda self: self.route("GET")  # noqa: E731
        do_POST = lambda self: self.route("POST")  # noqa: E731
        do_PUT = lambda self: self.route("PUT")  # noqa: E731
        do_PATCH = lambda self: self.route("PATCH")  # noqa: E731
        do_DELETE = lambda self: self.route("DELETE")  # noqa: E731

    return Handler


def main():
    _, port, config = control.settings(__doc__)
    port = port or control.free_port()
    transmitter = Transmitter(f"http://127.0.0.1:{port}", config)
    control.serve(handler(transmitter), port)

    def unasked(asked):
        stream = transmitter.one(asked)
        return transmitter.deliver(stream, transmitter.claims(stream, VERIFICATION, {}, None))

    def misbehave(asked):
        transmitter.misbehaves = asked.get("mode")

    verbs = {"send": transmitter.send, "replay": transmitter.replay, "verify": unasked, "stream-updated": transmitter.update, "rotate": transmitter.rotate,
             "misbehave": misbehave, "state": transmitter.state}
    control.ready({"kind": "ssf", "name": "ssf-transmitter", "fixture": True, "issuer": transmitter.issuer, "control": control.control(verbs),
                   "metadata": f"{transmitter.base}/.well-known/ssf-configuration{transmitter.path}", "token_endpoint": f"{transmitter.base}/token",
                   "tokens": config.get("tokens", []), "events": {name: uri for name, (uri, _) in EVENTS.items()}, "modes": list(SENT)})


if __name__ == "__main__":
    main()
