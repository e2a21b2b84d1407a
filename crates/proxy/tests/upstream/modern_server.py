"""A modern stdio server."""
import json, sys, time

if "slow" in sys.argv:
    time.sleep(1)

cancelled = []


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


for line in sys.stdin:
    message = json.loads(line)
    id, method, params = message.get("id"), message["method"], message.get("params") or {}
    if method == "notifications/cancelled":
        cancelled.append(params["requestId"])
        continue
    if method == "server/discover":
        send({"id": id, "result": {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}}})
    elif method == "subscriptions/listen":
        meta = {"io.modelcontextprotocol/subscriptionId": id}
        send({"method": "notifications/subscriptions/acknowledged", "params": {"_meta": meta, "notifications": {}}})
        send({"id": "forbidden", "method": "roots/list"})
        send({"method": "notifications/tools/list_changed", "params": {"_meta": meta}})
        if params.get("end"):
            send({"id": id, "result": {"resultType": "complete", "_meta": meta}})
        if params.get("tear"):
            send({"method": "notifications/cancelled", "params": {"requestId": id}})
    elif method == "tools/call" and params["name"] == "cancelled":
        send({"id": id, "result": {"cancelled": cancelled}})
    elif method == "tools/call" and params["name"] == "echo":
        send({"id": id, "result": {"params": params}})
    elif method == "tools/call" and params["name"] == "hang":
        pass
    else:
        send({"id": id, "error": {"code": -32601, "message": "no such method"}})
