"""Serves a stdio MCP server over Streamable HTTP, by FastMCP's own proxy.

For servers that come with stdio only. It adds nothing but what FastMCP's proxy adds.

    bridge.py PORT COMMAND [ARGUMENT …]
"""

import sys

from fastmcp.client.transports import StdioTransport
from fastmcp.server import create_proxy

port, command, *arguments = sys.argv[1:]
bridge = create_proxy(StdioTransport(command=command, args=arguments), name="lab-bridge")
bridge.run(transport="http", host="127.0.0.1", port=int(port), path="/mcp", show_banner=False, log_level="warning")
