"""Fixes rules: ``python -m analysis.ledger.rules`` writes down the hashes of those that are not fixed yet.

To be committed before anything is run for a claim. A rule that is fixed is not written anew: a change needs
an `analysis.ledger.claim.Amendment` with its reason.
"""

from __future__ import annotations

import json

from analysis.claims import claims
from analysis.ledger.entries import FIXED, fixed_rules


def main() -> None:
    """Add the hashes of new claims to the file of fixed rules."""
    fixed = fixed_rules()
    new = {one.id: one.rule_hash for one in claims().values() if one.id not in fixed}
    every = {one: (fixed | new)[one] for one in claims() if one in fixed or one in new}
    FIXED.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    print(f"Fixed {len(new)} rules; {len(fixed)} were fixed before.")


if __name__ == "__main__":
    main()
