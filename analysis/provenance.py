"""Where a report's numbers come from."""

from __future__ import annotations

import hashlib
from typing import Any

from analysis.frames import Study
from analysis.words import several
from study import __version__


def _environment(made_with: dict[str, Any]) -> str:
    """Return what numbers were made with, in words."""
    parts = {name: str(made_with.get(name)) for name in ("system", "device_name", "capability")}
    if parts["device_name"] in parts["system"]:  # the processor's kind, said already
        del parts["device_name"]
    versions = [
        f"{title} {made_with.get(name)}"
        for name, title in (("python", "Python"), ("torch", "PyTorch"), ("numpy", "NumPy"))
    ]
    return ", ".join([*parts.values(), *versions])


def provenance(study: Study) -> dict[str, Any]:
    """Return commands, environments, and how many networks and which digest the records have."""
    commits = study.commits
    hashes = "".join(
        entry["sha256"] for commit in commits for _, entry in sorted(commit.files.items())
    )
    environments = {_environment(commit.environment) for commit in commits}
    bits = [
        int(commit.environment["significant_bits"])
        for commit in commits
        if "significant_bits" in commit.environment
    ]
    return {
        "commands": sorted({plan.command for plan in study.plans}),
        "environments": sorted(environments),
        "packs": several(sum(not commit.measured for commit in commits), "pack"),
        "networks": several(sum(len(commit.statuses) for commit in commits), "network"),
        "bits": min(bits, default=None),
        "digest": hashlib.sha256(hashes.encode()).hexdigest()[:16],
        "program": __version__,
    }
