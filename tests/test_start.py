"""What runs around training: what it imports, and that it goes on where memory or PyTorch is missing."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import cells, condition

from study import NUMERICS_VERSION, app, execution, memory, sweep
from study.app import CONF
from study.cell import Cell, canonical_json, cells_of, digest, ids_of
from study.cli_errors import parse_arguments
from study.datasets import DATASETS
from study.execution import Room, run_job
from study.isolation import Done, Job, Lost, Message
from study.optimizers import OPTIMIZERS
from study.packing import Pack, packs_of_plan, plan_document
from study.running import Running
from study.store import Store
from study.sweep import run_conditions

FOLDER = Path("outputs/mine")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------------ what is imported

SMALL = (
    "--multirun depth=2,3 width=8 steps=2 seeds=2 batch_size=16 data=digits probe.samples=16 "
    "device=cpu name=mine"
)

COMMAND = """
import sys
from study.__main__ import main
sys.argv = ["study", *sys.argv[1:]]
try:
    code = main()
except SystemExit as end:
    code = end.code
print("imported:", *sorted(set(sys.modules) & {"torch", "scipy", "sklearn", "pandas", "tqdm"}))
sys.exit(code)
"""


def command(line: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own, which says at its end what it has imported."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", COMMAND, *line.split()],
        env={**os.environ, "PYTHONPATH": str(Path(CONF).parent)},
        capture_output=True,
        text=True,
        check=False,
        **more,
    )


def test_neither_a_dry_run_nor_a_finished_study_imports_pytorch() -> None:
    dry = command(f"{SMALL} hydra.launcher.dry_run=true")
    assert (dry.returncode, dry.stderr) == (0, "")
    assert "4 networks to train in 2 packs." in dry.stdout
    assert dry.stdout.endswith("\nimported:\n")
    # nor does training, if workers do it
    first = command(f"{SMALL} hydra.launcher.workers=2")
    assert "4 networks in outputs/mine: 4 ok." in first.stdout
    assert first.stdout.endswith("\nimported: tqdm\n")
    again = command(f"{SMALL} hydra.launcher.workers=2")
    assert "all finished already: nothing to do." in again.stdout
    assert "torch" not in again.stdout.splitlines()[-1]


WORKER = """
import multiprocessing, sys
from study import execution
from study.cell import cells_of
from study.isolation import Job
from study.packing import Pack
from study.settings import canonical_condition
from study.store import Store

def work(pack, folder, connection):
    before = set(sys.modules)
    store = Store(folder)
    store.create()
    execution.run_job(Job(pack), execution.Room(store, "cpu"), lambda message: None)
    connection.send((sorted(before), sorted(set(sys.modules) - before), store.read_commits()))

if __name__ == "__main__":
    group = {"activation": "relu", "init": "he_uniform", "data": "digits", "optim": sys.argv[1]}
    given = {key: {"name": name} for key, name in group.items()}
    given |= {"depth": 2, "width": 8, "steps": 2, "batch_size": 16, "seeds": 2}
    pack = Pack.of(cells_of([canonical_condition(given)]))
    execution.start_server()
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    context.Process(target=work, args=(pack, "study_folder", there)).start()
    before, during, [commit] = here.recv()
    assert set(commit.statuses.values()) == {"ok"}, commit
    assert "torch" in before and "study.training" in before
    print(sum(name.startswith("torch.") for name in during))
    print(*[name for name in ("torch._dynamo", "sympy", "sklearn") if name in during])
