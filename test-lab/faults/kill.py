#!/usr/bin/env python3
"""kill -9 in the middle of parallel callers, round after round on one data directory.

In each round people sign in, callers of both eras read and write through keep-alive connections while
others redeem codes, rotate and revoke refresh tokens; everything that was acknowledged is noted. Then
the process group is killed at a random moment. In every third round the restart is killed as well,
while it mends the log. What must hold: the log verifies and continues every checkpoint kept so far; each
acknowledged call and refusal has exactly one ending in it, an acting one its opening before; what was
open at the kill is ended once, as of unknown outcome; each tenant's chain counts without a gap; each
acknowledged access token is on the record; nothing consumed, rotated away or revoked works again, and
what was not used still does.

    kill.py --binary target/release/sallyport [--rounds 10] [--callers 64] [--seed N] [--keep DIR]

Ends with `N passed, N failed`; a round is one test, and the orderly end another.
"""

import argparse
import collections
import http.client
import pathlib
import random
import shutil
import tempfile
import threading
import time

from driver import LEGACY, MODERN, Caller, Client, Gate, Tally, Wire, audit, browsers, claims, export, free_port

SCOPE = "desk:read desk:write"
BROKEN = (OSError, http.client.HTTPException, ValueError)
OPENS = {"call_opened": "call_closed", "stream_opened": "stream_closed", "mcp_session_opened": "mcp_session_closed"}
CLOSES = set(OPENS.values()) | {"outcome_unknown"}
FAMILIES, SPARE = 8, 4


class Load:
    """What one round sends, and what was acknowledged. Lists grow by one append, which is atomic."""

    def __init__(self, round_number, client, tokens, codes, families):
        self.round, self.client, self.tokens = round_number, client, tokens
        self.codes, self.families = codes, families
        self.go, self.stop, self.killing = threading.Event(), threading.Event(), False
        self.waiting = threading.Semaphore(0)
        self.reads, self.writes, self.refusals, self.issued = [], [], [], []
        self.consumed, self.rotated, self.revoked, self.strange = [], [], [], []
        self.sent = collections.Counter()
        self.newest = {}

    def run(self, callers):
        bodies = [(self.call, n) for n in range(callers)]
        bodies += [(self.redeem, part) for part in (self.codes[0::2], self.codes[1::2])]
        bodies += [(self.rotate, family) for family in self.families[:FAMILIES]]
        bodies += [(self.revoke, self.families[FAMILIES:])]
        threads = [threading.Thread(target=self.until_broken, args=body, daemon=True) for body in bodies]
        for thread in threads:
            thread.start()
        for _ in range(callers):
            if not self.waiting.acquire(timeout=60):
                raise SystemExit(f"the callers do not get ready: {self.strange[:3]}")
        self.go.set()
        return threads

    def until_broken(self, body, argument):
        """A broken connection is what a kill looks like; anything else is a finding."""
        try:
            body(argument)
        except BROKEN as error:
            if not self.killing:
                self.strange.append(f"{body.__name__}, before the kill: {error!r}")
        except Exception as error:  # noqa: BLE001
            self.strange.append(f"{body.__name__}: {error!r}")

    def call(self, n):
        dice = random.Random(f"{self.round}-{n}")
        version = (MODERN, LEGACY[n % len(LEGACY)])[n % 2]
        caller = Caller(self.client.endpoint, self.tokens[n % len(self.tokens)], version)
        try:
            caller.open()
        finally:
            self.waiting.release()
        self.go.wait()
        count = 0
        while not self.stop.is_set():
            count += 1
            tag = f"mark-{self.round}-{n}-{count}"
            kind = dice.choices(("read", "write", "refused"), (5, 4, 1))[0]
            self.sent[kind] += 1
            if kind == "read":
                status, answer = caller.tool("search_customers", {"text": tag})
            elif kind == "write":
                status, answer = caller.tool("add_note", {"number": self.ticket, "text": tag})
            else:
                status, answer = caller.tool(tag, {})
            if answer is None:
                self.strange.append(f"{kind} {tag}: {status} without an answer")
            elif kind == "refused" and "error" in answer:
                self.refusals.append(tag)
            elif kind == "refused" or "error" in answer or answer["result"].get("isError"):
                self.strange.append(f"{kind} {tag}: {status} {str(answer)[:300]}")
            else:
                (self.reads if kind == "read" else self.writes).append(tag)

    def redeem(self, codes):
        self.go.wait()
        wire, dice = Wire(self.client.endpoint), random.Random(len(codes))
        for code, verifier in codes:
            self.stop.wait(dice.uniform(0, 0.15))
            status, answer = self.client.redeem(code, verifier, wire)
            if status != 200:
                self.strange.append(f"redeem: {status} {answer}")
                continue
            self.consumed.append((code, verifier))
            self.issued.append(answer["access_token"])

    def rotate(self, family):
        self.go.wait()
        wire, token = Wire(self.client.endpoint), family
        while not self.stop.is_set():
            self.newest[family] = None
            status, answer = self.client.refresh(token, wire)
            if status != 200:
                self.strange.append(f"refresh: {status} {answer}")
                return
            self.rotated.append((family, token))
            self.issued.append(answer["access_token"])
            self.newest[family] = token = answer["refresh_token"]
            self.stop.wait(0.02)

    def revoke(self, families):
        self.go.wait()
        wire = Wire(self.client.endpoint)
        for token in families:
            self.stop.wait(0.1)
            path = self.client.metadata["revocation_endpoint"].split("/", 3)[3]
            form = f"token={token}&client_id={self.client.client_id}"
            status, _, _ = wire.send("POST", f"/{path}", form, {"Content-Type": "application/x-www-form-urlencoded"})
            if status == 200:
                self.revoked.append(token)


