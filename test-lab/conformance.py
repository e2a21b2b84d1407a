#!/usr/bin/env python3
"""Runs the official MCP conformance suite against the gate.

    conformance.sh server          the `server` scenarios of each revision, against the fixture
                                   directly and through the gate. What passes directly must pass
                                   through the gate, check by check.
    conformance.sh authorization   the `authorization` scenarios against the gate's issuer.
    conformance.sh client          the `client` scenarios: the suite plays the upstream, a client
                                   drives the gate, and the gate's upstream leg is judged.

The suite cannot send an Authorization header, so `server` goes through shim.mjs with the token of a
real sign-in. Scenarios that a revision runs without scoring them are run and compared as well.

What cannot pass is listed, with a comment that says why, in expected-failures/LEG-REVISION.yml
(authorization-all.yml; server-REVISION-over-ERA.yml), in the suite's own format (`server:` or `client:`, then `- scenario` or `- scenario:check`). An entry
that passes is stale and fails the run. Results stay in .test/lab/results.

The last line is `N passed, N failed`; the exit status is 1 if any failed.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import types

import matrix
import sign_in
import walk
from matrix import HERE, LAB, NODE

SUITE = [NODE, str(matrix.MODULES / "conformance/dist/index.js")]
REVISIONS = ["2025-11-25", "2026-07-28"]
SUITE_SECONDS = 900


def expected_failures(leg, revision):
    """The listed entries; each must say why on its line or the line above."""
    path = HERE / "expected-failures" / f"{leg}-{revision}.yml"
    entries, above = set(), ""
    for line in path.read_text().splitlines() if path.exists() else []:
        entry = re.match(r"\s+- ([^\s#]+)\s*(#.*)?$", line)
        if entry:
            if not entry.group(2) and not above.startswith("#"):
                sys.exit(f"{path.name}: {entry.group(1)} has no reason")
            entries.add(entry.group(1))
        elif line.strip() and not line.strip().startswith("#") and not re.fullmatch(r"(server|client|authorization):(\s*\[\])?", line.rstrip()):
            sys.exit(f"{path.name}: not understood: {line}")
        above = line.strip() if not entry else above
    return entries


def read_results(folder, prefix):
    """{scenario: {check: worst status}} from the checks.json files of one run."""
    order = ["SKIPPED", "INFO", "SUCCESS", "WARNING", "FAILURE"]
    results = {}
    for path in sorted(folder.rglob("checks.json")):
        name = path.parent.relative_to(folder).as_posix()
        scenario = re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", name).removeprefix(prefix)
        checks = results.setdefault(scenario, {})
        for check in json.loads(path.read_text()):
            before = checks.get(check["id"], "SKIPPED")
            checks[check["id"]] = max(before, check["status"], key=order.index)
    return results


def run_suite(arguments, folder, watch=None, environment=None):
    """Runs the suite; its results come from the files that it leaves, its output goes to a log."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    process = subprocess.Popen([*SUITE, *arguments, "-o", str(folder)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder)
    guard = threading.Timer(SUITE_SECONDS, process.kill)
    guard.start()
    with open(folder / "output.log", "w") as log:
        for line in process.stdout:
            log.write(line)
            if watch:
                watch(line.rstrip())
    guard.cancel()
    return process.wait()


def wanted_scenarios(leg, revision):
    """What the revision's requirement set runs, scored or not."""
    text = (matrix.MODULES / f"conformance/requirements/{revision}.yaml").read_text()
    section = re.search(rf"^{leg}:\n((?:\s+- .*\n|\s*#.*\n|\n)*)", text, re.M)
    scored = re.findall(r"^\s+- (\S+)", section.group(1), re.M)
    others = re.findall(rf"- scenario: (\S+)\n\s+leg: {leg}\b", text)
    return scored, others


def verdict(checks):
    """A scenario passes when it ran and nothing in it failed."""
    if checks is None:
        return "absent"
    return "failed" if "FAILURE" in checks.values() else "passed"


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def line(self, name, reason, note=""):
        self.failed += reason is not None
        self.passed += reason is None
        print(f"{name:<68} {'ok' if reason is None else 'FAILED  ' + reason}{note}", flush=True)

    def stale(self, leg, revision, entries):
        for entry in sorted(entries):
            self.line(f"{leg} {revision} {entry}", "is listed as an expected failure and is none: remove it")


