#!/usr/bin/env python3
"""The real Canaille 0.3.6 as one organisation's identity provider: OIDC, and SCIM push to its clients.

    canaille.py --state DIR [--port N] [--config FILE|-]

Configuration: {"clients": [CLIENT…], "users": {LOGIN: {"password", "email", "name", "given_name",
"family_name"}}, "groups": {NAME: [LOGIN…]}, "log": false}
CLIENT: {"client_id", "client_secret", "redirect_uris": […], "scim_base": URL, "bearer": TOKEN,
"audience": true, "algorithm": "RS256"}. Canaille pushes to `scim_base` with `bearer`: it takes the token of that client that
has no subject, so the receiver makes the bearer and `canaille create token --access-token` plants it.
"audience": false leaves the ID token with `aud: []`, as a client made in the ordinary way gets it.

Control port (POST JSON): cli {"arguments": […], "cold": false}, client CLIENT, user {login, …},
group {name, members}, lock {login}, unlock {login}, delete {login}, password {login, password}.
Each is Canaille's own command. `cold` starts a process for it (1.5 s); else the same command runs in
this process, whose interpreter is warm (milliseconds), so that hundreds of rounds can be measured.
Whatever changes a person pushes before it returns.

Runs in the lab's own environment for it: `.test/lab/py-idp`.
"""

import contextlib
import datetime
import io
import json
import logging
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
LAB = pathlib.Path(os.environ.get("SALLYPORT_LAB") or HERE.parent.parent / ".test/lab").resolve()
HOME = LAB / "py-idp/bin"
if pathlib.Path(sys.prefix) != HOME.parent:
    os.execv(HOME / "python", [str(HOME / "python"), *sys.argv])
# This file is called canaille too, and must not be found in place of the package.
sys.path[:] = [entry for entry in sys.path if pathlib.Path(entry or ".").resolve() != HERE]
sys.path.append(str(HERE))
import control  # noqa: E402
import tomlkit  # noqa: E402
from joserfc.jwk import RSAKey  # noqa: E402

TEN_YEARS = 10 * 365 * 86400


def write_configuration(state, port, config):
    key = RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)
    content = {
        "SECRET_KEY": os.urandom(24).hex(),
        "SERVER_NAME": f"127.0.0.1:{port}",
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {
            "NAME": "Lab", "DATABASE": "sql", "JAVASCRIPT": False, "HTMX": False, "CAPTCHA_ENABLED": False,
            "LOGGING": {
                "version": 1, "disable_existing_loggers": False,
                "handlers": {"file": {"class": "logging.FileHandler", "filename": str(state / "canaille.log")}},
                "root": {"level": "INFO", "handlers": ["file"]},
            },
        },
        "CANAILLE_SQL": {"DATABASE_URI": f"sqlite:///{state / 'canaille.sqlite'}"},
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [key], "TRUSTED_DOMAINS": ["127.0.0.1", ".localhost"]},
        "CANAILLE_SCIM": {"ENABLE_CLIENT": True, "ENABLE_SERVER": True},
        **config.get("toml", {}),
    }
    (state / "canaille.toml").write_text(tomlkit.dumps(content))


class Commands:
    """Canaille's command line, in this process or in one of its own."""

    def __init__(self, environment):
        self.environment = environment

    def cold(self, arguments):
        run = subprocess.run([str(HOME / "canaille"), *arguments], env=self.environment, capture_output=True, text=True, timeout=120)
        if run.returncode:
            raise RuntimeError(f"canaille {' '.join(arguments)}: {run.stderr.strip()[-600:]}")
        return run.stdout

    def warm(self, arguments):
        from canaille.commands import cli
        from flask.cli import ScriptInfo

        if not hasattr(self, "info"):
            self.info = ScriptInfo(create_app=__import__("canaille").commands.create_cli_app)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            cli.main(list(arguments), standalone_mode=False, obj=self.info)
        return printed.getvalue()

    def __call__(self, *arguments, cold=False):
        printed = (self.cold if cold else self.warm)([str(argument) for argument in arguments])
        try:
            return json.loads(printed)
        except ValueError:
            return printed.strip()


