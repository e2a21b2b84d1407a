"""A legacy stdio server with state; its tools are named for what they do."""
import json, os, subprocess, sys, threading, time

MODE = sys.argv[1] if len(sys.argv) > 1 else ""
lock = threading.Lock()
count = 0
cancelled = []
replies = {}


def send(message):
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def result(id, **value):
    send({"id": id, "result": value})


def call(id, params):
    global count
    name, args = params["name"], params.get("arguments", {})
    token = params.get("_meta", {}).get("progressToken")
    if name == "count":
        count += 1
        result(id, count=count, pid=os.getpid())
    elif name == "slow":
        def later():
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1, "for": args["who"]}})
            time.sleep(0.2)
            result(id, who=args["who"], seen=id, token=token)
        threading.Thread(target=later).start()
    elif name == "ask":
        replies["ask-1"] = id
        send({"id": "ask-1", "method": "elicitation/create", "params": {"message": "?"}})
    elif name == "log":
        send({"method": "notifications/message", "params": {"data": "secret of one caller"}})
        send({"method": "notifications/tools/list_changed"})
        result(id)
    elif name == "hang":
        pass
    elif name == "cancelled":
        result(id, cancelled=cancelled)
    elif name == "crash":
        os._exit(7)
    elif name == "children":
        child = subprocess.Popen(["sleep", "60"])
        result(id, pids=[os.getpid(), child.pid])
    elif name == "noise":
        with lock:
            sys.stdout.write("Server listening...\n\n{broken\n")
            sys.stdout.write('{"jsonrpc":"2.0","id":%s,"result":{"a":1,"a":2}}\n' % json.dumps(id))
            sys.stdout.flush()
    elif name == "huge":
        result(id, text="x" * 20000)
    elif name == "flood":
        for n in range(2000):
            send({"method": "notifications/resources/updated", "params": {"uri": "x" * 500, "n": n}})
        result(id)
    elif name == "env":
        result(id, env=sorted(os.environ))
    elif name == "ping":
        replies["ping-1"] = id
        send({"id": "ping-1", "method": "ping"})


def main():
    ready = False
    for line in sys.stdin:
        message = json.loads(line)
        id, method, params = message.get("id"), message.get("method"), message.get("params") or {}
        if method == "initialize":
            ready = True
            result(id, protocolVersion=params["protocolVersion"], capabilities={"tools": {}},
                   serverInfo={"name": "py", "version": "1"}, seen=params)
        elif method == "notifications/initialized":
            if MODE == "asks":
                send({"id": "early", "method": "roots/list"})
        elif not ready:
            if MODE == "dies":
                os._exit(3)
            if MODE != "silent":
                send({"id": id, "error": {"code": -32602, "message": "not initialized"}})
        elif method == "tools/call":
            call(id, params)
        elif method == "notifications/cancelled":
            cancelled.append(params)
        elif method is None and id in replies:
            result(replies.pop(id), reply={k: v for k, v in message.items() if k in ("result", "error")})
        elif id is not None:
            send({"id": id, "error": {"code": -32601, "message": "no"}})
    if MODE == "stubborn":
        time.sleep(60)


main()
