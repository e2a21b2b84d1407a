"""How five vendors' OpenID Connect differs from the book, by their public documentation; used by
vendors.py. None of it was compared with the vendors' servers: it is a FIXTURE, as strict as we could
write it.

Standard library only.
"""

import uuid

GROUPS_IN_A_TOKEN = 200


class Vendor:
    """What all have in common; `self.base` is where the fixture listens."""

    name = "standard"
    authorize, token, jwks, userinfo, logout, par = "/authorize", "/token", "/jwks", "/userinfo", "/logout", None
    # Whether the authorization response carries `iss` (RFC 9207), and whether PKCE is announced.
    response_iss, announces_pkce = False, True
    strong_acr, plain_acr = "mfa", None
    scopes = ["openid", "profile", "email", "groups", "offline_access"]
    methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    locked = {"error": "invalid_grant", "error_description": "the account is locked"}

    def __init__(self, base, options):
        self.base, self.options = base, options

    @property
    def issuer(self):
        return self.base

    def token_issuer(self, user):
        return self.issuer

    def discovery_paths(self):
        """Each path of a discovery document, with the issuer written into it."""
        return {f"{self.issuer[len(self.base):]}/.well-known/openid-configuration": self.issuer}

    def metadata(self, issuer):
        known = {
            "issuer": issuer, "authorization_endpoint": self.base + self.authorize, "token_endpoint": self.base + self.token,
            "jwks_uri": self.base + self.jwks, "userinfo_endpoint": self.base + self.userinfo, "end_session_endpoint": self.base + self.logout,
            "response_types_supported": ["code"], "response_modes_supported": ["query"], "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"], "scopes_supported": self.scopes,
            "token_endpoint_auth_methods_supported": self.methods, "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256"],
        }
        if self.announces_pkce:
            known["code_challenge_methods_supported"] = ["S256"]
        if self.response_iss:
            known["authorization_response_iss_parameter_supported"] = True
        if self.par:
            known["pushed_authorization_request_endpoint"] = self.base + self.par
        return known

    def published(self, keys):
        """The JWK Set from the public keys, newest first."""
        return {"keys": [{**key, "use": "sig", "alg": "RS256"} for key in keys]}

    def refuses_scope(self, scopes):
        return None

    def wants_refresh(self, scopes, query):
        return "offline_access" in scopes

    def sub(self, login, user):
        return user.get("sub", login)

    def claims(self, login, user, session, scopes):
        """The ID token's claims about the person, without those that every ID token has."""
        found = {"email": user.get("email"), "email_verified": user.get("email_verified", True)} if "email" in scopes else {}
        found |= {"name": user.get("name"), "preferred_username": login} if "profile" in scopes else {}
        return found | ({"groups": user.get("groups", [])} if "groups" in scopes else {})

    def userinfo_claims(self, login, user, session, scopes):
        return self.claims(login, user, session, scopes)

    def strength(self, session):
        """`acr` and `amr`, where the vendor sends them."""
        return {"acr": self.strong_acr, "amr": ["pwd", "otp", "mfa"]} if session["strong"] else {"amr": ["pwd"]} | ({"acr": self.plain_acr} if self.plain_acr else {})

    def response(self, session):
        """Further parameters of the authorization response."""
        return {}


class OktaOrg(Vendor):
    """Okta's org authorization server: the issuer is the bare host; the ID token of the code flow is
    thin (`email` and the rest of the profile are only at userinfo); `groups` only where configured."""

    name, mfa = "okta-org", "urn:okta:loa:2fa:any"
    authorize, token, jwks, userinfo, logout, par = (f"/oauth2/v1/{end}" for end in ("authorize", "token", "keys", "userinfo", "logout", "par"))
    strong_acr = mfa
    locked = {"error": "invalid_grant", "error_description": "The refresh token is invalid or expired."}

    def sub(self, login, user):
        return user.get("sub") or "00u" + uuid.uuid5(uuid.NAMESPACE_DNS, login).hex[:17]

    def claims(self, login, user, session, scopes):
        found = {"ver": 1, "jti": f"ID.{uuid.uuid4().hex}", "idp": "00o1lablablablab0h7"}
        found |= {"name": user.get("name"), "preferred_username": user.get("email", login)} if "profile" in scopes else {}
        return found | ({"groups": user["groups"]} if "groups" in scopes and user.get("groups") else {})

    def userinfo_claims(self, login, user, session, scopes):
        return Vendor.claims(self, login, user, session, scopes) | {"locale": "en-US", "zoneinfo": "America/Los_Angeles"}


