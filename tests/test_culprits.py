"""Networks that end their process, or fail their pack: they are named, and their neighbours unchanged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from processes import FAULTS, FAULTY, blocked, driven, sweep_of

from analysis import open_study
from study.sweep import Running

FILE = r" in faulty\.py"

SAID = {
    "raise": rf"RuntimeError: no luck today \(fail, line \d+\){FILE}",
    "memory": rf"it ran out of memory \(fail, line \d+\){FILE}: lower width, depth or batch_size "
    r"\(it is one network alone\)",
    "exit": r"its worker process ended with exit code 7",
    "segfault": r"its worker process was ended by signal 11 \(SIGSEGV\)",
    "kill": r"its worker process was killed, as the system does where memory runs out: lower "
    r"hydra\.launcher\.workers or width, depth or batch_size \(it is one network alone\)",
}

MINE, MENDED = "mine", "mended"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def one_of(
    name: str,
    seeds: int,
    culprit: int,
    activation: Mapping[str, Any],
    init: Mapping[str, Any],
    **more: Any,
) -> list[dict[str, Any]]:
    """Return conditions of which one, of one network, has another start than the rest."""
    shape = {"steps": 3, "width": 8, "name": name, **more}
    [one, *_] = sweep_of(**shape)
    one |= {"activation": dict(activation), "seeds": seeds}
    return [
        one | {"init": {"name": "marked"}, "seed": 0},
        one | {"init": {"name": "marked", **init}, "seeds": 1, "seed": culprit},
    ]  # fmt: skip


def in_the_midst(kind: str, name: str, seeds: int = 20, culprit: int = 7, **more: Any) -> Any:
    return one_of(
        name, seeds, culprit, {"name": "fragile", "kind": FAULTS[kind]}, {"mark": 1.0}, **more
    )


def at_the_start(kind: str, name: str, seeds: int = 20, culprit: int = 7, **more: Any) -> Any:
    # each kind has packs of its own
    activation = {"name": "fragile", "calls": 100.0 + FAULTS[kind]}
    return one_of(name, seeds, culprit, activation, {"start": float(FAULTS[kind])}, **more)


def rows(name: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return why cells failed, by cell, and all rows of each of the others, as text."""
    con = open_study(Path("outputs") / name)
    failed = dict(con.execute("SELECT cell, error FROM cells WHERE status = 'failed'").fetchall())
    found: dict[str, list[str]] = {}
    for table in ("cells", "curves", "layers"):
        for row in con.execute(f"SELECT cell, * FROM {table} ORDER BY ALL").fetchall():
            found.setdefault(row[0], []).append(repr(row))
    return failed, {cell: text for cell, text in found.items() if cell not in failed}


def run(
    conditions: Sequence[Mapping[str, Any]], faults: bool, executor: str = "processes"
) -> tuple[int, str]:
    env = {} if faults else {"NO_FAULTS": "1"}
    with driven(conditions, Running(executor, 2), [FAULTY], env) as command:
        code = command.end()
        assert "Traceback" not in command.err.read_text(), command.err.read_text()
        assert not blocked(Path("outputs") / conditions[0]["name"])
        return code, command.out.read_text()


def check(
    faulty: list[Any], mended: list[Any], wanted: Mapping[str, int], executor: str = "processes"
) -> None:
    """Check that of faulty conditions just the culprits fail, for these reasons, and nothing else changes.

    Args:
        faulty: the conditions.
        mended: the same in another study.
        wanted: how many fail, by a pattern of their reason.
        executor: how they run.
    """
    code, out = run(faulty, True, executor)
    assert code == 1
    failed, others = rows(MINE)
    count = sum(wanted.values())
    assert f"{count:,} failed." in out
    for pattern, number in wanted.items():
        assert sum(bool(re.fullmatch(pattern, why)) for why in failed.values()) == number, failed
    assert len(failed) == count
    assert run(mended, False, executor)[0] == 0
    none, all_of_them = rows(MENDED)
    assert not none
    # bit for bit, but for those that have nothing to show
    assert {cell: text for cell, text in all_of_them.items() if cell not in failed} == others


@pytest.mark.long
def test_of_a_thousand_networks_those_that_fail_their_pack_are_named_and_no_other_changes() -> None:
    both = [
        [
            one
            for kind in SAID
            for make in (in_the_midst, at_the_start)
            for one in make(kind, name, 100)
        ]
        for name in (MINE, MENDED)
    ]
    wanted = dict.fromkeys(SAID.values(), 2)
    # what an initializer raises concerns its own network alone, and needs no search
    del wanted[SAID["raise"]]
    check(*both, {**wanted, SAID["raise"].removesuffix(FILE) + f"({FILE})?": 2})


@pytest.mark.long
@pytest.mark.parametrize("width", [7, 24])
def test_neighbours_are_the_same_bits_whatever_the_width(width: int) -> None:
    both = [in_the_midst("exit", name, 33, 5, width=width) for name in (MINE, MENDED)]
    check(*both, {SAID["exit"]: 1})


@pytest.mark.long
def test_what_raises_is_found_in_the_command_s_own_process_too() -> None:
    both = [
        [one for kind in ("raise", "memory") for make in (in_the_midst, at_the_start)
         for one in make(kind, name)]
        for name in (MINE, MENDED)
    ]  # fmt: skip
    check(*both, {SAID["raise"]: 2, SAID["memory"]: 2}, "inline")


def test_two_culprits_in_one_pack_are_both_found() -> None:
    both = []
    for name in (MINE, MENDED):
        [most, first] = in_the_midst("exit", name, 30, 3)
        second = first | {"seed": 21}
        third = first | {"init": {"name": "marked", "start": float(FAULTS["kill"])}, "seed": 11}
        both.append([most, first, second, third])
    check(*both, {SAID["exit"]: 2, SAID["kill"]: 1})


@pytest.mark.parametrize("kind", ["raise", pytest.param("kill", marks=pytest.mark.long)])
def test_where_all_are_at_fault_the_run_ends_soon_with_the_reason(kind: str) -> None:
    [_, one] = in_the_midst(kind, MINE, culprit=0)
    code, out = run([one | {"seeds": 100}], True)
    assert code == 1
    failed, others = rows(MINE)
    assert (len(failed), others) == (100, {})
    [why] = set(failed.values())
    assert re.match(SAID[kind].partition(" or width")[0], why)
    assert "100 failed." in out


@pytest.mark.long
def test_where_each_is_at_fault_in_its_own_way_the_run_ends_all_the_same() -> None:
    activation = {"name": "fragile", "calls": 100.0}
    [_, one] = one_of(MINE, 0, 0, activation, {"start": float(FAULTS["own message"])})
    code, _ = run([one | {"seeds": 30}], True)
    assert code == 1
    failed, others = rows(MINE)
    assert (len(failed), others) == (30, {})
    assert len(set(failed.values())) == 30


@pytest.mark.long
def test_networks_that_fail_only_beside_one_another_are_kept_apart_from_the_rest() -> None:
    both = []
    for name in (MINE, MENDED):
        activation = {"name": "fragile", "kind": FAULTS["exit"], "together": 1.0}
        [most, one] = one_of(name, 16, 5, activation, {"mark": 1.0})
        both.append([most, one | {"seeds": 2}])
    check(*both, {SAID["exit"] + r" \(only beside other networks of its pack\)": 2})
