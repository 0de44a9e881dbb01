"""Where a report's numbers come from."""

from __future__ import annotations

import hashlib
from typing import Any

from analysis.frames import Study
from study import __version__
from study.store import Store


def provenance(study: Study) -> dict[str, Any]:
    """Return commands, environments and a digest of the records."""
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
    return {
        "commands": sorted({plan.command for plan in study.plans}),
        "environments": sorted(environments),
        "packs": f"{len(commits):,}",
        "digest": hashlib.sha256(hashes.encode()).hexdigest()[:16],
        "program": __version__,
    }