class Record:
    """The log as exported so far, and what it must go on saying."""

    def __init__(self, binary, directory):
        self.binary, self.directory, self.entries = binary, directory, []
        self.sequences = collections.Counter()
        self.opened, self.ends, self.tagged = {}, collections.defaultdict(list), collections.defaultdict(list)
        self.refused, self.issued, self.told = collections.Counter(), set(), set()

    def read_on(self):
        """Takes in what is new; what is wrong with it."""
        wrong = []
        for entry in export(self.binary, self.directory, len(self.entries)):
            place, event = entry["log"], entry["event"]
            if place["index"] != len(self.entries):
                wrong.append(f"index {place['index']} where {len(self.entries)} was due")
            if place["tenant_sequence"] != self.sequences[place["tenant"]]:
                wrong.append(f"tenant {place['tenant']} has {place['tenant_sequence']} after {self.sequences[place['tenant']] - 1}")
            self.sequences[place["tenant"]] += 1
            self.entries.append((place["leaf_hash"], event["kind"]))
            self.take(place["index"], event)
        return wrong

    def take(self, index, event):
        kind, call = event["kind"], event.get("call")
        if kind == "token_issued":
            self.issued.add((event.get("who") or {}).get("token"))
        if not call:
            return
        if kind in OPENS:
            self.opened[call["id"]] = (index, kind)
        elif kind in CLOSES:
            self.ends[call["id"]].append((index, kind))
        elif kind == "call_refused" and call.get("name"):
            self.refused[call["name"]] += 1
        tag = (call.get("arguments") or {}).get("text") if isinstance(call.get("arguments"), dict) else None
        if tag and kind == "call_closed":
            self.tagged[tag].append((index, call["id"]))

    def missing(self, load):
        """Acknowledged things without their one entry."""
        wrong = []
        for tag in load.reads + load.writes:
            if len(self.tagged[tag]) != 1:
                wrong.append(f"{tag} was acknowledged and has {len(self.tagged[tag])} closing entries")
        for tag in load.writes:
            for index, call in self.tagged[tag]:
                if self.opened.get(call, (index, ""))[0] >= index:
                    wrong.append(f"{tag} acts and was not opened before entry {index}")
        wrong += [f"{tag} was refused and has {self.refused[tag]} entries" for tag in load.refusals if self.refused[tag] != 1]
        lost = [t for t in load.issued if claims(t)["jti"] not in self.issued]
        return wrong + [f"{len(lost)} acknowledged access tokens are not on the record"] * bool(lost)

    def unended(self, before):
        """What was opened before entry `before` and has not exactly one end."""
        wrong, unknown = [], collections.Counter()
        for call, (index, kind) in self.opened.items():
            if index < before:
                ends = self.ends[call]
                unknown[kind] += any(end == "outcome_unknown" for _, end in ends)
                if call in self.told:
                    continue
                if len(ends) != 1 or ends[0][1] not in (OPENS[kind], "outcome_unknown") or ends[0][0] <= index:
                    wrong.append(f"{kind} at {index} (call {call}) has the ends {ends}")
                    self.told.add(call)
        return wrong, unknown


