"""Hydra's basic sweeper (all combinations) without its second composition and without its files."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.errors import HydraException

from hydra_plugins.packed_sweeper.axes import check_count

# No `from __future__ import annotations`: dataclasses look up what a string means in sys.modules,
# and Hydra runs this file before it is there.


@dataclass
class PackedSweeperConf:
    """Settings under ``hydra.sweeper``, those of the basic sweeper.

    Attributes:
        max_batch_size: largest number of jobs given to the launcher at once; None = all.
        params: the sweep's axes, as on the command line, which wins over them.
    """

    _target_: str = "hydra_plugins.packed_sweeper.packed_sweeper.PackedSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="packed", node=PackedSweeperConf, provider="packed_sweeper"
)


class PackedSweeper(BasicSweeper):
    """Gives the launcher every combination of the axes.

    The basic sweeper composes each job only to see whether that works, which doubles the time, and
    writes ``multirun.yaml`` before it looks. The packed launcher composes all jobs before it runs
    the first, so that work is left to it; under another launcher the jobs are composed here too.
    """

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run every job; the results come batch by batch.

        Raises:
            HydraException: an axis has no values, there are too many jobs, or the batch size is below 1.
        """
        assert self.hydra_context is not None
        assert self.launcher is not None
        if self.max_batch_size is not None and self.max_batch_size < 1:
            raise HydraException(
                f"hydra.sweeper.max_batch_size must be at least 1, got {self.max_batch_size}"
            )
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        axes = parser.parse_overrides([*self._parse_config(), *arguments])
        check_count(axes)
        self.overrides = self.split_arguments(axes, self.max_batch_size)
        if not any(self.overrides):
            raise HydraException(f"'{_empty_axis(axes)}' has no values to sweep over")
        returns: list[Sequence[JobReturn]] = []
        started = 0
        while not self.is_done():
            batch = self.get_job_batch()
            returns.append(self._launch(batch, started))
            started += len(batch)
        note = getattr(getattr(self.launcher, "task_function", None), "returned", None)
        if note is not None and not getattr(self.launcher, "composes_first", False):
            note([result.return_value for batch in returns for result in batch])
        return returns

    def _launch(self, batch: Sequence[Sequence[str]], started: int) -> Sequence[JobReturn]:
        assert self.launcher is not None
        if not getattr(self.launcher, "composes_first", False):
            self.validate_batch_is_legal(batch)
        results = self.launcher.launch(batch, initial_job_idx=started)
        for result in results:
            _ = result.return_value  # raises the job's own error, if it had one
        return results


def _empty_axis(axes: Sequence[Override]) -> str | None:
    """Return the first axis without values, as it was written."""
    for axis in axes:
        if axis.is_sweep_override() and not list(axis.sweep_string_iterator()):
            return axis.input_line
    return None
