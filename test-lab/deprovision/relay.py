#!/usr/bin/env python3
"""What stands between the parts of the measurement, in a process of its own so that it is never late.

    relay.py '{"pass": {NAME: {"port": P, "targets": [P…]}}, "scim": {"port": P, "targets": [P…], "host": H}}'

`pass`: TCP as it comes, to the targets in turn: the deployment's one address in front of its nodes, and
each node's way to the database. A frozen one takes everything and delivers nothing, until it is thawed;
no connection is closed for it.
`scim`: HTTP to the nodes in turn, under the deployment's own `Host`. Of each exchange a line of JSON is
printed, with the moments of CLOCK_MONOTONIC at which it was handed on and at which its answer began.

Standard input takes one JSON object a line, each answered by {"done": …}: {"freeze": NAME},
{"thaw": NAME}, {"freeze_at_end": NAME} (just before the next request that ends a person's access is
handed on), {"use": [index of a target…]} (for the front and SCIM, as a balancer leaves out a node
that is not ready).

Standard library only.
"""

import asyncio
import itertools
import json
import re
import sys
import time


def say(**line):
    print(json.dumps(line), flush=True)


class Targets:
    """Ports of this machine, in turn; `used` are those that get anything."""

    def __init__(self, ports):
        self.ports, self.used, self.turn = ports, list(range(len(ports))), itertools.count()

    def next(self):
        return self.ports[self.used[next(self.turn) % len(self.used)]]


class Pass:
    """TCP, both ways, until it is frozen."""

    def __init__(self, port, targets):
        self.port, self.targets = port, Targets(targets)
        self.open = asyncio.Event()
        self.open.set()

    async def serve(self):
        await asyncio.start_server(self.connection, "127.0.0.1", self.port)

    async def connection(self, reader, writer):
        await self.open.wait()
        try:
            there = await asyncio.open_connection("127.0.0.1", self.targets.next())
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.pump(reader, there[1]), self.pump(there[0], writer))

    async def pump(self, reader, writer):
        try:
            while chunk := await reader.read(1 << 16):
                await self.open.wait()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        await self.open.wait()
        writer.close()


async def head_of(reader):
    """The head of a message and the length of its body; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None, 0
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    return head, int(length.group(1)) if length else 0


def ends_access(method, path, body):
    """Whether a request to our SCIM server takes a person's access away."""
    if "/Users/" not in path:
        return False
    if method == "DELETE":
        return True
    return method in ("PUT", "PATCH") and bool(re.search(rb'"active"\s*:\s*"?false', body, re.I))


class Scim:
    """HTTP, one exchange a connection on our side; the sender may keep its own."""

    def __init__(self, port, targets, host):
        self.port, self.targets, self.host, self.before_end = port, Targets(targets), host, None

    async def serve(self):
        await asyncio.start_server(self.connection, "127.0.0.1", self.port)

    async def connection(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError) as error:
            say(broken=repr(error))
        writer.close()

    async def exchange(self, reader, writer):
        head, length = await head_of(reader)
        if head is None:
            return False
        body = await reader.readexactly(length)
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        ends, frozen = ends_access(method, path, body), None
        if ends and self.before_end:
            self.before_end()
            frozen, self.before_end = time.monotonic(), None
        # The answer's end is the connection's: whatever its framing, it is handed back whole.
        head = re.sub(rb"\r\n(host|connection):[^\r]*", b"", head, flags=re.I)
        head = head.replace(b"\r\n", f"\r\nHost: {self.host}\r\nConnection: close\r\n".encode(), 1)
        there = await asyncio.open_connection("127.0.0.1", self.targets.next())
        asked = time.monotonic()
        there[1].write(head + body)
        answer = await there[0].read(1 << 16)
        at = time.monotonic()
        say(scim=method, path=path, status=int(answer.split(b" ", 2)[1]), asked=asked, at=at, ends=ends, frozen=frozen)
        rest = await there[0].read(-1)
        there[1].close()
        writer.write(answer + rest)
        await writer.drain()
        # It says `Connection: close`, so the sender opens another.
        return False


async def obey(passes, scim):
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    while line := await stdin.readline():
        for verb, value in json.loads(line).items():
            if verb == "freeze":
                passes[value].open.clear()
            elif verb == "thaw":
                passes[value].open.set()
            elif verb == "freeze_at_end":
                scim.before_end = passes[value].open.clear
            elif verb == "use":
                passes["front"].targets.used = scim.targets.used = value
        say(done=json.loads(line))


async def main():
    given = json.loads(sys.argv[1])
    passes = {name: Pass(**settings) for name, settings in given["pass"].items()}
    scim = Scim(**given["scim"])
    for server in (*passes.values(), scim):
        await server.serve()
    say(ready=True)
    await obey(passes, scim)


if __name__ == "__main__":
    asyncio.run(main())
