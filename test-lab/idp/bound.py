"""How long access lives on where the provider takes somebody's away and pushes nothing, against the bound that
`sallyport tenant connections` shows: measured beside the other parts, for it is a minute.

Used by logins.py; the part takes the checks and the cast. Standard library only.
"""

import threading
import time

TENANT = "slow"
# The shortest that a tenant may choose, seconds.
LIFETIMES = {"--access-token-seconds": 30, "--grant-seconds": 60, "--session-seconds": 60}
SECRET = "secret-of-the-gate"
CALL_EVERY, REFRESH_EVERY = 0.5, 15


class Lingering(threading.Thread):
    """Calls with what somebody has, and where `refresh` is so renews it, until a call is refused for good."""

    def __init__(self, access, refresh, most):
        super().__init__(daemon=True)
        self.access, self.refresh, self.most, self.since, self.last, self.refusal = access, refresh, most, time.monotonic(), None, None

    def run(self):
        renewed = self.since
        while time.monotonic() < self.since + self.most + 10:
            answered, self.refusal = self.access.call()
            if not answered:
                return
            self.last = time.monotonic() - self.since
            if self.refresh and time.monotonic() > renewed + REFRESH_EVERY:
                renewed = time.monotonic()
                if self.access.refresh()[0] == 200:
                    self.access.caller.token = self.access.tokens["access_token"]
            time.sleep(CALL_EVERY)


def bound(check, cast):
    """Begins the measurement; its end is judged when the other parts are through."""
    stage = cast.stage
    stage.create(TENANT, "Tenant that hears late")
    stage.tenant("set", TENANT, *(str(word) for pair in LIFETIMES.items() for word in pair))
    for name, provider, domain in (("Asked", "oidc-provider", "slow.example"), ("Never asked", "samlp", "slow-saml.example")):
        idp = cast.idps[provider]
        if idp.kind == "oidc":
            stage.tenant("connect-oidc", TENANT, name, "--preset", "standard", "--issuer", idp.issuer, "--client-id", "slow", "--client-secret-env", "LAB_SECRET",
                         LAB_SECRET=SECRET)
            # No back-channel logout: nothing is pushed.
            idp("client", client_id="slow", client_secret=SECRET, redirect_uris=[stage.connection(TENANT, name)["urls"]["redirect_uri"]])
        else:
            stage.tenant("connect-saml", TENANT, name, "--metadata-url", idp.metadata, "--entity-id", idp.entity_id)
            idp("sp", metadata=stage.connection(TENANT, name)["urls"]["entity_id"])
        stage.domain(TENANT, domain, name)
        idp("user", login="dora", password="dora-password", email=f"dora@{domain}", name="Dora Slow")
        access = stage.sign_in({"username": "dora", "password": "dora-password", "email": f"dora@{domain}"})
        shown = stage.connection(TENANT, name)
        check(shown.get("worst_case_seconds") and shown.get("worst_case"), f"{name}: a worst-case bound is shown", shown)
        idp("lock", login="dora")
        # The worst that can be where every refresh asks is never to refresh.
        lingering = Lingering(access, idp.kind != "oidc", shown.get("worst_case_seconds") or 100)
        lingering.start()
        cast.pending.append(lambda check, name=name, shown=shown, lingering=lingering: judge(check, name, shown, lingering))


def judge(check, name, shown, lingering):
    lingering.join(lingering.most + 20)
    print(f"       {name}: shown {shown['worst_case_seconds']} s ({shown['worst_case']}), measured {lingering.last:.1f} s", flush=True)
    check(not lingering.is_alive() and "401" in str(lingering.refusal) and lingering.last <= shown["worst_case_seconds"],
          f"{name}: without a push access ends within the bound that is shown", (lingering.last, lingering.refusal))
    check(lingering.last > 5, f"{name}: and the bound is not idle: nothing else ended it", lingering.last)
    status, answer = lingering.access.refresh()
    check((status, answer.get("error")) == (400, "invalid_grant"), f"{name}: a refresh is refused", f"{status} {answer}")


PARTS = {"bound": bound}
