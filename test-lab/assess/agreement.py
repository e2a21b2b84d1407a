"""How far two sets of scores agree. Arithmetic alone."""

from __future__ import annotations

from collections import Counter

from table import Range


def exact(pairs: list[tuple[Range, Range]]) -> float:
    """The part of (truth, seen) that is equal; a range is equal only to itself."""
    return sum(truth == seen for truth, seen in pairs) / len(pairs) if pairs else 1.0


def settled(pairs: list[tuple[Range, Range]]) -> list[tuple[int, int]]:
    """The scores of (truth, seen) where the truth is one score; a range that was seen counts by its worse end."""
    scores = []
    for (low, high), seen in pairs:
        if low == high:
            scores.append((low, max(seen, key=lambda end: abs(end - low))))
    return scores


def kappa(scores: list[tuple[int, int]], categories: int = 3) -> float:
    """Cohen's kappa with quadratic weights; 1 when both say the same one thing of everything."""
    if not scores:
        return 1.0
    count = len(scores)
    truth, seen = Counter(first for first, _ in scores), Counter(second for _, second in scores)
    observed = sum((first - second) ** 2 for first, second in scores) / count
    expected = sum(
        (first - second) ** 2 * truth[first] * seen[second] for first in range(categories) for second in range(categories)
    ) / count**2
    return 1.0 - observed / expected if expected else float(observed == 0)


def bands(total: Range) -> list[str]:
    """The bands of the document that a total can be in, worst first."""
    def band(points: int) -> str:
        return "proceed" if points >= 16 else "review_and_remediate" if points >= 10 else "do_not_enable"

    return list(dict.fromkeys(band(points) for points in range(total[0], total[1] + 1)))
