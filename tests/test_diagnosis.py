"""Labels: each on a network that has it by construction, none on a healthy one, and the frozen bench."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.__main__ import main as analyse
from analysis.diagnosis import LABELS, THRESHOLDS, Thresholds, diagnose
from analysis.diagnosis.conditions import by_condition
from analysis.diagnosis.printed import time
from analysis.diagnosis.rules import FOUND, _dead, _gradients, _merged, band
from analysis.frames import Study
from benchmarks.diagnosis.__main__ import cell_of, judged, summary
from benchmarks.diagnosis.networks import KINDS, Planted, networks
from study import extensions
from study.activations import ACTIVATIONS
from study.initializers import INITIALIZERS, LayerDraw
from study.running import Running
from study.sweep import run_conditions

PLANTED = str(Path(__file__).parent.parent / "benchmarks" / "diagnosis" / "planted.py")

FROZEN = "447129fe67359ff2553f0e8fa1e49e483f314f03fd9d63242834066dc3315456"
"""SHA-256 of the bench's conditions: to change it is to make another bench."""


@pytest.fixture(scope="module")
def planted() -> Iterator[None]:
    """Register the bench's initializer until this module's tests end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extensions, "_loaded", [])
        extensions.load_all([PLANTED])
        yield
    del INITIALIZERS._entries["planted"]


def test_the_bench_is_the_one_that_was_frozen_before_thresholds_were_set() -> None:
    found = [[one.kind, sorted(one.expected), one.condition, one.reported] for one in networks()]
    text = json.dumps(found, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == FROZEN


def test_the_bench_has_every_label_in_both_parts_and_at_least_300_networks() -> None:
    bench = networks()
    assert len(bench) == sum(count for _, count, _ in KINDS) >= 300
    for reported in (False, True):
        part = [one for one in bench if one.reported == reported]
        for label in LABELS:
            assert sum(label in one.expected for one in part) >= 20
        assert sum(one.kind == "healthy" for one in part) >= 50
    sizes = [(one.condition["depth"], one.condition["width"]) for one in bench]
    assert {depth for depth, _ in sizes} >= {2, 64}
    assert {width for _, width in sizes} >= {16, 512}


def draw(layer: int = 2, depth: int = 4) -> LayerDraw:
    random = np.random.default_rng(0)
    return LayerDraw(
        random.standard_normal((20, 30)), random.standard_normal(20), layer, depth, {"name": "relu"}
    )


def test_what_is_planted_is_there(planted: None) -> None:
    rule = INITIALIZERS["planted"].function
    weight, bias = rule(draw())
    assert weight.var() == pytest.approx(2 / 30, rel=0.1)
    assert not bias.any()
    assert np.allclose(rule(draw(), scale=0.1)[0], 0.1 * weight)
    assert np.allclose(rule(draw(layer=4), scale=0.1, killed=1.0)[0], rule(draw(layer=4))[0])
    for layer, spoilt in ((2, True), (3, False)):
        copied, _ = rule(draw(layer), duplicated=0.5, at=2)
        assert (len(np.unique(copied, axis=0)) < 20) == spoilt
        _, low = rule(draw(layer), killed=0.7, at=2)
        assert (low < -1000).sum() == (14 if spoilt else 0)
    _, shifted = rule(draw(), shift=9.0)
    assert sorted(set(shifted)) == [-9.0, 9.0]


SMALL = {
    "depth": 6, "width": 24, "steps": 30, "seeds": 2, "batch_size": 32, "data": {"name": "digits"},
    "probe": {"steps": 5, "samples": 64}, "optim": {"name": "sgd", "lr": 0.01},
    "activation": {"name": "relu"}, "init": {"name": "he_normal"}, "name": "ill", "device": "cpu",
}  # fmt: skip

WELL = {"steps": 150, "depth": 3, "optim": {"name": "sgd", "lr": 0.1}}

ILL = {
    "vanishing": {"init": {"name": "planted", "scale": 0.1}},
    "exploding": {"init": {"name": "planted", "scale": 10.0}, "steps": 0},
    "dead": {"init": {"name": "planted", "killed": 1.0, "at": 3}},
    "saturated": {
        "init": {"name": "planted", "shift": 12.0, "at": 2},
        "activation": {"name": "tanh"},
    },
    "symmetric": {"init": {"name": "planted", "duplicated": 0.3, "at": 4}},
    "stalled": {"optim": {"name": "sgd", "lr": 1e-9}},
    "diverged": {"optim": {"name": "sgd", "lr": 1e6}, "activation": {"name": "leaky_relu"}},
    "underflow": {"init": {"name": "normal", "std": 1e-10}, "activation": {"name": "tanh"}},
}
"""By label, what makes a network of it."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, planted: None) -> Study:
    folder = tmp_path_factory.mktemp("diagnosis")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        conditions = [{**SMALL, **more} for more in ILL.values()] + [{**SMALL, **WELL}]
        run_conditions(conditions, ["test"], Running(workers=1))
    return Study(folder / "outputs" / "ill")


