"""A FastMCP server to put behind the gate: tools of every shape, progress, elicitation, resources.

It answers the same to the same arguments, so that two runs compare. Nothing of ours is in it.

    fastmcp_server.py stdio
    fastmcp_server.py http PORT
"""

import sys
from dataclasses import dataclass

import mcp_types
from fastmcp import Context, FastMCP

server = FastMCP("lab-fastmcp", version="1.0.0")


@dataclass
class Person:
    name: str


@server.tool(annotations={"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False})
def add(a: int, b: int) -> int:
    """Adds two whole numbers."""
    return a + b


@server.tool(annotations={"readOnlyHint": True})
def describe(title: str, tags: list[str] | None = None, nested: dict | None = None) -> dict:
    """Returns its arguments, so that what reached the server can be read."""
    return {"title": title, "tags": tags or [], "nested": nested or {}, "unicode": "Zoë ‒ 東京 \U0001f6aa"}


@server.tool(annotations={"readOnlyHint": True})
async def count(steps: int, context: Context) -> str:
    """Counts, and reports progress at each step."""
    for step in range(steps):
        await context.report_progress(step + 1, steps, f"step {step + 1}")
    return f"counted {steps}"


@server.tool(annotations={"readOnlyHint": False, "destructiveHint": False})
async def greet(context: Context) -> str:
    """Asks for a name by elicitation, then greets."""
    answer = await context.elicit("What is your name?", Person)
    if answer.action != "accept":
        return f"no name: {answer.action}"
    return f"Hello, {answer.data.name}"


@server.tool(annotations={"readOnlyHint": True}, output_schema=None)
async def survey(context: Context):
    """Asks for a name and then a colour, by results that require input (2026-07-28)."""
    answers = context.input_responses or {}
    if context.request_state is None and "name" not in answers:
        return question("name", "What is your name?", None)
    if "color" not in answers:
        return question("color", "Which colour?", answers["name"].content["name"])
    return f"{context.request_state} likes {answers['color'].content['color']}"


def question(field, message, state):
    schema = {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]}
    asked = mcp_types.ElicitRequest(params=mcp_types.ElicitRequestFormParams(message=message, requested_schema=schema))
    return mcp_types.InputRequiredResult(input_requests={field: asked}, request_state=state)


@server.tool(annotations={"readOnlyHint": True})
def refuse() -> str:
    """Always fails, to see errors pass."""
    raise ValueError("refused on purpose")


@server.resource("lab://fact/{number}")
def fact(number: str) -> str:
    """A fact by number."""
    return f"fact {number}"


@server.resource("lab://motto")
def motto() -> str:
    """One line of text."""
    return "Let nobody pass unseen."


@server.prompt
def ask(topic: str) -> str:
    """A prompt about a topic."""
    return f"Explain {topic} in one sentence."


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        server.run(transport="http", host="127.0.0.1", port=int(sys.argv[2]), path="/mcp", show_banner=False, log_level="warning")
    else:
        server.run(transport="stdio", show_banner=False, log_level="warning")
