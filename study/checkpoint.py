"""A pack's training in the midst of it, on disk, so that a kill costs minutes.

What was kept is used only if every byte of it is what was written, for the same pack, by the same program
under the same arithmetic: then the pack that goes on gives bit for bit what it would have given. Anything
else is as if there were nothing.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import platform
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import default_restore_location

from study import NUMERICS_VERSION, files

State = dict[str, Any]
"""Tensors and plain numbers, in dictionaries, lists and tuples."""

PLAIN = (type(None), bool, int, float, str)

DIGEST = 32
"""Bytes of the SHA-256 that a checkpoint begins with."""


class Checkpoint:
    """The place where one pack keeps where it has come to.

    Args:
        path: the file.
        staging: a folder of the same file system, where it is written first.
        key: what must agree for it to be used, see `key_of`.
        every_s: seconds between two of them, and before the first; 0: whenever it can be.
    """

    def __init__(self, path: Path, staging: Path, key: str, every_s: float) -> None:
        self.path, self.staging, self.key, self.every_s = path, staging, key, every_s
        self._since = time.monotonic()

    def due(self) -> bool:
        """Return whether it is time for another."""
        return time.monotonic() - self._since >= self.every_s

    def save(self, state: State) -> None:
        """Keep a state instead of the one before.

        Raises:
            OSError: it cannot be written; the one before is still there.
        """
        payload = io.BytesIO()
        torch.save(state, payload)
        content = payload.getvalue()
        files.replace(self.path, self._digest(content) + content, self.staging)
        self._since = time.monotonic()

    def load(self, device: torch.device) -> State | None:
        """Return what was kept, or None where there is none that can be used, for whatever reason.

        Args:
            device: where to put what was not on the CPU.
        """
        with suppress(OSError, MemoryError):
            content = memoryview(files.read(self.path))
            digest, payload = content[:DIGEST], content[DIGEST:]
            if digest == self._digest(payload):
                return _unpacked(payload, device)
        return None

    def remove(self) -> None:
        """Forget what was kept.

        Raises:
            OSError: it is there and stays.
        """
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def _digest(self, payload: bytes | memoryview) -> bytes:
        found = hashlib.sha256(hashlib.sha256(self.key.encode()).digest())
        found.update(payload)
        return found.digest()


def _unpacked(payload: memoryview, device: torch.device) -> State | None:
    def place(storage: Any, location: str) -> Any:
        # what an optimizer keeps on the CPU, such as its count of steps, stays there
        return storage if location == "cpu" else default_restore_location(storage, str(device))

    try:
        state = torch.load(io.BytesIO(payload), map_location=place, weights_only=True)
    except Exception:  # what PyTorch raises depends on what it finds
        return None
    return state if isinstance(state, dict) else None


def key_of(pack: str, data: str, device: torch.device, excluded: Iterable[int] = ()) -> str:
    """Return what must agree for a checkpoint to be used, as a digest.

    Args:
        pack: the pack's id, which stands for its cells.
        data: the digest of its data.
        device: where it runs: its kind and model count, not which one it is.
        excluded: positions of cells that are not run.
    """
    parts: dict[str, Any] = {
        "pack": pack,
        "data": data,
        "excluded": sorted(excluded),
        "numerics": NUMERICS_VERSION,
        "program": _program(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": device.type,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": _processor(),
    }
    if device.type == "cuda":
        parts["gpu"] = [
            torch.cuda.get_device_name(device),
            torch.cuda.get_device_capability(device),
            torch.version.cuda,
        ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@functools.cache
def _program() -> str:
    """Return the digest of this program's code: another may keep, or compute, something else."""
    folder = Path(__file__).parent
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()


@functools.cache
def _processor() -> str:
    """Return the processor's model: libraries of linear algebra choose their kernels by it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def optimizer_state(optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor]) -> State | None:
    """Return everything that an optimizer carries from one step to the next.

    PyTorch's own ``load_state_dict`` rounds what is kept to the parameters' number format, and leaves out
    what an optimizer of the user's own keeps as attributes, or draws: PyTorch's random numbers are kept for
    such a one.

    Args:
        optimizer: the optimizer; what it keeps outside of itself is not seen.
        parameters: those of the networks.

    Returns:
        None where something is no tensor or plain value, or is one of the networks' own tensors: such an
        optimizer cannot be put together again.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        return None
    owned = {_memory(one) for p in parameters for one in (p, p.grad) if one is not None}
    groups, slots = [], []
    for group in optimizer.param_groups:
        groups.append({key: value for key, value in group.items() if key != "params"})
        slots.append([dict(optimizer.state.get(one, {})) for one in group["params"]])
        if any(_memory(one) not in owned for one in group["params"]):
            return None
    every = [one for group in optimizer.param_groups for one in group["params"]]
    known = {id(one) for one in every}
    if any(id(one) not in known for one in optimizer.state):
        return None
    attributes = {k: v for k, v in vars(optimizer).items() if k not in ("state", "param_groups")}
    state: State = {"groups": groups, "slots": slots, "attributes": attributes}
    if not type(optimizer).__module__.startswith(("torch.optim.", "study.")):
        state["random"] = [torch.get_rng_state()]
        if every[0].is_cuda:
            state["random"].append(torch.cuda.get_rng_state(every[0].device))
    return state if _keepable(state, owned) else None


def restore_optimizer(optimizer: torch.optim.Optimizer, state: State) -> None:
    """Give an optimizer, new from the same function, what `optimizer_state` returned of another."""
    for group, values, slots in zip(
        optimizer.param_groups, state["groups"], state["slots"], strict=True
    ):
        group.update(values)
        for parameter, slot in zip(group["params"], slots, strict=True):
            optimizer.state.pop(parameter, None)
            if slot:
                optimizer.state[parameter] = slot
    for name, value in state["attributes"].items():
        setattr(optimizer, name, value)
    for numbers, set_state in zip(
        state.get("random", []), (torch.set_rng_state, torch.cuda.set_rng_state), strict=False
    ):
        set_state(numbers)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _keepable(value: Any, owned: set[int]) -> bool:
    """Return whether a value comes back from a file as it was and is no part of the networks."""
    if type(value) is Tensor:
        return not value.requires_grad and _memory(value) not in owned
    if type(value) in (dict, OrderedDict):
        return all(type(key) in PLAIN and _keepable(one, owned) for key, one in value.items())
    if type(value) in (list, tuple):
        return all(_keepable(one, owned) for one in value)
    return type(value) in PLAIN
