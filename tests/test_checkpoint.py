"""A training that is killed and goes on gives what it would have given, bit for bit, or begins anew."""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import CPU, cells, stored_rows
from torch import Tensor

from study import checkpoint as module
from study import training
from study.activations import ACTIVATIONS
from study.cell import Cell
from study.checkpoint import Checkpoint, key_of
from study.execution import exact_arithmetic
from study.initializers import INITIALIZERS, LayerDraw
from study.optimizers import OPTIMIZERS
from study.probe import INDEX
from study.records import tables
from study.training import PackResult, train_pack

Register = Callable[..., None]


class Killed(BaseException):
    """What ends a training here."""


class Mortal(Checkpoint):
    """Kills its training behind its n-th save, n from 1; 0: never."""

    deadline = 0
    saves = 0

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.saves += 1
        if self.saves == self.deadline:
            raise Killed


def at(folder: Path, deadline: int = 0, key: str = "key", every_s: float = 0.0) -> Mortal:
    """Return a checkpoint as a new process would make it."""
    made = Mortal(folder / "checkpoint", folder, key, every_s)
    made.deadline = deadline
    return made


def run(pack: Sequence[Cell], checkpoint: Checkpoint | None = None, **more: Any) -> PackResult:
    """Train a pack as a worker does."""
    with exact_arithmetic("cpu"):
        return train_pack(pack, CPU, checkpoint=checkpoint, **more)


def bits(result: PackResult) -> dict[str, Any]:
    """Return everything in a result, numbers as bytes: so NaN is what it is."""
    found = {field.name: getattr(result, field.name) for field in fields(result)}
    return {
        name: (value.dtype, value.shape, value.tobytes())
        if isinstance(value, np.ndarray)
        else value
        for name, value in found.items()
    }


def killed(pack: Sequence[Cell], checkpoint: Checkpoint, **more: Any) -> None:
    """Train a pack until its checkpoint kills it."""
    with pytest.raises(Killed):
        run(pack, checkpoint, **more)


def resumed(pack: Sequence[Cell], checkpoint: Checkpoint, **more: Any) -> PackResult:
    """Train a pack on from its checkpoint, and be sure of that: nothing is built."""

    def build(*_: Any) -> None:
        raise AssertionError("it begins anew")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "start", build)
        patch.setattr(training, "_check_activation", build)
        return run(pack, checkpoint, **more)


def mixed(**shape: Any) -> list[Cell]:
    """Return cells that learn, that learn slopes, whose units die and come back, and that diverge."""
    return [
        *cells("tanh", "xavier_normal", **{"seeds": 2} | shape),
        *cells("prelu", "he_normal", **shape),
        *cells("relu", "he_normal", **{"seeds": 2} | shape),
        *cells("relu", {"name": "normal", "std": 1e10}, **shape),
        *cells("gelu", "orthogonal", **shape),
    ]


SGD = {"name": "sgd", "lr": 0.3}
MOMENTUM = {"name": "momentum", "lr": 0.1}
ADAM = {"name": "adam", "lr": 0.05}
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"optim": SGD},
    "momentum with decay": {"optim": {**MOMENTUM, "weight_decay": 0.1}},
    "adagrad": {"optim": {"name": "adagrad", "lr": 0.05, "clip_value": 0.02}},
    "rmsprop": {"optim": {"name": "rmsprop", "lr": 0.02, "clip_norm": 0.5}},
    "adam": {"optim": ADAM},
    "adam with decay": {"optim": {**ADAM, "weight_decay": 0.1, "clip_norm": 0.5}},
    "set to one": {"optim": {**SGD, "lr": 0.01, "clip_to_one": 0.1}},
    "a rate too high": {"optim": {**MOMENTUM, "lr": 1e4}},
    "batch": {"norm": "batch", "optim": ADAM},
    "layer and dropout": {"norm": "layer", "dropout": 0.3, "optim": MOMENTUM},
    "dropout": {"dropout": 0.5, "optim": ADAM},
    "float64": {"dtype": "float64", "optim": ADAM},
    "no biases": {"bias": False, "width": 13, "batch_size": 7, "optim": MOMENTUM},
    "one layer": {"depth": 1, "optim": ADAM},
    "regression": {"data": "diabetes", "optim": {**MOMENTUM, "lr": 0.01}},
    "seldom probed": {"steps": 11, "probe": {"steps": 4, "samples": 32}, "optim": ADAM},
    "seldom probed, sgd": {"steps": 11, "probe": {"steps": 5, "samples": 32}, "optim": SGD},
}


