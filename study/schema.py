"""The columns of the records: name, type, unit, definition and source of each, in one place.

Written by `study`, read by `analysis`; axis labels, checks and the documentation are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 5

READABLE = (3, 4, 5)
"""Versions that are read: a record of an earlier one has NULL in the columns that it lacks."""

DIGESTS_SINCE = 5
"""From this version on plans and commits carry the digest of their own text."""

STATUSES = ("ok", "diverged", "failed")
"""What can have become of a network."""

FIRST_TUNING_SEED = 1000
"""Seeds from here on are for choosing learning rates, where a study sets some apart (`tuning_seeds`)."""

Kind = Literal["string", "int64", "double", "bool"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its name, the same in probe, table, figure and claim.
        kind: its type in Parquet.
        unit: its unit, ``1`` for a plain number, empty for names.
        definition: what it holds, and when it is NULL.
        label: how an axis is labelled with it.
        source: paper and equation, where there is one.
        since: the first schema version that has it; NULL in records of an earlier one.
    """

    name: str
    kind: Kind
    unit: str
    definition: str
    label: str = ""
    source: str = ""
    since: int = READABLE[0]


CELL = Column(
    "cell", "string", "", "Id of the network: hash of every setting that decides its numbers."
)

WORDS = {"r2": "R²"}
"""What a label calls a column where its name is not the word."""

CELLS: tuple[Column, ...] = (
    CELL,
    Column(
        "depth", "int64", "layers", "Layers that carry weights; the input is not counted.", "depth"
    ),
    Column("width", "int64", "units", "Units of each hidden layer.", "width"),
    Column("activation", "string", "", "Name of the activation."),
    Column("init", "string", "", "Name of the initializer."),
    Column("init_gain", "double", "1", "`init.gain`; NULL where the rule has none.", "gain"),
    Column("init_std", "double", "1", "`init.std`; NULL where the rule has none.", "std"),
    Column("bias", "bool", "", "Whether layers have biases."),
    Column(
        "norm",
        "string",
        "",
        "Normalization of hidden layers, between affine map and activation: `none`, `batch` (in evaluation "
        "by the probe set's mean and variance under the present weights) or `layer`; NULL means `none`.",
        since=4,
    ),
    Column(
        "dropout",
        "double",
        "1",
        "Share of hidden units' outputs dropped in training; NULL means 0.",
        since=4,
    ),
    Column("seed", "int64", "", "Seed of split, label noise, initial weights and batches."),
    Column("data", "string", "", "Name of the data set."),
    Column("task", "string", "", "`classification` or `regression`."),
    Column("inputs", "int64", "units", "Features of one sample."),
    Column(
        "classes",
        "int64",
        "classes",
        "Classes of the data set; chance is 1/classes; NULL in regression.",
    ),
    Column(
        "label_noise",
        "double",
        "1",
        "Share of training labels given another class; 0 in regression.",
    ),
    Column("train_size", "int64", "samples", "Training samples."),
    Column("optim", "string", "", "Name of the optimizer."),
    Column("lr", "double", "1", "Learning rate.", "learning rate"),
    Column("weight_decay", "double", "1", "Coupled L2 on weights only."),
    Column("clip_norm", "double", "1", "Largest gradient norm of the cell; NULL: not clipped."),
    Column(
        "clip_value",
        "double",
        "1",
        "Largest magnitude of a gradient's entry; NULL: not clipped by it.",
        since=4,
    ),
    Column(
        "clip_to_one",
        "double",
        "1",
        "Magnitude beyond which a gradient's entry is set to 1; NULL: none is.",
        since=4,
    ),
    Column("batch_size", "int64", "samples", "Samples of one update."),
    Column("steps", "int64", "updates", "Updates trained; 0: measured at the start only."),
    Column("probe_steps", "int64", "steps", "How many probe steps were asked for (`probe.steps`)."),
    Column("probe_samples", "int64", "samples", "Size of the probe set."),
    Column("dtype", "string", "", "Number format of training; measuring is in float64 always."),
    Column(
        "settings",
        "string",
        "",
        "Every science setting as canonical JSON: what the id hashes. Of a function of "
        "your own also its `code`, which changes when it is edited.",
    ),
    Column("parameters", "int64", "numbers", "Trained numbers of the network.", "parameters"),
    Column(
        "status",
        "string",
        "",
        "`ok`; `diverged`: a loss or weight became non-finite; `failed`: the network could not be "
        "built or run, see `error`.",
    ),
    Column("error", "string", "", "Why the cell failed; NULL otherwise."),
    Column(
        "first_bad_step",
        "int64",
        "step",
        "First step at which a weight or a loss (of the batch, the probe set, the test samples or, at "
        "the end, a whole split) is not finite; NULL if none.",
    ),
    Column(
        "first_bad_layer",
        "int64",
        "layer",
        "Lowest layer with a non-finite z in the float64 pass of the first probe step from "
        "`first_bad_step` on; NULL if none (float32 alone overflowed).",
    ),
    *(
        Column(
            f"final_{split}_{what}",
            "double",
            unit,
            f"{text} over the whole {split} split after the last update; NULL where steps = 0.",
            f"{split} {WORDS.get(what, what)}",
        )
        for split in ("train", "validation", "test")
        for what, unit, text in (
            (
                "loss",
                "nats",
                "Mean loss (in regression squared error in variances of the training target)",
            ),
            (
                "accuracy",
                "1",
                "Share of samples classified rightly (NaN where the loss is; NULL in regression)",
            ),
            (
                "r2",
                "1",
                "R² = 1 − loss / variance of the split's own targets (NaN where the loss is not finite; "
                "NULL in classification and where all these targets are equal)",
            ),
        )
    ),
)

