#!/usr/bin/env python3
"""Plays the person at the browser: opens an authorization URL, fills the sign-in and the consent
form, and follows the last redirect to the client's callback, so that the waiting client gets its code.

It knows nothing of the product but what its pages say, and it never runs a script: pages that need
one to be used cannot be walked. Standard library only.

    walk.py URL                 account from $SALLYPORT_ACCOUNT ({"username", "email", "password"})
    walk.py --no-callback URL   print the callback URL and leave it alone
    walk.py --deny URL          press the refusing button
"""

import argparse
import html.parser
import http.cookiejar
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

STEPS = 25
REFUSING = re.compile(r"\b(den(y|ied)|cancel|reject|decline|refuse|no|abort)\b", re.I)


class WalkError(Exception):
    """The pages did not lead back to the client; the text says where it stopped."""


class Pages(html.parser.HTMLParser):
    """The forms of one page: action, method, fields and submit buttons."""

    def __init__(self):
        super().__init__()
        self.forms = []
        self.inside = False
        self.button = None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.inside = True
            method = (attrs.get("method") or "get").lower()
            self.forms.append({"action": attrs.get("action"), "method": method, "fields": [], "buttons": []})
        elif self.inside and tag in ("input", "button", "textarea", "select"):
            kind = (attrs.get("type") or {"button": "submit", "select": "select"}.get(tag, "text")).lower()
            field = {"name": attrs.get("name"), "value": attrs.get("value"), "kind": kind, "label": "",
                     "checked": "checked" in attrs, "off": "disabled" in attrs}
            self.forms[-1]["buttons" if kind in ("submit", "image") else "fields"].append(field)
            if tag == "button":
                self.button = field
        elif self.inside and tag == "option" and self.forms[-1]["fields"]:
            # A browser sends the selected option, else the first.
            chosen = self.forms[-1]["fields"][-1]
            if chosen["value"] is None or "selected" in attrs:
                chosen["value"] = attrs.get("value") or ""

    def handle_data(self, text):
        if self.button is not None:
            self.button["label"] += text

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside = False
        elif tag == "button":
            self.button = None


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def is_loopback(url):
    return urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def origin_of(url):
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class Walk:
    """One browser with its own cookies."""

    def __init__(self, account, approve=True):
        self.account, self.approve = account, approve
        jar = http.cookiejar.CookieJar(policy=http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https", "wss")))
        self.opener = urllib.request.build_opener(
            NoRedirect, urllib.request.HTTPCookieProcessor(jar), urllib.request.ProxyHandler({}))

    def fetch(self, url, body=None, headers=None):
        headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "User-Agent": "lab-walk/1", **(headers or {})}
        try:
            answer = self.opener.open(urllib.request.Request(url, data=body, headers=headers), timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        except OSError as error:
            raise WalkError(f"{url}: {error}") from error
        return answer.status, answer.headers, answer.read().decode(errors="replace")

    def is_callback(self, url, redirect_uri, start):
        if redirect_uri:
            return url.split("?")[0].split("#")[0] == redirect_uri.split("?")[0]
        # A pushed request hides the redirect URI: the callback is the first foreign URL with an answer in it.
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
        return origin_of(url) != origin_of(start) and ("code" in query or "error" in query)

    def callback(self, start):
        """Walks from `start` and returns the callback URL that the browser was sent to."""
        redirect_uri = (urllib.parse.parse_qs(urllib.parse.urlsplit(start).query).get("redirect_uri") or [None])[0]
        url = start
        status, headers, page = self.fetch(url)
        for _ in range(STEPS):
            if 300 <= status < 400 and headers.get("Location"):
                url = urllib.parse.urljoin(url, headers["Location"])
                if self.is_callback(url, redirect_uri, start):
                    return url
                status, headers, page = self.fetch(url)
                continue
            url, status, headers, page = self.submit(url, status, page)
        raise WalkError(f"no callback after {STEPS} steps, last at {url}")

    def submit(self, url, status, page):
        pages = Pages()
        pages.feed(page)
        form = self.choose(pages.forms)
        if form is None:
            raise WalkError(f"{url}: {status}, no form to fill and no redirect: {' '.join(page.split())[:400]}")
        values = urllib.parse.urlencode(self.fill(form))
        action = urllib.parse.urljoin(url, form["action"] or url)
        if form["method"] != "post":
            target = action.split("?")[0] + "?" + values
            return (target, *self.fetch(target, headers={"Referer": url}))
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin_of(url), "Referer": url}
        return (action, *self.fetch(action, values.encode(), headers))

    def choose(self, forms):
        """The form that asks for a password, else one that asks for text, else the first that posts."""
        posting = [form for form in forms if form["method"] == "post"] or forms
        for kinds in (("password",), ("text", "email")):
            for form in posting:
                if any(field["kind"] in kinds and not field["off"] for field in form["fields"]):
                    return form
        for form in posting:
            if self.press(form) is not None:
                return form
        return posting[0] if posting else None

    def press(self, form):
        wanted = [b for b in form["buttons"]
                  if bool(REFUSING.search(" ".join(filter(None, (b["value"], b["label"], b["name"]))))) != self.approve]
        return wanted[0] if wanted else None

    def fill(self, form):
        values, seen_radio = [], set()
        for field in form["fields"]:
            name, kind = field["name"], field["kind"]
            if not name or field["off"]:
                continue
            if kind == "password":
                values.append((name, self.account["password"]))
            elif kind == "email":
                values.append((name, self.account.get("email") or self.account["username"]))
            elif kind == "text" and not field["value"]:
                values.append((name, self.account["username"]))
            elif kind == "checkbox":
                values.append((name, field["value"] or "on"))
            elif kind == "radio":
                if field["checked"] and name not in seen_radio:
                    seen_radio.add(name)
                    values.append((name, field["value"] or "on"))
            else:
                values.append((name, field["value"] or ""))
        button = self.press(form)
        if button is not None and button["name"]:
            values.append((button["name"], button["value"] or ""))
        return values