QUICK = ("sgd", "momentum with decay", "adam", "batch", "layer and dropout", "seldom probed")


@pytest.mark.parametrize(
    "kind",
    [one if one in QUICK else pytest.param(one, marks=pytest.mark.long) for one in SETTINGS],
)
def test_a_training_killed_behind_any_step_goes_on_to_the_same_bits(
    kind: str, tmp_path: Path
) -> None:
    pack = mixed(**SETTINGS[kind])
    steps = pack[0].settings["steps"]
    told: list[int] = []
    whole = bits(run(pack, progress=told.append))
    for step in range(steps):
        (folder := tmp_path / str(step)).mkdir()
        killed(pack, at(folder, step + 1))
        seen: list[int] = []
        checkpoint = at(folder, every_s=math.inf)
        assert bits(resumed(pack, checkpoint, progress=seen.append)) == whole
        reached = max(one for one in told if one <= step)
        assert seen == [one for one in told if one >= reached]
        assert [path.name for path in folder.iterdir()] == ["checkpoint"]
        checkpoint.remove()
        checkpoint.remove()
        assert not any(folder.iterdir())


@pytest.mark.parametrize("kind", ["adam with decay", "layer and dropout", "seldom probed"])
def test_a_training_killed_behind_every_step_comes_to_the_same_bits(
    kind: str, tmp_path: Path
) -> None:
    pack = mixed(**SETTINGS[kind])
    killed(pack, at(tmp_path, 1))
    for _ in range(1, pack[0].settings["steps"]):
        with pytest.raises(Killed):
            resumed(pack, at(tmp_path, 1))
    assert bits(resumed(pack, at(tmp_path))) == bits(run(pack))


def test_units_die_come_back_and_networks_diverge_in_what_is_compared() -> None:
    result = run(mixed(**SETTINGS["momentum with decay"], seeds=2))
    of = {name: result.layers[:, :, INDEX[name]] for name in ("dead_units", "revived_units")}
    assert (np.diff(np.nan_to_num(of["dead_units"]), axis=0) > 0).any()
    assert np.nansum(of["revived_units"]) > 0
    assert (result.first_bad_step >= 0).any()
    assert (result.first_bad_step == -1).any()


def one_infinite(draw: LayerDraw) -> Any:
    weight = draw.weight / math.sqrt(draw.fan_in)
    if draw.layer == 2:
        weight[0, 0] = math.inf
    return weight


def test_weights_that_were_infinite_before_the_kill_are_told(
    register: Register, tmp_path: Path
) -> None:
    register(INITIALIZERS, one_infinite)
    pack = cells("tanh", "one_infinite", seeds=2)
    whole = run(pack)
    # tanh(∞) is 1: the first loss does not tell of it, the others do
    assert np.isfinite(whole.batch_loss[0]).all()
    assert np.isnan(whole.batch_loss[1:]).all()
    assert list(whole.first_bad_step) == [0, 0]
    killed(pack, at(tmp_path, 3))
    assert bits(resumed(pack, at(tmp_path))) == bits(whole)


