"""The stored rows: what is NULL, what is NaN, and that everything else is a number."""

from __future__ import annotations

import math
from typing import Any

import pytest
from small import cells, train

from study.initializers import INITIALIZERS
from study.records import HIDDEN_ONLY, tables
from study.schema import TABLES, Z_PERCENTILES

Row = dict[str, Any]

STEPS = 7
SOMETIMES_NULL = {
    *HIDDEN_ONLY,
    "bias_grad_norm",
    "update_norm",
    "update_cosine",
    *(f"z_p{percent:02d}" for percent in Z_PERCENTILES),
}


def rows(*conditions: dict[str, Any]) -> dict[str, list[Row]]:
    """Train the cells of some conditions as one pack and return its rows by table."""
    shape = {"steps": STEPS, "probe": {"steps": 4, "samples": 32}, "depth": 3, "width": 5}
    result = train([cell for one in conditions for cell in cells(**{**shape, **one})])
    return {name: table.to_pylist() for name, table in tables(result).items()}


def layers_of(found: dict[str, list[Row]], activation: str) -> list[Row]:
    ids = {row["cell"] for row in found["cells"] if row["activation"] == activation}
    return [row for row in found["layers"] if row["cell"] in ids]


@pytest.fixture(scope="module")
def stored() -> dict[str, list[Row]]:
    """The rows of one pack with one cell of each of five activations."""
    names = ("sigmoid", "tanh", "relu", "prelu", "identity")
    return rows(*({"activation": name} for name in names))


def test_every_column_of_the_schema_is_there_and_no_other(stored: dict[str, list[Row]]) -> None:
    for name, columns in TABLES.items():
        assert list(stored[name][0]) == [column.name for column in columns]


def test_a_cell_has_one_row_per_probe_step_and_layer_with_its_units(
    stored: dict[str, list[Row]],
) -> None:
    steps = sorted({row["step"] for row in stored["layers"]})
    assert steps[0] == 0
    assert steps[-1] == STEPS
    for cell in stored["cells"]:
        found = [r for r in stored["layers"] if r["cell"] == cell["cell"]]
        assert [(r["step"], r["layer"], r["units"]) for r in found] == [
            (step, layer, units) for step in steps for layer, units in ((1, 5), (2, 5), (3, 10))
        ]


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "prelu", "identity"])
def test_a_quantity_of_a_layer_is_null_exactly_where_it_is_not_defined(
    stored: dict[str, list[Row]], activation: str
) -> None:
    for row in layers_of(stored, activation):
        hidden = row["layer"] < 3
        for name in ("h_mean", "h_second_moment", "slope_second_moment", "active_share"):
            assert (row[name] is not None) == hidden
        for name in ("dead_units", "born_dead_units", "revived_units"):
            assert (row[name] is not None) == hidden
        for percent in Z_PERCENTILES:
            assert (row[f"z_p{percent:02d}"] is not None) == (row["step"] in (0, STEPS))
        assert (row["twin_units"] is not None) == (hidden and row["step"] in (0, STEPS))
        bounded = activation in ("sigmoid", "tanh")
        assert (row["saturated_share"] is not None) == (hidden and bounded)
        assert (row["act_slope"] is not None) == (hidden and activation == "prelu")
        assert (row["update_norm"] is not None) == (row["step"] < STEPS)
        assert (row["update_cosine"] is not None) == (0 < row["step"] < STEPS)
        assert row["bias_grad_norm"] is not None
        for name in set(row) - SOMETIMES_NULL:
            assert row[name] is not None
        for name, value in row.items():
            assert value is None or isinstance(value, str) or math.isfinite(value), name


def test_a_network_without_biases_has_no_norm_of_their_gradient() -> None:
    found = rows({"bias": False})
    assert {row["bias_grad_norm"] for row in found["layers"]} == {None}
    assert found["cells"][0]["parameters"] == 64 * 5 + 5 * 5 + 5 * 10


def test_trained_numbers_are_counted_with_biases_and_learned_slopes(
    stored: dict[str, list[Row]],
) -> None:
    plain = 64 * 5 + 5 + 5 * 5 + 5 + 5 * 10 + 10
    for row in stored["cells"]:
        assert row["parameters"] == plain + 2 * (row["activation"] == "prelu")


