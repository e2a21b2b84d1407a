#!/usr/bin/env python3
"""Sends malformed input of every kind to a built gate, under each protocol version and to each OAuth
endpoint: the HTTP status and the JSON-RPC or OAuth error must be right, and where there was a principal
there must be an entry in the exported log. Each request has a `User-Agent` of its own, by which its
entry is found.

    malformed.py --binary target/release/sallyport [--seed N]

Ends with `N passed, N failed`; a test is one input under one version, or one request to an endpoint.
"""

import argparse
import collections
import http.client
import json
import pathlib
import random
import shutil
import socket
import tempfile
import urllib.parse

from driver import FORM, LEGACY, META, MODERN, Caller, Client, Gate, Tally, browsers, export, free_port, hostport, message_of, modern_headers, modern_meta, path_of

PARSE, INVALID, METHOD, PARAMS, MISMATCH, VERSION = -32700, -32600, -32601, -32602, -32020, -32022
LIMIT = 4 << 20


def raw(netloc, method, path, headers, body=b"", chunked=False, cut=False):
    """One request, byte for byte, on a connection of its own: status, headers, body. Status 0 when the
    connection ended without an answer. `cut` ends the sending side before the body is whole."""
    host, port = netloc.split(":")
    head = [f"{method} {path} HTTP/1.1", f"Host: {netloc}"] + [f"{name}: {value}" for name, value in headers]
    head.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body) + (500 if cut else 0)}")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        try:
            connection.sendall("\r\n".join(head).encode("latin-1") + b"\r\n\r\n")
            for at in range(0, len(body), 65536):
                part = body[at : at + 65536]
                connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            if chunked:
                connection.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # It answered before it had read all, as it may.
        if cut:
            connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection, method=method)
        try:
            answer.begin()
            return answer.status, answer.headers, answer.read()
        except (http.client.HTTPException, OSError) as error:
            return 0, {}, repr(error).encode()


class Sender:
    """Sends to the MCP endpoint under one version, with a session where it has one."""

    def __init__(self, endpoint, token, version):
        self.endpoint, self.token, self.version, self.session = endpoint, token, version, None
        if token and version != MODERN:
            caller = Caller(endpoint, token, version)
            caller.open()
            self.session = caller.session

    def message(self, **changes):
        """A good request, or one with members of the envelope changed; `...` takes one away."""
        params = {"name": "search_customers", "arguments": {"text": "ada"}}
        if self.version == MODERN:
            params["_meta"] = modern_meta()
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params, **changes}
        return {name: value for name, value in message.items() if value is not ...}

    def params(self, **changes):
        params = {**self.message()["params"], **changes}
        return {name: value for name, value in params.items() if value is not ...}

    def headers(self, agent, changes, message=None):
        """Header pairs; `None` takes one away, a list sends one several times."""
        method = message.get("method") if isinstance(message, dict) else None
        params = message.get("params") if isinstance(message, dict) else None
        method = method if isinstance(method, str) and method else "tools/call"
        name = params.get("name") if isinstance(params, dict) else None
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "User-Agent": agent,
                   "Connection": "close"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.session:
            headers["MCP-Session-Id"] = self.session
        if self.version == MODERN:
            headers.update(modern_headers(method, {"name": name if isinstance(name, str) else "search_customers"}))
        else:
            headers["MCP-Protocol-Version"] = self.version
        headers.update(changes)
        pairs = []
        for name, value in headers.items():
            pairs += [(name, one) for one in (value if isinstance(value, list) else [value]) if one is not None]
        return pairs

    def send(self, agent, body, headers=None, message=None, **how):
        return raw(hostport(self.endpoint), how.pop("verb", "POST"), path_of(self.endpoint), self.headers(agent, headers or {}, message), body, **how)


def good_text(sender):
    return json.dumps(sender.message(), separators=(",", ":"))


def deep(sender):
    text = good_text(sender)
    return text.replace('"ada"', "[" * 10_000 + "]" * 10_000).encode()


def big(sender, size):
    """A good message of exactly `size` bytes."""
    text = good_text(sender)
    return text.replace('"ada"', '"' + "a" * (size - len(text) + 3) + '"').encode()


