"""A stand-in for the gate with which the lab tests its browser: an authorization endpoint whose
sign-in page offers a password form and an address form, and sends the person on to an identity
provider by OpenID Connect or by SAML. It checks nothing but what the browser sends. Never a model.
"""

import html
import http.cookies
import secrets
import urllib.parse

import control


class FrontDoor:
    """`onward` makes the identity provider's address from this door's own callback; `seen` is what arrived."""

    def __init__(self):
        self.onward, self.seen = None, []
        door = self

        class Handler(control.Quiet):
            def cookies(self):
                return sorted(http.cookies.SimpleCookie(self.headers.get("Cookie", "")))

            def page(self, body, headers=()):
                self.answer(200, f"<!doctype html>{body}", "text/html", headers)

            def do_GET(self):
                path, _, query = self.path.partition("?")
                if path == "/authorize":
                    door.back = dict(urllib.parse.parse_qsl(query))
                    kept = [("Set-Cookie", f"{name}=1; Path=/; HttpOnly; SameSite={rule}") for name, rule in (("lax", "Lax"), ("strict", "Strict"))]
                    return self.page("""<form method="post" action="/password"><input type="text" name="login"><input type="password" name="password"><button>Sign in</button></form>
<form method="post" action="/discover"><input type="email" name="address"><button>Continue</button></form><a href="/direct">Use single sign-on</a>""", kept)
                if path == "/direct":
                    door.seen.append(("direct", None))
                    return self.answer(303, "", "text/html", [("Location", door.onward())])
                if path == "/callback":
                    door.seen.append(("callback", self.cookies()))
                    return self.back()
                self.answer(404)

            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.body().decode()))
                door.seen.append((self.path, self.cookies()))
                if self.path == "/discover":
                    door.address = form["address"]
                    return self.answer(303, "", "text/html", [("Location", door.onward())])
                if self.path == "/acs":
                    # Sent from another site, so a Lax cookie stayed behind: post to itself once more.
                    hidden = "".join(f'<input type="hidden" name="{name}" value="{html.escape(value)}">' for name, value in form.items())
                    return self.page(f'<form method="post" action="/acs/again">{hidden}<noscript><button>Continue</button></noscript></form>')
                self.back()

            def back(self):
                answer = urllib.parse.urlencode({"code": secrets.token_hex(8), "state": door.back["state"]})
                self.answer(303, "", "text/html", [("Location", f"{door.back['redirect_uri']}?{answer}")])

        self.url = control.serve(Handler)

    def authorization(self):
        """What a client would open."""
        return f"{self.url}/authorize?" + urllib.parse.urlencode({"redirect_uri": "http://127.0.0.1:9/client", "state": "client-state"})
