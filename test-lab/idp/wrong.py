"""What is set up wrongly, at the provider or here: each ends on a page that says what to do, with a code and a
reference that is found in the log.

Used by logins.py; each part takes the checks and the cast. Standard library only.
"""

import re

import stage as stages
from stage import Ended, driver, matrix

TENANT = "three"


class Mess:
    """A tenant whose connections are all wrong in one way."""

    def __init__(self, check, cast):
        self.check, self.cast, self.stage, self.number = check, cast, cast.stage, 0
        if not any(one["id"] == TENANT for one in self.stage.tenant("list")):
            self.stage.create(TENANT, "Tenant Three")

    def account(self, login="alice", **more):
        """Somebody whose address leads to the last connection."""
        return {"username": login, "password": f"{login}-password", "email": f"{login}@{self.domain}", **more}

    def saml(self, idp, *options, source=None):
        """Connects a SAML provider, and us there."""
        name = self.fresh()
        self.stage.tenant("connect-saml", TENANT, name, *(source or ("--metadata-url", idp.metadata, "--entity-id", idp.entity_id)), *options)
        return self.done(name, lambda urls: idp("sp", metadata=urls["entity_id"]))

    def oidc(self, idp, *options, issuer=None, client=None, secret="right", registered=True):
        name = self.fresh()
        client = client or f"client{self.number}"
        self.stage.tenant("connect-oidc", TENANT, name, "--preset", "standard", "--issuer", issuer or idp.issuer, "--client-id", client,
                          "--client-secret-env", "LAB_SECRET", *options, LAB_SECRET=secret)
        return self.done(name, lambda urls: registered and idp("client", client_id=client, client_secret="right", redirect_uris=[urls["redirect_uri"]]))

    def fresh(self):
        self.number += 1
        self.domain = f"wrong{len(self.stage.tenant('connections', TENANT))}.example"
        return f"Wrong {self.domain.split('.')[0]}"

    def done(self, name, register):
        urls = self.stage.connection(TENANT, name)
        register(urls["urls"])
        self.stage.domain(TENANT, self.domain, name)
        return urls

    def refused(self, what, code, *tells, account=None):
        found = self.stage.go(account or self.account())
        self.stage.refused(self.check, what, found, code, tells, TENANT)
        return found

    def admitted(self, what, account=None):
        found = self.stage.go(account or self.account())
        self.check(not isinstance(found, Ended), what, found)


def saml(check, cast):
    """samlp says something else than it should, or its metadata here are others."""
    mess, idp, other = Mess(check, cast), cast.idps["samlp"], cast.idps["simplesamlphp"]

    def said(what, code, *tells, **setting):
        before = {name: value for name, value in idp("set").items() if name in setting}
        idp("set", **setting)
        found = mess.refused(what, code, *tells)
        idp("set", **before)
        return found

    metadata, elsewhere = (driver.Wire(one.metadata).send("GET", driver.path_of(one.metadata))[2].decode() for one in (idp, other))
    inside = re.compile(r"(<(?:\w+:)?X509Certificate>)([^<]*)")
    foreign = inside.search(elsewhere).group(2)
    file = cast.stage.folder / "metadata.xml"
    file.write_text(inside.sub(lambda found: found.group(1) + foreign, metadata))
    mess.saml(idp, source=("--metadata", file))
    mess.refused("a wrong SAML certificate", "saml_wrong_certificate", "certificate", "metadata")
    mess.saml(idp)
    mess.admitted("with the right one she comes in")
    for which, seconds, codes in (("ahead", 3600, ("saml_not_yet_valid", "saml_from_the_future")), ("behind", -3600, ("saml_expired", "saml_too_old"))):
        found = said(f"a clock that is an hour {which}", codes, "clock", skew=seconds)
        times = re.findall(r"\d\d:\d\d:\d\d", getattr(found, "what", ""))
        check(len(times) == 2 and re.search(r"\b3[0-9]{3} s\b", found.what), f"a clock that is an hour {which}: the page says both times and the difference", found)
    said("another audience", "saml_wrong_audience", "https://another.example", "audience", audience="https://another.example")
    said("another recipient", "saml_wrong_recipient", "https://another.example", recipient="https://another.example/acs")
    said("another destination", "saml_wrong_destination", "https://another.example", destination="https://another.example/acs", sign_response=True)
    said("an answer to another request", ("saml_wrong_in_response_to", "saml_unknown_request"), in_response_to="_another")
    said("nothing is signed", "saml_unsigned", "sign", sign_assertion=False)
    said("a signature with SHA-1", "saml_algorithm_refused", "sha", signature_algorithm="rsa-sha1")
    said("a NameID of one day", "saml_transient_name_id", "persistent", name_id_format="transient")
    idp("set", encrypt=True)
    mess.admitted("an encrypted assertion is read")
    idp("set", encrypt=False)
    idp("set", session_not_on_or_after=-600)
    mess.stage.refused(check, "a session that is over already", mess.stage.go(mess.account()), ("saml_expired", "saml_session_over", "saml_too_old"), (), TENANT)
    idp("set", session_not_on_or_after=None)