def test_losses_beside_the_batchs_are_null_between_probe_steps(
    stored: dict[str, list[Row]],
) -> None:
    probed = {row["step"] for row in stored["layers"]}
    assert len(probed) < STEPS + 1
    for cell in stored["cells"]:
        found = [row for row in stored["curves"] if row["cell"] == cell["cell"]]
        assert [row["step"] for row in found] == list(range(STEPS + 1))
        for row in found:
            assert row["batch_loss"] is not None
            for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
                assert (row[name] is not None) == (row["step"] in probed)


def test_the_row_of_a_cell_is_null_where_a_setting_does_not_apply() -> None:
    sgd = {"name": "sgd", "lr": 0.1}
    [plain], [gain], [std] = (
        rows(one)["cells"]
        for one in (
            {"init": "orthogonal", "optim": {**sgd, "clip_norm": 2.0}},
            {"init": {"name": "he_normal", "gain": 1.5}, "optim": sgd},
            {"init": {"name": "normal", "std": 0.3}, "optim": sgd},
        )
    )
    assert (plain["init_gain"], plain["init_std"]) == (1.0, None)
    assert (gain["init_gain"], gain["init_std"]) == (1.5, None)
    assert (std["init_gain"], std["init_std"]) == (None, 0.3)
    assert (plain["clip_norm"], gain["clip_norm"]) == (2.0, None)
    for row in (plain, gain, std):
        assert (row["status"], row["error"]) == ("ok", None)
        assert (row["first_bad_step"], row["first_bad_layer"]) == (None, None)
        for split in ("train", "validation", "test"):
            assert row[f"final_{split}_loss"] > 0
            assert 0 <= row[f"final_{split}_accuracy"] <= 1


def test_a_network_that_is_not_trained_has_a_start_and_no_end() -> None:
    found = rows({"steps": 0})
    [cell] = found["cells"]
    assert {cell[name] for name in cell if name.startswith("final_")} == {None}
    assert [row["step"] for row in found["curves"]] == [0]
    assert {row["update_norm"] for row in found["layers"]} == {None}
    assert [row["layer"] for row in found["layers"]] == [1, 2, 3]


def test_a_single_layer_is_an_output_layer() -> None:
    found = rows({"depth": 1, "activation": "prelu"})
    for row in found["layers"]:
        assert (row["layer"], row["units"]) == (1, 10)
        assert {row[name] for name in HIDDEN_ONLY} == {None}


def test_what_is_measured_and_not_a_number_is_nan_and_what_cannot_be_counted_is_null() -> None:
    # std 1e200 overflows float64 in layer 2, and inf − inf is NaN there
    found = rows(
        {"activation": "identity", "init": {"name": "normal", "std": 1e200}, "dtype": "float64"}
    )
    [cell] = found["cells"]
    assert (cell["status"], cell["first_bad_step"]) == ("diverged", 0)
    start = [row for row in found["layers"] if row["step"] == 0]
    assert math.isnan(start[2]["z_mean"])
    assert math.isnan(start[2]["weight_grad_norm"])
    assert start[0]["grad_nonfinite"] == 5 * 64
    for row in found["curves"]:
        if row["train_loss"] is not None:
            assert math.isnan(row["train_accuracy"])
            assert math.isnan(row["test_accuracy"])
    assert math.isnan(cell["final_test_accuracy"])
    last = [row for row in found["layers"] if row["step"] == STEPS]
    assert last[0]["dead_units"] is None
    assert math.isnan(last[0]["active_share"])


def test_a_failed_cell_has_one_row_with_its_settings_and_the_reason_and_nothing_else(
    register: Any,
) -> None:
    def raising(draw: Any) -> Any:
        raise RuntimeError("no start today")

    register(INITIALIZERS, raising)
    found = rows({"init": "raising"}, {"init": "he_normal"})
    failed, fine = found["cells"]
    assert (failed["init"], failed["status"]) == ("raising", "failed")
    assert "no start today" in failed["error"]
    assert (failed["parameters"], failed["first_bad_step"]) == (None, None)
    assert {failed[name] for name in failed if name.startswith("final_")} == {None}
    assert (failed["depth"], failed["width"], failed["lr"]) == (3, 5, 0.1)
    for table in ("curves", "layers"):
        assert {row["cell"] for row in found[table]} == {fine["cell"]}
