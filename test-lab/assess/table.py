"""The truth tables: read, checked, and put in order. Never looks at what an assessor says."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRUTH = Path(__file__).resolve().parent / "truth"
QUESTIONS = range(1, 11)
KNOWN = {"name", "group", "start", "access", "pair", "differs", "may_differ", "dozen", "repeat", "note", "scores", "reasons"}

Range = tuple[int, int]


@dataclass(frozen=True)
class Target:
    name: str
    group: str
    start: str
    access: list[str]
    scores: dict[int, Range]
    pair: str | None
    differs: frozenset[int]
    may_differ: frozenset[int]
    dozen: bool
    repeat: bool

    @property
    def total(self) -> Range:
        return sum(low for low, _ in self.scores.values()), sum(high for _, high in self.scores.values())


class TruthError(Exception):
    """The table itself is wrong."""


def read() -> dict[str, Target]:
    """Every target by name; TruthError when a table does not hold together."""
    targets: dict[str, Target] = {}
    for file in sorted(TRUTH.glob("*.toml")):
        document = tomllib.loads(file.read_text())
        for row in document["target"]:
            target = _target(file, row, document.get("access", []))
            if target.name in targets:
                raise TruthError(f"{file.name}: {target.name} stands there twice")
            targets[target.name] = target
    for target in targets.values():
        if target.pair is not None and target.pair not in targets:
            raise TruthError(f"{target.name}: there is no {target.pair}")
        if target.pair is not None:
            _separable(target, targets[target.pair])
    return targets


def _target(file: Path, row: dict[str, Any], access: list[str]) -> Target:
    name = row.get("name", "?")
    if unknown := set(row) - KNOWN:
        raise TruthError(f"{file.name}: {name}: unknown {', '.join(sorted(unknown))}")
    for part in ("scores", "reasons"):
        if [int(key) for key in row[part]] != list(QUESTIONS):
            raise TruthError(f"{file.name}: {name}: {part} are not those of the ten questions in order")
    if not all(isinstance(reason, str) and reason for reason in row["reasons"].values()):
        raise TruthError(f"{file.name}: {name}: a reason is missing")
    scores = {int(key): _range(f"{file.name}: {name}: {key}", value) for key, value in row["scores"].items()}
    return Target(
        name, row["group"], row["start"], row.get("access", access), scores, row.get("pair"),
        frozenset(row.get("differs", [])), frozenset(row.get("may_differ", [])), row.get("dozen", False), row.get("repeat", False),
    )


def _range(where: str, value: Any) -> Range:
    low, high = value if isinstance(value, list) else (value, value)
    if not 0 <= low <= high <= 2:
        raise TruthError(f"{where}: {value} is no score")
    return low, high


def _separable(target: Target, twin: Target) -> None:
    """Scores that differ from the twin's must be said to differ."""
    differing = {number for number in QUESTIONS if target.scores[number] != twin.scores[number]}
    if missing := differing - target.differs:
        raise TruthError(f"{target.name}: question {sorted(missing)} differs from {twin.name} and is not in `differs`")
