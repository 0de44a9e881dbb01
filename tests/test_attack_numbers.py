"""Numbers and sentences that once were wrong: each by what it was wrong about."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import sample
import torch
from conftest import Register

from analysis.diagnosis.conditions import WORST, _counted, by_condition
from analysis.diagnosis.mends import mends
from analysis.diagnosis.printed import time
from analysis.frames import Study, Variant
from analysis.predictions import predictions
from study.activations import ACTIVATIONS
from study.initializers import INITIALIZERS, Array, LayerDraw
from study.theory import predict
from study.theory.moments import Phi, moments

trainable_depth = import_module("analysis.figures.trainable_depth")


def test_of_one_probe_sample_no_collapse_is_known(tmp_path: Path) -> None:
    one = sample.condition(
        activation="tanh", init="he_normal", depth=3, probe={"steps": 2, "samples": 1},
        optim={"name": "sgd"},
    )  # fmt: skip
    study = Study(sample.make(tmp_path, [one]))
    [found] = predictions(study, study.starts[0])
    assert found.alike is None
    assert math.isnan(found.spread(1))


def test_what_diverged_is_not_said_to_end_where_it_broke() -> None:
    row = pd.Series({"label": "diverged", "when": "end", "since": 5, "step": 5})
    assert time(row) == "from step 5 on"


def test_evidence_is_of_one_network_even_where_it_has_no_layer() -> None:
    axes = {"activation": "relu", "init": "he_normal", "depth": 4, "rate": 1.0}
    cells = pd.DataFrame([{"cell": cell, **axes} for cell in "ab"])
    found = pd.DataFrame(
        [
            ("a", "diverged", "end", 7, 7, 2.0, 7, np.nan, "a"),
            ("b", "diverged", "end", 3, 3, np.nan, 3, np.nan, "b"),
        ],
        columns=["cell", "label", "when", "since", "step", "layer", "value", "bound", "evidence"],
    )  # fmt: skip
    [row] = _counted(cells, found, "")[["networks", "seeds", *WORST]].itertuples(index=False)
    assert (row.networks, row.seeds, row.since, row.evidence) == (2, 2, 3, "b")
    assert math.isnan(row.layer)


def test_networks_that_begin_alike_count_once(tmp_path: Path) -> None:
    many = [
        sample.condition(
            activation="tanh", init="zeros", depth=3, steps=0, optim={"name": "sgd", "lr": rate}
        )
        for rate in (0.1, 0.3)
    ]
    [row] = by_condition(Study(sample.make(tmp_path, many))).itertuples()
    assert (row.label, row.seeds, row.networks) == ("symmetric", 3, 3)


def test_a_depth_not_run_neither_trains_nor_fails_and_mends_nothing(tmp_path: Path) -> None:
    many = [
        sample.condition(
            activation="relu", init="he_normal", depth=depth, steps=60, width=24,
            optim={"name": "sgd", "lr": rate}, data={"name": "digits"},
        )
        for depth in (2, 4) for rate in (1e-9, 0.1)
    ]  # fmt: skip
    study = Study(sample.make(tmp_path, many))
    variant = study.trained[0]
    assert not mends(study, variant).empty
    cells = variant.cells.copy()
    lost = (cells["depth"] == 4) | ((cells["lr"] == 0.1) & (cells["seed"] == 0))
    cells.loc[lost, "status"] = "missing"
    cells.loc[lost, [name for name in cells if name.startswith("final_")]] = np.nan
    unfinished = Variant(variant.label, cells, variant.where)
    [row] = trainable_depth.table(study, unfinished).itertuples()
    assert math.isnan(row.fails)
    assert mends(study, unfinished).empty


def test_a_start_of_one_s_own_is_predicted_layer_by_layer_without_its_code(
    register: Register,
) -> None:
    def by_layer(draw: LayerDraw) -> Array:
        return math.sqrt(2 / draw.fan_in) / draw.layer * draw.weight

    register(INITIALIZERS, by_layer)
    INITIALIZERS._entries["by_layer"] = replace(INITIALIZERS["by_layer"], code=None)
    network = {
        "depth": 6, "width": 16, "bias": True, "activation": {"name": "relu"}, "init": {"name": "by_layer"},
    }  # fmt: skip
    found = predict(network, inputs=40, outputs=10)
    np.testing.assert_allclose(found.weight_variance, 2 / np.arange(1, 7) ** 2, rtol=1e-9)


def test_a_slope_without_end_at_zero_that_has_a_mean_is_integrated(register: Register) -> None:
    def power(z: torch.Tensor) -> torch.Tensor:
        return torch.sign(z) * z.abs().pow(0.9)

    register(ACTIVATIONS, power)
    found = moments(Phi("power"), -4.0)
    scale = math.exp(-2.0)
    # E|Z|^p = 2^(p/2) Γ((p + 1)/2) / √π
    mean = 2 ** (-0.1) * math.gamma(0.4) / math.sqrt(math.pi)
    assert math.isclose(found.log_slope, math.log(0.81 * scale**-0.2 * mean), abs_tol=1e-8)