def lost(direct, gated):
    """The checks that succeed directly and do not through the gate."""
    return {check for check, status in direct.items() if status == "SUCCESS" and (gated or {}).get(check, "FAILURE") in ("FAILURE", "WARNING")}


def compare(tally, name, revision, direct, gated):
    """The gate may lose nothing that the fixture alone has."""
    expected = expected_failures("server", name)
    unused = set(expected)
    scored, others = wanted_scenarios("server", revision)
    for scenario in [*scored, *others]:
        alone, through = verdict(direct.get(scenario)), verdict(gated.get(scenario))
        gone = lost(direct.get(scenario, {}), gated.get(scenario))
        if alone == "passed" and through == "absent":
            gone = {"(the scenario did not end)"}
        excused = {check for check in gone if scenario in expected or f"{scenario}:{check}" in expected}
        unused -= {scenario} if excused else set()
        unused -= {f"{scenario}:{check}" for check in excused}
        reason = None
        if gone - excused:
            reason = f"directly {alone}, through the gate {through}; lost: {', '.join(sorted(gone - excused))}"
        elif alone == "passed" and through == "failed" and not excused:
            reason = "passes directly, fails through the gate"
        note = f"  (expected: {', '.join(sorted(excused))})" if excused else ""
        if alone != "passed":
            note += f"  (directly {alone}, through the gate {through})"
        tally.line(f"server {name} {scenario}", reason, note)
    tally.stale("server", name, unused)


class Lab:
    """The processes and folders of one run, and the gate in front of given upstreams."""

    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lab-conformance-"))
        self.results = LAB / "results"
        self.processes = matrix.Processes(self.folder)

    def fixture(self, era="both"):
        """Starts the conformance upstream and returns its URL."""
        port = matrix.free_port()
        self.processes.start(f"fixture-{era}", [NODE, str(HERE / "fixture-server/server.mjs"), "--port", str(port), "--era", era])
        url = f"http://127.0.0.1:{port}/mcp"
        matrix.wait_for("the fixture", url, lambda status: True)
        return url

    def gate(self, name, url):
        upstreams = types.SimpleNamespace(urls={name: url}, commands={})
        if self.options.stand_in:
            return matrix.StandIn(self.processes, upstreams, self.options.broken)
        return matrix.Gate(self.options.gate, self.processes, self.folder, upstreams)

    def shim(self, endpoint, token_file):
        process = self.processes.start("shim", [NODE, str(HERE / "shim.mjs"), "--to", endpoint, "--token-file", str(token_file)],
                                       stdout=subprocess.PIPE, text=True)
        return json.loads(process.stdout.readline())["url"]


def server(lab, tally):
    url = lab.fixture()
    direct = {}
    for revision in lab.options.revision:
        folder = lab.results / f"server-{revision}-direct"
        run_suite(["server", "--url", url, "--requirements", revision], folder)
        direct[revision] = read_results(folder, "server-")
        passed = sum(verdict(checks) == "passed" for checks in direct[revision].values())
        print(f"server {revision} directly: {passed} of {len(direct[revision])} scenarios pass", flush=True)
        if lab.options.direct:
            for scenario, checks in direct[revision].items():
                failing = [check for check, status in checks.items() if status == "FAILURE"]
                tally.line(f"server {revision} {scenario}", ", ".join(failing) or None)
    if lab.options.direct:
        return
    era = lab.options.upstream_era
    gate = lab.gate("fixture", url if era == "both" else lab.fixture(era))
    session = sign_in.SignIn(gate.endpoints["fixture"], gate.account)
    session.register()
    session.authorize()
    stop, token = threading.Event(), lab.folder / "token"
    session.keep(token, stop)
    shim = lab.shim(gate.endpoints["fixture"], token)
    for revision in lab.options.revision:
        name = revision if era == "both" else f"{revision}-over-{era}"
        folder = lab.results / f"server-{name}-gate"
        run_suite(["server", "--url", shim, "--requirements", revision], folder)
        compare(tally, name, revision, direct[revision], read_results(folder, "server-"))
    stop.set()


