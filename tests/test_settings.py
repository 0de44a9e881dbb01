"""Settings that came later: a network that has them at their neutral value is the network that it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from small import condition

from analysis.tables import connect, verify
from study.app import CONF
from study.cell import Cell, cells_of, ids_of
from study.packing import Pack, largest_pack, plan_document, stack_key
from study.settings import CLIPS, NEUTRAL, canonical_condition, setting

REFERENCE = Path(__file__).parent.parent / "outputs" / "reference"

SET: dict[str, Any] = {
    "norm": "batch",
    "dropout": 0.25,
    "optim.clip_value": 0.5,
    "optim.clip_to_one": 0.5,
}


def asked(path: str, value: Any) -> dict[str, Any]:
    """Return a condition with one setting, by its dotted name."""
    group, _, key = path.rpartition(".")
    given = condition()
    if group:
        given[group] = {**given[group], key: value}
    else:
        given[path] = value
    return given


def test_every_published_network_has_the_id_and_the_settings_that_it_was_published_with() -> None:
    rows = connect(verify(REFERENCE)).execute("SELECT cell, settings FROM cells").fetchall()
    assert len(rows) > 4000
    for cell, text in rows:
        settings = json.loads(text)
        seed = settings.pop("seed")
        again, _ = canonical_condition({**settings, "seed": seed, "seeds": 1})
        assert again == settings
        assert ids_of(again, [seed]) == [cell]


@pytest.mark.parametrize("path", list(NEUTRAL))
def test_a_setting_that_came_later_is_left_out_while_it_is_neutral_and_shows_when_it_is_not(
    path: str,
) -> None:
    plain, _ = canonical_condition(condition())
    neutral, _ = canonical_condition(asked(path, NEUTRAL[path]))
    assert neutral == plain
    assert setting(plain, path) == NEUTRAL[path]
    changed, _ = canonical_condition(asked(path, SET[path]))
    assert setting(changed, path) == SET[path]
    assert ids_of(changed, [0]) != ids_of(plain, [0])
    group, _, key = path.rpartition(".")
    assert (changed[group] if group else changed)[key] == SET[path]
    assert canonical_condition({**changed, "seed": 0}) == (changed, [0, 1, 2, 3, 4])


def test_the_neutral_values_are_the_defaults_of_the_command_line() -> None:
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("config")
    for path, value in NEUTRAL.items():
        assert OmegaConf.select(config, path, default="absent") == value
    assert all(f"optim.{key}" in NEUTRAL for key in CLIPS if key != "clip_norm")


@pytest.mark.parametrize("path", list(NEUTRAL))
def test_networks_with_it_are_stacked_apart_and_planned_as_they_were_asked_for(path: str) -> None:
    plain, changed = (
        cells_of([canonical_condition(given)])[0] for given in (condition(), asked(path, SET[path]))
    )
    assert stack_key(plain, "cpu") != stack_key(changed, "cpu")
    plan = plan_document([Pack.of([changed])], "cpu", [])
    [planned] = plan["conditions"]
    assert Cell.of(planned, 0).id == changed.id


def test_autograd_leaves_room_for_fewer_networks_on_a_gpu() -> None:
    wide = {"width": 1024, "depth": 4, "batch_size": 128, "probe": {"steps": 20, "samples": 512}}
    most = [
        largest_pack(cells_of([canonical_condition(condition(**wide, **more))])[0], "cuda")
        for more in ({}, {"dropout": 0.1}, {"norm": "layer"}, {"norm": "batch"})
    ]
    assert most[0] > most[1] == most[2] > most[3] >= 1
