#!/usr/bin/env python3
"""The person at the browser who signs in at an identity provider: `walk.py`, and what federation
needs besides. It keeps cookies apart by origin (hosts of the lab share 127.0.0.1, real ones do not),
withholds `SameSite` cookies where a browser would (every other origin counts as another site, which
is stricter), posts the self-submitting forms of SAML, and keeps a POST on 307 and 308.

Same arguments and environment as walk.py. Clients that call walk.py get this one instead when
SALLYPORT_BROWSER names this file. The account, in SALLYPORT_ACCOUNT:

    {"email": "alice@one.example",              typed where a page asks for an address
     "username": "alice", "password": "…",      typed everywhere else
     "otp": "123456",                           typed into a field named otp
     "accounts": {"http://127.0.0.1:4000": {"username": …, "password": …}},   other names at one origin
     "press": "Single sign-on",                 a button or link to prefer at the first origin
     "federated": true}                         at the first origin, never type a password

Standard library only.
"""

import html.parser
import http.cookiejar
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import walk  # noqa: E402
from walk import WalkError, origin_of  # noqa: E402,F401

STEPS = 60
ONE_TIME = re.compile(r"otp|one.?time|totp|code", re.I)
# Buttons of a consent page that neither allow nor refuse.
LEAVING = re.compile(r"log.?out|sign.?out|switch|another|different|refresh", re.I)
NAME = re.compile(r"user|login|name|account|identifier", re.I)


class Links(html.parser.HTMLParser):
    """The links of one page as (address, text), and where it refreshes itself to."""

    def __init__(self):
        super().__init__()
        self.links, self.open, self.refresh = [], None, None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "a" and attrs.get("href"):
            self.open = [attrs["href"], ""]
            self.links.append(self.open)
        elif tag == "meta" and (attrs.get("http-equiv") or "").lower() == "refresh":
            self.refresh = re.sub(r"^[^;]*;\s*url=", "", attrs.get("content") or "", flags=re.I) or None

    def handle_data(self, text):
        if self.open is not None:
            self.open[1] += text

    def handle_endtag(self, tag):
        if tag == "a":
            self.open = None


def at_once(refresh):
    """Where a `Refresh` header leads without waiting."""
    seconds, _, rest = (refresh or "").partition(";")
    return re.sub(r"^\s*url=", "", rest, flags=re.I).strip() or None if seconds.strip() == "0" else None