CURVES: tuple[Column, ...] = (
    CELL,
    Column(
        "step",
        "int64",
        "updates",
        "Updates done so far; the row describes the weights before the next.",
        "step",
    ),
    Column(
        "batch_loss",
        "double",
        "nats",
        "Mean loss of the next training batch, as trained; in regression squared error in variances of "
        "the training target.",
        "batch loss",
    ),
    Column(
        "train_loss",
        "double",
        "nats",
        "Mean loss of the probe set, in float64; NULL between probe steps.",
        "training loss",
    ),
    Column(
        "train_accuracy",
        "double",
        "1",
        "Accuracy on the probe set; NULL between probe steps and in regression, NaN where the loss is.",
        "training accuracy",
    ),
    Column(
        "train_r2",
        "double",
        "1",
        "R² on the probe set; NULL between probe steps, in classification and where its targets are all "
        "equal, NaN where the loss is not finite.",
        "training R²",
    ),
    Column(
        "test_loss",
        "double",
        "nats",
        "Mean loss of at most 1,000 fixed test samples; NULL between probe steps.",
        "test loss",
    ),
    Column(
        "test_accuracy",
        "double",
        "1",
        "Accuracy on the same test samples; NULL between probe steps and in regression, NaN where the "
        "loss is.",
        "test accuracy",
    ),
    Column(
        "test_r2",
        "double",
        "1",
        "R² on the same test samples; NULL between probe steps, in classification and where their "
        "targets are all equal, NaN where the loss is not finite.",
        "test R²",
    ),
)

Z_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
"""Percentiles of z that are recorded."""

LAYERS: tuple[Column, ...] = (
    CELL,
    Column("step", "int64", "updates", "Probe step: updates done so far.", "step"),
    Column(
        "layer",
        "int64",
        "layer",
        "1 … depth, from the input; the last is the output layer.",
        "layer",
    ),
    Column("units", "int64", "units", "Units of the layer."),
    Column(
        "weight_grad_norm",
        "double",
        "1",
        "Euclidean norm of ∂L/∂W, L the mean loss over the next batch.",
        "weight gradient ‖∂L/∂W‖",
    ),
    Column(
        "bias_grad_norm",
        "double",
        "1",
        "Euclidean norm of ∂L/∂b; NULL without biases.",
        "bias gradient ‖∂L/∂b‖",
    ),
    Column(
        "signal_grad_rms",
        "double",
        "1",
        "Root mean square over samples and units of B·∂L/∂z, the per-sample gradient of the pre-activations.",
        "signal gradient (RMS of ∂L/∂z per sample)",
        "Glorot & Bengio 2010, section 4.2; Schoenholz et al. 2017, eq. 12",
    ),
    Column("z_mean", "double", "1", "Mean of z over probe set and units.", "mean of z"),
    Column(
        "z_second_moment",
        "double",
        "1",
        "Mean of z² over probe set and units; 0 or infinite where z² leaves float64's range.",
        "second moment of z",
        "Poole et al. 2016, eq. 3",
    ),
    *(
        Column(
            f"z_p{percent:02d}",
            "double",
            "1",
            f"{percent} % of z lie below, over units and at most 128 samples of the probe set; NULL "
            "but at the first and the last probe step.",
            f"{percent} % quantile of z",
        )
        for percent in Z_PERCENTILES
    ),
    Column("h_mean", "double", "1", "Mean of h = φ(z); NULL at the output layer.", "mean of h"),
    Column(
        "h_second_moment",
        "double",
        "1",
        "Mean of h²; NULL at the output layer.",
        "second moment of h",
    ),
    Column(
        "slope_second_moment",
        "double",
        "1",
        "Mean of φ′(z)²; NULL at the output layer.",
        "second moment of φ′",
        "Schoenholz et al. 2017, eq. 5 (χ without the weight variance)",
    ),
    Column(
        "z_collapse",
        "double",
        "1",
        "‖mean over the probe set of z‖² / mean of ‖z‖²: 1 where every sample looks the same.",
        "collapse of z",
    ),
    Column(
        "signal_collapse",
        "double",
        "1",
        "The same of the per-sample ∂L/∂z over the batch.",
        "collapse of ∂L/∂z",
    ),
    Column(
        "active_share",
        "double",
        "1",
        "Share of z > 0 over probe set and units; NULL at the output layer.",
        "active share",
    ),
    Column(
        "dead_units",
        "int64",
        "units",
        "Units with φ′(z) = 0 on every sample of the probe set, in float64; NULL at the output layer "
        "and where z holds NaN.",
        "dead units",
    ),
    Column(
        "born_dead_units",
        "int64",
        "units",
        "Units dead at this and at every earlier probe step; NULL where `dead_units` is.",
        "born dead units",
    ),
    Column(
        "revived_units",
        "int64",
        "units",
        "Units that are not dead but were at an earlier probe step; NULL where `dead_units` is.",
        "revived units",
    ),
    Column(
        "twin_units",
        "int64",
        "units",
        "Units whose incoming weights and bias are those of an earlier unit, up to 1e-5 of their norm; "
        "NULL at the output layer, between the first and the last probe step, and where a weight is not "
        "finite.",
        "twin units",
    ),
    Column(
        "saturated_share",
        "double",
        "1",
        "Share of |φ′(z)| below 1 % of the largest slope, for bounded activations; NULL elsewhere.",
        "saturated share",
    ),
    Column("weight_norm", "double", "1", "Euclidean norm of W.", "weight norm ‖W‖"),
    Column(
        "update_norm",
        "double",
        "1",
        "Norm of the realised next update of W, from the weights before and after; NULL at the last step.",
        "update norm ‖ΔW‖",
    ),
    Column(
        "act_slope",
        "double",
        "1",
        "The layer's learned number (PReLU's slope); NULL where the activation has not just one.",
        "learned slope",
    ),
    Column(
        "grad_zeros",
        "int64",
        "entries",
        "Entries of ∂L/∂W that are exactly 0 in the gradient as trained: more than in float64 is underflow.",
        "exact zeros in ∂L/∂W",
    ),
    Column(
        "grad_nonfinite",
        "int64",
        "entries",
        "Entries of ∂L/∂W that are NaN or infinite in the gradient as trained.",
        "non-finite entries of ∂L/∂W",
    ),
    Column(
        "same_sign_units",
        "int64",
        "units",
        "Units all of whose entries of ∂L/∂W have one sign, zeros counted as either; NULL where an entry is "
        "NaN.",
        "units with weight gradients of one sign",
        since=4,
    ),
    Column(
        "same_sign_inputs",
        "double",
        "1",
        "Share of the next batch's samples for which all inputs of the layer have one sign, zeros counted as "
        "either: for these a sample's ∂L/∂W has one sign in every unit; NaN where an input is.",
        "share of samples with inputs of one sign",
        "LeCun et al. 1998, Efficient BackProp, section 4.3",
        since=4,
    ),
    Column(
        "update_cosine",
        "double",
        "1",
        "Cosine between the realised last update of W and the realised next one; NULL at the first and the "
        "last step and where either is 0, NaN where one is not finite.",
        "cosine of successive updates",
        since=4,
    ),
)

