"""The other sides, as small as they can be, with which the lab tests its identity providers: an
OpenID Connect relying party, a SAML service provider and a recording SCIM server. They verify what
the self test looks at and nothing else; they are no model for the product.

Needs PyJWT and cryptography (`.test/lab/py`).
"""

import base64
import datetime
import hashlib
import json
import secrets
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
import xml.etree.ElementTree as ET
import zlib

import browser
import control
import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
URN = "urn:ietf:params:scim"


def fetch(url, form=None, headers=None, method=None):
    """Status, headers and text; an error status is an answer."""
    data = form if isinstance(form, bytes) else urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with OPENER.open(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode(errors="replace")


class Client:
    """An OpenID Connect client by secret: code flow, PKCE, nonce, `iss`; it keeps the logout tokens posted to it."""

    def __init__(self, client_id="gate", client_secret="gate-secret", key=None):
        self.client_id, self.client_secret, self.key, self.logout_tokens = client_id, client_secret, key, []
        party = self

        class Handler(control.Quiet):
            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.body().decode()))
                party.logout_tokens.append(form.get("logout_token"))
                self.answer(200)

        self.url = control.serve(Handler)
        self.redirect_uri = f"{self.url}/callback"

    def metadata(self):
        method = {"client_secret": self.client_secret}
        if self.key is not None:
            method = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [{**self.key.jwk(), "use": "sig", "alg": "RS256"}]}}
        return {"client_id": self.client_id, **method, "redirect_uris": [self.redirect_uri],
                "backchannel_logout_uri": f"{self.url}/backchannel", "backchannel_logout_session_required": True}

    def discover(self, url):
        self.provider = json.loads(fetch(url)[2])
        return self.provider

    def authorization_url(self, scope, **extra):
        self.state, self.nonce, self.verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"response_type": "code", "client_id": self.client_id, "redirect_uri": self.redirect_uri, "scope": scope,
                 "state": self.state, "nonce": self.nonce, "code_challenge": challenge, "code_challenge_method": "S256", **extra}
        return f"{self.provider['authorization_endpoint']}?{urllib.parse.urlencode(query)}"

    def sign_in(self, account, scope="openid profile email", person=None, url=None, **extra):
        """Walks through the provider's pages; returns the token answer with the checked claims under `claims`."""
        self.browser = person or browser.Browser(account)
        url = url or self.authorization_url(scope, **extra)
        answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.browser.callback(url)).query))
        assert "error" not in answer, answer
        assert answer["state"] == self.state
        self.iss = answer.get("iss")
        return self.token({"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": self.redirect_uri,
                           "code_verifier": self.verifier}, self.nonce)

    def credentials(self):
        """Header and members by which the client authenticates: its secret, or a signed assertion where it has a key."""
        if self.key is None:
            pair = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}, {}
        now = int(datetime.datetime.now().timestamp())
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": self.provider["issuer"], "jti": secrets.token_hex(16), "iat": now, "exp": now + 60}
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return {}, {"client_id": self.client_id, "client_assertion_type": kind, "client_assertion": self.key.sign(claims)}

    def push(self, scope):
        """Pushes an authorization request (RFC 9126); returns the short address to open."""
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.authorization_url(scope)).query))
        headers, members = self.credentials()
        status, _, text = fetch(self.provider["pushed_authorization_request_endpoint"], query | members, headers)
        assert status == 201, text
        short = {"client_id": self.client_id, "request_uri": json.loads(text)["request_uri"]}
        return f"{self.provider['authorization_endpoint']}?{urllib.parse.urlencode(short)}"

    def token(self, form, nonce=None):
        headers, members = self.credentials()
        status, _, text = fetch(self.provider["token_endpoint"], form | members, headers)
        answer = json.loads(text)
        if status != 200:
            raise browser.WalkError(f"{status} {answer.get('error')}: {answer.get('error_description')}")
        if "id_token" in answer:
            answer["claims"] = self.verify(answer["id_token"])
            assert nonce is None or answer["claims"].get("nonce") == nonce, answer["claims"]
        return answer

    def refresh(self, tokens):
        return self.token({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]})

    def verify(self, token, audience=True):
        keys = jwt.PyJWKSet.from_dict(json.loads(fetch(self.provider["jwks_uri"])[2]))
        header = jwt.get_unverified_header(token)
        key = next(key for key in keys.keys if key.key_id == header.get("kid"))
        return jwt.decode(token, key, algorithms=["RS256", "ES256", "EdDSA"], audience=self.client_id if audience else None,
                          issuer=self.provider["issuer"], leeway=5, options={"verify_aud": audience, "require": ["iat"]})


