"""``python -m analysis diagnose outputs/<study>``: what is wrong with which condition, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.commands.arguments import Arguments, existing

HELP = """\
python -m analysis diagnose <study> says what is wrong with every condition of a study: a line each,
with the evidence, what usually mends it, and which one changed setting did so here.
Conditions in which every network is healthy are counted.

  python -m analysis diagnose outputs/standard_grid

A line is: activation, initializer, depth, learning rate (- where nothing was trained), how many networks
have which label, and the evidence of the gravest label in the network where it is worst.

Labels, the gravest first:
{labels}

A network is judged at every probe step of its training. Thresholds follow its depth and width;
how often they are right is measured by python -m benchmarks.diagnosis and printed in the README.

It reads records alone, and writes nothing.

Exit codes: 0 done; 2 the command or the study is at fault, and one sentence says how; 130 stopped
by Ctrl-C.
"""


def run(words: Sequence[str]) -> int:
    """Print the labels of a study.

    Args:
        words: the command line: the study's folder.

    Returns:
        0.

    Raises:
        StudyError: the command line or the study is at fault.
    """
    from analysis.diagnosis.labels import LABELS

    lines = "\n".join(f"  {label.name:10} {label.meaning}" for label in LABELS.values())
    parser = Arguments(HELP.format(labels=lines))
    parser.add_argument("study", type=Path)
    chosen = parser.parse_args(words)
    folder = existing(chosen.study)
    # imported here, for --help not to wait for it
    from analysis.diagnosis.conditions import by_condition
    from analysis.diagnosis.mends import mends
    from analysis.diagnosis.printed import printed
    from analysis.frames import Study

    study = Study(folder)
    for damage in study.damages:
        print(f"Note: {damage}")
    mended = mends(study, next(iter(study.trained), None))
    print("\n".join(printed(by_condition(study), mended)))
    return 0
