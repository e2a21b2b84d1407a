#!/usr/bin/env python3
"""How long access lives on after an identity provider took it away: from the moment our SCIM server began
its 2xx to Canaille, to the last answer that was still given, on every node of a deployment.

In each round a person whom Canaille pushed holds, on every node, an access token, a refresh token, an MCP
session and an open stream, and so does an agent that acts for her. Each calls a tool every 10 ms and refreshes every
25 ms there. Then Canaille locks her, in every second round deletes her. Nothing else ends her access: the provider is never asked again
(`--do-not-ask-again`). Afterwards a code and a browser session from before, and after an unlock all that she
had, must not work again.

    deprovision.py [--nodes 1|3] [--rounds 10]     one node on SQLite, several on a PostgreSQL of their own
    deprovision.py --cut-off [--rounds 3]          three nodes; just before the lock one loses its database
    deprovision.py --gate PATH                     the built binary (default: $SALLYPORT, else target/release/sallyport)

Milliseconds, over rounds: `granted`, the last answer that was given or the end of the stream, after our 2xx (0: none
was); `refused`, the first refusal, which lies at most one interval of asking later. `all` is the latest of everything in
a round. A round fails when anything is granted, or a stream is open, more than 2 s after our 2xx.
Standard library only. The last line is `N passed, N failed`.
"""

import argparse
import math
import os
import pathlib
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback

from deployment import Deployment, matrix
from person import Access, People

# Seconds, and people made at once; the target, milliseconds, is printed and not asserted.
BOUND, BATCH, TARGET = 2.0, 10, 1000
# A node whose database is back must serve again within this.
RECOVERY = 15.0
# A call that was under way gets its refusal as a JSON-RPC error.
REASONS = {"call": ("401", "token_revoked", "session_ended"), "refresh": ("invalid_grant",)}
REASONS_CUT_OFF = {"call": (*REASONS["call"], "503", "revocations_unknown"), "refresh": (*REASONS["refresh"], "503", "no answer")}


