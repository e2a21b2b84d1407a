"""PyPI `fastmcp`: its `Client` with its own `OAuth`, which opens a browser and waits at its callback."""

import asyncio
import os
import pathlib
import tempfile
import warnings

import common

# The browser must be named before the standard library looks for one.
log = pathlib.Path(tempfile.mkdtemp(prefix="lab-fastmcp-")) / "walks"
os.environ.update(common.browser_environment(log))

from fastmcp import Client  # noqa: E402
from fastmcp.client.auth import OAuth  # noqa: E402
from fastmcp.client.transports import StdioTransport  # noqa: E402
from mcp.shared.exceptions import MCPError  # noqa: E402

warnings.filterwarnings("ignore", message="Using in-memory token storage")


async def accept(_message, _response_type, params, _context):
    asked = (params.requested_schema or {}).get("properties", {})
    return {key: value for key, value in common.ACCEPTANCE.items() if key in asked}


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def main():
    target, command, era, calls, account = common.task()
    mode = {"legacy": "legacy", "modern": "2026-07-28", "auto": "auto"}[era]
    server = StdioTransport(command=command[0], args=command[1:]) if command else target
    # A fixed callback keeps one registration for the whole run.
    auth = OAuth(client_name="lab fastmcp", callback_port=common.free_port(), callback_timeout=30) if account else None
    async with Client(server, auth=auth, mode=mode, elicitation_handler=accept, timeout=60) as client:
        tools = [plain(tool) for tool in await client.list_tools()]
        outcomes = []
        for call in calls:
            steps = []

            async def on_progress(*step, steps=steps):
                steps.append(step)

            try:
                result = plain(await client.call_tool_mcp(call["tool"], call.get("arguments", {}), progress_handler=on_progress))
            except MCPError as error:
                result = common.refusal(error.error.code, error.error.message)
            outcomes.append({"tool": call["tool"], "ok": not result.get("isError"), "text": common.text(result), "progress": len(steps)})
        negotiated = client.session.protocol_version
    common.report("fastmcp", era, negotiated, "stdio" if command else "http", common.walks(log), tools, outcomes)


try:
    asyncio.run(main())
except BaseException:
    common.walks(log)
    raise