class Cookies:
    """One jar an origin, and the rules of `SameSite`."""

    def __init__(self):
        self.jars = {}

    def jar(self, url):
        policy = http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https", "wss"))
        return self.jars.setdefault(origin_of(url), http.cookiejar.CookieJar(policy))

    def sent(self, request, crossed):
        """The jar for this request: what a browser that comes from another site would send."""
        whole = self.jar(request.full_url)
        if not crossed:
            return whole
        kept = http.cookiejar.CookieJar()
        kept.set_policy(http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https", "wss")))
        for cookie in whole:
            same_site = next((value for key, value in cookie._rest.items() if key.lower() == "samesite"), None) or "lax"
            if same_site.lower() == "none" or (same_site.lower() == "lax" and request.get_method() == "GET"):
                kept.set_cookie(cookie)
        return kept


class Browser(walk.Walk):
    """One browser. `trail` is every address that it opened, with the status of the answer."""

    def __init__(self, account, approve=True):
        super().__init__(account, approve)
        self.cookies, self.trail, self.home = Cookies(), [], None
        self.opener = urllib.request.build_opener(walk.NoRedirect, urllib.request.ProxyHandler({}))
        self.from_origin = None

    def fetch(self, url, body=None, headers=None):
        headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "User-Agent": "lab-browser/1", **(headers or {})}
        request = urllib.request.Request(url, data=body, headers=headers)
        self.cookies.sent(request, self.from_origin not in (None, origin_of(url))).add_cookie_header(request)
        try:
            answer = self.opener.open(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        except OSError as error:
            raise WalkError(f"{url}: {error}") from error
        self.cookies.jar(url).extract_cookies(answer, request)
        self.status = answer.status
        self.trail.append((request.get_method(), url, answer.status))
        return answer.status, answer.headers, answer.read().decode(errors="replace")

    def here(self, url):
        """The names and passwords to use at this address."""
        return {**self.account, **self.account.get("accounts", {}).get(origin_of(url), {})}

    def callback(self, start):
        """Walks from `start` and returns the callback URL that the browser was sent to, not yet opened."""
        redirect_uri = (urllib.parse.parse_qs(urllib.parse.urlsplit(start).query).get("redirect_uri") or [None])[0]
        url = self.follow(start, stop=lambda at: self.is_callback(at, redirect_uri, start))
        if not self.is_callback(url, redirect_uri, start):
            raise WalkError(f"the pages ended at {url} and not at the callback")
        return url

    def follow(self, start, stop=lambda url: False, done=lambda url, page: False):
        """Walks until `stop` accepts an address before it is opened, or `done` a page after it was."""
        self.home = self.home or origin_of(start)
        self.from_origin = None
        url, (status, headers, self.page) = start, self.fetch(start)
        body = None
        for _ in range(STEPS):
            if done(url, self.page):
                return url
            if 300 <= status < 400 and headers.get("Location"):
                before, url = url, urllib.parse.urljoin(url, headers["Location"])
                if stop(url):
                    return url
                if origin_of(before) != origin_of(url):
                    self.from_origin = origin_of(before)
                body = body if status in (307, 308) else None
                extra = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
                status, headers, self.page = self.fetch(url, body, extra)
                continue
            self.from_origin = origin_of(url)
            links = Links()
            links.feed(self.page)
            preferred = self.preferred(url, links.links)
            # A header is obeyed as a browser does; an element only where there is nothing else to do.
            onward = at_once(headers.get("Refresh")) or (links.refresh if "<form" not in self.page.lower() else None)
            if preferred or onward:
                url, body = urllib.parse.urljoin(url, preferred or onward), None
                if stop(url):
                    return url
                status, headers, self.page = self.fetch(url, headers={"Referer": url})
                continue
            url, body, status, headers, self.page = self.submit(url, status, self.page)
        raise WalkError(f"no end after {STEPS} steps: {' → '.join(at.split('?')[0] for _, at, _ in self.trail[-8:])}")

    def preferred(self, url, links):
        wanted = self.account.get("press")
        if not wanted or origin_of(url) != self.home:
            return None
        return next((address for address, text in links if re.search(wanted, " ".join(text.split()), re.I)), None)

    def submit(self, url, status, page):
        pages = walk.Pages()
        pages.feed(page)
        adopt_buttons(pages.forms, page)
        form = self.choose_at(url, pages.forms)
        if form is None:
            raise WalkError(f"{url}: {status}, no form to fill and no redirect: {' '.join(re.sub(r'<[^>]*>', ' ', page).split())[:400]}")
        values = self.fill_at(url, form)
        # A page that comes back with the same form refused what was typed.
        repeated = (url.split("?")[0], tuple(name for name, _ in values))
        if repeated == getattr(self, "last", None) and any(field["kind"] in ("password", "email") for field in form["fields"]):
            raise WalkError(f"{url}: {status}, asks again: {' '.join(re.sub(r'<[^>]*>', ' ', page).split())[:400]}")
        self.last = repeated
        action = urllib.parse.urljoin(url, form["action"] or url)
        encoded = urllib.parse.urlencode(values)
        if form["method"] != "post":
            target = action.split("?")[0] + "?" + encoded
            return (target, None, *self.fetch(target, headers={"Referer": url}))
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin_of(url), "Referer": url}
        return (action, encoded.encode(), *self.fetch(action, encoded.encode(), headers))

    def choose_at(self, url, forms):
        """As walk.py chooses; but who signs in elsewhere leaves forms for a password alone at the first origin."""
        wanted = self.account.get("press")
        if origin_of(url) == self.home and wanted:
            for form in forms:
                if any(re.search(wanted, " ".join(filter(None, (b["label"], b["value"]))), re.I) for b in form["buttons"]):
                    return form
        if origin_of(url) == self.home and self.account.get("federated"):
            other = [form for form in forms if not any(field["kind"] == "password" for field in form["fields"])]
            if other:
                return self.choose(other)
        carrying = [form for form in forms if any((field["name"] or "") in ("SAMLResponse", "SAMLRequest") for field in form["fields"])]
        return self.choose(carrying or forms)

    def press(self, form):
        staying = [b for b in form["buttons"] if not LEAVING.search(" ".join(filter(None, (b["value"], b["label"], b["name"]))))]
        return super().press({**form, "buttons": staying})

    def fill_at(self, url, form):
        here, before = self.here(url), self.account
        self.account = {"username": "", "password": "", **here}
        try:
            values = dict(self.fill(form))
        finally:
            self.account = before
        for field in form["fields"]:
            name = field["name"] or ""
            if field["kind"] in ("text", "tel", "number") and ONE_TIME.search(name):
                values[name] = here.get("otp") or ""
            elif field["kind"] in ("text", "email") and not field["off"] and "email" in name.lower() and here.get("email"):
                values[name] = here["email"]
            elif field["kind"] == "text" and not field["off"] and NAME.search(name) and "password" in str(form["fields"]):
                values[name] = here.get("username") or here.get("email") or ""
        return list(values.items())


def adopt_buttons(forms, page):
    """A button outside a form that names it by `form=` belongs to it; walk.py sees only what stands inside."""
    ids = re.findall(r"<form\b[^>]*?(?:\bid=[\"']?([^\"'\s>]+))?[^>]*>", page, re.I)
    for tag, label in re.findall(r"<(button\b[^>]*\bform=[^>]*)>(.*?)</button>", page, re.I | re.S):
        attribute = dict(re.findall(r"([a-z]+)=[\"']?([^\"'>]*)[\"']?", tag, re.I))
        for form, identity in zip(forms, ids):
            if identity and identity == attribute.get("form"):
                form["buttons"].append({"name": attribute.get("name"), "value": attribute.get("value"), "kind": "submit",
                                        "label": re.sub(r"<[^>]*>", "", label), "checked": False, "off": False})


walk.Walk = Browser

if __name__ == "__main__":
    walk.main()
