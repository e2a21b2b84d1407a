#!/usr/bin/env python3
"""A server on the public API of the Python SDK (`mcp`), in the three configurations of its simple-auth example.

The example is no package, so this is written anew after it: an authorization server with one demo person, opaque
tokens for an hour, no refresh tokens and an introspection endpoint; and a resource server that asks it.

    sdk_simple_auth.py strict     the resource server compares the token's resource with itself
    sdk_simple_auth.py lax        it does not, which is the example's default
    sdk_simple_auth.py legacy     both in one, without resource metadata

Prints one line of JSON when ready: url, environment.
"""

import asyncio
import datetime
import json
import secrets
import socket
import sys
import time

import httpx2
import uvicorn
from mcp.server.auth.provider import AccessToken, AuthorizationCode, construct_redirect_uri
from mcp.server.auth.routes import create_auth_routes
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthToken
from mcp.shared.auth_utils import check_resource_allowed
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

PERSON, PASSWORD, SCOPE = "demo_user", "demo_password", "user"
REGISTRATION = ClientRegistrationOptions(enabled=True, valid_scopes=[SCOPE], default_scopes=[SCOPE])


class Provider:
    """Keeps clients, codes and tokens in memory; OAuthAuthorizationServerProvider by shape."""

    def __init__(self, url):
        self.url, self.clients, self.waiting, self.codes, self.tokens = url, {}, {}, {}, {}

    async def get_client(self, client_id):
        return self.clients.get(client_id)

    async def register_client(self, client_info):
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client, params):
        state = params.state or secrets.token_hex(16)
        self.waiting[state] = client, params
        return f"{self.url}/login?state={state}"

    async def page(self, request: Request) -> Response:
        state = request.query_params.get("state", "")
        if state not in self.waiting:
            return Response("unknown sign-in", 400)
        return HTMLResponse(
            "<!doctype html><title>Sign in</title><form method=post action=/login/callback>"
            f'<input type=hidden name=state value="{state.replace(chr(34), "")}">'
            "<input name=username><input name=password type=password><button>Sign in</button></form>"
        )

    async def signed_in(self, request: Request) -> Response:
        form = await request.form()
        if (form.get("username"), form.get("password")) != (PERSON, PASSWORD):
            return Response("wrong name or password", 401)
        state = str(form.get("state"))
        if state not in self.waiting:
            return Response("unknown sign-in", 400)
        client, params = self.waiting.pop(state)
        code = AuthorizationCode(
            code=secrets.token_hex(20), client_id=client.client_id, redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly, expires_at=time.time() + 300,
            scopes=[SCOPE], code_challenge=params.code_challenge, resource=params.resource, subject=PERSON,
        )
        self.codes[code.code] = code
        return RedirectResponse(construct_redirect_uri(str(params.redirect_uri), code=code.code, state=state), 302)

    async def load_authorization_code(self, client, authorization_code):
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client, authorization_code):
        del self.codes[authorization_code.code]
        token = secrets.token_hex(32)
        self.tokens[token] = AccessToken(
            token=token, client_id=client.client_id, scopes=authorization_code.scopes, expires_at=int(time.time()) + 3600,
            resource=authorization_code.resource, subject=authorization_code.subject,
        )
        return OAuthToken(access_token=token, token_type="Bearer", expires_in=3600, scope=SCOPE)

    async def load_access_token(self, token):
        held = self.tokens.get(token)
        return held if held and held.expires_at > time.time() else None

    async def load_refresh_token(self, client, refresh_token):
        return None

    async def exchange_refresh_token(self, client, refresh_token, scopes):
        raise NotImplementedError

    async def revoke_token(self, token):
        self.tokens.pop(getattr(token, "token", token), None)

    async def introspect(self, request: Request) -> Response:
        held = await self.load_access_token(str((await request.form()).get("token")))
        if held is None:
            return JSONResponse({"active": False})
        return JSONResponse({
            "active": True, "client_id": held.client_id, "scope": SCOPE, "exp": held.expires_at, "aud": held.resource,
            "sub": held.subject, "iss": self.url,
        })


class Introspection:
    """Asks the authorization server about each token; TokenVerifier by shape."""

    def __init__(self, endpoint, resource, strict):
        self.endpoint, self.resource, self.strict = endpoint, resource, strict

    async def verify_token(self, token):
        async with httpx2.AsyncClient(trust_env=False) as client:
            told = (await client.post(self.endpoint, data={"token": token})).json()
        if not told.get("active"):
            return None
        audience = told.get("aud")
        if self.strict and not (audience and check_resource_allowed(requested_resource=self.resource, configured_resource=audience)):
            return None
        return AccessToken(
            token=token, client_id=told["client_id"], scopes=told["scope"].split(), expires_at=told["exp"],
            resource=audience, subject=told["sub"], claims=told,
        )


def server(**auth) -> MCPServer:
    made = MCPServer("Simple auth", **auth)

    @made.tool()
    async def get_time() -> dict[str, str]:
        """Get the current server time."""
        return {"current_time": datetime.datetime.now(datetime.timezone.utc).isoformat()}

    return made


def sign_in_routes(provider):
    return [Route("/login", provider.page, methods=["GET"]), Route("/login/callback", provider.signed_in, methods=["POST"])]


def split(authority, resource, strict):
    """The authorization server and the resource server of the example, apart."""
    provider = Provider(authority)
    routes = create_auth_routes(provider=provider, issuer_url=AuthSettings(issuer_url=authority, resource_server_url=None).issuer_url, client_registration_options=REGISTRATION)
    routes += [*sign_in_routes(provider), Route("/introspect", provider.introspect, methods=["POST"])]
    made = server(
        token_verifier=Introspection(f"{authority}/introspect", resource, strict),
        auth=AuthSettings(issuer_url=authority, required_scopes=[SCOPE], resource_server_url=resource, validate_token_resource=False),
    )
    return Starlette(routes=routes), made.streamable_http_app()


def legacy(url):
    provider = Provider(url)
    made = server(
        auth_server_provider=provider,
        auth=AuthSettings(issuer_url=url, client_registration_options=REGISTRATION, required_scopes=[SCOPE], resource_server_url=None),
    )
    app = made.streamable_http_app()
    app.router.routes += sign_in_routes(provider)
    return app


def listening():
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held, f"http://127.0.0.1:{held.getsockname()[1]}"


async def main(kind):
    (first, resource), (second, authority) = listening(), listening()
    apps = [(first, legacy(resource))] if kind == "legacy" else []
    if not apps:
        ours, theirs = split(authority, f"{resource}/mcp", kind == "strict")
        apps = [(second, ours), (first, theirs)]
    servers = [(uvicorn.Server(uvicorn.Config(app, log_level="warning")), held) for held, app in apps]
    running = [asyncio.create_task(one.serve(sockets=[held])) for one, held in servers]
    while not all(one.started for one, _ in servers):
        await asyncio.sleep(0.05)
    print(json.dumps({"url": f"{resource}/mcp", "environment": {"SDK_PASSWORD": PASSWORD}}), flush=True)
    await asyncio.gather(*running)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("strict", "lax", "legacy"):
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1]))
