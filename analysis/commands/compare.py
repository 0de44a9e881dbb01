"""``python -m analysis compare outputs/<study> <one> <other>``: a page on two activations or initializers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from analysis.commands.arguments import Arguments, existing
from analysis.commands.progress import clear, tell

HELP = """\
python -m analysis compare <study> <one> <other> compares two activations, or two initializers, of
a study: the same data split, batches and underlying normal draws on both sides (the same seed),
each at its own best learning rate, chosen on the validation split.

Compare an activation of your own with a built-in one:
  python -m analysis compare outputs/elu elu relu
Compare two initializers:
  python -m analysis compare outputs/standard_grid he_normal xavier_normal
Where one name stands for several, write it as the report does, in quotes:
  python -m analysis compare outputs/mine 'leaky_relu (negative_slope 0.2)' relu

What it makes, below <study>/compare/<one>-<other>/:
  index.html    one offline page: findings, figures, captions
  figures/      each figure as SVG and PNG
  tables/       the numbers each figure draws, as CSV
  queries/      the SQL that finds the rows behind each of them

What it says:
  the difference in test accuracy, one less other, at every depth and with every initializer (or
    activation) that both were run with: mean and 95 % interval over seeds
  where that difference is beyond doubt: by paired t-tests, corrected for their number by Holm's
    method, so that the chance of even one false claim is at most 5 %
  both accuracies against depth, with chance and, where the study has one, the linear model
  how much of the signal's gradient reaches each layer at the start, and the ratio of the two
  dead units, saturation and collapse, where the two differ
A condition in which a network diverged, failed or is missing is counted and shown, and not judged.
A study with steps=0 has the figures of the start alone; one seed gives no intervals.

It checks the hash of every record before it uses it, and replaces an earlier page as a whole or not
at all. It never trains a network, never changes a record and never goes online.

Exit codes: 0 done; 2 the command or the study is at fault, and one sentence says how; 130 stopped
by Ctrl-C.
"""


def run(words: Sequence[str]) -> int:
    """Compare two activations or two initializers of a study and say what was found.

    Args:
        words: the command line: the study's folder and the two names.

    Returns:
        0.

    Raises:
        StudyError: the command line, a name or the study is at fault.
    """
    parser = Arguments(HELP)
    parser.add_argument("study", type=Path)
    parser.add_argument("one")
    parser.add_argument("other")
    chosen = parser.parse_args(words)
    folder = existing(chosen.study)
    # nothing is shown on a screen, and there may be none
    os.environ["MPLBACKEND"] = "agg"
    # imported here, for --help not to wait for it
    from analysis.compare import write_comparison
    from analysis.frames import Study
    from analysis.words import several

    made = write_comparison(Study(folder), chosen.one, chosen.other, tell)
    clear()
    print("Found:")
    for finding in made.findings or ["nothing: no figure applies; the page says why."]:
        print(f"  - {finding}")
    for note in made.notes:
        print(f"Note: {note}")
    drawn = f"{several(made.figures, 'figure')}, each with its table"
    print(f"Comparison: {made.page.as_posix()} ({drawn})")
    return 0
