"""A person of the tenant: created by Canaille's push, signed in there through the gate, with a grant, an
MCP session and an open stream at every node; and an agent that acts for her, with the same at every node.

Standard library only.
"""

import collections
import dataclasses
import re
import time
import urllib.parse

import watch
from deployment import DOMAIN
import driver  # watch.py put its folder on the path
import browser  # deployment.py put its folder on the path

CALL_EVERY, REFRESH_EVERY = 0.01, 0.025
# Authorization requests in a minute, all from this one address: the gate takes 120.
AUTHORIZATIONS = 100
asked = collections.deque(maxlen=AUTHORIZATIONS)


def in_turn(client):
    """Waits until one more authorization request of `client` is below the gate's limit."""
    if len(asked) == AUTHORIZATIONS:
        time.sleep(max(0.0, asked[0] + 60 - time.monotonic()))
    asked.append(time.monotonic())
    # The other side closes a connection that was not used for a while.
    client.wire.close()


@dataclasses.dataclass
class Person:
    """Tokens are one answer of the token endpoint for each node; `acted`: those of the agent that acts for her."""

    login: str
    browser: browser.Browser
    tokens: list
    acted: list


def scope_of(endpoint):
    """The scopes that the gate's challenge asks for."""
    wire = driver.Wire(endpoint)
    _, headers, _ = wire.send("POST", driver.path_of(endpoint), b"{}", {"Content-Type": "application/json"})
    wire.close()
    return re.search(r'scope="([^"]*)"', headers["WWW-Authenticate"]).group(1)


class People:
    """Makes people. One OAuth client serves them all, as one program that many use."""

    def __init__(self, deployment):
        self.deployment, self.count = deployment, 0
        self.client = driver.Client(deployment.endpoint)
        self.scope = scope_of(deployment.endpoint)
        self.agent = driver.Client(deployment.endpoint, *deployment.agent("helper", driver.Client.redirect, self.scope.split()))

    def make(self, number):
        """`number` people in one group, signed in."""
        logins = []
        for _ in range(number):
            self.count += 1
            logins.append(f"person{self.count}")
            self.deployment.canaille("user", login=logins[-1], email=f"{logins[-1]}@{DOMAIN}", name=f"Person {self.count}")
        self.deployment.canaille("group", name=f"group{self.count}", members=logins)
        return [self.sign_in(login) for login in logins]

    def sign_in(self, login):
        account = {"email": f"{login}@{DOMAIN}", "username": login, "password": f"{login}-password", "federated": True,
                   # Our page that leaves for the provider refreshes itself by a header; a person may press its link.
                   "press": "^Go on$"}
        person = Person(login, browser.Browser(account), [], [])
        for _ in self.deployment.nodes:
            in_turn(self.client)
            person.tokens.append(self.client.sign_in(person.browser, self.scope))
            in_turn(self.agent)
            person.acted.append(self.agent.sign_in(person.browser, self.scope))
            if driver.claims(person.acted[-1]["access_token"]).get("act", {}).get("sub") != self.agent.client_id:
                raise RuntimeError(f"the agent's token does not say that it acts for {login}")
        return person


class Access:
    """What a person does with her tokens, on every node, until it is ended."""

    def __init__(self, deployment, people, person, every=CALL_EVERY, refresh=True):
        self.person, self.client, self.deployment = person, people.client, deployment
        self.callers, self.streams, self.calls, self.refreshes, self.clients = [], [], [], [], []
        # Her own at every node first: a witness is looked at there.
        for who, client, all_tokens in (("", people.client, person.tokens), ("agent ", people.agent, person.acted)):
            for node, tokens in zip(deployment.nodes, all_tokens):
                self.hold(who, client, node, tokens, every, refresh)

    def hold(self, who, client, node, tokens, every, refresh):
        """A session, a stream, calls and refreshes of her or of the agent that acts for her, at one node."""
        caller = watch.mcp_session(node.url, self.deployment.endpoint, tokens["access_token"])
        self.callers.append(caller)
        self.clients.append(client)
        self.streams.append(watch.Stream(node.name, caller, f"{who}stream"))
        # Its own connection: the stream's session is asked for by both.
        self.calls.append(watch.calls(node.name, caller, every, f"{who}call"))
        if refresh:
            self.refreshes.append(watch.refreshes(node.name, client, node.url, self.deployment.host, tokens["refresh_token"], REFRESH_EVERY,
                                                  f"{who}refresh"))

    @property
    def all(self):
        return [*self.calls, *self.refreshes, *self.streams]

    @property
    def asking(self):
        return [*self.calls, *self.refreshes]

    def start(self):
        """Starts everything, and waits until each was granted three times."""
        for thread in self.all:
            thread.start()
        deadline = time.monotonic() + 20
        while any(asking.granted < 3 for asking in self.asking):
            bad = next((asking for asking in self.asking if asking.refused), None)
            if bad or time.monotonic() > deadline:
                bad = bad or min(self.asking, key=lambda asking: asking.granted)
                self.stop()
                raise RuntimeError(f"{self.person.login}: {bad.kind} on {bad.node} does not work before anything ended: {bad.refusal}")
            time.sleep(0.005)

    def wait(self, until):
        """Waits until everything has ended, or `until`."""
        while time.monotonic() < until and not all(thread.ended() for thread in self.all):
            time.sleep(0.005)

    def stop(self):
        for thread in self.all:
            thread.stop()
        for thread in self.all:
            if thread.ident:
                thread.join(20)
        for caller in self.callers:
            caller.wire.close()

    def expires(self):
        """When the first of the access tokens ends by itself, seconds from now."""
        return min(driver.claims(tokens["access_token"])["exp"] for tokens in (*self.person.tokens, *self.person.acted)) - time.time()

    def code(self):
        """A code that nobody has redeemed, and its verifier."""
        in_turn(self.client)
        return self.client.authorize(self.person.browser, self.scope())

    def scope(self):
        return self.person.tokens[0]["scope"]

    def still_works(self, code):
        """What of an ended person's things still works when it is tried once more, everywhere."""
        works = []
        self.client.wire.close()
        status, answer = self.client.redeem(*code)
        if status == 200:
            works.append("a code from before")
        query, _ = self.client.query(self.scope())
        in_turn(self.client)
        url = self.client.metadata["authorization_endpoint"] + "?" + urllib.parse.urlencode(query)
        _, headers, _ = self.person.browser.fetch(url)
        if "code=" in (headers.get("Location") or ""):
            works.append("the browser's session")
        for node, client, caller, refresh in zip(self.deployment.nodes * 2, self.clients, self.callers, self.refreshes):
            # New connections: the old ones may have been closed meanwhile.
            again = watch.caller(node.url, self.deployment.endpoint, caller.token)
            again.session = caller.session
            fresh = watch.refreshes(node.name, client, node.url, self.deployment.host, refresh.newest[0], REFRESH_EVERY)
            tries = {"the session": lambda: again.tool("echo", {"message": "again"})[0] == 200, "a new session": lambda: opens(again),
                     "a refresh": lambda: fresh.ask()[0]}
            works += [f"{what} of {client.client_id} on {node.name}" for what, granted in tries.items() if granted()]
            again.wire.close()
        return works


def opens(caller):
    caller.session = None
    try:
        caller.open()
    except RuntimeError:
        return False
    return True