def twice(of, again):
    return lambda s: good_text(s).replace(of, f"{again},{of}", 1).encode()


def bytes_cases():
    """What is wrong with the bytes: name, body, JSON-RPC code. All are 400 in every version."""
    text = lambda change: lambda s: change(good_text(s)).encode()  # noqa: E731
    yield "truncated JSON", text(lambda t: t[:-9]), PARSE
    yield "nothing at all", lambda s: b"", PARSE
    yield "not JSON", lambda s: b"<?xml version='1.0'?>", PARSE
    yield "bytes after the message", text(lambda t: t + "x"), PARSE
    yield "two messages in a body", text(lambda t: t + "\n" + t), PARSE
    yield "NaN", text(lambda t: t.replace('"ada"', "NaN")), PARSE
    yield "a comment", text(lambda t: "/* */" + t), PARSE
    yield "single quotes", text(lambda t: t.replace('"', "'")), PARSE
    yield "a trailing comma", text(lambda t: t[:-1] + ",}"), PARSE
    yield "a line break in a string", text(lambda t: t.replace("ada", "a\nda")), PARSE
    yield "a byte order mark", lambda s: b"\xef\xbb\xbf" + good_text(s).encode(), PARSE
    yield "UTF-16 with its mark", lambda s: good_text(s).encode("utf-16"), PARSE
    yield "UTF-16 without a mark", lambda s: good_text(s).encode("utf-16-le"), PARSE
    yield "a byte that is not UTF-8", lambda s: good_text(s).encode().replace(b"ada", b"a\xffa"), PARSE
    yield "overlong UTF-8", lambda s: good_text(s).encode().replace(b"ada", b"a\xc0\xafa"), PARSE
    yield "a surrogate in UTF-8", lambda s: good_text(s).encode().replace(b"ada", b"\xed\xa0\x80"), PARSE
    yield "a lone surrogate escaped", text(lambda t: t.replace("ada", "\\ud800")), PARSE
    yield "the key method twice", twice('"method":', '"method":"ping"'), INVALID
    yield "the key id twice", twice('"id":', '"id":8'), INVALID
    yield "the key name twice", twice('"name":', '"name":"list_tickets"'), INVALID
    yield "the key name twice, once escaped", twice('"name":', '"n\\u0061me":"list_tickets"'), INVALID
    yield "a key of the arguments twice", twice('"text":', '"text":"eve"'), INVALID
    yield "10,000 levels", deep, INVALID
    yield "10,000 levels that never end", lambda s: b"[" * 10_000, INVALID
    yield "100,000 objects that never end", lambda s: b'{"a":' * 100_000, INVALID
    for scalar in ("null", "42", '"text"', "true"):
        yield f"a body of {scalar}", lambda s, scalar=scalar: scalar.encode(), INVALID
    yield "an empty object", lambda s: b"{}", INVALID


def envelope_cases(s):
    """What is wrong with the envelope or its types: name, message, code. Where the id could be read, wrong
    parameters are an ordinary answer in a legacy version and 400 in the modern one."""
    for what, wrong in (("1.0", "1.0"), ("a number", 2.0), ("null", None), ("missing", ...)):
        yield f"jsonrpc {what}", s.message(jsonrpc=wrong), INVALID
    for wrong in (5, "", None, ["tools/call"], {}):
        yield f"method {json.dumps(wrong)}", s.message(method=wrong), INVALID
    yield "no method", s.message(method=...), INVALID
    for wrong in (None, 1.5, True, {}, [1]):
        yield f"id {json.dumps(wrong)}", s.message(id=wrong), INVALID
    yield "id beyond 64 bits", s.message(id=1 << 70), INVALID
    yield "method and result", s.message(result={}), INVALID
    yield "Method beside method", s.message(Method="ping"), INVALID
    yield "Name beside name", s.message(params=s.params(Name="list_tickets")), INVALID
    for wrong in ([], "text", 5, None):
        yield f"params {json.dumps(wrong)}", s.message(params=wrong), PARAMS
    for wrong in (5, None, ["search_customers"], {}, ...):
        yield f"name {'missing' if wrong is ... else json.dumps(wrong)}", s.message(params=s.params(name=wrong)), PARAMS
    yield "arguments a string", s.message(params=s.params(arguments="text")), PARAMS
    yield "arguments a list", s.message(params=s.params(arguments=[1])), PARAMS
    yield "_meta a string", s.message(params=s.params(_meta="x")), PARAMS
    yield "an unknown tool", s.message(params=s.params(name="no_such_tool")), PARAMS
    yield "an unknown method", s.message(method="tools/destroy"), METHOD