MEASUREMENTS: tuple[Column, ...] = (
    Column(
        "task", "string", "", "Name of the task that measured it, see `python -m study measure`."
    ),
    Column("subject", "string", "", "What it was measured on: what was varied, as canonical JSON."),
    Column("quantity", "string", "", "What was measured, or computed beside it to be compared."),
    Column("repeat", "int64", "", "Which repetition, or which seed, from 0 on."),
    Column("value", "double", "`unit`", "The number."),
    Column("unit", "string", "", "Its unit, `1` for a plain number."),
)

TABLES: dict[str, tuple[Column, ...]] = {"cells": CELLS, "curves": CURVES, "layers": LAYERS}
"""What a pack of networks leaves behind."""

MEASURED: dict[str, tuple[Column, ...]] = {"measurements": MEASUREMENTS}
"""What a task of `study.tasks` leaves behind, in a commit of its own."""

EVERY_TABLE = TABLES | MEASURED


def column(table: str, name: str) -> Column:
    """Return one column of a table by its name."""
    return next(column for column in EVERY_TABLE[table] if column.name == name)


def markdown() -> str:
    """Return the schema as the page ``docs/schema.md``."""
    lines = [
        "# What the records hold",
        "",
        "Made by `python -m study.schema`. NULL: not defined there; NaN: measured, and not a number.",
        "A row of `curves` and `layers` describes the weights before the next update. z is the input of the",
        "activation, behind a normalization if there is one; h = φ(z). Gradients are those of the next",
        "batch as the training step takes them, with its dropout; what is said of the probe set is without.",
        *(
            "Records of schema version {} have NULL in {}.".format(
                version,
                ", ".join(f"`{name}`" for name in lacking),
            )
            for version in READABLE
            if (lacking := [c.name for some in TABLES.values() for c in some if c.since > version])
        ),
    ]
    for table, columns in EVERY_TABLE.items():
        lines += [
            "",
            f"## `{table}`",
            "",
            "| column | type | unit | what it holds |",
            "|---|---|---|---|",
        ]
        for one in columns:
            source = f" Source: {one.source}." if one.source else ""
            text = f"{one.definition}{source}".replace("|", "\\|")
            lines.append(f"| `{one.name}` | {one.kind} | {one.unit} | {text} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
