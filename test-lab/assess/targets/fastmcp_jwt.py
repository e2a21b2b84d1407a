#!/usr/bin/env python3
"""A fastmcp server that verifies JWTs of an issuer elsewhere, and knows nothing else of authorization.

    fastmcp_jwt.py bound      only tokens whose aud is this server
    fastmcp_jwt.py unbound    any token of the issuer

Prints one line of JSON when ready: url, environment with a token for it and one for another server.
"""

import asyncio
import json
import socket
import sys

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import JWTVerifier, RSAKeyPair

ISSUER, OTHER = "https://issuer.example", "https://other.example/mcp"


async def main(bound):
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    url, keys = f"http://127.0.0.1:{held.getsockname()[1]}/mcp", RSAKeyPair.generate()
    server = FastMCP("JWT", auth=JWTVerifier(public_key=keys.public_key, issuer=ISSUER, audience=url if bound else None, required_scopes=["notes"]))

    @server.tool
    def echo(text: str) -> str:
        """Gives back a text."""
        return text

    tokens = {name: keys.create_token(subject="ada", issuer=ISSUER, audience=audience, scopes=["notes"]) for name, audience in (("FASTMCP_TOKEN", url), ("FASTMCP_FOREIGN", OTHER))}
    run = uvicorn.Server(uvicorn.Config(server.http_app(), log_level="warning"))
    serving = asyncio.create_task(run.serve(sockets=[held]))
    while not run.started:
        await asyncio.sleep(0.05)
    print(json.dumps({"url": url, "environment": tokens}), flush=True)
    await serving


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("bound", "unbound"):
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1] == "bound"))
