"""One network a Hydra job, as a user writes it: a structured config, and the careful loop as the task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig

from benchmarks.peers import careful
from study.cell import Cell, cells_of
from study.settings import canonical_condition


@dataclass
class Job:
    """Settings of one network; anything may be swept."""

    depth: int = 8
    width: int = 64
    activation: str = "relu"
    init: str = "he_normal"
    data: str = "mnist1d"
    lr: float = 0.1
    steps: int = 500
    batch_size: int = 128
    seed: int = 0
    device: str = "cpu"


ConfigStore.instance().store(name="job", node=Job)


def cell_of(job: Job) -> Cell:
    """Return the network of a job."""
    settings: dict[str, Any] = {
        name: getattr(job, name) for name in ("depth", "width", "steps", "batch_size", "seed")
    }
    for group in ("activation", "init", "data"):
        settings[group] = {"name": getattr(job, group)}
    settings |= {"seeds": 1, "optim": {"name": "sgd", "lr": job.lr}}
    (cell,) = cells_of([canonical_condition(settings)])
    return cell


def task(job: Job) -> None:
    """Train and measure one network and save every number in the job's folder."""
    # a process a core, so a thread a process: what is gained by more threads is lost between processes
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.set_default_device(job.device)
    measured = careful.train_one(cell_of(job))
    np.savez(Path(HydraConfig.get().runtime.output_dir) / "measured.npz", **vars(measured))
