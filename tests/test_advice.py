"""What the command says last: what to run next, what is left out, and how it stops."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from analysis import open_study, style
from analysis.__main__ import main
from analysis.advice import EXAMPLES, crossed, next_step
from analysis.frames import Study
from analysis.report import write_report
from study.activations import ACTIVATIONS
from study.errors import StoreError
from tests import sample

TYPED = ("python", "-m", "study", "depth=4", "name=sample")


def made(folder: Path, *settings: dict, command: tuple = TYPED) -> Study:
    """Return a study of conditions that differ in these settings."""
    usual = {
        "depth": 4, "activation": "relu", "init": "he_normal", "seeds": 2,
        "optim": {"name": "sgd", "lr": 0.1},
    }  # fmt: skip
    return Study(
        sample.make(folder, [sample.condition(**usual | one) for one in settings], command)
    )


def rates(*many: float, **more: object) -> list[dict]:
    """Return settings that differ in the learning rate."""
    return [{"optim": {"name": "sgd", "lr": lr}, **more} for lr in many]


def test_a_command_is_crossed_with_new_values_as_it_would_be_typed():
    assert crossed("python -m study depth=4 optim.lr=0.1", {"optim.lr": "1,3"}) == (
        "python -m study --multirun depth=4 optim.lr=1,3"
    )
    assert crossed("python -m study +experiment=full", {"optim.lr": "1,3"}) == (
        "python -m study +experiment=full optim.lr=1,3"
    )
    quoted = crossed("python -m study --multirun 'activation=glob(*)' seeds=3", {"seeds": "5"})
    assert quoted == "python -m study --multirun 'activation=glob(*)' seeds=5"


def test_the_next_step_follows_from_what_the_study_leaves_open(tmp_path):
    one = made(tmp_path, *rates(0.1))
    assert next_step(one).endswith("--multirun depth=4 name=sample optim.lr=0.03,0.1,0.3")
    inner = made(tmp_path, *rates(1e-3, 0.1, 1e5))
    assert next_step(inner).startswith("to compare with a linear model: ")
    with_linear = made(tmp_path, *rates(0.1, depth=1))
    assert next_step(with_linear).endswith("python -m study depth=4 name=sample seeds=5")


def test_missing_networks_are_asked_for_by_the_command_that_planned_them(tmp_path, capsys):
    study = made(tmp_path, *rates(0.1))
    copy = tmp_path / "copy"
    shutil.copytree(study.folder, copy)
    for commit in (copy / "commits").iterdir():
        commit.unlink()
    assert main([str(copy)]) == 0
    said = capsys.readouterr().out
    assert "nothing: none of 2 networks is finished yet." in said
    assert "Next: 2 networks are missing; python -m study depth=4 name=sample goes on" in said


def test_a_command_that_was_run_is_not_recommended(tmp_path):
    start = made(tmp_path, {"steps": 0}, command=tuple(EXAMPLES[0].split()))
    assert next_step(start) == EXAMPLES[1]


def test_linear_models_alone_are_told_as_what_they_are(tmp_path, capsys):
    made(tmp_path, *rates(0.1, 0.3, depth=1))
    assert main([str(tmp_path / "outputs" / "sample")]) == 0
    said = capsys.readouterr().out
    assert "All 4 trained networks are finished; none has a hidden layer (chance 10%, a" in said
    assert "no network is finished" not in said
    page = (tmp_path / "outputs" / "sample" / "report" / "index.html").read_text()
    assert "none of the trained networks has a hidden layer" in page
    assert "steps = 0" not in page


def test_failures_stand_on_the_page_with_their_reasons(tmp_path):
    study = made(tmp_path, *rates(0.1))
    frame = study.cells.copy()
    frame.loc[0, ["status", "error"]] = ["failed", "ValueError: <no>"]
    study.__dict__["cells"] = frame
    written = write_report(study)
    assert "1 of 2 networks failed: ValueError: <no>." in written.findings
    assert "<li>1 × ValueError: &lt;no&gt;</li>" in written.page.read_text(encoding="utf-8")


@pytest.mark.usefixtures("unpainted")
def test_parts_beyond_the_page_are_named_and_the_usual_settings_are_drawn(tmp_path, capsys):
    widths = [{"width": width, "steps": 2, "seeds": 1} for width in (8, 16, 24, 32, 64)]
    study = made(tmp_path, *widths)
    assert study.trained[0].label == "width=64"
    assert main([str(study.folder)]) == 0
    said = capsys.readouterr().out
    assert "left out: width=32." in said
    table = (study.folder / "report" / "tables" / "variants.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in table] == [
        "part", "width=64", "width=8", "width=16", "width=24", "width=32",
    ]  # fmt: skip
    assert "Best condition by validation accuracy, with its test accuracy: width=64: " in said


def test_ctrl_c_leaves_the_old_report_and_says_so_in_one_line(tmp_path, capsys, monkeypatch):
    study = made(tmp_path, *rates(0.1))
    write_report(study)
    before = (study.folder / "report" / "index.html").read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(style, "save", interrupt)
    capsys.readouterr()
    assert main([str(study.folder)]) == 130
    assert capsys.readouterr().err == "interrupted: no report was replaced.\n"
    assert (study.folder / "report" / "index.html").read_bytes() == before
    assert not list(study.folder.glob("report.new-*"))


def test_a_misspelt_study_is_answered_with_the_nearest(tmp_path, capsys):
    made(tmp_path, *rates(0.1))
    assert main([str(tmp_path / "outputs" / "smaple")]) == 2
    assert "there is no study in it (did you mean 'sample'?)." in capsys.readouterr().err


@pytest.mark.parametrize("same", [{"steps": 4}, {"steps": 0}])
def test_networks_that_differ_only_in_when_they_were_measured_count_once(tmp_path, same):
    study = made(tmp_path, *({"probe": {"steps": n, "samples": 32}, **same} for n in (2, 4)))
    (variant,) = study.trained or study.starts
    assert len(study.cells) == 4
    assert len(variant.cells) == 2


def test_where_everything_failed_the_advice_is_to_mend_it(tmp_path, register):
    def broken(z):
        raise RuntimeError("no")

    register(ACTIVATIONS, broken)
    study = made(tmp_path, {"activation": {"name": "broken"}})
    told = next_step(study)
    assert told.startswith("mend what made 2 networks fail, as told above, and run again: ")


def test_what_failed_is_to_be_mended_before_anything_else(tmp_path, register):
    def broken(z):
        raise RuntimeError("no")

    register(ACTIVATIONS, broken)
    made(tmp_path, {"activation": {"name": "broken"}})
    study = made(tmp_path, {"activation": {"name": "relu"}})
    assert next_step(study).startswith("mend what made 2 networks fail")


def test_a_command_or_a_study_misspelt_is_answered_with_the_nearest(tmp_path, capsys) -> None:
    assert main(["comapre", str(tmp_path / "none"), "relu", "tanh"]) == 2
    assert capsys.readouterr().err == (
        "cannot run comapre: there is no such command (did you mean 'compare'?).\n"
    )
    (tmp_path / "standard_grid" / "commits").mkdir(parents=True)
    with pytest.raises(StoreError, match="did you mean 'standard_grid'"):
        open_study(tmp_path / "standrd_grid")