def authorization(lab, tally):
    gate = lab.gate("fixture", lab.fixture())
    port = matrix.free_port()
    session = sign_in.SignIn(gate.endpoints["fixture"], gate.account, f"http://127.0.0.1:{port}/callback")
    client_id, troubles = session.register(), []

    def watch(line):
        # The suite prints the URL that a person should open, and waits.
        if line.startswith(session.metadata["authorization_endpoint"] + "?"):
            threading.Thread(target=visit, args=(line,), daemon=True).start()

    def visit(url):
        try:
            walk.deliver(walk.walk(url, gate.account))
        except walk.WalkError as error:
            troubles.append(str(error))
            print(f"walk: {error}", file=sys.stderr)

    folder = lab.results / "authorization"
    run_suite(["authorization", "--url", session.metadata["issuer"], "--client-id", client_id, "--resource", session.resource["resource"],
               "-p", str(port)], folder, watch)
    results = read_results(folder, "authorization-server-")
    if not results:
        tally.line("authorization", f"no results; see {folder}/output.log")
    expected = expected_failures("authorization", "all")
    unused = set(expected)
    for scenario, checks in results.items():
        judge(tally, f"authorization {scenario}", scenario, checks, expected, unused)
    tally.stale("authorization", "all", unused)


def judge(tally, name, scenario, checks, expected, unused):
    """One scenario with nothing to compare with: it passes, or is listed."""
    failing = {check for check, status in (checks or {"(the scenario did not end)": "FAILURE"}).items() if status == "FAILURE"}
    excused = {check for check in failing if scenario in expected or f"{scenario}:{check}" in expected}
    unused -= {scenario} if excused else set()
    unused -= {f"{scenario}:{check}" for check in excused}
    skipped = checks and set(checks.values()) == {"SKIPPED"}
    reason = ", ".join(sorted(failing - excused)) or ("every check was skipped" if skipped else None)
    tally.line(name, reason, f"  (expected: {', '.join(sorted(excused))})" if excused else "")


def client(lab, tally):
    """The suite plays one upstream a scenario; conformance_client.py puts the gate in front of it."""
    command = f"{sys.executable} {HERE / 'clients/conformance_client.py'}"
    chosen = {"SALLYPORT_LAB": str(LAB), "SALLYPORT": lab.options.gate, "SALLYPORT_STAND_IN": "1" if lab.options.stand_in else ""}
    for revision in lab.options.revision:
        folder = lab.results / f"client-{revision}"
        run_suite(["client", "--command", command, "--requirements", revision, "--timeout", "60000"], folder, environment={**os.environ, **chosen})
        results = read_results(folder, "")
        expected = expected_failures("client", revision)
        unused = set(expected)
        for scenario in wanted_scenarios("client", revision)[0]:
            judge(tally, f"client {revision} {scenario}", scenario, results.get(scenario), expected, unused)
        tally.stale("client", revision, unused)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("leg", choices=["server", "authorization", "client"])
    parser.add_argument("--revision", action="append", choices=REVISIONS)
    parser.add_argument("--gate", default=os.environ.get("SALLYPORT") or str(matrix.ROOT / "target/release/sallyport"))
    parser.add_argument("--stand-in", action="store_true", help="the lab's stand-in for the gate: tests the lab, not the product")
    parser.add_argument("--broken", choices=["tools", "result", "events"], help="with --stand-in: spoilt, must fail")
    parser.add_argument("--direct", action="store_true", help="server only: the fixture alone, no gate")
    parser.add_argument("--upstream-era", default="both", choices=["legacy", "modern", "both"],
                        help="server only: what the fixture behind the gate speaks, so that the gate must translate the rest; "
                             "compared with a fixture that speaks both (default: both)")
    options = parser.parse_args()
    options.revision = options.revision or REVISIONS
    for needed in (LAB / ".installed", *([] if options.stand_in or options.direct else [pathlib.Path(options.gate)])):
        if not needed.exists():
            sys.exit(f"{needed} is missing; run test-lab/install.sh and build sallyport")
    lab, tally = Lab(options), Tally()
    try:
        {"server": server, "authorization": authorization, "client": client}[options.leg](lab, tally)
    except walk.WalkError as error:
        tally.line(options.leg, f"no sign-in: {error}")
    lab.processes.end()
    if tally.failed:
        print(f"logs: {lab.folder}, {lab.results}")
    else:
        shutil.rmtree(lab.folder, ignore_errors=True)
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed or not tally.passed else 0)


if __name__ == "__main__":
    main()
