"""The "client" of the conformance suite's `client` scenarios: the gate, with a client before it.

The suite gives the URL of the upstream that it plays. This starts the gate in front of that URL,
signs in at the gate, and does what the scenario wants through it; what the suite sees and judges is
the gate's upstream leg alone.

    conformance_client.py URL     with MCP_CONFORMANCE_SCENARIO and MCP_CONFORMANCE_PROTOCOL_VERSION
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import matrix  # noqa: E402


def main():
    upstreams = types.SimpleNamespace(urls={"upstream": sys.argv[-1]}, commands={})
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lab-conformance-client-"))
    processes = matrix.Processes(folder)
    if os.environ.get("SALLYPORT_STAND_IN"):
        gate = matrix.StandIn(processes, upstreams, None)
    else:
        gate = matrix.Gate(os.environ["SALLYPORT"], processes, folder, upstreams)
    command = [matrix.NODE, str(matrix.HERE / "clients/conformance_client.mjs"), gate.endpoints["upstream"],
               os.environ["MCP_CONFORMANCE_SCENARIO"], os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2025-11-25")]
    run = subprocess.run(command, env={**os.environ, "SALLYPORT_ACCOUNT": json.dumps(gate.account)}, timeout=55)
    processes.end()
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(run.returncode)


main()
