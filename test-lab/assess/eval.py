#!/usr/bin/env python3
"""Assesses every target of the truth tables with the built product, and compares what it says with the truth.

    eval.py                     every target (needs $SALLYPORT_DVMCP, or --without dvmcp)
    eval.py --dozen             a dozen of them, with nothing to fetch
    eval.py --only NAME         one, and its twin; may be given again
    eval.py --repeat 10         also: that often again, for six of them; the scores must be the same each time
    eval.py --starts            starts every target and asks it once; runs no assessor
    eval.py --write-report FILE JSON with everything that was compared

The binary is $SALLYPORT, else target/release/sallyport. The last line is `N passed, N failed`; exit status 1 if
any failed. Python 3.11, standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import agreement
import starting
import table
from table import QUESTIONS, Range, Target

EXACT, KAPPA, SECONDS, RUN_SECONDS = 0.95, 0.95, 30, 300


@dataclass
class Seen:
    """What one run of the assessor said of a target."""

    scores: dict[int, Range] = field(default_factory=dict)
    points: dict[int, int | None] = field(default_factory=dict)
    bands: list[str] = field(default_factory=list)
    total: Range = (0, 20)
    seconds: float = 0.0
    trouble: str | None = None
    document: dict[str, Any] = field(default_factory=dict)


class Outcome:
    """Counts what held and what did not, and prints it."""

    def __init__(self) -> None:
        self.passed, self.failures = 0, list[str]()

    def check(self, held: bool, what: str) -> None:
        if held:
            self.passed += 1
        else:
            self.failures.append(what)

    def end(self) -> int:
        for failure in self.failures:
            print(f"FAILED {failure}")
        print(f"{self.passed} passed, {len(self.failures)} failed")
        return int(bool(self.failures))


def assess(target: Target) -> Seen:
    """Starts a target afresh and assesses it once."""
    try:
        with starting.started(target.start) as running:
            return run(running, target.access)
    except starting.StartError as error:
        return Seen(trouble=str(error))


def run(running: starting.Running, access: list[str]) -> Seen:
    command = [str(starting.GATE), "assess", "--format", "json", *running.arguments(access)]
    begun = time.monotonic()
    try:
        done = subprocess.run(
            command, env={**os.environ, **running.environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=RUN_SECONDS, check=False,
        )
    except subprocess.TimeoutExpired:
        return Seen(trouble=f"no end within {RUN_SECONDS} s", seconds=RUN_SECONDS)
    seconds = time.monotonic() - begun
    try:
        document = json.loads(done.stdout)
        questions = {question["number"]: question for question in document["questions"]}
        return Seen(
            {number: tuple(questions[number]["range"]) for number in QUESTIONS},
            {number: questions[number]["points"] for number in QUESTIONS},
            document["bands_possible"], tuple(document["total_range"]), seconds, None, document,
        )
    except (ValueError, KeyError, TypeError) as error:
        return Seen(trouble=f"exit {done.returncode}, no assessment ({error!r}): {done.stderr.strip()[-400:]}", seconds=seconds)


def shown(score: Range) -> str:
    return str(score[0]) if score[0] == score[1] else f"{score[0]}-{score[1]}"


def print_target(target: Target, seen: Seen) -> None:
    if seen.trouble:
        print(f"{target.name:<30} {seen.trouble}")
        return
    cells = []
    for number in QUESTIONS:
        truth, said = target.scores[number], seen.scores[number]
        cells.append(f"{shown(said):>4} " if truth == said else f"{shown(said):>4}!{shown(truth)}")
    print(f"{target.name:<30}{''.join(f'{cell:<9}' for cell in cells)} {shown(seen.total):>6} {seen.seconds:5.1f} s", flush=True)


def why(target: Target, seen: Seen, number: int) -> str:
    """The checks of a question that failed or stayed open, as the assessor gives them."""
    question = next(one for one in seen.document["questions"] if one["number"] == number)
    told = [f"{one['check']} {one['result']}" for one in question["evidence"] if one["result"] not in ("pass", "not_applicable")]
    return f"{target.name}, question {number}: truth {shown(target.scores[number])}, seen {shown(seen.scores[number])} ({', '.join(told)})"


def judge_targets(outcome: Outcome, chosen: list[Target], seen: dict[str, Seen]) -> None:
    for target in chosen:
        one = seen[target.name]
        outcome.check(one.trouble is None, f"{target.name}: {one.trouble}")
        if one.trouble:
            continue
        near = all(abs(ours - theirs) <= 1 for ours, theirs in zip(target.total, one.total))
        outcome.check(near, f"{target.name}: total {shown(one.total)}, truth {shown(target.total)}")
        wanted = agreement.bands(target.total)
        outcome.check(one.bands == wanted, f"{target.name}: bands {one.bands}, truth {wanted}")
        false_twos = [number for number in QUESTIONS if one.scores[number] == (2, 2) and target.scores[number] == (0, 0)]
        outcome.check(not false_twos, f"{target.name}: question {false_twos} scores 2 where the truth is 0")
        if "--hooks" not in target.access:
            outcome.check(one.seconds <= SECONDS, f"{target.name}: {one.seconds:.1f} s without hooks")


def judge_questions(outcome: Outcome, chosen: list[Target], seen: dict[str, Seen]) -> dict[int, dict[str, float]]:
    """Prints and checks the agreement on each question over all targets."""
    figures = {}
    print("\nquestion   exact   kappa   settled")
    for number in QUESTIONS:
        pairs = [(target.scores[number], seen[target.name].scores.get(number, (-1, -1))) for target in chosen]
        scores = agreement.settled([pair for pair in pairs if pair[1] != (-1, -1)])
        equal, weighted = agreement.exact(pairs), agreement.kappa(scores)
        figures[number] = {"exact": equal, "kappa": weighted, "settled": len(scores)}
        print(f"{number:>8} {equal:>7.1%} {weighted:>7.3f} {len(scores):>9}")
        outcome.check(equal >= EXACT, f"question {number}: exact agreement {equal:.1%}")
        outcome.check(weighted >= KAPPA, f"question {number}: weighted kappa {weighted:.3f}")
    print()
    return figures


def judge_pairs(outcome: Outcome, chosen: list[Target], seen: dict[str, Seen]) -> None:
    """Each single defect shows in its question, and in no other."""
    for target in chosen:
        if target.pair is None or seen[target.name].trouble or seen[target.pair].trouble:
            continue
        mine, twin = seen[target.name], seen[target.pair]
        differing = {
            number for number in QUESTIONS
            if (mine.scores[number], mine.points[number]) != (twin.scores[number], twin.points[number])
        }
        missing, surplus = target.differs - differing, differing - target.differs - target.may_differ
        told = [f"not seen in question {sorted(missing)}"] * bool(missing) + [f"also seen in question {sorted(surplus)}"] * bool(surplus)
        outcome.check(not told, f"{target.name} beside {target.pair}: {', '.join(told)}")


def judge_repeats(outcome: Outcome, chosen: list[Target], seen: dict[str, Seen], times: int, jobs: int) -> None:
    again = [target for target in chosen if target.repeat]
    with ThreadPoolExecutor(jobs) as pool:
        runs = list(pool.map(assess, [target for target in again for _ in range(times)]))
    for place, target in enumerate(again):
        mine = runs[place * times:(place + 1) * times]
        differing = [one for one in mine if one.trouble or one.scores != seen[target.name].scores]
        told = differing[0].trouble or differing[0].scores if differing else ""
        outcome.check(not differing, f"{target.name}: {len(differing)} of {times} runs differ from the first: {told}")
        print(f"{target.name}: {times - len(differing)} of {times} more runs gave the same scores", flush=True)


def starts(chosen: list[Target]) -> int:
    """Starts every target and asks it once."""
    outcome = Outcome()
    for target in chosen:
        try:
            with starting.started(target.start) as running:
                held = bool(running.command) or answers(running)
                outcome.check(held, f"{target.name}: no answer at {running.url}")
                print(f"{target.name:<30} {running.url or ' '.join(running.command)}", flush=True)
        except starting.StartError as error:
            outcome.check(False, f"{target.name}: {error}")
    return outcome.end()


def answers(running: starting.Running) -> bool:
    # An SSE endpoint answers with a stream that does not end; its status is all that is asked for.
    return starting.status_of(running.url or "") is not None


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--all", action="store_true", help="every target (the default)")
    parser.add_argument("--dozen", action="store_true")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--without", action="append", default=[], metavar="GROUP")
    parser.add_argument("--repeat", type=int, default=0, metavar="N")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--starts", action="store_true")
    parser.add_argument("--write-report", type=Path, metavar="FILE")
    return parser.parse_args()


def choose(targets: dict[str, Target], given: argparse.Namespace) -> list[Target]:
    """The targets that were asked for, and the twins without which they cannot be judged."""
    groups = {target.group for target in targets.values()}
    if unknown := set(given.without) - groups:
        sys.exit(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(sorted(groups))}")
    if unknown := set(given.only) - set(targets):
        sys.exit(f"there is no target {', '.join(sorted(unknown))}")
    names = {
        target.name for target in targets.values()
        if target.group not in given.without and (not given.dozen or target.dozen) and (not given.only or target.name in given.only)
    }
    names |= {twin for name in names if (twin := targets[name].pair) is not None}
    return [target for target in targets.values() if target.name in names]


def report(file: Path, chosen: list[Target], seen: dict[str, Seen], figures: dict[int, dict[str, float]], outcome: Outcome) -> None:
    rows = [
        {
            "name": target.name, "truth": target.scores, "seen": seen[target.name].scores, "points": seen[target.name].points,
            "total_truth": target.total, "total_seen": seen[target.name].total, "bands_seen": seen[target.name].bands,
            "seconds": round(seen[target.name].seconds, 1), "trouble": seen[target.name].trouble,
        }
        for target in chosen
    ]
    file.write_text(json.dumps({"questions": figures, "targets": rows, "passed": outcome.passed, "failures": outcome.failures}, indent=1) + "\n")


def main() -> int:
    given = options()
    try:
        chosen = choose(table.read(), given)
        starting.require({target.group for target in chosen})
    except (starting.StartError, table.TruthError) as error:
        print(error)
        print("0 passed, 1 failed")
        return 1
    if given.starts:
        return starts(chosen)
    if not starting.GATE.exists():
        print(f"{starting.GATE} is missing; run cargo build --release")
        print("0 passed, 1 failed")
        return 1
    print(f"{'':<30}{''.join(f'{number:>4}     ' for number in QUESTIONS)}  total", flush=True)
    seen: dict[str, Seen] = {}
    with ThreadPoolExecutor(given.jobs) as pool:
        for target, one in zip(chosen, pool.map(assess, chosen)):
            seen[target.name] = one
            print_target(target, one)
    outcome = Outcome()
    judge_targets(outcome, chosen, seen)
    figures = judge_questions(outcome, chosen, seen)
    judge_pairs(outcome, chosen, seen)
    for target in chosen:
        for number in QUESTIONS:
            if not seen[target.name].trouble and seen[target.name].scores[number] != target.scores[number]:
                print(why(target, seen[target.name], number))
    if given.repeat:
        judge_repeats(outcome, chosen, seen, given.repeat, given.jobs)
    if given.write_report:
        report(given.write_report, chosen, seen, figures, outcome)
    return outcome.end()


if __name__ == "__main__":
    sys.exit(main())