def percentile(values, share):
    """Nearest rank: for few values p99 is the largest."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class Figures:
    """Milliseconds of every round, by what was measured."""

    def __init__(self):
        self.granted, self.refused, self.answers = {}, {}, []

    def add(self, name, granted, refused):
        for kept, value in ((self.granted, granted), (self.refused, refused)):
            kept.setdefault(name, []).append(1000 * value)

    def table(self, nodes, target):
        heads = [f"{column} {share}" for column in ("granted", "refused") for share in ("p50", "p99", "max")]
        print(f"{f'{nodes} nodes' if nodes > 1 else '1 node':<15}" + "".join(f"{head:>13}" for head in heads))
        for name in self.granted:
            cells = [value for kept in (self.granted, self.refused) for value in
                     (percentile(kept[name], 0.5), percentile(kept[name], 0.99), max(kept[name]))]
            print(f"{name:<15}" + "".join(f"{cell:13.1f}" for cell in cells))
        took = [percentile(self.answers, 0.5), percentile(self.answers, 0.99), max(self.answers)]
        print("our answer to the push took p50 {:.1f}, p99 {:.1f}, max {:.1f} ms".format(*took))
        p99 = percentile(self.refused["all"], 0.99)
        if target:
            print(f"p99 of all: {p99:.1f} ms, {'within' if p99 < target else 'beyond'} the target of {target} ms")


class Taken:
    """A person's access while it is taken away, and what came of it."""

    def __init__(self, deployment, access):
        self.deployment, self.access, self.wrong = deployment, access, []

    def end(self, verb):
        """Has Canaille lock or delete her; waits for everything to end, or the bound and a little more."""
        while not self.deployment.relay.ends.empty():
            self.deployment.relay.ends.get()
        # Canaille's own command goes on after its push: groups.
        told = []
        telling = threading.Thread(target=self.tell, args=(verb, told), daemon=True)
        telling.start()
        try:
            self.exchange = self.deployment.relay.ends.get(timeout=60)
        except queue.Empty:
            what = f"no {verb} of {self.access.person.login} reached the SCIM server: {told}; {self.deployment.relay.scim[-4:]}"
            raise RuntimeError(what) from None
        if not 200 <= self.exchange["status"] < 300:
            raise RuntimeError(f"the SCIM server answered {self.exchange}")
        self.since = self.exchange["at"]
        self.access.wait(self.since + BOUND + 0.5)
        telling.join(60)
        self.wrong += told

    def tell(self, verb, told):
        try:
            self.deployment.canaille(verb, login=self.access.person.login)
        except Exception as error:  # noqa: BLE001
            told.append(f"Canaille's {verb}: {error}")

    def judge(self, figures, reasons=REASONS):
        """Adds the figures of the round. `reasons`: what must be in the first refusals."""
        rows = {}
        for thread in self.access.all:
            name = f"{thread.kind} {thread.node}" if thread.kind.endswith("call") else thread.kind
            granted, refused = self.stream(thread) if thread.kind.endswith("stream") else self.asked(thread, reasons)
            before = rows.get(name, (0.0, 0.0))
            rows[name] = (max(before[0], granted), max(before[1], refused))
        rows["all"] = tuple(max(row[column] for row in rows.values()) for column in (0, 1))
        for name, row in rows.items():
            figures.add(name, *row)
        figures.answers.append(1000 * (self.since - self.exchange["asked"]))
        if self.access.expires() < 30:
            self.wrong.append("an access token was about to end by itself")
        return rows["all"]

    def stream(self, thread):
        end = thread.end if thread.end is not None else time.monotonic()
        if thread.end is None:
            self.wrong.append(f"the stream on {thread.node} is still open {end - self.since:.1f} s after")
        elif end - self.since > BOUND:
            self.wrong.append(f"the stream on {thread.node} ended {end - self.since:.3f} s after")
        if end < self.exchange["asked"]:
            self.wrong.append(f"the stream on {thread.node} ended before anything was asked")
        return max(0.0, end - self.since), max(0.0, end - self.since)

    def asked(self, thread, reasons):
        what, last, first = f"{thread.kind} on {thread.node}", thread.last_granted, thread.first_refused
        if first is None:
            self.wrong.append(f"{what} was never refused")
            first = time.monotonic()
        elif first < self.exchange["asked"]:
            self.wrong.append(f"{what} was refused before anything was asked: {thread.refusal[:200]}")
        elif not any(reason in thread.refusal for reason in reasons[thread.kind.split()[-1]]):
            self.wrong.append(f"{what} was refused with {thread.refusal[:300]}")
        if thread.granted_again is not None:
            self.wrong.append(f"{what} was granted again, {thread.granted_again - self.since:.3f} s after")
        if last - self.since > BOUND:
            self.wrong.append(f"{what} was granted {last - self.since:.3f} s after")
        return max(0.0, last - self.since), max(0.0, first - self.since)


