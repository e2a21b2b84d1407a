"""What stands outside the product: an issuer (a platform's or an enterprise identity provider's), keys, assertions and
DPoP proofs. Knows nothing of the product. Needs the lab's Python (PyJWT, cryptography)."""

import base64
import hashlib
import http.server
import json
import secrets
import threading
import time
import urllib.parse

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """A P-256 key, made here or read from PEM."""

    def __init__(self, pem=None):
        self.private = serialization.load_pem_private_key(pem, None) if pem else ec.generate_private_key(ec.SECP256R1())
        self.jwk = json.loads(ECAlgorithm.to_jwk(self.private.public_key()))
        members = {name: self.jwk[name] for name in ("crv", "kty", "x", "y")}
        self.thumbprint = b64(hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest())

    def sign(self, claims, **header):
        return jwt.encode(claims, self.private, "ES256", headers=header)

    def pem(self):
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return self.private.private_bytes(*form).decode()

    def proof(self, method, url, token=None, nonce=None):
        """A DPoP proof (RFC 9449 section 4.2)."""
        claims = {"jti": secrets.token_urlsafe(16), "htm": method, "htu": url.split("?")[0].split("#")[0], "iat": int(time.time())}
        if token:
            claims["ath"] = b64(hashlib.sha256(token.encode()).digest())
        if nonce:
            claims["nonce"] = nonce
        public = {name: self.jwk[name] for name in ("kty", "crv", "x", "y")}
        return self.sign(claims, typ="dpop+jwt", jwk=public)

    def assertion(self, client, audience, kid=None):
        """private_key_jwt (RFC 7523 section 3)."""
        now = int(time.time())
        claims = {"iss": client, "sub": client, "aud": audience, "iat": now, "exp": now + 60, "jti": secrets.token_urlsafe(16)}
        return self.sign(claims, **({"kid": kid} if kid else {}))


class Issuer:
    """Publishes its metadata and its key on loopback, and signs whatever it is asked to."""

    def __init__(self):
        self.key, self.kid = Key(), "fixture-1"
        issuer = self

        class Pages(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                page = issuer.page(url.path, dict(urllib.parse.parse_qsl(url.query)))
                body = json.dumps(page).encode()
                self.send_response(200 if page else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def page(self, path, query):
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks", "response_types_supported": ["code"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"], "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        if path == "/jwks":
            return {"keys": [{**self.key.jwk, "kid": self.kid, "use": "sig", "alg": "ES256"}]}
        if path == "/id-jag":
            return {"assertion": self.id_jag(query["client_id"], query["audience"], query["resource"])}
        return None

    def token(self, subject, audience, typ="JWT", **claims):
        now = int(time.time())
        body = {"iss": self.url, "sub": subject, "aud": audience, "iat": now, "exp": now + 120, "jti": secrets.token_urlsafe(16)}
        return self.key.sign({**body, **claims}, typ=typ, kid=self.kid)

    def id_jag(self, client, audience, resource, subject="erin", **claims):
        about = {"client_id": client, "resource": resource, "scope": "desk:read", "email": f"{subject}@corp.example",
                 "email_verified": True, "name": subject.title(), "preferred_username": subject, "groups": ["staff"]}
        return self.token(subject, audience, "oauth-id-jag+jwt", **{**about, **claims})

    def close(self):
        self.server.shutdown()
