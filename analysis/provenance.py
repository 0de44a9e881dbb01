"""Where a report's numbers come from."""

from __future__ import annotations

import hashlib
from typing import Any

from analysis.frames import Study
from analysis.words import several
from study import __version__
from study.store import Store


def provenance(study: Study) -> dict[str, Any]:
    """Return commands, environments, and how many networks and which digest the records have."""
    commits = sorted(Store(study.folder).read_commits(), key=lambda commit: commit.pack)
    hashes = "".join(
        entry["sha256"] for commit in commits for _, entry in sorted(commit.files.items())
    )
    environments = {
        ", ".join(
            str(commit.environment.get(key))
            for key in ("system", "device_name", "capability", "python", "torch", "numpy")
        )
        for commit in commits
    }
    bits = [
        int(commit.environment["significant_bits"])
        for commit in commits
        if "significant_bits" in commit.environment
    ]
    return {
        "commands": sorted({plan.command for plan in study.plans}),
        "environments": sorted(environments),
        "packs": several(len(commits), "pack"),
        "networks": several(sum(len(commit.statuses) for commit in commits), "network"),
        "bits": min(bits, default=None),
        "digest": hashlib.sha256(hashes.encode()).hexdigest()[:16],
        "program": __version__,
    }