def walk(url, account, approve=True):
    """Signs in at `url` and returns the callback URL, not yet opened."""
    return Walk(account, approve).callback(url)


def deliver(callback):
    """Opens the client's own callback, as the browser would."""
    if not is_loopback(callback):
        raise WalkError(f"the callback is not on this machine: {callback.split('?')[0]}")
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 15
    while True:
        try:
            return opener.open(callback, timeout=60).read()
        except urllib.error.HTTPError as error:
            # A completion page elsewhere is the client's affair; the code has been handed over.
            if 300 <= error.code < 400:
                return None
            raise WalkError(f"the client's callback answered {error.code}") from error
        except OSError as error:
            # Some clients listen only after the browser was started.
            if time.monotonic() > deadline:
                raise WalkError(f"nothing listens at the client's callback: {error}") from error
            time.sleep(0.1)


def note(trace, **line):
    if trace:
        with open(trace, "a") as log:
            log.write(json.dumps(line) + "\n")


def main():
    # Whoever signs in at an identity provider needs a browser that knows more (idp/browser.py).
    other = os.environ.pop("SALLYPORT_BROWSER", None)
    if other and os.path.realpath(sys.argv[0]) != os.path.realpath(other):
        os.execv(sys.executable, [sys.executable, other, *sys.argv[1:]])
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("url")
    parser.add_argument("--account", default=os.environ.get("SALLYPORT_ACCOUNT"), help="JSON")
    parser.add_argument("--no-callback", action="store_true")
    parser.add_argument("--deny", action="store_true")
    options = parser.parse_args()
    if not options.account:
        parser.error("no account: set SALLYPORT_ACCOUNT")
    trace = os.environ.get("SALLYPORT_WALK_LOG")
    try:
        callback = walk(options.url, json.loads(options.account), not options.deny)
        answer = urllib.parse.parse_qs(urllib.parse.urlsplit(callback).query)
        note(trace, walked=origin_of(options.url), error=answer.get("error"))
        if options.no_callback:
            print(callback)
        else:
            deliver(callback)
    except WalkError as error:
        note(trace, failed=str(error))
        sys.exit(f"walk: {error}")
    if "error" in answer and not options.deny:
        sys.exit(f"walk: the answer was {answer['error'][0]}: {answer.get('error_description', [''])[0]}")


if __name__ == "__main__":
    main()
