"""The same command again, or nearly the same: what has been trained is known, and only the rest is new."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import FAULTS, sweep_of
from small import files_under

from study.__main__ import main
from study.store import Store
from study.sweep import RETRIED, Running, run_conditions, statuses_of

FOLDER = Path("outputs/mine")

INLINE = Running("inline")

SMALL = [
    *("width=8", "steps=2", "seeds=2", "batch_size=16", "data=gaussian", "data.dim=8"),
    *("probe.samples=16", "device=cpu", "name=mine"),
]

Say = Callable[..., str]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Return a function that types a command and returns what it says."""

    def typed(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["study", *words])
        try:
            ended = main()
        except SystemExit as end:
            ended = end.code  # type: ignore[assignment]
        assert ended == code
        out, err = capsys.readouterr()
        return out if code < 2 else err

    return typed


def outlook(say: Say, *words: str) -> str:
    """Return the line that tells what a command would train; it writes nothing."""
    before = files_under(Path())
    lines = say(*words, "hydra.launcher.dry_run=true").splitlines()
    assert files_under(Path()) == before
    return lines[1]


KNOWN = "4 networks, all finished already: nothing to do."


def test_what_has_been_trained_is_known_however_it_is_written(say: Say) -> None:
    axes = ["--multirun", "depth=2,4", "optim.lr=0.001"]
    assert "4 ok" in say(*axes, *SMALL, "hydra.launcher.executor=inline")
    for words in (
        [*axes, *SMALL],
        ["--multirun", *reversed(SMALL), "optim.lr=1e-3", "depth=4,2"],
        # what stands there by default
        [*axes, *SMALL, "activation=relu", "optim=sgd", "seed=0", "bias=true", "dtype=float32"],
        [*axes, *SMALL, "optim.weight_decay=0.0", "probe.steps=20"],
        ["--multirun", "depth=2,4", "optim.lr=1.0e-03", *SMALL],
        ["--multirun", "depth=range(2,5,2)", "optim.lr=0.0010", *SMALL],
        # in another way, by other means
        [*axes, *SMALL, "hydra.launcher.pack_size=1", "hydra.launcher.workers=1"],
        [*axes, *SMALL, "retry=diverged"],
    ):
        assert outlook(say, *words) == KNOWN, words


def test_only_what_is_new_is_trained(say: Say) -> None:
    first = ["--multirun", "depth=2,4", *SMALL]
    say(*first, "hydra.launcher.executor=inline")
    before = files_under(FOLDER / "commits")
    more = ["--multirun", "depth=4,8,2", *SMALL]
    assert outlook(say, *more) == "6 networks: 4 finished before, 2 to train in 1 pack."
    longer = [word.replace("seeds=2", "seeds=5") for word in first]
    assert outlook(say, *longer) == "10 networks: 4 finished before, 6 to train in 2 packs."
    other = [*first, "optim.lr=0.002"]
    assert outlook(say, *other) == "4 networks to train in 2 packs."
    begun = [*longer, "seed=1"]
    assert outlook(say, *begun) == "10 networks: 2 finished before, 8 to train in 2 packs."
    assert "10 ok" in say(*longer, "hydra.launcher.executor=inline")
    assert before.items() <= files_under(FOLDER / "commits").items()
    assert outlook(say, *more) == "6 networks: 4 finished before, 2 to train in 1 pack."
    assert outlook(say, *first) == KNOWN


# ------------------------------------------------------------------ what is run again


def three_kinds(**more: Any) -> list[dict[str, Any]]:
    """Return conditions of which one is ok, one diverges and one fails."""
    [one, *_] = sweep_of(steps=4, **more)
    failing = {"name": "marked", "start": float(FAULTS["raise"])}
    diverging = one | {"init": {"name": "normal", "std": 1e30}}
    return [one, diverging, one | {"init": failing}]


@pytest.mark.parametrize("retry", list(RETRIED))
@pytest.mark.parametrize("mended", [False, True])
def test_what_is_run_again_is_what_is_asked_for(
    retry: str, mended: bool, faulty: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    del faulty
    monkeypatch.delenv("NO_FAULTS", raising=False)
    given = three_kinds(retry=retry)
    first = run_conditions(given, ["test"], INLINE)
    assert [(one["ok"], one["diverged"], one["failed"]) for one in first] == [
        (3, 0, 0), (0, 3, 0), (0, 0, 3),
    ]  # fmt: skip
    if mended:
        monkeypatch.setenv("NO_FAULTS", "1")
    before = files_under(FOLDER / "commits")
    capsys.readouterr()
    again = run_conditions(given, ["test"], INLINE)
    said = capsys.readouterr().out.splitlines()[0]
    assert (
        said
        == {
            "none": "9 networks, all finished already (3 failed, and retry=none leaves them so): "
            "nothing to do.",
            "failed": "9 networks: 6 finished before, 3 to train (3 of them failed before) in 1 pack.",
            "diverged": "9 networks: 3 finished before, 6 to train (3 of them failed before, 3 of them "
            "diverged before) in 1 pack.",
        }[retry]
    )
    now = files_under(FOLDER / "commits")
    assert before.items() <= now.items()
    assert len(now) - len(before) == (0 if retry == "none" else 1)
    expected = "ok" if mended and retry != "none" else "failed"
    assert again[2][expected] == 3
    assert again[1]["diverged"] == 3
    attempts = [commit.attempt for commit in Store(FOLDER).read_commits()]
    assert sorted(attempts) == ([0] if retry == "none" else [0, 1])
    found = statuses_of(Store(FOLDER).read_commits())
    assert len(found) == 9


def test_a_sweep_has_one_retry_and_knows_its_words(say: Say) -> None:
    both = say("--multirun", "depth=2", "retry=failed,none", *SMALL, code=2)
    assert both == (
        "cannot sweep over retry=failed,none: a sweep has one retry, so run it once for each.\n"
    )
    for wrong in ("fialed", "true", "1", "null", "[failed]"):
        said = say("depth=2", f"retry={wrong}", *SMALL, code=2)
        assert said.startswith("cannot use retry="), said
        assert said.count("\n") == 1
        assert "none, failed, diverged" in said
    assert not Path("outputs").exists()