def http_cases(s):
    """What is wrong around the body: name, header changes, what to send, status, code."""
    body = good_text(s).encode()
    yield "text/plain", {"Content-Type": "text/plain"}, body, 415, INVALID
    yield "no content type", {"Content-Type": None}, body, 415, INVALID
    yield "two content types", {"Content-Type": ["application/json", "text/plain"]}, body, 400, INVALID
    yield "a form", {"Content-Type": FORM}, body, 415, INVALID
    yield "Content-Encoding gzip", {"Content-Encoding": "gzip"}, body, 415, INVALID
    yield "Accept text/html", {"Accept": "text/html"}, body, 406, INVALID
    yield "10 MB", {}, big(s, 10_000_000), 413, INVALID
    yield "one byte over the limit", {}, big(s, LIMIT + 1), 413, INVALID
    yield "an unknown version in the header", {"MCP-Protocol-Version": "2031-01-01"}, body, 400, MISMATCH if s.version == MODERN else VERSION
    yield "nonsense as version", {"MCP-Protocol-Version": "latest"}, body, 400, MISMATCH if s.version == MODERN else VERSION
    yield "two versions in headers", {"MCP-Protocol-Version": [s.version, "2025-11-25"]}, body, 400, MISMATCH


def modern_cases(s):
    """Headers that differ from the body, and versions (2026-07-28, Server Validation)."""
    body, bad64 = good_text(s).encode(), "=?base64?!!!?="
    yield "no version header", {"MCP-Protocol-Version": None}, body, MISMATCH
    yield "another version in the header", {"MCP-Protocol-Version": "2025-11-25"}, body, MISMATCH
    yield "no Mcp-Method", {"Mcp-Method": None}, body, MISMATCH
    yield "another Mcp-Method", {"Mcp-Method": "tools/list"}, body, MISMATCH
    yield "Mcp-Method in capitals", {"Mcp-Method": "TOOLS/CALL"}, body, MISMATCH
    yield "Mcp-Method twice", {"Mcp-Method": ["tools/call", "tools/call"]}, body, MISMATCH
    yield "no Mcp-Name", {"Mcp-Name": None}, body, MISMATCH
    yield "another Mcp-Name", {"Mcp-Name": "list_tickets"}, body, MISMATCH
    yield "Mcp-Name twice", {"Mcp-Name": ["search_customers", "list_tickets"]}, body, MISMATCH
    yield "Mcp-Name of broken base64", {"Mcp-Name": bad64}, body, MISMATCH
    yield "Mcp-Name of bytes that are no ASCII", {"Mcp-Name": "se\xe4rch"}, body, MISMATCH
    unknown = json.dumps(s.message(params=s.params(_meta=modern_meta("2031-01-01")))).encode()
    yield "an unknown version in both", {"MCP-Protocol-Version": "2031-01-01"}, unknown, VERSION
    for key in ("clientCapabilities",):
        meta = {k: v for k, v in modern_meta().items() if k != META + key}
        yield f"no {key}", {}, json.dumps(s.message(params=s.params(_meta=meta))).encode(), PARAMS
        yield f"{key} a list", {}, json.dumps(s.message(params=s.params(_meta={**modern_meta(), META + key: []}))).encode(), PARAMS
    yield "protocolVersion a number", {}, json.dumps(s.message(params=s.params(_meta={**modern_meta(), META + "protocolVersion": 5}))).encode(), PARAMS
    yield "no _meta", {}, json.dumps(s.message(params=s.params(_meta=...))).encode(), PARAMS
    yield "a response", {}, b'{"jsonrpc":"2.0","id":7,"result":{}}', INVALID


