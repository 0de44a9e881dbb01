"""The ledger: what lecture notes say of deep networks, each sentence with its evidence and a verdict."""

from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.decision import Verdict

__all__ = ["Claim", "Evidence", "Part", "Verdict"]