optims = st.builds(
    lambda clip, **optim: {**optim, **clip},
    name=st.sampled_from(["sgd", "momentum", "adagrad", "rmsprop", "adam"]),
    lr=st.sampled_from([0.01, 0.1, 10.0, 1e6]),
    weight_decay=st.sampled_from([0.0, 0.01, 0.5]),
    clip=st.sampled_from([{}, {"clip_norm": 0.5}, {"clip_value": 0.02}, {"clip_to_one": 0.1}]),
)
functions = st.sampled_from(["tanh", "relu", "prelu", "gelu", "sigmoid", "identity"])
begins = st.sampled_from(
    ["he_normal", "torch_default", "lsuv", "orthogonal", {"name": "normal", "std": 1e10}]
)


@st.composite
def trainings(draw: st.DrawFn) -> list[Cell]:
    shape = {
        "optim": draw(optims),
        "norm": draw(st.sampled_from(["none", "batch", "layer"])),
        "dropout": draw(st.sampled_from([0.0, 0.4])),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "depth": draw(st.integers(1, 4)),
        "width": draw(st.sampled_from([5, 16])),
        "steps": draw(st.integers(1, 7)),
        "bias": draw(st.booleans()),
        "data": draw(st.sampled_from(["digits", "moons", "diabetes"])),
        "probe": {"steps": draw(st.integers(2, 9)), "samples": 32},
    }
    chosen = draw(st.lists(functions, min_size=1, max_size=3, unique=True))
    return [cell for one in chosen for cell in cells(one, draw(begins), **shape)]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.data())
def test_any_training_killed_anywhere_goes_on_to_the_same_bits(data: st.DataObject) -> None:
    pack = data.draw(trainings())
    behind = data.draw(st.integers(1, pack[0].settings["steps"]))
    with tempfile.TemporaryDirectory() as name:
        killed(pack, at(Path(name), behind))
        assert bits(resumed(pack, at(Path(name)))) == bits(run(pack))


def test_an_error_anywhere_in_the_training_loses_no_checkpoint(tmp_path: Path) -> None:
    pack = mixed(optim=ADAM)
    whole = bits(run(pack))

    def stop(step: int) -> None:
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        run(pack, at(tmp_path), progress=stop)
    seen: list[int] = []
    assert bits(resumed(pack, at(tmp_path), progress=seen.append)) == whole
    assert seen == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("call", ["os.write", "os.replace", "os.fsync"])
def test_a_checkpoint_that_cannot_be_written_is_an_error_and_leaves_the_one_before(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = mixed(optim=ADAM)
    killed(pack, at(tmp_path, 3))
    before = (tmp_path / "checkpoint").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        with pytest.raises(OSError, match="No space left"):
            resumed(pack, at(tmp_path))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"checkpoint": before}
    assert bits(resumed(pack, at(tmp_path))) == bits(run(pack))