class OktaCustom(OktaOrg):
    """Okta's custom authorization server: another issuer on the same host, with endpoints below it.
    Its tokens and the org server's never pass for one another."""

    name = "okta-custom"
    authorize, token, jwks, userinfo, logout, par = (f"/oauth2/default/v1/{end}" for end in ("authorize", "token", "keys", "userinfo", "logout", "par"))

    @property
    def issuer(self):
        return f"{self.base}/oauth2/default"


class Entra(Vendor):
    """Microsoft Entra ID v2.0. `common` and `organizations` publish an issuer template; the token names
    its tenant in `iss` and `tid`, its keys name an issuer (template) and no `alg`; `sub` differs by
    client, `oid` is the person; no `email_verified`; more than 200 groups become a distributed claim;
    PKCE works and is not announced."""

    name, announces_pkce, strong_acr = "entra", False, "c1"
    methods = ["client_secret_post", "private_key_jwt", "client_secret_basic"]
    scopes = ["openid", "profile", "email", "offline_access"]
    locked = {"error": "invalid_grant", "error_codes": [50057], "suberror": "bad_token",
              "error_description": "AADSTS50057: The user account is disabled. Trace ID: lab Timestamp: lab"}

    def __init__(self, base, options):
        super().__init__(base, options)
        self.tenant = options.get("tenant", "8f6bd982-92c3-4de0-985d-0e287c55e379")
        self.audience = options.get("audience", self.tenant)
        self.authorize, self.token, self.logout = (f"/{self.audience}/oauth2/v2.0/{end}" for end in ("authorize", "token", "logout"))
        self.jwks, self.userinfo = f"/{self.audience}/discovery/v2.0/keys", "/oidc/userinfo"

    @property
    def issuer(self):
        return f"{self.base}/{'{tenantid}' if self.audience in ('common', 'organizations') else self.tenant}/v2.0"

    def token_issuer(self, user):
        return f"{self.base}/{user.get('tid', self.tenant)}/v2.0"

    def discovery_paths(self):
        return {f"/{self.audience}/v2.0/.well-known/openid-configuration": self.issuer}

    def metadata(self, issuer):
        return super().metadata(issuer) | {"subject_types_supported": ["pairwise"], "frontchannel_logout_supported": True, "http_logout_supported": True,
                                           "tenant_region_scope": "EU", "cloud_instance_name": "microsoftonline.com"}

    def published(self, keys):
        return {"keys": [{**key, "use": "sig", "x5t": key["kid"], "issuer": self.issuer} for key in keys]}

    def oid(self, login, user):
        return user.get("oid") or str(uuid.uuid5(uuid.NAMESPACE_URL, f"{user.get('tid', self.tenant)}/{login}"))

    def sub(self, login, user):
        return user.get("sub") or uuid.uuid5(uuid.NAMESPACE_OID, f"{self.options.get('client', '')}{self.oid(login, user)}").hex

    def claims(self, login, user, session, scopes):
        oid = self.oid(login, user)
        found = {"tid": user.get("tid", self.tenant), "oid": oid, "ver": "2.0", "uti": uuid.uuid4().hex[:22], "rh": "0.lab", "sid": session["sid"]}
        found |= {"name": user.get("name"), "preferred_username": user.get("email", login)} if "profile" in scopes else {}
        # Settable by the directory's administrator, hence never proof; xms_edov only where it was configured.
        found |= {"email": user["email"]} if "email" in scopes and user.get("email") else {}
        found |= {"xms_edov": user["xms_edov"]} if "xms_edov" in user else {}
        groups = [str(uuid.uuid5(uuid.NAMESPACE_DNS, group)) for group in user.get("groups", [])]
        if len(groups) <= GROUPS_IN_A_TOKEN:
            return found | ({"groups": groups} if groups else {})
        return found | {"_claim_names": {"groups": "src1"},
                        "_claim_sources": {"src1": {"endpoint": f"{self.base}/{found['tid']}/users/{oid}/getMemberObjects"}}}

    def strength(self, session):
        return {"acrs": [self.strong_acr]} if session["strong"] else {}

    def response(self, session):
        return {"session_state": session["sid"]}


