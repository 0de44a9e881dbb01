"""Which networks were lost: failures with their reasons, and divergence."""

from __future__ import annotations

import pandas as pd

from analysis.findings.finding import Finding
from analysis.words import listed, several, share

MOST_REASONS = 3
"""Reasons of failure told as findings; all of them stand on the page."""


def failures(cells: pd.DataFrame) -> list[tuple[str, int]]:
    """Return every distinct reason why networks failed, and of how many, the most frequent first.

    Args:
        cells: rows of `Study.cells`.
    """
    failed = cells.loc[cells["status"] == "failed", "error"].fillna("for an unknown reason")
    counts = {str(error): int(count) for error, count in failed.value_counts().items()}
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def outcome_findings(cells: pd.DataFrame) -> list[Finding]:
    """Return how many networks were lost, and why.

    Args:
        cells: rows of `Study.cells`.
    """
    reasons = failures(cells)
    found = [
        f"{share(count, len(cells), 'network')} failed: {reason.rstrip('.')}."
        for reason, count in reasons[:MOST_REASONS]
    ]
    if reasons[MOST_REASONS:]:
        more = several(len(reasons) - MOST_REASONS, "more reason")
        found.append(f"Networks failed for {more}, listed with the coverage.")
    found += _diverged(cells)
    return [Finding(text[0].upper() + text[1:], "coverage") for text in found]


def _diverged(cells: pd.DataFrame) -> list[str]:
    trained = cells[(cells["steps"] > 0) & (cells["status"] != "missing")]
    lost = trained[trained["status"] == "diverged"]
    if lost.empty:
        return []
    places = lost.groupby(["depth", "lr"]).size()
    depth, rate = places.idxmax()
    where = f"depth {depth}, rate {rate:g}"
    if len(places) > 1:
        where = f"{places.max():,} of them at {where}"
    return [
        f"{share(len(lost), len(trained), 'trained network')} diverged: {listed(lost)} ({where})."
    ]
