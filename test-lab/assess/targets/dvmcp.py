#!/usr/bin/env python3
"""Starts one challenge of a checkout of Damn Vulnerable MCP Server: dvmcp.py CHECKOUT LEVEL NUMBER

Its code is loaded from there and nothing of it is here. It listens on loopback alone, at a free port instead of its
own, and in a folder of its own. Prints one line of JSON when ready: url.
"""

import asyncio
import importlib.util
import json
import pathlib
import socket
import sys

import uvicorn


async def main(checkout, level, number):
    file = pathlib.Path(checkout) / "challenges" / level / f"challenge{number}" / "server_sse.py"
    spec = importlib.util.spec_from_file_location("challenge", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = getattr(module, f"Challenge{number}Server")().app
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[held]))
    while not server.started:
        await asyncio.sleep(0.05)
    print(json.dumps({"url": f"http://127.0.0.1:{held.getsockname()[1]}/sse", "environment": {}}), flush=True)
    await serving


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