class Google(Vendor):
    """Google: `iss` with or without its scheme, `azp` always, `hd` for Workspace accounts only; no
    groups, no `amr`; the scope offline_access is refused, access_type=offline asks for a refresh token."""

    name, response_iss = "google", True
    authorize, jwks, userinfo = "/o/oauth2/v2/auth", "/oauth2/v3/certs", "/v1/userinfo"
    scopes = ["openid", "email", "profile"]
    methods = ["client_secret_post", "client_secret_basic"]
    locked = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}

    def metadata(self, issuer):
        known = super().metadata(issuer) | {"revocation_endpoint": f"{self.base}/revoke", "code_challenge_methods_supported": ["plain", "S256"]}
        del known["end_session_endpoint"]
        return known

    def token_issuer(self, user):
        return self.issuer.split("://")[1] if self.options.get("bare_issuer") else self.issuer

    def refuses_scope(self, scopes):
        unknown = [scope for scope in scopes if scope not in self.scopes]
        return f"Some requested scopes were invalid: {unknown}" if unknown else None

    def wants_refresh(self, scopes, query):
        return query.get("access_type") == "offline"

    def sub(self, login, user):
        return user.get("sub") or str(uuid.uuid5(uuid.NAMESPACE_DNS, login).int)[:21]

    def claims(self, login, user, session, scopes):
        found = {"azp": session["client_id"]}
        found |= {"email": user.get("email"), "email_verified": user.get("email_verified", True)} if "email" in scopes else {}
        found |= {"name": user.get("name"), "picture": f"{self.base}/photo.jpg"} if "profile" in scopes else {}
        return found | ({"hd": user["hd"]} if user.get("hd") else {})

    def strength(self, session):
        return {}

    def response(self, session):
        return {"scope": " ".join(session["scopes"]), "authuser": "0", "prompt": "none"}


class Keycloak(Vendor):
    """A Keycloak realm: `sid`, `azp` and `typ: ID`; groups are paths; the JWK Set holds an encryption
    key too; a refresh token comes without offline_access and lives with the session."""

    name, response_iss, strong_acr, plain_acr = "keycloak", True, "2", "1"
    authorize, token, jwks, userinfo, logout, par = (f"/realms/lab/protocol/openid-connect/{end}" for end in ("auth", "token", "certs", "userinfo", "logout", "ext/par/request"))
    locked = {"error": "invalid_grant", "error_description": "User disabled"}

    @property
    def issuer(self):
        return f"{self.base}/realms/lab"

    def metadata(self, issuer):
        return super().metadata(issuer) | {"backchannel_logout_supported": True, "backchannel_logout_session_supported": True,
                                           "frontchannel_logout_supported": True, "frontchannel_logout_session_supported": True, "acr_values_supported": ["0", "1", "2"]}

    def published(self, keys):
        other = {**keys[-1], "kid": f"{keys[-1]['kid']}-enc", "use": "enc", "alg": "RSA-OAEP"}
        return {"keys": [other, *super().published(keys)["keys"]]}

    def wants_refresh(self, scopes, query):
        return True

    def sub(self, login, user):
        return user.get("sub") or str(uuid.uuid5(uuid.NAMESPACE_DNS, login))

    def claims(self, login, user, session, scopes):
        found = super().claims(login, user, session, [scope for scope in scopes if scope != "groups"])
        found |= {"typ": "ID", "azp": session["client_id"], "sid": session["sid"], "jti": str(uuid.uuid4())}
        return found | ({"groups": [f"/{group}" for group in user["groups"]]} if user.get("groups") else {})

    def strength(self, session):
        return {"acr": self.strong_acr if session["strong"] else self.plain_acr}

    def response(self, session):
        return {"session_state": session["sid"]}


class Ping(Vendor):
    """PingOne: the issuer ends in /as below the environment; `acr` names the sign-on policy; `sid`,
    `env` and `org`; the profile is at userinfo."""

    name, strong_acr, plain_acr = "ping", "Multi_Factor", "Single_Factor"

    def __init__(self, base, options):
        super().__init__(base, options)
        self.environment = options.get("environment", "3ad15e9f-2f9f-4f0e-8f3e-1f2f6fd2c9b1")
        self.authorize, self.token, self.jwks, self.userinfo, self.logout, self.par = (
            f"/{self.environment}/as/{end}" for end in ("authorize", "token", "jwks", "userinfo", "signoff", "par"))

    @property
    def issuer(self):
        return f"{self.base}/{self.environment}/as"

    def sub(self, login, user):
        return user.get("sub") or str(uuid.uuid5(uuid.NAMESPACE_DNS, login))

    def claims(self, login, user, session, scopes):
        found = {"sid": session["sid"], "env": self.environment, "org": str(uuid.uuid5(uuid.NAMESPACE_DNS, "lab"))}
        return found | ({"groups": user["groups"]} if user.get("groups") else {})

    def userinfo_claims(self, login, user, session, scopes):
        return Vendor.claims(self, login, user, session, scopes)


VENDORS = {vendor.name: vendor for vendor in (Vendor, OktaOrg, OktaCustom, Entra, Google, Keycloak, Ping)}
