"""One look for every figure: a colour means the same everywhere, a file is the same bytes every time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import matplotlib.ticker
import numpy as np
import seaborn as sns
from matplotlib.colors import Colormap, SymLogNorm
from matplotlib.figure import Figure
from PIL import Image

ACTIVATIONS = (
    "sigmoid",
    "centred_sigmoid",
    "bipolar_sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "prelu",
    "gelu",
    "silu",
    "sine",
    "sign",
    "identity",
)
"""The order in which activations are shown; unknown ones follow by name."""

INITIALIZERS = (
    "zeros",
    "constant",
    "normal_small",
    "normal",
    "torch_default",
    "lecun_normal",
    "xavier_uniform",
    "xavier_normal",
    "he_uniform",
    "he_normal",
    "orthogonal",
    "lsuv",
    "critical",
    "normal_unit",
    "rbm",
    "killed",
)
"""The order in which initializers are shown, roughly from small to large weights."""

# Okabe and Ito's colour-blind-safe colours, extended by Tol's for the rarer activations
_COLOURS = {
    "sigmoid": "#D55E00",
    "centred_sigmoid": "#EE8866",
    "bipolar_sigmoid": "#A6761D",
    "tanh": "#E69F00",
    "relu": "#0072B2",
    "leaky_relu": "#56B4E9",
    "prelu": "#009E73",
    "gelu": "#CC79A7",
    "silu": "#882255",
    "sine": "#117733",
    "sign": "#999933",
    "identity": "#555555",
}
# an activation of one's own is compared with relu first: the first spare is far from its blue
_SPARE_COLOURS = ("#661100", "#AA4499", "#44AA99", "#332288", "#6699CC", "#888888")
# Tol's again; where initializers are coloured no activation is
_COLOURS |= {
    "zeros": "#222222",
    "constant": "#888888",
    "normal_small": "#33BBEE",
    "normal": "#4477AA",
    "torch_default": "#997700",
    "lecun_normal": "#228833",
    "xavier_uniform": "#EE7733",
    "xavier_normal": "#CC3311",
    "he_uniform": "#009988",
    "he_normal": "#004488",
    "orthogonal": "#AA3377",
    "critical": "#117733",
    "normal_unit": "#EE3377",
    "lsuv": "#AA7744",
    "rbm": "#6F4C9B",
    "killed": "#BBCC33",
}
_MARKERS = dict(zip(ACTIVATIONS, "o8dsD^vPX*ph", strict=True))
_MARKERS |= dict(zip(INITIALIZERS, "h*<>pXDs^ov8dPH.", strict=True))
_SPARE_MARKERS = "<>d8H"

STATUS_COLOURS = {
    "ok": "#DDEBDA",
    "diverged": "#F2A19A",
    "failed": "#4A4A4A",
    "missing": "#FFFFFF",
}

MISSING_FACE = "#F4F4F4"
MISSING_HATCH = "////"
FAULT = "#B2182B"
"""Colour of marks that stand for numbers that cannot be drawn: zero, infinite, not a number."""

_SETTINGS: dict[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    # where a title goes by itself; to be told so spares every panel a search at each drawing
    "axes.titley": 1.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "figure.dpi": 100,
    "savefig.dpi": 130,
    "savefig.facecolor": "white",
    "hatch.color": "#BBBBBB",
    "hatch.linewidth": 0.6,
    # ids in an SVG are hashed with this salt, not with a random one
    "svg.hashsalt": "gradient-pathologies",
    "svg.fonttype": "path",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the study's style, whatever the user's own matplotlib settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        try:
            yield
        finally:
            interactive = matplotlib.is_interactive()
    # a notebook's backend, which the first figure wakes, turns it on for all figures to come
    matplotlib.interactive(interactive)


def colours(labels: Iterable[str]) -> dict[str, str]:
    """Return the colour of each label of activations, or of initializers."""
    return _assign(labels, _COLOURS, _SPARE_COLOURS)


def markers(labels: Iterable[str]) -> dict[str, str]:
    """Return the marker of each such label, so that colour is never the only sign."""
    return _assign(labels, _MARKERS, tuple(_SPARE_MARKERS))


def _assign(labels: Iterable[str], fixed: dict[str, str], spare: Sequence[str]) -> dict[str, str]:
    """Give each label its name's fixed value; a second label of a name and unknown names take spares."""
    taken: set[str] = set()
    found = {}
    rest = []
    for label in labels:
        value = fixed.get(label.split(" ")[0])
        if value is None or value in taken:
            rest.append(label)
        else:
            found[label] = value
            taken.add(value)
    free = [value for value in (*spare, *fixed.values()) if value not in taken] or list(spare)
    return found | {label: free[index % len(free)] for index, label in enumerate(rest)}


def depth_colours(depths: Sequence[int]) -> dict[int, tuple[float, float, float]]:
    """Return a colour for each depth, darker with depth."""
    palette = sns.color_palette("viridis_r", n_colors=len(depths) + 1)[1:]
    return {depth: tuple(palette[index]) for index, depth in enumerate(sorted(depths))}


def diverging() -> Colormap:
    """Return the map for decades: blue vanishing, pale unchanged, red exploding."""
    return matplotlib.colormaps["RdBu_r"]


def decades_norm(values: np.ndarray) -> SymLogNorm:
    """Return a symmetric norm for decades, linear within one decade and logarithmic beyond."""
    finite = np.abs(values[np.isfinite(values)])
    limit = max(3.0, float(finite.max()) if len(finite) else 3.0)
    return SymLogNorm(linthresh=1.0, linscale=0.6, vmin=-limit, vmax=limit, base=10)


def save(figure: Figure, folder: Path, slug: str) -> None:
    """Write a figure as SVG and PNG whose bytes depend on what is drawn alone, and close it."""
    # some settings are read only now, the salt of the ids among them
    with house_style():
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
        (folder / f"{slug}.svg").write_text(
            shortened(drawn.getvalue()), encoding="utf-8", newline="\n"
        )
        pixels = io.BytesIO()
        figure.savefig(pixels, format="png", pil_kwargs={"compress_level": 0})
        # with 256 colours a third as large, and none is far from its own
        image = Image.open(pixels).convert("RGB")
        image = image.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        image.save(folder / f"{slug}.png", optimize=True)
    plt.close(figure)


def shortened(svg: str) -> str:
    """Return an SVG with places to a hundredth of a point and without indentation, a sixth smaller."""
    placed = re.sub(r"(?<!scale\()\b(\d+\.\d\d)\d+", r"\1", svg)
    return re.sub(r"\n\s+", "\n", placed)


def percent() -> matplotlib.ticker.PercentFormatter:
    """Return the tick format for shares."""
    return matplotlib.ticker.PercentFormatter(1.0, decimals=0)