def batch_cases(s):
    """Batches: name, body, whether 2025-03-26 takes it."""
    one = s.message(params=s.params(_meta=...))
    yield "a batch", [one, {**one, "id": 8}], True
    yield "an empty batch", [], False
    yield "a batch in a batch", [[one]], False
    yield "a batch of 33", [{**one, "id": n} for n in range(33)], False
    yield "a batch with one id twice", [one, one], False
    yield "a batch with a number in it", [one, 5], False
    yield "a batch with initialize in it", [{**one, "id": 8}, s.message(method="initialize", params={})], False
    modern = {**one["params"], "_meta": modern_meta()}
    yield "a batch with a modern request in it", [{**one, "id": 8}, {**one, "params": modern}], False


class Trial:
    def __init__(self, tally, dice):
        self.tally, self.dice, self.number = tally, dice, 0
        self.due, self.strangers = {}, 0

    def agent(self, what, on_record=True):
        self.number += 1
        agent = f"malformed/{self.number}"
        if on_record:
            self.due[agent] = what
        return agent

    def judge(self, what, answer, statuses, codes):
        status, headers, text = answer
        try:
            # An error that answers to no request that could be read has no id (MCP schema, JSONRPCErrorResponse).
            found = message_of(headers, text, 7) or json.loads(text)
            shape = found.get("jsonrpc") == "2.0" and found.get("id", 7) == 7 and isinstance(found["error"]["message"], str)
            code = found["error"]["code"]
        except (ValueError, KeyError, AttributeError, TypeError):
            shape, code = False, None
        self.tally.check(what, status in statuses and shape and code in codes,
                         f"{status} {text[:300]!r}, expected {sorted(statuses)} and {sorted(codes)}")

    def version(self, endpoint, token, version):
        s = Sender(endpoint, token, version)
        modern = version == MODERN
        for what, body, code in bytes_cases():
            what = f"{version}: {what}"
            self.judge(what, s.send(self.agent(what), body(s)), {400}, {code})
        for what, message, code in envelope_cases(s):
            what = f"{version}: {what}"
            readable = code in (PARAMS, METHOD) and not modern
            statuses = {200} if readable else {404} if code == METHOD else {400}
            codes = {code}
            if what.endswith("an unknown tool"):
                statuses = {200, 400}  # No version says which.
            self.judge(what, s.send(self.agent(what), json.dumps(message).encode(), message=message), statuses, codes)
        for what, headers, body, status, code in http_cases(s):
            what = f"{version}: {what}"
            self.judge(what, s.send(self.agent(what), body, headers), {status}, {code})
        for what, headers, body, code in modern_cases(s) if modern else ():
            what = f"{version}: {what}"
            self.judge(what, s.send(self.agent(what), body, headers), {400}, {code})
        for what, batch, fine in batch_cases(s):
            what = f"{version}: {what}"
            answer = s.send(self.agent(what), json.dumps(batch).encode())
            if fine and version == "2025-03-26":
                self.tally.check(what, answer[0] == 200 and len(json.loads(answer[2])) == len(batch), answer[2][:300])
            else:
                self.judge(what, answer, {400}, {INVALID})
        self.judge(f"{version}: 10 MB in chunks", s.send(self.agent("chunks"), big(s, 10_000_000), chunked=True), {413}, {INVALID})
        what = f"{version}: a body that breaks off"
        self.judge(what, s.send(self.agent(what), good_text(s).encode(), cut=True), {400}, {INVALID})
        at_limit = s.send(self.agent("at the limit"), big(s, LIMIT))
        self.tally.check(f"{version}: a good message at the limit", at_limit[0] == 200 and b'"result"' in at_limit[2], at_limit[:1] + at_limit[2:])
        wrong = s.message(params=s.params(arguments={"text": 5}))
        status, headers, text = s.send(self.agent("an argument of a wrong type"), json.dumps(wrong).encode(), message=wrong)
        answer = message_of(headers, text, 7) or {}
        told = answer.get("result", {}).get("isError") or answer.get("error", {}).get("code") == PARAMS
        self.tally.check(f"{version}: an argument of a wrong type", told, text[:300])
        good = s.send(self.agent("good"), good_text(s).encode())
        self.tally.check(f"{version}: a good message after all that", good[0] == 200 and b'"result"' in good[2], good[2][:300])
        if not modern:
            self.legacy(s)

    def legacy(self, s):
        what = f"{s.version}: no session"
        self.judge(what, s.send(self.agent(what), good_text(s).encode(), {"MCP-Session-Id": None}), {400}, {INVALID})
        what = f"{s.version}: an unknown session"
        self.judge(what, s.send(self.agent(what), good_text(s).encode(), {"MCP-Session-Id": "none"}), {404}, {INVALID})
        for key in ("protocolVersion", "capabilities", "clientInfo"):
            params = {"protocolVersion": s.version, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}, key: 5}
            body = json.dumps(s.message(method="initialize", params=params)).encode()
            what = f"{s.version}: initialize with {key} a number"
            self.judge(what, s.send(self.agent(what), body, {"MCP-Session-Id": None}), {200, 400}, {PARAMS})
        params["clientInfo"], params["protocolVersion"] = {"name": "x", "version": "1"}, "2031-01-01"
        body = json.dumps(s.message(method="initialize", params=params)).encode()
        status, headers, text = s.send(self.agent("negotiated"), body, {"MCP-Session-Id": None, "MCP-Protocol-Version": None})
        spoken = json.loads(text).get("result", {}).get("protocolVersion") if status == 200 else text
        self.tally.check(f"{s.version}: initialize with an unknown version gets the newest legacy one", spoken == "2025-11-25", spoken)

    def stranger(self, endpoint, token):
        """Nothing is read of whoever has no good token: 401 for whatever it sends."""
        for version in (MODERN, "2025-11-25"):
            good = Sender(endpoint, None, version)
            for what, body, _ in bytes_cases():
                for whose in (None, token[:-4] + "AAAA", "\xe4"):
                    good.token = whose
                    answer = good.send(self.agent(what, on_record=False), body(good))
                    self.strangers += 1
                    self.tally.check(f"{version}, a stranger: {what}", answer[0] == 401 and "WWW-Authenticate" in answer[1], answer)

    def mutations(self, endpoint, token, count):
        """Random damage to a good message: never a failure of the gate, and an entry for each refusal."""
        for version in (MODERN, "2025-11-25"):
            s, worst = Sender(endpoint, token, version), []
            for _ in range(count):
                body = bytearray(good_text(s).encode())
                for _ in range(self.dice.randrange(1, 4)):
                    at = self.dice.randrange(len(body))
                    kind = self.dice.randrange(4)
                    if kind == 0:
                        body[at] ^= 1 << self.dice.randrange(8)
                    elif kind == 1:
                        del body[at : at + self.dice.randrange(1, 9)]
                    elif kind == 2:
                        body[at:at] = self.dice.choice([b'"', b"{", b"}", b"\x00", b"\xff", b"\\u0000", b",", b"[", b"1e999", b"\xef\xbb\xbf"])
                    else:
                        body[at:at] = body[max(0, at - 12) : at]
                agent = self.agent("a mutation", on_record=False)
                status, _, text = s.send(agent, bytes(body))
                if status in (0, 202) or status >= 500:
                    worst += [(status, bytes(body), text)] * (status != 202)
                else:
                    self.due[agent] = f"{version}: mutated to {bytes(body)!r}, answered {status}"
            self.tally.check(f"{version}: {count} mutations", not worst, worst[:2])