def test_a_checkpoint_is_written_when_it_is_due_and_never_behind_the_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = cells()
    always = at(tmp_path)
    run(pack, always)
    assert always.saves == pack[0].settings["steps"]
    always.remove()
    run(cells(steps=0), always)
    never = at(tmp_path, every_s=math.inf)
    run(pack, never)
    assert never.saves == 0
    assert not any(tmp_path.iterdir())

    now = [50.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    timed = at(tmp_path, every_s=10.0)

    def hour(step: int) -> None:
        now[0] += 4.0

    run(pack, timed, progress=hour)  # behind steps 2 and 5, of which each takes four seconds
    assert timed.saves == 2


class Unsafe:
    """Makes a folder where it is loaded with whatever code it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    pack = mixed(optim=ADAM)
    checkpoint = at(tmp_path)
    trap = tmp_path / "trap"
    checkpoint.save({"step": 1, "errors": Unsafe(trap)})
    assert checkpoint.load(CPU) is None
    payload = pickle.dumps({"step": Unsafe(trap)})
    checkpoint.path.write_bytes(checkpoint._digest(payload) + payload)
    assert checkpoint.load(CPU) is None
    assert bits(run(pack, checkpoint)) == bits(run(pack))
    assert not trap.exists()
    pickle.loads(payload)  # and it was one
    assert trap.exists()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a checkpoint's bytes."""
    folder = tmp_path_factory.mktemp("written")
    killed(damaged_pack(), at(folder, 3))
    return (folder / "checkpoint").read_bytes()


@functools.cache
def damaged_pack() -> list[Cell]:
    return mixed(optim=ADAM, depth=2, width=4, probe={"steps": 3, "samples": 32})


@functools.cache
def undamaged_bits() -> dict[str, Any]:
    return bits(run(damaged_pack()))


def test_a_bit_flipped_anywhere_is_seen(written: bytes, tmp_path: Path) -> None:
    checkpoint = at(tmp_path)
    checkpoint.path.write_bytes(written)
    assert checkpoint.load(CPU) is not None
    random = np.random.default_rng(0)
    places = [*range(64), *random.integers(len(written), size=500), len(written) - 1]
    for place in places:
        content = bytearray(written)
        content[place] ^= 1 << int(random.integers(8))
        checkpoint.path.write_bytes(content)
        assert checkpoint.load(CPU) is None


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "shorter than a digest": lambda content: content[:31],
    "a digest alone": lambda content: content[:32],
    "torn": lambda content: content[: len(content) // 2],
    "torn and filled up": lambda content: content[: len(content) // 2].ljust(len(content), b"\0"),
    "a byte short": lambda content: content[:-1],
    "a byte more": lambda content: content + b"\0",
    "nothing but zeros": lambda content: bytes(len(content)),
    "without digest": lambda content: content[32:],
    "a bit of a weight": lambda content: flipped(content, len(content) // 2),
    "a bit of the digest": lambda content: flipped(content, 5),
}


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_checkpoint_is_not_used(damage: str, written: bytes, tmp_path: Path) -> None:
    checkpoint = at(tmp_path)
    checkpoint.path.write_bytes(DAMAGES[damage](written))
    assert checkpoint.load(CPU) is None
    assert bits(run(damaged_pack(), checkpoint)) == undamaged_bits()


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nothing", "link to a device"])
def test_what_is_no_file_is_not_used(kind: str, tmp_path: Path) -> None:
    checkpoint = at(tmp_path, every_s=math.inf)
    if kind == "folder":
        checkpoint.path.mkdir()
    elif kind == "pipe":
        os.mkfifo(checkpoint.path)
    else:
        checkpoint.path.symlink_to(tmp_path / "none" if "nothing" in kind else "/dev/zero")
    assert checkpoint.load(CPU) is None
    assert bits(run(damaged_pack(), checkpoint)) == undamaged_bits()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(payload=st.binary(max_size=300))
def test_whatever_is_in_a_whole_file_is_a_state_or_nothing(payload: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        checkpoint = at(Path(name))
        checkpoint.path.write_bytes(checkpoint._digest(payload) + payload)
        assert checkpoint.load(CPU) is None


@pytest.mark.parametrize("state", [[1, 2], 3, torch.ones(2), None])
def test_what_is_no_state_is_not_used(state: Any, tmp_path: Path) -> None:
    checkpoint = at(tmp_path)
    checkpoint.save(state)
    assert checkpoint.load(CPU) is None


def test_a_checkpoint_of_another_key_is_not_used(written: bytes, tmp_path: Path) -> None:
    checkpoint = at(tmp_path, key="another")
    checkpoint.path.write_bytes(written)
    assert checkpoint.load(CPU) is None
    assert bits(run(damaged_pack(), checkpoint)) == undamaged_bits()
    assert checkpoint.load(CPU) is not None  # its own


def test_the_key_tells_apart_whatever_the_numbers_depend_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def key(pack: str = "pack", data: str = "data", excluded: Sequence[int] = ()) -> str:
        return key_of(pack, data, CPU, excluded)

    assert key() == key()
    assert key(excluded=[2, 1]) == key(excluded=[1, 2])
    keys = [key(), key("pack2"), key(data="data2"), key(excluded=[1]), key(excluded=[1, 2])]
    keys.append(key_of("pack", "data", torch.device("meta")))
    for target, value in {
        "study.checkpoint.NUMERICS_VERSION": 10**6,
        "torch.__version__": "2.0.0",
        "numpy.__version__": "1.0.0",
        "torch.backends.cpu.get_cpu_capability": lambda: "ABACUS",
        "study.checkpoint._processor": lambda: "abacus",
        "study.checkpoint._program": lambda: "another",
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(target, value)
            keys.append(key())
    with monkeypatch.context() as patch:
        patch.setattr("torch.cuda.get_device_name", lambda _: "a GPU")
        patch.setattr("torch.cuda.get_device_capability", lambda _: (9, 0))
        keys.append(key_of("pack", "data", torch.device("cuda")))
        patch.setattr("torch.cuda.get_device_name", lambda _: "another GPU")
        keys.append(key_of("pack", "data", torch.device("cuda")))
    assert len(set(keys)) == len(keys)

    # a program of one more letter
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "checkpoint.py").write_text("")
        (tmp_path / folder / "step.py").write_text("x" if folder == "one" else "xx")
    programs = []
    for folder in ("one", "two"):
        monkeypatch.setattr(module, "__file__", str(tmp_path / folder / "checkpoint.py"))
        programs.append(module._program.__wrapped__())
    assert programs[0] != programs[1]


def test_tensors_that_were_on_a_gpu_go_to_one_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def place(storage: Any, where: str) -> Any:
        asked.append(where)
        return storage

    monkeypatch.setattr(module, "default_restore_location", place)
    checkpoint = at(tmp_path)
    with monkeypatch.context() as patch:
        tags = iter(["cpu", "cuda:3"])
        patch.setattr(torch.serialization, "location_tag", lambda _: next(tags))
        checkpoint.save({"step": torch.tensor(1.0), "sum": torch.ones(2)})
    assert checkpoint.load(torch.device("cuda:1")) is not None
    assert asked == ["cuda:1"]


# --- optimizers of the user's own


class Exact(torch.optim.Optimizer):
    """Keeps more than its state's dictionary says: sums in float64, and steps as an attribute."""

    def __init__(self, groups: Any, lr: float) -> None:
        super().__init__(groups, {"lr": lr})
        self.steps = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                total = self.state[p].setdefault("total", torch.zeros_like(p, dtype=torch.float64))
                total.mul_(0.9).add_(p.grad.double() / 3.0)
                p.sub_((group["lr"] / self.steps * total).to(p.dtype))
            group["lr"] *= 0.9


class Noisy(Exact):
    """Adds noise of PyTorch's generator."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(1e-3 * torch.randn(p.shape))


class Generated(Exact):
    """Adds noise of a generator of its own, which no file of plain values holds."""

    def __init__(self, groups: Any, lr: float) -> None:
        super().__init__(groups, lr)
        self.random = torch.Generator().manual_seed(0)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(1e-3 * torch.randn(p.shape, generator=self.random))


class Slow(Exact):
    """Holds the networks' own tensors apart from its groups."""

    def __init__(self, groups: Any, lr: float) -> None:
        super().__init__(groups, lr)
        self.weights = [p.detach() for p in self.param_groups[0]["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        super().step()
        for weight in self.weights:
            weight.mul_(0.99)


class Hooked(Exact):
    """Is followed by a function that counts."""

    def __init__(self, groups: Any, lr: float) -> None:
        super().__init__(groups, lr)
        count = itertools.count(1)

        def fade(optimizer: Any, _args: Any, _kwargs: Any) -> None:
            optimizer.param_groups[0]["lr"] /= next(count)

        self.register_step_post_hook(fade)


class Added(Exact):
    """Trains one number more than the networks have."""

    def __init__(self, groups: Any, lr: float) -> None:
        extra = torch.nn.Parameter(torch.ones(1))
        extra.grad = torch.ones(1)
        super().__init__([*groups, {"params": [extra]}], lr)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        super().step()
        factor = self.param_groups[-1]["params"][0].item()
        for p in self.param_groups[0]["params"]:
            p.mul_(1.0 + 1e-3 * factor)


class Global(Exact):
    """Keeps a tensor under a name, beside those of parameters."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.state["count"] = self.state.get("count", 0) + 1  # type: ignore[index]
        self.param_groups[0]["lr"] /= self.state["count"]  # type: ignore[index]
        super().step()


class Composed:
    """No optimizer of PyTorch's, but used like one."""

    def __init__(self, groups: Any, lr: float) -> None:
        self.inner = Exact(groups, lr)
        self.param_groups = self.inner.param_groups

    def step(self) -> None:
        self.inner.step()


def own(kind: Callable[..., Any], register: Register) -> dict[str, Any]:
    """Register an optimizer as one of the user's own; return its settings."""

    def mine(groups: Any, lr: float) -> Any:
        torch.manual_seed(5)
        return kind(groups, lr)

    register(OPTIMIZERS, mine)
    OPTIMIZERS.mark("mine", "0123")
    return {"optim": {"name": "mine", "lr": 0.05}}


def nesterov(groups: Any, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)


KEPT = {
    "one of PyTorch's": nesterov,
    "NAdam": lambda groups, lr: torch.optim.NAdam(groups, lr=lr),
    "Adamax": lambda groups, lr: torch.optim.Adamax(groups, lr=lr),
    "ASGD": lambda groups, lr: torch.optim.ASGD(groups, lr=lr, t0=2),
    "Rprop": lambda groups, lr: torch.optim.Rprop(groups, lr=lr),
    "amsgrad": lambda groups, lr: torch.optim.AdamW(groups, lr=lr, amsgrad=True),
    "exact": Exact,
    "noisy": Noisy,
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(one, marks=[pytest.mark.long] * (one not in ("NAdam", "exact", "noisy")))
        for one in KEPT
    ],
)
def test_an_own_optimizer_goes_on_to_the_same_bits(
    kind: str, register: Register, tmp_path: Path
) -> None:
    pack = mixed(**own(KEPT[kind], register))
    whole = bits(run(pack))
    for behind in range(1, pack[0].settings["steps"] + 1):
        killed(pack, at(tmp_path, behind))
        torch.manual_seed(behind)
        assert bits(resumed(pack, at(tmp_path, every_s=math.inf))) == whole
        at(tmp_path).remove()


@pytest.mark.parametrize("kind", [Generated, Slow, Hooked, Added, Global, Composed])
def test_an_own_optimizer_that_cannot_be_kept_goes_without_checkpoints(
    kind: Callable[..., Any], register: Register, tmp_path: Path
) -> None:
    pack = mixed(**own(kind, register))
    checkpoint = at(tmp_path)
    assert bits(run(pack, checkpoint)) == bits(run(pack))
    assert not any(tmp_path.iterdir())


# --- excluded cells

WHY = "its process ended with code 3"


def forbidden(draw: LayerDraw) -> Any:
    raise Killed("an excluded cell was started")


def forbidden_too(z: Tensor) -> Tensor:
    raise Killed("an excluded cell's activation was called")


def faulty(draw: LayerDraw) -> Any:
    raise RuntimeError("no start today")


@pytest.fixture
def _forbidden(register: Register) -> None:
    register(INITIALIZERS, forbidden)
    register(INITIALIZERS, faulty)
    register(ACTIVATIONS, forbidden_too)


TRAINING = {
    "sgd": {"optim": {"name": "sgd", "lr": 0.1}},
    "adam": {
        "optim": {"name": "adam", "lr": 0.01, "clip_norm": 0.5, "weight_decay": 0.01},
        "norm": "layer",
        "dropout": 0.2,
    },
}
EXCLUDED = {
    "of an activation that others have": ("gelu", "forbidden"),
    "of a learned activation that others have": ("prelu", "forbidden"),
    "of an activation of their own": ("forbidden_too", "he_normal"),
}


@pytest.mark.usefixtures("_forbidden")
@pytest.mark.parametrize("training_", list(TRAINING))
@pytest.mark.parametrize(("width", "batch_size"), [(16, 16), (13, 7)])
@pytest.mark.parametrize("kind", list(EXCLUDED))
def test_excluded_cells_are_not_run_and_leave_their_neighbours_bit_for_bit(
    kind: str, width: int, batch_size: int, training_: str, tmp_path: Path
) -> None:
    activation, init = EXCLUDED[kind]
    shape = {"width": width, "batch_size": batch_size, "seeds": 2, **TRAINING[training_]}
    # one run of each activation, the excluded in its middle
    begin = "gelu" if activation == "forbidden_too" else activation
    before = cells("tanh", "he_normal", **shape) + cells(begin, "he_normal", **shape)
    out = cells(activation, init, **shape)
    after = cells(begin, "orthogonal", **shape) + cells("sigmoid", "torch_default", **shape)
    if activation == "forbidden_too":
        after = after[2:]
    pack, others = before + out + after, before + after
    excluded = {len(before) + place: WHY for place in range(len(out))}
    healthy = begin if activation != "forbidden_too" else "relu"
    replaced = run(before + cells(healthy, "he_uniform", **shape) + after)
    result = run(pack, excluded=excluded)
    assert stored_rows(result, others) == stored_rows(replaced, others)
    assert result.errors == excluded
    rows = {row["cell"]: row for row in tables(result)["cells"].to_pylist()}
    assert {rows[cell.id]["status"] for cell in others} == {"ok"}
    assert {(rows[cell.id]["status"], rows[cell.id]["error"]) for cell in out} == {("failed", WHY)}

    killed(pack, at(tmp_path, 3), excluded=excluded)
    assert bits(resumed(pack, at(tmp_path), excluded=excluded)) == bits(result)


@pytest.mark.usefixtures("_forbidden")
def test_cells_are_excluded_wherever_they_stand() -> None:
    healthy = cells("tanh", "he_normal", seeds=2)
    out = cells("tanh", "forbidden", seeds=2)
    pack = [out[0], healthy[0], out[1], healthy[1]]
    result = run(pack, excluded={2: "second", 0: "first"})
    assert list(result.errors.items()) == [(0, "first"), (2, "second")]
    assert stored_rows(result, healthy) == stored_rows(run(healthy), healthy)
    alone = run(cells("forbidden_too", "forbidden"), excluded={0: WHY})
    assert alone.errors == {0: WHY}
    assert [row["status"] for row in tables(alone)["cells"].to_pylist()] == ["failed"]


@pytest.mark.usefixtures("_forbidden")
def test_a_cell_whose_start_failed_is_not_tried_again_and_stays_failed(
    register: Register, tmp_path: Path
) -> None:
    def refusing(z: Tensor) -> Tensor:
        raise RuntimeError("no slope today")

    register(ACTIVATIONS, refusing)
    pack = [
        *cells("tanh", "he_normal"),
        *cells("tanh", "faulty"),
        *cells("refusing", "he_normal"),
        *cells("prelu", "forbidden"),
        *cells("relu", "he_normal"),
    ]
    excluded = {3: WHY}
    whole = run(pack, excluded=excluded)
    assert list(whole.errors) == [1, 2, 3]
    for behind in (1, 4):
        killed(pack, at(tmp_path, behind), excluded=excluded)
        result = resumed(pack, at(tmp_path), excluded=excluded)
        assert bits(result) == bits(whole)
        assert list(result.errors) == [1, 2, 3]
        at(tmp_path).remove()


def test_a_checkpoint_holds_tensors_and_plain_values_alone(tmp_path: Path) -> None:
    checkpoint = at(tmp_path, 2)
    killed(mixed(optim=ADAM), checkpoint)
    state = checkpoint.load(CPU)
    assert state is not None

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            return list(value.shape)
        if isinstance(value, dict):
            return {str(key): plain(one) for key, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, list | tuple) else value

    json.dumps(plain(state))
    assert state["step"] == 1
