#!/usr/bin/env python3
"""Signs in at an MCP endpoint as an OAuth public client would, knowing only the endpoint: discovery
from its 401, registration, the walk, the code. For suites that take a token and cannot get one.

    sign_in.py ENDPOINT [--redirect URL]     prints the token response; account from $SALLYPORT_ACCOUNT

Standard library only.
"""

import base64
import hashlib
import json
import os
import pathlib
import re
import secrets
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import walk  # noqa: E402

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url, body=None, kind="application/json"):
    """Status, headers and text; an error status is an answer, not an exception."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": kind} if body is not None else {})
    try:
        with OPENER.open(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode(errors="replace")


def fetch_json(url):
    status, _, text = fetch(url)
    if status != 200:
        raise walk.WalkError(f"{url} answered {status}: {text[:200]}")
    return json.loads(text)


class SignIn:
    """One client of one endpoint, its registration and its tokens."""

    def __init__(self, endpoint, account, redirect="http://127.0.0.1:45999/callback"):
        self.endpoint, self.account, self.redirect = endpoint, account, redirect
        status, headers, text = fetch(endpoint, b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
        challenge = headers.get("WWW-Authenticate") or ""
        where = re.search(r'resource_metadata="([^"]+)"', challenge)
        if status != 401 or not where:
            raise walk.WalkError(f"{endpoint}: expected 401 with resource_metadata, got {status} {challenge!r} {text[:200]}")
        self.resource = fetch_json(where.group(1))
        scope = re.search(r'scope="([^"]*)"', challenge)
        self.scope = scope.group(1) if scope else " ".join(self.resource.get("scopes_supported", []))
        issuer = urllib.parse.urlsplit(self.resource["authorization_servers"][0])
        self.metadata = fetch_json(f"{issuer.scheme}://{issuer.netloc}/.well-known/oauth-authorization-server{issuer.path.rstrip('/')}")

    def register(self):
        asked = {"client_name": "lab", "redirect_uris": [self.redirect], "grant_types": ["authorization_code", "refresh_token"],
                 "response_types": ["code"], "token_endpoint_auth_method": "none", "application_type": "native"}
        status, _, text = fetch(self.metadata["registration_endpoint"], json.dumps(asked).encode())
        if status != 201:
            raise walk.WalkError(f"registration answered {status}: {text[:300]}")
        self.client_id = json.loads(text)["client_id"]
        return self.client_id

    def authorize(self):
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"response_type": "code", "client_id": self.client_id, "redirect_uri": self.redirect, "state": state, "scope": self.scope,
                 "code_challenge": challenge, "code_challenge_method": "S256", "resource": self.resource["resource"]}
        url = self.metadata["authorization_endpoint"] + "?" + urllib.parse.urlencode(query)
        answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(walk.walk(url, self.account)).query))
        if answer.get("state") != state or "code" not in answer:
            raise walk.WalkError(f"the authorization answer was {answer}")
        return self.exchange(grant_type="authorization_code", code=answer["code"], redirect_uri=self.redirect, code_verifier=verifier)

    def exchange(self, **form):
        form.update(client_id=self.client_id, resource=self.resource["resource"])
        status, _, text = fetch(self.metadata["token_endpoint"], urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded")
        if status != 200:
            raise walk.WalkError(f"token endpoint answered {status}: {text[:300]}")
        self.tokens = json.loads(text)
        return self.tokens

    def keep(self, path, stop):
        """Writes the access token to `path`, and a fresh one before each expires, until `stop` is set."""
        def write():
            fresh = pathlib.Path(f"{path}.new")
            fresh.write_text(self.tokens["access_token"])
            fresh.replace(path)

        def renew():
            while not stop.wait(self.tokens.get("expires_in", 300) * 0.5):
                self.exchange(grant_type="refresh_token", refresh_token=self.tokens["refresh_token"])
                write()

        write()
        threading.Thread(target=renew, daemon=True).start()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not arguments or "SALLYPORT_ACCOUNT" not in os.environ:
        sys.exit(__doc__)
    redirect = {"redirect": arguments[2]} if arguments[1:2] == ["--redirect"] else {}
    try:
        session = SignIn(arguments[0], json.loads(os.environ["SALLYPORT_ACCOUNT"]), **redirect)
        session.register()
        print(json.dumps(session.authorize()))
    except walk.WalkError as error:
        sys.exit(f"sign-in: {error}")