def attributes(check, cast):
    """What the provider does not release, and who may not come in."""
    mess, idp = Mess(check, cast), cast.idps["samlp"]
    mess.saml(idp, "--admit-group", "eng")
    mess.admitted("a member of the admitted group comes in")
    idp("set", omit=["groups"])
    mess.refused("the groups are not released", "group_missing", "eng", "groups", "release")
    idp("set", omit=[])
    mess.saml(idp, "--link-by-email")
    idp("set", omit=["email"])
    mess.refused("the address is not released, by which people are to be linked", "email_missing", "email", "release")
    idp("set", omit=[])
    mess.saml(idp, "--no-create")
    mess.refused("nobody provisioned her", "not_provisioned", "SCIM")
    mess.saml(idp, "--no-create", "--scim-match", "employeeNumber=externalId")
    mess.refused("the attribute is not released, by which the provisioned are found", "attribute_missing", "employeeNumber", "release")
    mess.saml(idp, "--require-mfa")
    mess.refused("one factor where two are demanded", "saml_mfa_missing", "second factor")
    idp("user", login="mia", password="mia-password", email="mia@one-saml.example", name="Mia", otp="123456")
    mess.admitted("and with two she comes in", mess.account("mia", otp="123456"))
    mess.saml(cast.idps["simplesamlphp"])
    person = stages.browser.Browser({**mess.account("carol"), "federated": True})
    mess.stage.go(mess.account("carol"), person)
    # It knows her still, we do not: so it is asked, and answers for itself.
    del person.cookies.jars[mess.stage.origin]
    cast.idps["simplesamlphp"]("lock", login="carol")
    mess.stage.refused(check, "the provider says no", mess.stage.go(mess.account("carol"), person), "saml_status", (), TENANT)
    cast.idps["simplesamlphp"]("unlock", login="carol")
    unasked(check, mess, idp)


def unasked(check, mess, idp):
    """The provider begins: refused, unless the tenant wants that, and then the person agrees first."""
    for options, wanted in (((), False), (("--allow-unsolicited",), True)):
        urls = mess.saml(idp, *options)["urls"]
        person = stages.browser.Browser({**mess.account(), "federated": True})
        start = f"{idp.start}?sp={urls['entity_id']}&RelayState=%2Faccount"
        found = mess.stage.walk(person, start, done=lambda url, page: url == f"{mess.stage.origin}/account")
        if wanted:
            asked = [url for method, url, _ in person.trail if url.endswith("/acs/confirm")]
            check(found.url.endswith("/account") and "alice" in person.page.lower() and asked, "the provider begins, where the tenant wants that and she agrees", found)
        else:
            mess.stage.refused(check, "the provider begins, unasked", found, "saml_unsolicited", ("begin",), TENANT)


def oidc(check, cast):
    """A connection that is wrong here, and a provider that is not there."""
    mess, idp = Mess(check, cast), cast.idps["oidc-provider"]
    mess.oidc(idp, secret="wrong")
    mess.refused("a wrong client secret", "oidc_invalid_client", "secret")
    mess.oidc(idp, registered=False)
    mess.refused("a client that the provider does not know", ("oidc_invalid_client", "oidc_token_endpoint"), "client")
    mess.oidc(idp, issuer=f"{idp.issuer}/")
    mess.refused("an issuer with a slash too many", "oidc_metadata_issuer", "issuer")
    mess.oidc(idp, issuer=f"http://127.0.0.1:{matrix.free_port()}", registered=False)
    mess.refused("an OpenID provider that is down", "oidc_provider_unreachable", "up")
    port = matrix.free_port()
    name = mess.fresh()
    mess.stage.tenant("connect-saml", TENANT, name, "--metadata-url", f"http://127.0.0.1:{port}/metadata", "--entity-id", "https://down.example")
    mess.done(name, lambda urls: None)
    mess.refused("a SAML provider that is down", "saml_metadata_unavailable", "metadata")
    mess.oidc(idp, "--require-mfa", "--mfa-acr", "mfa")
    mess.refused("one factor where two are demanded", ("oidc_mfa", "oidc_acr"), "factor")
    idp("user", login="mia", password="mia-password", email="mia@one.example", email_verified=True, name="Mia", otp="123456")
    mess.admitted("and with two she comes in", mess.account("mia", otp="123456"))
    mess.oidc(idp, "--link-by-email")
    idp("user", login="nomail", password="nomail-password", name="No Mail")
    mess.refused("the address is not released, by which people are to be linked", "email_missing", "email", "release", account=mess.account("nomail"))
    addresses(check, mess)


def addresses(check, mess):
    """Domains that lead nowhere, or not yet."""
    mess.stage.tenant("domain", "add", TENANT, "unproved.example")
    ended = mess.stage.go({"email": "ann@unproved.example", "username": "ann", "password": "x"})
    mess.stage.refused(check, "a domain that was never verified", ended, ("domain_unverified", "domain_not_verified", "domain_unproved"), ("unproved.example",))
    ended = mess.stage.go({"email": "ann@nowhere.example", "username": "ann", "password": "x"})
    check(isinstance(ended, Ended) and "No organisation signs in here with that address" in ended.what + ended.remedy, "an address of nobody's is told so on the same page", ended)


PARTS = {"wrong-saml": saml, "wrong-attributes": attributes, "wrong-oidc": oidc}
