"""PyPI `mcp` 2.x: its `Client` with its `OAuthClientProvider`, in every mode that it has."""

import asyncio
import contextlib
import pathlib
import sys
import urllib.parse

import httpx2
import mcp_types
from mcp import Client, StdioServerParameters
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

import common


class Kept(TokenStorage):
    """Tokens in memory: one instance is one sign-in."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Browser:
    """The library hands over a URL and waits at its callback; the walker does the rest."""

    def __init__(self, account):
        self.account, self.sign_ins = account, 0
        self.redirect = f"http://127.0.0.1:{common.free_port()}/callback"

    async def visit(self, url):
        self.sign_ins += 1
        walk = pathlib.Path(common.HERE).parent / "walk.py"
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(walk), "--no-callback", url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(err.decode().strip())
        self.answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(out.decode().strip()).query))

    async def collect(self):
        return AuthorizationCodeResult(code=self.answer["code"], state=self.answer.get("state"), iss=self.answer.get("iss"))


async def accept(_context, _params):
    return mcp_types.ElicitResult(action="accept", content=common.ACCEPTANCE)


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def main():
    target, command, era, calls, account = common.task()
    mode = {"legacy": "legacy", "modern": "2026-07-28", "auto": "auto"}[era]
    browser = Browser(account)
    async with contextlib.AsyncExitStack() as stack:
        if command:
            server = StdioServerParameters(command=command[0], args=command[1:])
        else:
            auth = None
            if account:
                metadata = OAuthClientMetadata(
                    client_name="lab py-mcp", redirect_uris=[browser.redirect], grant_types=["authorization_code", "refresh_token"],
                    response_types=["code"], token_endpoint_auth_method="none")
                auth = OAuthClientProvider(target, metadata, Kept(), browser.visit, browser.collect)
            http = await stack.enter_async_context(httpx2.AsyncClient(auth=auth, timeout=60))
            server = streamable_http_client(target, http_client=http)
        client = await stack.enter_async_context(Client(server, mode=mode, elicitation_callback=accept, read_timeout_seconds=60))
        tools, cursor = [], None
        while True:
            page = await client.list_tools(cursor=cursor)
            tools += [plain(tool) for tool in page.tools]
            cursor = page.next_cursor
            if not cursor:
                break
        outcomes = []
        for call in calls:
            steps = []

            async def on_progress(*step, steps=steps):
                steps.append(step)

            try:
                result = plain(await client.call_tool(call["tool"], call.get("arguments", {}), progress_callback=on_progress))
            except MCPError as error:
                result = common.refusal(error.error.code, error.error.message)
            outcomes.append({"tool": call["tool"], "ok": not result.get("isError"), "text": common.text(result), "progress": len(steps)})
        negotiated = client.session.protocol_version
    common.report("py-mcp", era, negotiated, "stdio" if command else "http", browser.sign_ins, tools, outcomes)


asyncio.run(main())