class Recorder:
    """Keeps every request; answers 204, or what `answers` (path → status) says."""

    def __init__(self):
        self.requests, self.answers = [], {}
        party = self

        class Handler(control.Quiet):
            def one(self):
                party.requests.append((self.command, self.path, dict(self.headers), self.body().decode()))
                self.answer(party.answers.get(self.path, 204))

            do_GET = do_POST = do_DELETE = one

        self.url = control.serve(Handler)


SAML = {"samlp": "urn:oasis:names:tc:SAML:2.0:protocol", "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
        "md": "urn:oasis:names:tc:SAML:2.0:metadata", "ds": "http://www.w3.org/2000/09/xmldsig#"}
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
BINDING = "urn:oasis:names:tc:SAML:2.0:bindings:"


class ServiceProvider:
    """A SAML service provider that sends a redirect-binding request and keeps the response posted to it."""

    def __init__(self, certificate=None, key=None):
        self.responses, self.logouts, self.certificate, self.key = [], [], certificate, key
        party = self

        class Handler(control.Quiet):
            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.body().decode()))
                kept = party.responses if self.path == "/acs" else party.logouts
                kept.append(form)
                self.answer(200, "arrived", "text/html")

            def do_GET(self):
                party.logouts.append(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query)))
                self.answer(200, "arrived", "text/html")

        self.url = control.serve(Handler)
        self.entity_id, self.acs = f"{self.url}/sp", f"{self.url}/acs"

    def metadata(self):
        key = f"""<md:KeyDescriptor><ds:KeyInfo xmlns:ds="{SAML['ds']}"><ds:X509Data><ds:X509Certificate>{self.certificate}</ds:X509Certificate>
</ds:X509Data></ds:KeyInfo></md:KeyDescriptor>""" if self.certificate else ""
        return f"""<md:EntityDescriptor xmlns:md="{SAML['md']}" entityID="{self.entity_id}">
<md:SPSSODescriptor protocolSupportEnumeration="{SAML['samlp']}">{key}
<md:SingleLogoutService Binding="{BINDING}HTTP-Redirect" Location="{self.url}/slo"/>
<md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>
<md:AssertionConsumerService Binding="{BINDING}HTTP-POST" Location="{self.acs}" index="0"/>
</md:SPSSODescriptor></md:EntityDescriptor>"""

    def read_metadata(self, url):
        root = ET.fromstring(fetch(url)[2])
        root = root if root.tag.endswith("EntityDescriptor") else root.find("md:EntityDescriptor", SAML)
        self.idp = root.get("entityID")
        self.sso = next(s.get("Location") for s in root.iterfind(".//md:SingleSignOnService", SAML) if s.get("Binding") == BINDING + "HTTP-Redirect")
        slo = [s.get("Location") for s in root.iterfind(".//md:SingleLogoutService", SAML) if s.get("Binding") == BINDING + "HTTP-Redirect"]
        self.slo = slo[0] if slo else None
        self.certificates = ["".join(c.text.split()) for c in root.iterfind(".//ds:X509Certificate", SAML)]
        return root

    def redirect(self, location, xml, relay="relay"):
        packed = zlib.compressobj(9, zlib.DEFLATED, -15)
        request = base64.b64encode(packed.compress(xml.encode()) + packed.flush()).decode()
        query = urllib.parse.urlencode({"SAMLRequest": request, "RelayState": relay, **({"SigAlg": RSA_SHA256} if self.key else {})})
        if self.key:
            # SAML bindings section 3.4.4.1: over the query as it stands.
            signature = base64.b64encode(self.key.sign(query.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
            query += "&" + urllib.parse.urlencode({"Signature": signature})
        return f"{location}{'&' if '?' in location else '?'}{query}"

    def logout_request(self, name, index):
        """Ends the session `index` of the `NameID` element that an assertion carried."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"""<samlp:LogoutRequest xmlns:samlp="{SAML['samlp']}" xmlns:saml="{SAML['saml']}" ID="_{uuid.uuid4().hex}" Version="2.0" IssueInstant="{now}"
 Destination="{self.slo}"><saml:Issuer>{self.entity_id}</saml:Issuer><saml:NameID Format="{name.get('Format')}">{name.text}</saml:NameID>
<samlp:SessionIndex>{index}</samlp:SessionIndex></samlp:LogoutRequest>"""

    def authn_request(self):
        self.request_id = f"_{uuid.uuid4().hex}"
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"""<samlp:AuthnRequest xmlns:samlp="{SAML['samlp']}" ID="{self.request_id}" Version="2.0" IssueInstant="{now}" Destination="{self.sso}"
 ProtocolBinding="{BINDING}HTTP-POST" AssertionConsumerServiceURL="{self.acs}"><saml:Issuer xmlns:saml="{SAML['saml']}">{self.entity_id}</saml:Issuer></samlp:AuthnRequest>"""
    def sign_in(self, account, person=None):
        """Returns a successful response as XML, its raw text and the RelayState."""
        self.browser = person or browser.Browser(account)
        before = len(self.responses)
        self.browser.follow(self.redirect(self.sso, self.authn_request(), "relay-1"), done=lambda url, page: len(self.responses) > before)
        form = self.responses[-1]
        text = base64.b64decode(form["SAMLResponse"]).decode()
        root = ET.fromstring(text)
        status = root.find("samlp:Status/samlp:StatusCode", SAML).get("Value")
        if not status.endswith(":Success"):
            raise browser.WalkError(f"the response says {status}: {root.findtext('samlp:Status/samlp:StatusMessage', namespaces=SAML)}")
        return root, text, form.get("RelayState")


def signed_parts(root):
    """The local names of the elements that carry a signature of their own."""
    return sorted(element.tag.split("}")[1] for element in root.iter() if element.find("ds:Signature", SAML) is not None)


def attributes(root):
    found = {}
    for attribute in root.iterfind(".//saml:Attribute", SAML):
        found[attribute.get("Name")] = [value.text for value in attribute.iterfind("saml:AttributeValue", SAML)]
    return found


class ScimServer:
    """A SCIM server that remembers each request, and just enough of RFC 7644 for a client to push to it."""

    def __init__(self, bearer):
        self.bearer, self.requests, self.resources, self.lock = bearer, [], {"Users": {}, "Groups": {}}, threading.Lock()
        party = self

        class Handler(control.Quiet):
            def one(self):
                body = self.body()
                with party.lock:
                    status, answer = party.answer(self.command, self.path, self.headers.get("Authorization"), body)
                self.answer(status, answer if answer is not None else b"", "application/scim+json")

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = one

        self.url = control.serve(Handler) + "/scim/v2"

    def answer(self, method, path, authorization, body):
        path, _, query = path.partition("?")
        parts = path.removeprefix("/scim/v2").strip("/").split("/")
        content = json.loads(body) if body else None
        # A password is never given back (RFC 7643 section 7).
        visible = {key: value for key, value in (content or {}).items() if key != "password"}
        self.requests.append({"method": method, "path": path, "query": urllib.parse.unquote_plus(query), "body": content})
        if authorization != f"Bearer {self.bearer}":
            return 401, {"schemas": [f"{URN}:api:messages:2.0:Error"], "status": "401"}
        if parts[0] in ("ServiceProviderConfig", "ResourceTypes", "Schemas"):
            return 200, DISCOVERY[parts[0]]
        kept = self.resources[parts[0]]
        if method == "GET" and len(parts) == 1:
            wanted = urllib.parse.parse_qs(query).get("filter", [""])[0].removeprefix('externalId eq "').removesuffix('"')
            found = [one for one in kept.values() if not wanted or one.get("externalId") == wanted]
            return 200, {"schemas": [f"{URN}:api:messages:2.0:ListResponse"], "totalResults": len(found), "Resources": found}
        if method == "POST":
            identity = uuid.uuid4().hex
            kept[identity] = {**visible, "id": identity, "meta": {"resourceType": parts[0][:-1], "location": f"{self.url}/{parts[0]}/{identity}"}}
            return 201, kept[identity]
        if parts[1] not in kept:
            return 404, {"schemas": [f"{URN}:api:messages:2.0:Error"], "status": "404"}
        if method == "DELETE":
            del kept[parts[1]]
            return 204, None
        if method == "PUT":
            kept[parts[1]] = {**visible, "id": parts[1], "meta": kept[parts[1]]["meta"]}
        return 200, kept[parts[1]]

    def writes(self):
        return [(one["method"], one["path"].split("/")[3], one["body"]) for one in self.requests if one["method"] != "GET"]


def attribute(name, kind="string", **more):
    return {"name": name, "type": kind, "multiValued": False, "required": False, "caseExact": False, "mutability": "readWrite",
            "returned": "default", "uniqueness": "none", "description": name, **more}


def schema(identity, name, attributes_):
    return {"schemas": [f"{URN}:schemas:core:2.0:Schema"], "id": identity, "name": name, "attributes": attributes_}


MEMBER = [attribute("value"), attribute("$ref", "reference", referenceTypes=["User"]), attribute("type"), attribute("display")]
PLURAL = [attribute("value"), attribute("type"), attribute("display"), attribute("primary", "boolean")]
NAMES = [attribute(name) for name in ("formatted", "familyName", "givenName")]
ADDRESS = [attribute(name) for name in ("formatted", "streetAddress", "locality", "region", "postalCode", "country", "type")]
USER = [attribute("userName", required=True), attribute("name", "complex", subAttributes=NAMES), attribute("displayName"), attribute("title"),
        attribute("preferredLanguage"), attribute("profileUrl", "reference", referenceTypes=["external"]), attribute("active", "boolean"),
        attribute("password", mutability="writeOnly", returned="never"),
        *(attribute(name, "complex", multiValued=True, subAttributes=PLURAL) for name in ("emails", "phoneNumbers", "photos")),
        attribute("addresses", "complex", multiValued=True, subAttributes=ADDRESS),
        attribute("groups", "complex", multiValued=True, mutability="readOnly", subAttributes=MEMBER)]
ENTERPRISE = [attribute(name) for name in ("employeeNumber", "costCenter", "organization", "division", "department")]
GROUP = [attribute("displayName", required=True), attribute("members", "complex", multiValued=True, subAttributes=MEMBER)]


def listed(resources):
    return {"schemas": [f"{URN}:api:messages:2.0:ListResponse"], "totalResults": len(resources), "itemsPerPage": len(resources), "startIndex": 1, "Resources": resources}


def resource_type(name, identity, extensions=()):
    return {"schemas": [f"{URN}:schemas:core:2.0:ResourceType"], "id": name, "name": name, "endpoint": f"/{name}s", "schema": identity,
            "schemaExtensions": [{"schema": one, "required": False} for one in extensions]}


CORE, EXTENSION = f"{URN}:schemas:core:2.0", f"{URN}:schemas:extension:enterprise:2.0:User"
DISCOVERY = {
    "ServiceProviderConfig": {"schemas": [f"{CORE}:ServiceProviderConfig"], "patch": {"supported": False}, "changePassword": {"supported": False},
                              "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0}, "filter": {"supported": True, "maxResults": 100},
                              "sort": {"supported": False}, "etag": {"supported": False}, "authenticationSchemes": []},
    "ResourceTypes": listed([resource_type("User", f"{CORE}:User", [EXTENSION]), resource_type("Group", f"{CORE}:Group")]),
    "Schemas": listed([schema(f"{CORE}:User", "User", USER), schema(EXTENSION, "EnterpriseUser", ENTERPRISE), schema(f"{CORE}:Group", "Group", GROUP)]),
}
