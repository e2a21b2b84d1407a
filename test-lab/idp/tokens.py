"""Keys and JSON Web Tokens by hand, so that wrong ones can be made too; used by the fixtures.

Needs cryptography (`.test/lab/py`).
"""

import base64
import hashlib
import hmac
import json
import os

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value):
    return json.dumps(value, separators=(",", ":"))


class Key:
    """An RSA key of 2048 bits that signs RS256."""

    def __init__(self, kid=None):
        self.private = rsa.generate_private_key(65537, 2048)
        self.kid = kid or os.urandom(9).hex()

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        return {"kty": "RSA", "kid": self.kid, "n": b64(numbers.n.to_bytes(256, "big")), "e": "AQAB"}

    def pem(self):
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, claims, header=None):
        """A signed token; `header` adds to or replaces what stands in it."""
        head = {"alg": "RS256", "kid": self.kid, **(header or {})}
        signed = f"{b64(compact(head).encode())}.{b64(compact(claims).encode())}"
        if head["alg"] == "none":
            return f"{signed}."
        if head["alg"] == "HS256":
            # The classic confusion: the public key, which everybody has, as the shared secret.
            return f"{signed}.{b64(hmac.new(self.pem(), signed.encode(), hashlib.sha256).digest())}"
        return f"{signed}.{b64(self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def half_hash(text):
    """`at_hash` of RS256 (OpenID Connect Core section 3.1.3.6)."""
    return b64(hashlib.sha256(text.encode()).digest()[:16])