def oauth_cases(client):
    """OAuth endpoints: name, endpoint, headers, body, status, error, whether a client was known."""
    form = {"Content-Type": FORM}
    redeem = {"grant_type": "authorization_code", "client_id": client.client_id, "code": "x" * 43, "code_verifier": "v" * 43,
              "redirect_uri": client.redirect}

    def text(**changes):
        return urllib.parse.urlencode({k: v for k, v in {**redeem, **changes}.items() if v is not None}).encode()

    token = "token_endpoint"
    yield "an unknown code", token, form, text(), 400, "invalid_grant", True
    yield "a code of a wrong form", token, form, text(code="\u00e9"), 400, "invalid_grant", True
    yield "no code", token, form, text(code=None), 400, "invalid_request", True
    yield "an unknown refresh token", token, form, text(grant_type="refresh_token", refresh_token="y" * 43), 400, "invalid_grant", True
    yield "no refresh token", token, form, text(grant_type="refresh_token"), 400, "invalid_request", True
    yield "a grant that the client may not use", token, form, text(grant_type="client_credentials"), 400, "unauthorized_client", True
    for kind in ("password", "implicit", "urn:example:none", "AUTHORIZATION_CODE"):
        yield f"grant_type {kind}", token, form, text(grant_type=kind), 400, "unsupported_grant_type", False
    yield "no grant_type", token, form, text(grant_type=None), 400, "invalid_request", False
    yield "an unknown client", token, form, text(client_id="nobody"), 401, "invalid_client", False
    yield "no client", token, form, text(client_id=None), 401, "invalid_client", False
    yield "broken Basic", token, {**form, "Authorization": "Basic !!!"}, text(), 401, "invalid_client", False
    refused = [
        ("code twice", form, text() + b"&code=z", "invalid_request"),
        ("client_id twice", form, text() + b"&client_id=z", "invalid_request"),
        ("a parameter twice, once escaped", form, text() + b"&%63ode=z", "invalid_request"),
        ("resource twice", form, text() + b"&resource=a&resource=b", "invalid_target"),
        ("JSON", {"Content-Type": "application/json"}, json.dumps(redeem).encode(), "invalid_request"),
        ("text/plain", {"Content-Type": "text/plain"}, text(), "invalid_request"),
        ("no content type", {}, text(), "invalid_request"),
        ("multipart", {"Content-Type": "multipart/form-data; boundary=x"}, text(), "invalid_request"),
        ("bytes that are not UTF-8", form, text() + b"&x=\xff", "invalid_request"),
        ("escaped bytes that are not UTF-8", form, text() + b"&x=%ff", "invalid_request"),
        ("a broken escape", form, text() + b"&x=%zz", "invalid_request"),
        ("a NUL", form, text() + b"&x=%00", "invalid_request"),
        ("65 parameters", form, text() + b"".join(b"&p%d=1" % n for n in range(65)), "invalid_request"),
        ("64 KiB", form, text() + b"&x=" + b"a" * 65_536, "invalid_request"),
    ]
    for endpoint in (token, "revocation_endpoint", "introspection_endpoint", "pushed_authorization_request_endpoint"):
        for what, headers, body, error in refused:
            status = {400, 413} if what == "64 KiB" else 400
            yield what, endpoint, headers, body, status, error, False
        yield "10 MB", endpoint, form, text() + b"&x=" + b"a" * 10_000_000, 413, None, False
    push = "pushed_authorization_request_endpoint"
    query, _ = client.query("desk:read")
    for what, changes, error in authorization_faults():
        changed = urllib.parse.urlencode({k: v for k, v in {**query, **changes}.items() if v is not None}).encode()
        yield f"pushed: {what}", push, form, changed, 400, error, True
    as_json = {"Content-Type": "application/json"}
    good = {"client_name": "x", "redirect_uris": [client.redirect], "token_endpoint_auth_method": "none", "application_type": "native"}
    metadata = {"invalid_client_metadata", "invalid_redirect_uri"}
    for what, body in (
        ("truncated JSON", json.dumps(good)[:-3].encode()),
        ("a key twice", json.dumps(good)[:-1].encode() + b',"client_name":"y"}'),
        ("a list", b"[]"),
        ("a byte order mark", b"\xef\xbb\xbf" + json.dumps(good).encode()),
        ("bytes that are not UTF-8", json.dumps(good).encode().replace(b'"x"', b'"\xff"')),
        ("10,000 levels", b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
        ("redirect_uris a string", json.dumps({**good, "redirect_uris": client.redirect}).encode()),
        ("redirect_uris of numbers", json.dumps({**good, "redirect_uris": [5]}).encode()),
        ("no redirect_uris", json.dumps({k: v for k, v in good.items() if k != "redirect_uris"}).encode()),
        ("a redirect with a fragment", json.dumps({**good, "redirect_uris": [client.redirect + "#x"]}).encode()),
        ("a script as redirect", json.dumps({**good, "redirect_uris": ["javascript:alert(1)"]}).encode()),
        ("grant_types of the password", json.dumps({**good, "grant_types": ["password"]}).encode()),
    ):
        yield f"registration: {what}", "registration_endpoint", as_json, body, 400, metadata, False
    yield "registration: 10 MB", "registration_endpoint", as_json, b'{"client_name":"' + b"a" * 10_000_000 + b'"}', 413, None, False


def authorization_faults():
    yield "response_type token", {"response_type": "token"}, "unsupported_response_type"
    yield "no response_type", {"response_type": None}, "invalid_request"
    yield "no code_challenge", {"code_challenge": None}, "invalid_request"
    yield "plain", {"code_challenge_method": "plain"}, "invalid_request"
    yield "a short code_challenge", {"code_challenge": "abc"}, "invalid_request"
    yield "an unknown resource", {"resource": "https://elsewhere.example/mcp"}, "invalid_target"
    yield "an unknown scope", {"scope": "desk:everything"}, "invalid_scope"
    yield "a scope of odd characters", {"scope": 'desk:read "x"'}, "invalid_scope"


def oauth(trial, client):
    for what, endpoint, headers, body, status, error, known in oauth_cases(client):
        url = client.metadata.get(endpoint)
        name = f"{endpoint}: {what}"
        if url is None:
            trial.tally.check(name, False, "the endpoint is not in the metadata")
            continue
        pairs = [*headers.items(), ("User-Agent", trial.agent(name, on_record=known)), ("Connection", "close")]
        got, _, text = raw(hostport(url), "POST", path_of(url), pairs, body)
        try:
            said = json.loads(text).get("error")
        except (ValueError, AttributeError):
            said = None
        right_error = error is None or got == 413 or said in (error if isinstance(error, set) else {error})
        if endpoint == "introspection_endpoint" and got == 401:
            right_error = True  # The caller is judged first.
            got = status
        trial.tally.check(name, got in (status if isinstance(status, set) else {status}) and right_error, f"{got} {text[:300]!r}, expected {status} {error}")
    for endpoint in ("token_endpoint", "revocation_endpoint", "registration_endpoint"):
        url = client.metadata[endpoint]
        got = raw(hostport(url), "GET", path_of(url), [("Connection", "close")])
        trial.tally.check(f"{endpoint}: GET", got[0] == 405, got[0])


def authorize(trial, client):
    """The authorization endpoint: to a page where the redirect cannot be trusted, else to the redirect."""
    url = client.metadata["authorization_endpoint"]

    def get(query, agent):
        return raw(hostport(url), "GET", f"{path_of(url)}?{query}", [("User-Agent", agent), ("Connection", "close")])

    query, _ = client.query("desk:read")
    good = urllib.parse.urlencode(query)
    faults = [(what, urllib.parse.urlencode({k: v for k, v in {**query, **changes}.items() if v is not None}), error)
              for what, changes, error in authorization_faults()]
    faults += [("scope twice", good + "&scope=x", "invalid_request"), ("nonce twice", good + "&nonce=x&nonce=y", "invalid_request"),
               ("resource twice", good + "&resource=x", "invalid_target"), ("bytes that are not UTF-8", good + "&x=%ff", "invalid_request"),
               ("a broken escape", good + "&x=%q1", "invalid_request")]
    for what, text, error in faults:
        status, headers, page = get(text, trial.agent(f"authorize: {what}"))
        where = headers.get("Location") or ""
        answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(where).query))
        right = status in (302, 303) and where.startswith(client.redirect) and answer.get("error") == error
        right = right and answer.get("iss") == client.metadata["issuer"] and answer.get("state") == query["state"]
        trial.tally.check(f"authorize: {what}", right, f"{status} {where} {page[:200]!r}, expected {error}")
    for what, changes in (("an unknown client", {"client_id": "nobody"}), ("no client", {"client_id": None}),
                          ("a foreign redirect", {"redirect_uri": "https://evil.example/cb"}),
                          ("a redirect with a fragment", {"redirect_uri": client.redirect + "#x"})):
        text = urllib.parse.urlencode({k: v for k, v in {**query, **changes}.items() if v is not None})
        status, headers, _ = get(text, trial.agent(what, on_record=what == "a foreign redirect"))
        trial.tally.check(f"authorize: {what}", status == 400 and not headers.get("Location"), f"{status} {headers.get('Location')}")
    for what, text in (("client_id twice", good + "&client_id=x"), ("redirect_uri twice", good + "&redirect_uri=https://evil.example")):
        status, headers, _ = get(text, trial.agent(what, on_record=False))
        trial.tally.check(f"authorize: {what}", status == 400 and not headers.get("Location"), f"{status} {headers.get('Location')}")
    status, headers, page = get(good + "&x=" + "a" * 20_000, trial.agent("long", on_record=False))
    trial.tally.check("authorize: 20 kB of query", status < 500, status)
    status, _, _ = raw(hostport(url), "POST", path_of(url), [("Content-Type", "application/json"), ("Connection", "close")], b"{}")
    trial.tally.check("authorize: JSON posted", status == 400, status)