"""


@pytest.mark.parametrize("optim", ["sgd", "adam"])
def test_a_worker_imports_next_to_nothing_itself(optim: str) -> None:
    """What PyTorch imports only when it is used took each worker three seconds."""
    Path("worker.py").write_text(WORKER)
    done = subprocess.run(
        [sys.executable, "worker.py", optim],
        env={**os.environ, "PYTHONPATH": str(Path(CONF).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    count, large = done.stdout.split("\n")[:2]
    assert large == ""
    assert int(count) < 20


def test_a_refused_command_does_not_leave_the_workers_server_behind() -> None:
    """Whoever reads its output would wait for it: for as long as PyTorch takes to import."""
    line = "--multirun depth=2,3 device=cpu batch_size=100000"
    code = COMMAND.replace(
        "print(",
        "import os\nfrom multiprocessing import forkserver\n"
        "print('server:', forkserver._forkserver._forkserver_pid)\nprint(",
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *line.split(), "hydra.launcher.workers=2"],
        env={**os.environ, "PYTHONPATH": str(Path(CONF).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("cannot use batch_size=100000: ")
    [line] = [line for line in done.stdout.splitlines() if line.startswith("server: ")]
    pid = line.removeprefix("server: ")
    assert pid.isdecimal()  # it had been started
    status = Path("/proc", pid, "status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_missing_package_is_told_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = sweep.find_spec
    monkeypatch.setattr(sweep, "find_spec", lambda name: None if name == "torch" else found(name))
    with pytest.raises(ModuleNotFoundError) as refused:
        run_conditions([condition() | {"name": "mine", "device": "cpu"}], ["test"])
    assert refused.value.name == "torch"
    assert not Path("outputs").exists()


def test_where_no_gpu_is_possible_pytorch_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert execution.gpu_possible() or not torch.cuda.is_available()
    monkeypatch.setattr(sys, "platform", "linux")
    for version, files, possible in (
        ("2.9.0", [], False),
        ("2.9.0", ["."], True),
        ("2.9.0+cu129", ["."], True),
        ("2.9.0+cpu", ["."], False),
    ):
        monkeypatch.setattr(execution.metadata, "version", lambda _name, version=version: version)
        monkeypatch.setattr(execution, "GPU_FILES", files)
        assert execution.gpu_possible() is possible
        assert execution.surely_cpu("auto") is not possible
        assert execution.surely_cpu("cpu")
        assert not execution.surely_cpu("cuda")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--multirun depth=2,3 device=cpu", True),
        ("+experiment=speed device=cpu", True),
        ("depth=2 device=cpu", False),
        ("--help --multirun device=cpu", False),
        ("--cfg job +experiment=full device=cpu", False),
        ("+experiment=speed device=cpu hydra.launcher.dry_run=true", False),
        ("+experiment=speed device=cpu hydra.launcher.workers=1", False),
        ("+experiment=speed device=cpu hydra.launcher.workers=2", True),
        ("+experiment=speed device=cuda", False),
    ],
)
def test_the_workers_server_starts_early_where_workers_will_be_needed(
    line: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "cores", lambda: 2)
    assert app.expects_workers(parse_arguments(line.split())) is expected


# ------------------------------------------------------------------ the same as before


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda key: key not in ("seed", "numerics")),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.dictionaries(st.text(), st.text()),
        max_size=5,
    ),
    st.lists(st.integers(0, 2**53), max_size=3),
)
def test_an_id_is_the_digest_of_the_canonical_settings(
    settings: dict[str, Any], seeds: list[int]
) -> None:
    expected = [
        digest(canonical_json({**settings, "seed": seed, "numerics": NUMERICS_VERSION}))
        for seed in seeds
    ]
    assert ids_of(settings, seeds) == expected
    assert [Cell.of(settings, seed).id for seed in seeds] == expected
    assert [cell.id for cell in cells_of([(settings, seeds)])] == list(dict.fromkeys(expected))


def test_the_id_of_a_network_never_changes() -> None:
    [cell] = cells("relu", "he_normal")
    condition = {key: value for key, value in cell.settings.items() if key != "seed"}
    assert Cell.of(condition, cell.settings["seed"], 1).id == "dee4277f69159c456e42"


@pytest.mark.parametrize(
    ("name", "kind", "more"),
    [
        ("sgd", torch.optim.SGD, {}),
        ("momentum", torch.optim.SGD, {"momentum": 0.9}),
        ("adagrad", torch.optim.Adagrad, {}),
        ("rmsprop", torch.optim.RMSprop, {"alpha": 0.99}),
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999)}),
    ],
)
def test_the_optimizers_are_pytorchs_own_to_the_bit(
    name: str, kind: Callable[..., torch.optim.Optimizer], more: dict[str, Any]
) -> None:
    ends = []
    for make in (OPTIMIZERS[name].function, lambda groups, lr: kind(groups, lr=lr, **more)):
        random = torch.Generator().manual_seed(0)
        weights = [torch.randn(3, 4, 5, generator=random).requires_grad_() for _ in range(2)]
        groups = [{"params": [w], "weight_decay": 0.1 * n} for n, w in enumerate(weights)]
        optimizer = make(groups, 0.05)
        for _ in range(5):
            optimizer.zero_grad(set_to_none=True)
            assert all(w.grad is None for w in weights)
            sum((w**2).sum() for w in weights).backward()
            optimizer.step()
        assert all(w.requires_grad for w in weights)
        ends.append(torch.stack([w.detach() for w in weights]))
    assert torch.equal(*ends)


def test_the_digits_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = DATASETS["digits"].function()
    monkeypatch.setattr("study.datasets._file_of_sklearn", lambda _name: None)
    for mine, theirs in zip(ours, DATASETS["digits"].function(), strict=True):
        assert (mine.dtype, mine.strides) == (theirs.dtype, theirs.strides)
        assert np.array_equal(mine, theirs)


def test_a_plan_is_read_without_the_packs_that_are_known() -> None:
    packs = [Pack.of(cells(name, seeds=2)) for name in ("relu", "tanh")]
    plan = json.loads(json.dumps(plan_document(packs, "cpu", ["test"])))
    assert packs_of_plan(plan) == packs
    assert packs_of_plan(plan, {packs[0].id}) == packs[1:]
    # a study of an older version keeps its ids: its records name them
    older = packs_of_plan({**plan, "numerics": plan["numerics"] - 1})
    assert [len(pack.cells) for pack in older] == [len(pack.cells) for pack in packs]
    assert not {pack.id for pack in older} & {pack.id for pack in packs}
    assert [older[0].cells[0].settings] == [packs[0].cells[0].settings]


# ------------------------------------------------------------------ no memory left

CPU_ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError(CPU_ALLOCATOR), True),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."),
            True,
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("The size of tensor a (3) must match"), False),
        (ValueError("you tried to allocate"), False),
    ],
)
def test_memory_that_runs_out_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert memory.ran_out(error) is expected


def two_packs(**more: Any) -> list[dict[str, Any]]:
    return [
        {"name": "mine", "device": "cpu", **condition(name, seeds=6, steps=3, **more)}
        for name in ("relu", "tanh")
    ]


def errors_in(folder: Path) -> set[str]:
    import pyarrow.parquet as pq

    store = Store(folder)
    rows = [
        row
        for commit in store.read_commits()
        for row in pq.read_table(store.verify(commit)["cells"]).to_pylist()
    ]
    return {row["error"] for row in rows if row["status"] == "failed"}


def test_a_pack_without_memory_says_what_to_lower_and_the_rest_is_trained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from study import training

    train = training.train_pack

    def greedy(pack: Any, *arguments: Any) -> Any:
        if len(pack) > 3 and pack[0].settings["activation"]["name"] == "relu":
            torch.empty(2**50)  # a petabyte
        return train(pack, *arguments)

    monkeypatch.setattr(training, "train_pack", greedy)
    summaries = run_conditions(two_packs(), ["test"], Running(workers=1))
    assert [(one["ok"], one["failed"]) for one in summaries] == [(0, 6), (6, 0)]
    [sentence] = errors_in(FOLDER)
    assert re.fullmatch(
        r"it ran out of memory \(greedy, line \d+\) in test_start\.py: lower hydra\.launcher\.pack_size "
        r"\(it was 6 networks together, try 3\)",
        sentence,
    )
    assert f"  6 failed: {sentence}\n" in capsys.readouterr().out
    # and it is true
    summaries = run_conditions(two_packs(), ["test"], Running(workers=1, pack_size=3))
    assert [(one["ok"], one["failed"]) for one in summaries] == [(6, 0), (6, 0)]


def limit_memory() -> None:
    most = 3 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_gets_no_more_memory_ends_with_exit_code_1_and_the_sentence(
    workers: int,
) -> None:
    line = (
        "--multirun depth=2 width=8,1000000000 steps=1 seeds=2 batch_size=16 data=digits probe.samples=16 "
        f"device=cpu name=mine hydra.launcher.workers={workers} hydra.launcher.pack_size=2"
    )
    done = command(line, preexec_fn=limit_memory)
    assert done.returncode == 1, done.stderr
    assert "4 networks in outputs/mine: 2 ok, 2 failed." in done.stdout
    assert re.search(
        r"ran out of memory \([\w<>]+, line \d+\) in \w+\.py: lower hydra.launcher.pack_size "
        r"\(it was 2 networks",
        done.stdout,
    ), done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_one_network_that_does_not_fit_has_other_settings_to_lower() -> None:
    pack = Pack.of(cells())
    assert memory.reason_of_error(pack, "cuda", " (here, line 1)") == (
        "the GPU ran out of memory (here, line 1): lower width, depth or batch_size (it is one network alone)"
    )
    assert memory.reason_of_exit(pack, -signal.SIGKILL).endswith(
        "lower hydra.launcher.workers or width, depth or batch_size (it is one network alone)"
    )
    assert memory.reason_of_exit(pack, -11) == (
        "its worker process was ended by signal 11 (SIGSEGV)"
    )
    assert memory.reason_of_exit(pack, 7) == "its worker process ended with exit code 7"


def test_what_a_pack_without_memory_held_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from study import training

    alive: list[Any] = []

    class Held:
        def __init__(self) -> None:
            alive.append(self)
            self.itself = self  # only the collector finds it

        def __del__(self) -> None:
            released.append(True)

    released: list[bool] = []

    def greedy(*_arguments: Any) -> Any:
        held = Held()
        alive.clear()
        raise MemoryError(held is None)

    monkeypatch.setattr(training, "train_pack", greedy)
    store = Store(FOLDER)
    store.create()
    told: list[Message] = []

    def tell(message: Message) -> None:
        assert released == [True]  # when the next pack may begin
        told.append(message)

    run_job(Job(Pack.of(cells())), Room(store, "cpu"), tell)
    assert isinstance(told[0], Lost)


def test_one_pack_runs_in_a_worker_too_so_that_the_system_may_kill_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_packs = sweep.run_packs

    def watched(*arguments: Any) -> None:
        *others, tell = arguments

        def kill(message: Message) -> None:
            for process in multiprocessing.active_children():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                process.join()
            tell(message)

        run_packs(*others, kill)

    monkeypatch.setattr(sweep, "run_packs", watched)
    monkeypatch.setattr(execution, "cores", lambda: 2)
    [summary] = run_conditions(two_packs()[:1], ["test"])
    assert summary["failed"] == 6
    assert "as the system does where memory runs out: lower hydra" in capsys.readouterr().out


def test_packs_larger_than_a_lowered_size_are_not_run_as_they_were_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system may have killed the program itself: then no pack says that it failed."""

    def killed(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "run_packs", killed)
        with pytest.raises(KeyboardInterrupt):
            run_conditions(two_packs(), ["test"], Running(workers=1))
    sizes: list[int] = []
    run_packs = sweep.run_packs

    def watched(packs: list[Pack], *others: Any) -> None:
        sizes.extend(len(pack.cells) for pack in packs)
        run_packs(packs, *others)

    monkeypatch.setattr(sweep, "run_packs", watched)
    summaries = run_conditions(two_packs(), ["test"], Running(workers=1, pack_size=4))
    assert sizes == [3, 3, 3, 3]
    assert [one["ok"] for one in summaries] == [6, 6]


def test_a_pack_that_fits_is_told_as_done() -> None:
    store = Store(FOLDER)
    store.create()
    told: list[Message] = []
    pack = Pack.of(cells())
    run_job(Job(pack), Room(store, "cpu"), told.append)
    assert told[-1] == Done(pack.id, {pack.cells[0].id: "ok"})