class Rounds:
    def __init__(self, options, scratch):
        self.binary, self.options = options.binary, options
        self.directory, self.scratch = scratch / "gate", scratch
        self.port, self.dice = free_port(), random.Random(options.seed)
        self.record = Record(self.binary, self.directory)
        self.kept, self.dead, self.client_id, self.gate, self.unknown = [], [], None, None, collections.Counter()

    def start(self):
        self.gate = Gate.demo(self.binary, self.directory, self.port, self.scratch / "errors")
        return self.gate.wait_ready()

    def kept_checkpoint(self):
        path = self.scratch / f"checkpoint-{len(self.kept)}"
        shutil.copy(self.directory / "audit" / "checkpoint", path)
        self.kept.append(path)

    def verified(self, against=()):
        wrong = []
        for kept in [None, *against]:
            extra = ["--against", kept] if kept else []
            code, out, err = audit(self.binary, "verify", "--data", self.directory, *extra)
            if code != 0:
                wrong.append(f"audit verify {' '.join(map(str, extra))} ended with {code}: {(out + err).strip()}")
        return wrong

    def prepare(self, number):
        """Signs people in; codes and refresh tokens to use and to leave alone."""
        client = Client(self.gate.about["mcp_endpoints"][0], self.client_id)
        self.client_id = client.client_id
        people = list(browsers(self.gate.about).values())
        grants = [client.sign_in(people[n % 3], SCOPE) for n in range(FAMILIES + 3 + SPARE)]
        codes = [client.authorize(people[n % 3], SCOPE) for n in range(16 + SPARE)]
        refresh = [grant["refresh_token"] for grant in grants]
        tokens = [grant["access_token"] for grant in grants[: FAMILIES + 3]]
        # A revoked grant's access token dies with it, so those that revoke lend none to callers.
        load = Load(number, client, tokens[:FAMILIES], codes[SPARE:], refresh[: FAMILIES + 3])
        status, answer = Caller(client.endpoint, tokens[0]).tool("list_tickets", {})
        load.ticket = answer["result"]["structuredContent"]["tickets"][0]["number"]
        load.issued += [grant["access_token"] for grant in grants]
        return load, refresh[FAMILIES + 3 :], codes[:SPARE], time.monotonic()

    def one(self, number):
        self.start()
        load, spare_refresh, spare_codes, since = self.prepare(number)
        threads = load.run(self.options.callers)
        time.sleep(self.dice.uniform(0.2, 2.0))
        load.killing = True
        self.gate.kill()
        load.stop.set()
        for thread in threads:
            thread.join(40)
        self.kept_checkpoint()
        wrong = [f"unexpected: {what}" for what in load.strange[:5]]
        wrong += self.verified(self.kept if number % 10 == 9 else self.kept[-3:])
        wrong += self.record.read_on()
        if number % 3 == 2:
            self.kill_while_mending()
            wrong += self.verified()
        self.start()
        wrong += self.record.read_on()
        wrong += self.record.missing(load)
        started = max(n for n, (_, kind) in enumerate(self.record.entries) if kind == "started")
        unended, unknown = self.record.unended(started)
        wrong += unended
        wrong += self.verified(self.kept[-1:])
        wrong += self.probe(load, spare_refresh, spare_codes, since)
        if self.dice.random() < 0.5:
            self.gate.kill()
        elif self.gate.stop() != 0:
            wrong.append(f"the orderly stop ended with {self.gate.process.returncode}")
        wrong += self.verified(self.kept[-1:])
        acted = f"{len(load.reads)} reads, {len(load.writes)} writes, {len(load.refusals)} refusals of {sum(load.sent.values())} sent"
        oauth = f"{len(load.consumed)} codes, {len(load.rotated)} rotations, {len(load.revoked)} revocations"
        fresh = unknown - self.unknown
        print(f"round {number}: acknowledged {acted}; {oauth}; "
              f"{fresh['call_opened']} calls and {fresh['mcp_session_opened']} sessions ended as unknown; "
              f"{len(self.record.entries)} entries; {'ok' if not wrong else 'WRONG'}", flush=True)
        self.unknown = unknown
        return wrong

    def kill_while_mending(self):
        """Starts the gate and kills it as soon as it has written that something's outcome is unknown."""
        journal = self.directory / "audit" / "journal"
        enough = journal.stat().st_size + self.dice.randrange(1, 20_000)
        self.gate = Gate.demo(self.binary, self.directory, self.port, self.scratch / "errors")
        deadline = time.monotonic() + 30
        while journal.stat().st_size < enough and time.monotonic() < deadline:
            time.sleep(0.0005)
        self.gate.kill()

    def probe(self, load, spare_refresh, spare_codes, since):
        """Unused credentials work after the restart, spent ones do not, these rounds' or earlier ones'."""
        client, wrong = load.client, []
        client.wire.close()

        def expect(what, answer, status, error=None):
            if answer[0] != status or (error and answer[1].get("error") != error):
                wrong.append(f"{what}: {answer[0]} {str(answer[1])[:200]}, expected {status} {error or ''}")

        for token in spare_refresh:
            expect("an unused refresh token", client.refresh(token), 200)
        for pair in spare_codes if time.monotonic() - since < 50 else ():
            expect("an unused code", client.redeem(*pair), 200)
        for token in filter(None, load.newest.values()):
            expect("the newest refresh token of a family", client.refresh(token), 200)
        for pair in load.consumed:
            expect("a consumed code", client.redeem(*pair), 400, "invalid_grant")
        for token in load.revoked + [token for _, token in load.rotated]:
            expect("a rotated or revoked refresh token", client.refresh(token), 400, "invalid_grant")
        for token in self.dice.sample(self.dead, min(20, len(self.dead))):
            expect("a spent refresh token of an earlier round", client.refresh(token), 400, "invalid_grant")
        status, answer = Caller(client.endpoint, load.tokens[0]).tool("list_tickets", {})
        if status not in (200, 401):
            wrong.append(f"a call after the restart: {status} {answer}")
        self.dead += load.revoked + [token for _, token in load.rotated]
        return wrong

    def last(self):
        """An orderly run on top, then the whole log once more, from the first entry."""
        self.start()
        code = self.gate.stop()
        wrong = [f"the orderly stop ended with {code}"] * (code != 0)
        wrong += self.verified(self.kept) + self.record.read_on()
        whole = [(entry["log"]["leaf_hash"], entry["event"]["kind"]) for entry in export(self.binary, self.directory)]
        if whole != self.record.entries:
            wrong.append("entries differ from what was exported in the rounds")
        return wrong + self.record.unended(len(whole))[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", default="target/release/sallyport", type=pathlib.Path)
    parser.add_argument("--rounds", default=10, type=int)
    parser.add_argument("--callers", default=64, type=int)
    parser.add_argument("--seed", default=random.SystemRandom().randrange(1 << 32), type=int)
    parser.add_argument("--keep", type=pathlib.Path, help="work here and leave everything")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    print(f"seed {options.seed}, {options.rounds} rounds of {options.callers} callers", flush=True)
    scratch = options.keep or pathlib.Path(tempfile.mkdtemp(prefix="sallyport-kill-"))
    scratch.mkdir(parents=True, exist_ok=True)
    rounds, tally = Rounds(options, scratch), Tally()
    try:
        for number in range(options.rounds):
            wrong = rounds.one(number)
            tally.check(f"round {number}", not wrong, f"{len(wrong)} things: " + "; ".join(wrong[:6]))
        wrong = rounds.last()
        tally.check("the orderly end", not wrong, "; ".join(wrong[:6]))
        tally.check("some calls were open at a kill", rounds.unknown["call_opened"] > 0, "none in all rounds: nothing was tested")
    finally:
        if rounds.gate and rounds.gate.process.poll() is None:
            rounds.gate.kill()
        if tally.failed == 0 and not options.keep:
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            print(f"left for a look: {scratch}", flush=True)
    tally.end()


if __name__ == "__main__":
    main()