@pytest.mark.parametrize("label", list(ILL))
def test_a_network_gets_the_label_of_what_was_done_to_it(study: Study, label: str) -> None:
    condition = {**SMALL, **ILL[label], "seeds": 1}
    found = diagnose(study)
    mine = found[found["cell"] == cell_of({k: v for k, v in condition.items() if k != "name"})]
    assert label in set(mine["label"])
    row = mine[mine["label"] == label].iloc[0]
    assert row["evidence"]
    places = {"dead": 3, "saturated": 2, "symmetric": 4}
    if label in places:
        assert row["layer"] == places[label]
    times = {
        "stalled": {"end"},
        "diverged": {"end"},
        "exploding": {"start"},
        "symmetric": {"start"},
    }
    assert row["when"] in times.get(label, {"both"})


def test_a_healthy_network_has_no_label_and_is_counted(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    table = by_condition(study)
    well = table[(table["label"] == "healthy") & (table["depth"] == 3)]
    assert well["seeds"].tolist() == [2]
    assert analyse(["diagnose", str(study.folder)]) == 0
    printed = capsys.readouterr().out
    assert f"1 condition of {len(ILL) + 1} is healthy in every network." in printed
    for label in LABELS:
        assert f"{label} 2/2" in printed
        assert f"{label}: {LABELS[label].meaning}. Mend: {LABELS[label].mend}." in printed


def test_diagnose_has_a_help_page_and_errors_of_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        analyse(["diagnose", "--help"])
    page = capsys.readouterr().out
    assert all(f"{label.name:10} {label.meaning}" in page for label in LABELS.values())
    assert analyse(["diagnose", str(tmp_path / "none")]) == 2
    assert "there is no study in it" in capsys.readouterr().err


rows = st.tuples(st.integers(3, 64), st.integers(1, 512), st.floats(-30, 30), st.floats(-30, 30))


@given(st.lists(rows, min_size=1, max_size=8))
@settings(deadline=None)
def test_what_vanishes_one_way_explodes_the_other(drawn: list) -> None:
    depth, width, first, last = zip(*drawn, strict=True)
    frame = pd.DataFrame(
        {
            "cell": [str(place) for place in range(len(drawn))],
            "step": 0,
            "depth": depth,
            "width": width,
            "first": 10.0 ** np.array(first),
            "last": 10.0 ** np.array(last),
        }
    )
    turned = frame.rename(columns={"first": "last", "last": "first"})
    found = {(row[0], row[1]) for row in _gradients(frame, THRESHOLDS)}
    other = {(row[0], row[1]) for row in _gradients(turned, THRESHOLDS)}
    opposite = {"vanishing": "exploding", "exploding": "vanishing"}
    assert found == {(cell, opposite[label]) for cell, label in other}
    limits = THRESHOLDS.decades + THRESHOLDS.sigmas * band(frame["depth"], frame["width"])
    lost = np.array(last) - np.array(first)
    # next to the bound rounding decides
    sure = np.abs(np.abs(lost) - limits) > 1e-9
    for place in np.flatnonzero(sure):
        assert ((str(place), "vanishing") in found) == (lost[place] > limits[place])


def test_a_gradient_of_nothing_has_vanished_and_one_of_no_number_is_not_judged() -> None:
    frame = pd.DataFrame(
        {"cell": list("abc"), "step": 0, "depth": 4, "width": 8, "first": [0.0, np.nan, np.inf],
         "last": [1.0, 1.0, 1.0]}
    )  # fmt: skip
    found = [(row[0], row[1], row[6]) for row in _gradients(frame, THRESHOLDS)]
    assert [(cell, label) for cell, label, _ in found] == [("a", "vanishing")]
    assert found[0][2].startswith("nothing of the last hidden layer's gradient")


@pytest.mark.parametrize(
    ("width", "dead", "given"),
    [(4, 1.0, True), (4, 0.75, False), (400, 0.55, False), (400, 0.6, True), (400, 0.4, False)],
)
def test_half_of_the_units_may_be_dead_by_chance_and_more_of_few(
    width: int, dead: float, given: bool
) -> None:
    frame = pd.DataFrame(
        {"cell": ["a"], "step": 0, "width": width, "dead": dead, "dead_layer": 1, "depth": 3}
    )
    assert bool(list(_dead(frame, THRESHOLDS))) == given


def test_thresholds_decide(study: Study) -> None:
    lax = Thresholds(decades=1e6, dead_sigmas=1e6, saturated=1.0, zeros=1.0, learned=-10.0)
    assert set(diagnose(study, thresholds=lax)["label"]) <= {"diverged", "symmetric", "dead"}


def test_recall_and_false_alarms_are_counted(study: Study) -> None:
    bench = [Planted(label, frozenset({label}), _of_one(ILL[label]), True) for label in ILL] + [
        Planted("healthy", frozenset(), _of_one(WELL), True),
        Planted("healthy", frozenset(), _of_one(ILL["dead"]), True),
        Planted("missed", frozenset({"symmetric"}), _of_one(WELL), True),
    ]
    found = summary(judged(bench, study, study))
    for label in LABELS:
        asked = 2 if label == "symmetric" else 1
        assert found["labels"][label]["networks"] == asked
        assert found["labels"][label]["found"] == 1
        assert found["labels"][label]["healthy"] == 2
    assert found["labels"]["dead"]["false_alarms"] == 1
    assert found["healthy"] == {"networks": 2, "with_a_label": 1}


def _of_one(more: dict) -> dict:
    condition = {**SMALL, **more, "seeds": 1, "seed": 0}
    return {
        key: value for key, value in condition.items() if key not in ("name", "device", "retry")
    }


def test_every_label_says_what_it_means_and_what_mends_it() -> None:
    for label in LABELS.values():
        assert label.meaning
        assert label.mend
    assert all(name in ACTIVATIONS for name in ("leaky_relu", "prelu"))


def test_a_label_says_from_when_until_when_it_held_with_the_evidence_of_its_last_step() -> None:
    def row(cell: str, label: str, step: int) -> tuple:
        return cell, label, step, 1, step / 10, 0.0, f"as of {step}"

    rows = [
        row("a", "dead", 3), row("a", "dead", 7), row("a", "saturated", 0), row("a", "saturated", 9),
        row("b", "vanishing", 0), row("b", "exploding", 9), row("b", "diverged", 5),
    ]  # fmt: skip
    found = _merged(pd.DataFrame(rows, columns=FOUND), pd.Series({"a": 9, "b": 9}))
    told = {
        (one.cell, one.label): (one.when, one.since, one.step, one.evidence)
        for one in found.itertuples()
    }
    assert told == {
        ("a", "dead"): ("between", 3, 7, "as of 7"),
        ("a", "saturated"): ("both", 0, 9, "as of 9"),
        ("b", "vanishing"): ("start", 0, 0, "as of 0"),
        ("b", "exploding"): ("end", 9, 9, "as of 9"),
        ("b", "diverged"): ("end", 5, 5, "as of 5"),
    }
    times = [time(one) for _, one in found.iterrows()]
    assert "first at step 3, last at 7" in times
    assert "from step 5 on" in times
    assert "at the start and at the end" in times
    assert "at the start" in times
    assert "at the end, step 9" in times


def test_what_happens_between_the_ends_is_seen(study: Study) -> None:
    found = diagnose(study)
    last = study.networks.set_index("cell")["steps"]
    probed = study.sql("SELECT cell, step FROM layers").df().groupby("cell")["step"].agg(set)
    for row in found.itertuples():
        assert row.since <= row.step <= last[row.cell]
        if row.label != "diverged":
            assert {row.since, row.step} <= probed[row.cell]
    # a rate that breaks a network makes its gradients explode before its numbers end
    broken = found[found["label"] == "diverged"].set_index("cell")
    assert (broken["since"] > 0).all()