# Anybody can send these in a public client's name: one by one up to a bound, then by number.
UNPROVED = ("pushed_authorization_request_endpoint: ", "authorize: ", "a foreign redirect")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", default="target/release/sallyport", type=pathlib.Path)
    parser.add_argument("--seed", default=random.SystemRandom().randrange(1 << 32), type=int)
    parser.add_argument("--mutations", default=300, type=int)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-malformed-"))
    data, tally = scratch / "gate", Tally()
    trial = Trial(tally, random.Random(options.seed))
    gate = Gate.demo(options.binary.resolve(), data, free_port(), scratch / "errors")
    try:
        about = gate.wait_ready()
        client = Client(about["mcp_endpoints"][0])
        browser = browsers(about)["ann"]
        for version in (*LEGACY, MODERN):
            token = client.sign_in(browser, "desk:read desk:write")["access_token"]
            trial.version(client.endpoint, token, version)
            print(f"  {version}: {tally.passed} passed, {tally.failed} failed so far", flush=True)
        trial.stranger(client.endpoint, token)
        print(f"  strangers: {tally.passed} passed, {tally.failed} failed so far", flush=True)
        trial.mutations(client.endpoint, client.sign_in(browser, "desk:read desk:write")["access_token"], options.mutations)
        oauth(trial, client)
        authorize(trial, client)
        long = Caller(client.endpoint, token)
        status, _, _ = raw(hostport(client.endpoint), "POST", long.path, [(k, v) for k, v in long.headers(**{"X-Long": "a" * 40_000}).items()], b"{}")
        tally.check("headers of 40 kB", status == 431, status)
        tally.check("the orderly stop", gate.stop() == 0, gate.process.returncode)
    finally:
        if gate.process.poll() is None:
            gate.kill()
    recorded, counted, nobody = collections.Counter(), 0, 0
    for entry in export(options.binary.resolve(), data):
        event = entry["event"]
        agent = (event.get("source") or {}).get("user_agent")
        if event.get("who") or event.get("facts", {}).get("client"):
            recorded[agent] += 1
        if event["kind"] == "strangers_refused":
            counted += event["facts"]["times"]
            nobody += 0 if "upstream" in event["facts"] else event["facts"]["times"]
    missing = 0
    for agent, what in trial.due.items():
        if recorded[agent] == 0 and what.startswith(UNPROVED):
            missing += 1
        else:
            tally.check(f"an entry for: {what}", recorded[agent] >= 1, "none in the exported log")
    tally.check(f"{missing} authorization requests of nobody in particular are counted", nobody >= missing, nobody)
    tally.check(f"{trial.strangers} strangers are counted", counted >= trial.strangers, counted)
    said = (scratch / "errors").read_text(errors="replace")
    tally.check("nothing panicked", "panicked" not in said, said[-600:])
    shutil.rmtree(scratch, ignore_errors=True)
    tally.end()


if __name__ == "__main__":
    main()
