#!/usr/bin/env python3
"""Starts a fixture of PyPI `mcp-authlab`: authlab.py PROFILE [FLAG]

It approves every authorization request by itself. Prints one line of JSON when ready: url, environment with a
token for it and a genuine one of the same issuer for another resource, as its /dev/token gives them.
"""

import json
import sys

from mcp_authlab import fixture

OTHER = "https://other.example/mcp"


def main() -> None:
    server, state = fixture.serve(fixture.profile_from_args(sys.argv[1], sys.argv[2:]), auto_consent=True)
    environment = {"AUTHLAB_PASSWORD": "any", "AUTHLAB_TOKEN": state.mint(), "AUTHLAB_FOREIGN": state.mint(OTHER)}
    print(json.dumps({"url": state.public_url, "environment": environment}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
