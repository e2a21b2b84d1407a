#!/usr/bin/env python3
"""Assesses the product's own demo with the test identities and hooks that it offers, and holds its score to
demo-score.toml: nothing may be lower, and what is higher must be written there. Nothing in that file may be lower
than in any committed version of it.

    demo.py                     two runs: the same score, in time, with the right exit statuses and no secret told
    demo.py --runs N            as many
    demo.py --details           also every check that did not pass
    demo.py --result FILE       one run, compared with nothing: its result as JSON (`cargo xtask assess-controls`)

The binary is $SALLYPORT, else target/release/sallyport. The last line is `N passed, N failed`; exit status 1 if
any failed, 3 if nothing could be run. Python 3.11, standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GATE = os.environ.get("SALLYPORT") or str(ROOT / "target/release/sallyport")
STATED = HERE / "demo-score.toml"
SECONDS, HUNG, FULL = 60, 300, 20
QUESTIONS = range(1, 11)
# Three parts, so that the beginning that a report may show is not one.
JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
FORMATS = ("text", "html", "sarif")


class CouldNotRun(Exception):
    """The demo or the assessor did not do its part; says why."""


@dataclass(frozen=True, order=True)
class Standing:
    """What is said of one question; one that is greater is better."""

    low: int
    high: int
    points: int  # of 100; 0 where nothing was decided

    def __str__(self) -> str:
        score = str(self.low) if self.low == self.high else f"{self.low} to {self.high}"
        return f"{score}, {self.points} points"


Score = dict[int, Standing]


@dataclass
class Run:
    """One assessment."""

    status: int
    seconds: float
    document: dict[str, Any]
    told: str  # everything that it wrote

    def score(self) -> Score:
        found = {}
        for question in self.document["questions"]:
            low, high = question["range"]
            found[question["number"]] = Standing(low, high, question["points"] or 0)
        return found


class Outcome:
    """Counts what held and what did not, and prints it."""

    def __init__(self) -> None:
        self.passed, self.failed = 0, 0

    def check(self, held: bool, what: str) -> None:
        if held:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED  {what}")


@contextmanager
def demo(folder: Path) -> Iterator[dict[str, Any]]:
    """The demo in its own process, and the line that it prints when it is ready."""
    log = folder / "demo.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [GATE, "demo", "--json", "--listen", "127.0.0.1:0", "--data", str(folder / "data")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("{"):
            raise CouldNotRun(f"the demo did not start: {log.read_text(errors='replace')[-800:].strip()}")
        yield json.loads(line)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def assess(ready: dict[str, Any], result: Path, *more: str) -> Run:
    url = ready["mcp_endpoints"][0]
    command = [GATE, "assess", url, *ready["assess_arguments"], "--format", "json", "--output", str(result), *more]
    began = time.monotonic()
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HUNG)
    seconds = time.monotonic() - began
    try:
        text = result.read_text()
        return Run(ended.returncode, seconds, json.loads(text), text + ended.stdout + ended.stderr)
    except (OSError, ValueError) as error:
        raise CouldNotRun(f"assess ended with {ended.returncode} and no result ({error}): {ended.stderr[-800:].strip()}")


def reports(result: Path) -> Iterator[tuple[str, str]]:
    """The result in every other form."""
    for form in FORMATS:
        ended = subprocess.run(
            [GATE, "report", str(result), "--format", form, "--details"], capture_output=True, text=True, timeout=HUNG
        )
        if ended.returncode != 0:
            raise CouldNotRun(f"report --format {form} ended with {ended.returncode}: {ended.stderr[-400:].strip()}")
        yield form, ended.stdout


def secrets(ready: dict[str, Any]) -> set[str]:
    return {account["password"] for account in ready["accounts"]} | {agent["client_secret"] for agent in ready["agents"]}


def leaks(text: str, hidden: set[str]) -> str | None:
    """What `text` gives away, without repeating it."""
    for secret in hidden:
        if secret in text:
            return f"a secret of {len(secret)} characters that begins with {secret[:3]}"
    found = JWT.search(text)
    return f"a token that begins with {found[0][:12]}" if found else None


def stated(text: str) -> Score:
    table = tomllib.loads(text)
    rows = {int(number): row for number, row in table["question"].items()}
    if sorted(rows) != list(QUESTIONS) or any(sorted(row) != ["points", "range"] for row in rows.values()):
        raise CouldNotRun(f"{STATED.name} needs `range` and `points` for each of the questions 1 to 10, and nothing else")
    return {number: Standing(*row["range"], row["points"]) for number, row in rows.items()}


def committed() -> list[tuple[str, Score]]:
    """Every committed version of the stated score; none outside a git checkout."""

    def git(*words: str) -> str:
        ended = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        return ended.stdout if ended.returncode == 0 else ""

    path = STATED.relative_to(ROOT).as_posix()
    try:
        commits = git("log", "--format=%H", "--", path).split()
        texts = [(commit, git("show", f"{commit}:{path}")) for commit in commits]
    except OSError:  # no git
        return []
    return [(commit[:10], stated(text)) for commit, text in texts if text]


def compare(outcome: Outcome, seen: Score, wanted: Score) -> None:
    for number in QUESTIONS:
        now, was = seen[number], wanted[number]
        line = f"[question.{number}]\n        range = [{now.low}, {now.high}]\n        points = {now.points}"
        outcome.check(now >= was, f"question {number} fell: {now}; stated: {was}")
        outcome.check(now <= was, f"question {number} rose: {now}; stated: {was}. Write into {STATED.name}:\n        {line}")
    for commit, before in committed():
        for number in QUESTIONS:
            lowered = f"{STATED.name} states for question {number}: {wanted[number]}; {commit} stated: {before[number]}"
            outcome.check(wanted[number] >= before[number], f"{lowered}. It may only be raised")


def show(run: Run, details: bool) -> None:
    for question in run.document["questions"]:
        number = question["number"]
        missing = [check for check in question["evidence"] if check["result"] not in ("pass", "not_applicable")]
        names = ", ".join(f"{check['check']} {'unseen' if check['result'] == 'not_assessable' else 'fails'}" for check in missing)
        print(f"{number:>2}  {str(run.score()[number]):<22} {names or 'nothing is missing'}")
        for check in missing if details else ():
            print(f"      {check['check']}: {check['observed']}")
    low, high = run.document["total_range"]
    print(f"    {low} to {high} of {FULL}" if low != high else f"    {low} of {FULL}", f"in {run.seconds:.0f} s")


def hold(outcome: Outcome, runs: list[Run], ready: dict[str, Any], result: Path) -> None:
    first = runs[0]
    score = first.score()
    compare(outcome, score, stated(STATED.read_text()))
    sums = [sum(standing.low for standing in score.values()), sum(standing.high for standing in score.values())]
    outcome.check(first.document["total_range"] == sums, f"total_range is not the sum of the questions, {sums}")
    outcome.check(first.status == 0, f"without --min-score the exit status is {first.status}, not 0")
    for number, run in enumerate(runs, 1):
        outcome.check(run.seconds <= SECONDS, f"run {number} took {run.seconds:.0f} s, not {SECONDS} at most")
        for question, standing in run.score().items():
            outcome.check(standing == score[question], f"question {question}: {standing} in run {number}, {score[question]} in run 1")
    wanted = 0 if sums[0] >= FULL else 1
    for run in runs[1:]:
        outcome.check(run.status == wanted, f"with --min-score {FULL} the exit status is {run.status}, not {wanted}")
    hidden = secrets(ready)
    for number, run in enumerate(runs, 1):
        found = leaks(run.told, hidden)
        outcome.check(found is None, f"the result of run {number} holds {found}")
    for form, text in reports(result):
        found = leaks(text, hidden)
        outcome.check(found is None and len(text) > 200, f"the {form} report holds {found or 'next to nothing'}")


def main() -> int:
    parser = argparse.ArgumentParser(description="The demo's own score.")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--details", action="store_true")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="sallyport-score-") as name:
        folder = Path(name)
        with demo(folder) as ready:
            if options.result:
                assess(ready, options.result.resolve())
                return 0
            result = folder / "result.json"
            runs = [assess(ready, result)]
            for number in range(2, options.runs + 1):
                runs.append(assess(ready, folder / f"result-{number}.json", "--min-score", str(FULL)))
            show(runs[0], options.details)
            hold(outcome, runs, ready, result)
    print(f"{outcome.passed} passed, {outcome.failed} failed")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (CouldNotRun, OSError, subprocess.TimeoutExpired) as error:
        print(f"demo.py: {error}", file=sys.stderr)
        sys.exit(3)