class Directory:
    """The people, groups and clients; each method is one or two of Canaille's commands."""

    def __init__(self, canaille):
        self.canaille = canaille

    def named(self, login):
        found = self.canaille("get", "user", "--user-name", login)
        if not found:
            raise LookupError(f"no user {login}")
        return found[0]["id"]

    def user(self, asked):
        login = asked["login"]
        given, _, family = asked.get("name", login).partition(" ")
        options = {"--user-name": login, "--password": asked.get("password", f"{login}-password"), "--emails": asked.get("email"),
                   "--given-name": asked.get("given_name", given), "--family-name": asked.get("family_name", family or login),
                   "--formatted-name": asked.get("name", login), "--display-name": asked.get("name", login)}
        return self.canaille("create", "user", *(word for name, value in options.items() if value for word in (name, value)))

    def group(self, asked):
        """Creates the group, or replaces its members."""
        members = [word for login in asked["members"] for word in ("--members", self.named(login))]
        found = self.canaille("get", "group", "--display-name", asked["name"])
        if found:
            return self.canaille("set", "group", found[0]["id"], *members)
        return self.canaille("create", "group", "--display-name", asked["name"], *members)

    def client(self, asked):
        """Creates or changes a client; with `scim_base` it is also one that is pushed to."""
        name = asked["client_id"]
        given = {"--client-name": [name], "--client-secret": [asked.get("client_secret", f"{name}-secret")],
                 "--redirect-uris": asked.get("redirect_uris", []), "--client-uri": [asked["scim_base"]] if asked.get("scim_base") else [],
                 "--grant-types": ["authorization_code", "refresh_token"], "--response-types": ["code"],
                 "--scope": ["openid", "profile", "email", "groups"],
                 # Without it this version signs with PS512, which it does not announce for the client.
                 "--id-token-signed-response-alg": [asked.get("algorithm", "RS256")],
                 "--token-endpoint-auth-method": [asked.get("token_endpoint_auth_method", "client_secret_basic")]}
        options = [word for option, values in given.items() for value in values for word in (option, value)]
        found = self.canaille("get", "client", "--client-id", name)
        if found:
            self.canaille("set", "client", found[0]["id"], *options)
        else:
            now = datetime.datetime.now(datetime.timezone.utc).isoformat()
            self.canaille("create", "client", "--client-id", name, "--client-id-issued-at", now, *options)
        identity = self.canaille("get", "client", "--client-id", name)[0]["id"]
        if asked.get("audience", True):
            self.canaille("set", "client", identity, "--audience", identity)
        if asked.get("bearer"):
            self.bearer(identity, asked["bearer"])

    def bearer(self, identity, token):
        self.canaille("delete", "token", "--client", identity, "--noconfirm")
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        self.canaille("create", "token", "--token-id", os.urandom(12).hex(), "--access-token", token, "--client", identity,
                      "--audience", identity, "--type", "access_token", "--scope", "openid", "--issue-date", now, "--lifetime", TEN_YEARS)

    def lock(self, asked):
        """Locked from now on; `cold` types the command as an administrator would."""
        now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
        return self.canaille("set", "user", self.named(asked["login"]), "--lock-date", now.isoformat(), cold=asked.get("cold", False))

    def unlock(self, asked):
        """The command line cannot clear the date, which is what its own page does: so do as the page does."""
        from canaille.app import models
        from canaille.backends import Backend

        identity = self.named(asked["login"])
        with self.canaille.info.load_app().app_context(), Backend.instance.session():
            user = Backend.instance.get(models.User, identity)
            user.lock_date = None
            Backend.instance.save(user)

    def delete(self, asked):
        done = self.canaille("delete", "user", "--id", self.named(asked["login"]), "--noconfirm", cold=asked.get("cold", False))
        return {"done": done}

    def password(self, asked):
        return self.canaille("set", "user", self.named(asked["login"]), "--password", asked["password"])


def wait_for(url, process, log):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(300):
        if process.poll() is not None:
            sys.exit(f"canaille ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            return json.loads(opener.open(url, timeout=5).read())
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    sys.exit(f"canaille was not ready at {url}")


def main():
    state, port, config = control.settings(__doc__)
    port = port or control.free_port()
    write_configuration(state, port, config)
    environment = {**os.environ, "CANAILLE_CONFIG": str(state / "canaille.toml")}
    os.environ.update(environment)
    log = state / "server.log"
    canaille = Commands(environment)
    canaille("install", cold=True)
    logging.raiseExceptions = False
    directory = Directory(canaille)
    for client in config.get("clients", []):
        directory.client(client)
    for login, user in config.get("users", {}).items():
        directory.user({"login": login, **user})
    for name, members in config.get("groups", {}).items():
        directory.group({"name": name, "members": members})
    with open(log, "w") as output:
        server = subprocess.Popen([str(HOME / "canaille"), "run", "--bind", f"127.0.0.1:{port}"], env=environment, stdout=output, stderr=output)
    issuer = wait_for(f"http://127.0.0.1:{port}/.well-known/openid-configuration", server, log)["issuer"]
    verbs = {"cli": lambda asked: {"printed": canaille(*asked["arguments"], cold=asked.get("cold", False))}}
    verbs.update({verb: getattr(directory, verb) for verb in ("client", "user", "group", "lock", "unlock", "delete", "password")})
    line = {"kind": "oidc", "name": "canaille", "issuer": issuer, "discovery": f"{issuer}/.well-known/openid-configuration",
            "control": control.control(verbs), "scim_server": f"{issuer}/scim/v2", "users": config.get("users", {}),
            "clients": [{"client_id": c["client_id"], "client_secret": c.get("client_secret", f"{c['client_id']}-secret")} for c in config.get("clients", [])]}

    def end():
        server.terminate()
        server.wait(10)

    control.ready(line, end)


if __name__ == "__main__":
    main()
