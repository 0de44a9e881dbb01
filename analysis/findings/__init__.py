"""What a study found, in sentences whose every number is computed from the tables of its figures."""

from analysis.findings.finding import Finding, merged
from analysis.findings.outcomes import outcome_findings
from analysis.findings.packing import packing_finding
from analysis.findings.parts import part_table, parts_finding
from analysis.findings.start import start_findings
from analysis.findings.training import training_findings

__all__ = [
    "Finding",
    "merged",
    "outcome_findings",
    "packing_finding",
    "part_table",
    "parts_finding",
    "start_findings",
    "training_findings",
]