class Measurement:
    """Rounds on one deployment."""

    def __init__(self, deployment):
        self.deployment, self.people = deployment, People(deployment)
        self.figures, self.passed, self.failed = Figures(), 0, 0

    def run(self, rounds, one):
        waiting = []
        for number in range(rounds):
            if not waiting:
                waiting = self.people.make(min(BATCH, rounds - number))
            try:
                wrong, line = one(number, waiting.pop(0))
            except Exception as error:  # noqa: BLE001
                where = traceback.extract_tb(error.__traceback__)[-1]
                wrong, line = [f"{type(error).__name__}: {error} ({pathlib.Path(where.filename).name}:{where.lineno})"], ""
            self.passed, self.failed = self.passed + (not wrong), self.failed + bool(wrong)
            if wrong:
                print(f"FAILED round {number + 1}: {'; '.join(wrong)[:1500]}", flush=True)
            elif line:
                print(f"round {number + 1}: {line}", flush=True)

    def round(self, number, person):
        verb = ("lock", "delete")[number % 2]
        access = Access(self.deployment, self.people, person)
        taken = Taken(self.deployment, access)
        try:
            access.start()
            code = access.code()
            taken.end(verb)
            granted, refused = taken.judge(self.figures)
            if verb == "lock":
                self.deployment.canaille("unlock", login=person.login)
            taken.wrong += [f"works again: {what}" for what in access.still_works(code)]
        finally:
            access.stop()
        return taken.wrong, f"{verb}, granted {1000 * granted:.0f} ms, refused {1000 * refused:.0f} ms"

    def cut_off_round(self, number, person):
        """The last node loses its database while a colleague goes on working everywhere."""
        cut, others = self.deployment.nodes[-1], self.deployment.nodes[:-1]
        witness = Access(self.deployment, self.people, self.people.make(1)[0], every=0.05, refresh=False)
        access = Access(self.deployment, self.people, person)
        taken, relay = Taken(self.deployment, access), self.deployment.relay
        try:
            for asking in witness.calls:
                asking.patient.set()
            witness.start()
            access.start()
            self.people.client.wire.close()
            relay.tell(use=list(range(len(others))), freeze_at_end=f"db-{cut.name}")
            taken.end("lock")
            granted, _ = taken.judge(self.figures, REASONS_CUT_OFF)
            frozen = taken.exchange["frozen"]
            wrong, lapsed = self.while_cut_off(witness, cut, others, frozen)
            taken.wrong += wrong
            thawed = time.monotonic()
            relay.tell(thaw=f"db-{cut.name}")
            recovered = self.recovery(cut, witness, thawed)
            relay.tell(use=list(range(len(self.deployment.nodes))))
            if recovered is None:
                taken.wrong.append(f"{cut.name} does not serve {RECOVERY:.0f} s after its database was back")
            taken.wrong += [f"works again: {what}" for what in access.still_works(("none", "none"))]
        finally:
            relay.tell(thaw=f"db-{cut.name}", use=list(range(len(self.deployment.nodes))))
            access.stop()
            witness.stop()
        line = f"{cut.name} served others for {1000 * (lapsed - frozen):.0f} ms without its database, and {1000 * (recovered or 0):.0f} ms after"
        return taken.wrong, f"{line} it was back; all ended {1000 * granted:.0f} ms after our 2xx"

    def while_cut_off(self, witness, cut, others, frozen):
        """What somebody else sees meanwhile, and when the node last served her."""
        wrong = []
        time.sleep(max(0.0, frozen + BOUND + 0.5 - time.monotonic()))
        for asking in witness.calls:
            if asking.refused and asking.node != cut.name:
                wrong.append(f"{asking.node}, which has its database, refused somebody else: {asking.refusal[:200]}")
        mine = witness.calls[len(others)]
        lapsed = mine.last_granted
        if lapsed - frozen > BOUND:
            wrong.append(f"{cut.name} still served somebody else {lapsed - frozen:.3f} s after it was cut off")
        if cut.ready():
            wrong.append(f"{cut.name} says that it is ready")
        wrong += [f"{node.name} says that it is not ready" for node in others if not node.ready()]
        return wrong, lapsed

    def recovery(self, cut, witness, thawed):
        """Seconds until the node that was cut off serves again; None if it does not."""
        mine = witness.calls[len(self.deployment.nodes) - 1]
        while time.monotonic() < thawed + RECOVERY:
            if mine.granted_again is not None and mine.granted_again > thawed and cut.ready():
                return mine.granted_again - thawed
            time.sleep(0.01)
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gate", default=os.environ.get("SALLYPORT", str(matrix.ROOT / "target/release/sallyport")))
    parser.add_argument("--nodes", type=int, default=None, choices=range(1, 10), metavar="N")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--cut-off", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args()
    nodes = options.nodes or (3 if options.cut_off else 1)
    if options.cut_off and nodes < 2:
        parser.error("--cut-off takes at least two nodes")
    for needed in (matrix.LAB / "py-idp/bin/canaille", pathlib.Path(options.gate)):
        if not needed.exists():
            sys.exit(f"{needed} is missing; run test-lab/install.sh, and build sallyport")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    # Many threads ask at once; none is to wait for another's turn.
    sys.setswitchinterval(0.0005)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-deprovision-"))
    failed = 1
    try:
        with Deployment(options.gate, nodes, folder) as deployment:
            measurement = Measurement(deployment)
            if options.cut_off:
                measurement.run(options.rounds or 3, measurement.cut_off_round)
            else:
                measurement.run(options.rounds or 10, measurement.round)
        failed = measurement.failed
        if measurement.figures.granted:
            measurement.figures.table(nodes, None if options.cut_off else TARGET)
    finally:
        if failed or options.keep:
            print(f"logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{measurement.passed} passed, {measurement.failed} failed")
    sys.exit(1 if measurement.failed or not measurement.passed else 0)


if __name__ == "__main__":
    main()
