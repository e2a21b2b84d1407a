"""A stateful MCP server over stdio, in one era (argv[1]: legacy or modern). Its state is per process."""
import json, os, sys, threading, queue

ERA = sys.argv[1]
LOCK = threading.Lock()
WAITING, CANCELLED, LISTENING = {}, {}, {}
STATE = {"notes": [], "grown": False, "level": None, "asked": 0}
EXTENSION = '{"zeta":1.10,"alpha":1E2,"big":123456789012345678901234567890}'
CAPABILITIES = {
    "tools": {"listChanged": True}, "resources": {"subscribe": True, "listChanged": True},
    "prompts": {}, "completions": {}, "logging": {}, "x-extension": {"on": True},
}


def send(message):
    raw(json.dumps(message))


def raw(line):
    with LOCK:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def notify(method, params):
    send({"jsonrpc": "2.0", "method": method, "params": params})


def changed(method, params):
    if ERA == "legacy":
        return notify(method, params)
    for subscription in list(LISTENING):
        meta = {"io.modelcontextprotocol/subscriptionId": subscription}
        notify(method, {**params, "_meta": meta})


def text(value):
    return {"content": [{"type": "text", "text": value}]}


class Asked(Exception):
    pass


def ask(params, key, method, question):
    if ERA == "modern":
        answers = params.get("inputResponses")
        if not answers:
            raise Asked({"resultType": "input_required", "requestState": "the-upstreams-own",
                         "inputRequests": {key: {"method": method, "params": question}}})
        if params.get("requestState") != "the-upstreams-own":
            return {"wrong": "state"}
        return answers[key]
    STATE["asked"] += 1
    number = "ask-%d" % STATE["asked"]
    answers = WAITING[number] = queue.Queue()
    send({"jsonrpc": "2.0", "id": number, "method": method, "params": question})
    answer = answers.get(timeout=30)
    return answer.get("result", answer.get("error"))


def tools():
    read = {"readOnlyHint": True}
    names = ["echo", "progress", "ask_form", "ask_sample", "ask_roots", "slow", "fail", "grow", "touch", "pid"]
    listed = [{"name": name, "inputSchema": {"type": "object"}, "annotations": read} for name in names]
    listed.append({"name": "write", "inputSchema": {"type": "object"}})
    if STATE["grown"]:
        listed.append({"name": "late", "inputSchema": {"type": "object"}, "annotations": read})
    return listed


def tool(request, line):
    params = request["params"]
    name, arguments = params["name"], params.get("arguments", {})
    token = params.get("_meta", {}).get("progressToken")
    if name == "echo":
        body = json.dumps(line)
        kind = '"resultType":"complete",' if ERA == "modern" else ""
        raw('{"jsonrpc":"2.0","id":%s,"result":{%s"content":[{"type":"text","text":%s}],"x-extension":%s}}'
            % (json.dumps(request["id"]), kind, body, EXTENSION))
        return None
    if name == "write":
        STATE["notes"].append(arguments.get("note"))
        return text(json.dumps(STATE["notes"]))
    if name == "pid":
        return text(str(os.getpid()))
    if name == "progress":
        for step in (1, 2):
            if token is not None:
                notify("notifications/progress", {"progressToken": token, "progress": step, "total": 2})
        level = params.get("_meta", {}).get("io.modelcontextprotocol/logLevel") or STATE["level"]
        if level:
            notify("notifications/message", {"level": "error", "data": "said at " + level})
        return text("done")
    if name == "ask_form":
        form = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}
        return text(json.dumps(ask(params, "who", "elicitation/create", form)))
    if name == "ask_sample":
        prompt = {"messages": [{"role": "user", "content": {"type": "text", "text": "?"}}], "maxTokens": 5}
        return text(json.dumps(ask(params, "model", "sampling/createMessage", prompt)))
    if name == "ask_roots":
        return text(json.dumps(ask(params, "roots", "roots/list", {})))
    if name == "slow":
        gone = CANCELLED.setdefault(request["id"], threading.Event())
        if gone.wait(20):
            with open(os.environ["CANCELLED_FILE"], "a") as out:
                out.write("cancelled\n")
            return None
        return text("late")
    if name == "fail":
        return {**text("no"), "isError": True}
    if name == "grow":
        STATE["grown"] = True
        changed("notifications/tools/list_changed", {})
        return text("grown")
    if name == "touch":
        changed("notifications/resources/updated", {"uri": "mem://a"})
        return text("touched")
    if name == "late":
        return text("late")
    raise KeyError(name)


def result(request, line):
    method, params = request["method"], request.get("params", {})
    if method == "initialize" and ERA == "legacy":
        return {"protocolVersion": params["protocolVersion"], "capabilities": CAPABILITIES,
                "serverInfo": {"name": "stdio", "version": "1"}, "instructions": "be kind"}
    if method == "server/discover" and ERA == "modern":
        return {"supportedVersions": ["2026-07-28"], "capabilities": CAPABILITIES, "instructions": "be kind",
                "ttlMs": 1000, "cacheScope": "public"}
    if method in ("initialize", "server/discover"):
        return None, {"code": -32601, "message": "no such method"}
    if method == "tools/list":
        return {"tools": tools(), "ttlMs": 5000, "cacheScope": "public"} if ERA == "modern" else {"tools": tools()}
    if method == "tools/call":
        return tool(request, line)
    if method == "resources/list":
        return {"resources": [{"uri": "mem://a", "name": "a"}]}
    if method == "resources/templates/list":
        return {"resourceTemplates": [{"uriTemplate": "mem://{x}", "name": "x"}]}
    if method == "resources/read":
        return {"contents": [{"uri": params["uri"], "text": "the text"}]}
    if method == "prompts/list":
        return {"prompts": [{"name": "greet"}]}
    if method == "prompts/get":
        return {"messages": [{"role": "user", "content": {"type": "text", "text": "hello"}}]}
    if method == "completion/complete":
        return {"completion": {"values": ["abc"]}}
    if method == "logging/setLevel":
        STATE["level"] = params["level"]
        return {}
    if method in ("resources/subscribe", "resources/unsubscribe", "ping"):
        return {}
    return None, {"code": -32601, "message": "no such method"}


def serve(request, line):
    if request["method"] == "subscriptions/listen":
        LISTENING[request["id"]] = True
        meta = {"io.modelcontextprotocol/subscriptionId": request["id"]}
        return notify("notifications/subscriptions/acknowledged",
                      {"notifications": request["params"]["notifications"], "_meta": meta})
    try:
        answer = result(request, line)
    except Asked as asked:
        answer = asked.args[0]
    if answer is None:
        return
    if isinstance(answer, tuple):
        return send({"jsonrpc": "2.0", "id": request["id"], "error": answer[1]})
    if ERA == "modern":
        answer.setdefault("resultType", "complete")
    send({"jsonrpc": "2.0", "id": request["id"], "result": answer})


for line in sys.stdin:
    message = json.loads(line)
    if "method" not in message:
        WAITING.pop(message["id"]).put(message)
    elif "id" in message:
        threading.Thread(target=serve, args=(message, line), daemon=True).start()
    elif message["method"] == "notifications/cancelled":
        CANCELLED.setdefault(message["params"]["requestId"], threading.Event()).set()
