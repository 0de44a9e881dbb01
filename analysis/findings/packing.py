"""Whether networks depend on those they were trained with."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.findings.finding import Finding
from analysis.words import several


def packing_finding(table: pd.DataFrame) -> list[Finding]:
    """Return one sentence on networks that two studies hold.

    Args:
        table: that of the figure ``packing``.
    """
    shared = several(int(table["cell"].nunique()), "network")
    losses = f"{len(table):,} batch losses of {shared} that were trained twice, in other packs,"
    differing = table[table["difference"] > 0]
    neither = int((table["batch_loss"].isna() & (table["difference"] == 0)).sum())
    if differing.empty:
        text = f"All {losses} are equal to the last bit"
        if neither:
            text += f", or no number in either run ({neither:,}, of networks that diverged)"
        text += ": a network does not depend on its neighbours."
    else:
        finite = differing["difference"].replace(np.inf, np.nan)
        first = int(differing["step"].min())
        text = f"Of {losses} {len(differing):,} differ, first at step {first}"
        if finite.notna().any():
            text += f", by up to {finite.max():.1g} of their size"
        text += "."
    return [Finding(text, "packing")]
