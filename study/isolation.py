"""What becomes of a pack whose program fails: which of its networks did it, and the others' records.

A cell that raises, takes all memory or ends its process would take its neighbours with it. The pack is
then run on trial with some of its cells left out, which keep their place so that nothing changes for the
others, until the cells are found without which it runs. It is run once more without these, which are
recorded as failed, each with what it did when it was run alone.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from study.packing import Pack

DEATHS = 4
"""How often a pack may die of what none of its cells did, such as the system's want of memory."""

SEARCHES = 16
"""How often a pack is searched: another fault may show only once the first is out of the way."""


@dataclass(frozen=True)
class Job:
    """One run of a pack.

    Attributes:
        pack: the cells.
        excluded: cells that are left out, by position in the pack, with the reason.
        trial: None to train and commit; on trial nothing is committed, and once a probe step beyond this
            one is reached the run has survived.
    """

    pack: Pack
    excluded: Mapping[int, str] = field(default_factory=dict)
    trial: int | None = None

    @property
    def run(self) -> int:
        """How many of the cells are not left out."""
        return len(self.pack.cells) - len(self.excluded)


@dataclass(frozen=True)
class Progress:
    """A message from a running pack: it has come to this step."""

    pack: str
    step: int


@dataclass(frozen=True)
class Done:
    """A message that a pack is committed.

    Attributes:
        pack: its id.
        statuses: of each cell.
        here: whether it was trained by this program; else it was found committed.
    """

    pack: str
    statuses: dict[str, str]
    here: bool = True


@dataclass(frozen=True)
class Survived:
    """A message that a trial has come through."""

    pack: str


@dataclass(frozen=True)
class Busy:
    """A message that another process has the pack now."""

    pack: str


@dataclass(frozen=True)
class Lost:
    """A message that a pack left nothing behind.

    Attributes:
        pack: its id.
        reason: why.
        user_error: whether the user has to mend it before anything can run.
        step: the last probe step that was reached; −1 if none was.
        died: whether its process ended without a word.
    """

    pack: str
    reason: str
    user_error: bool = False
    step: int = -1
    died: bool = False


Outcome = Done | Survived | Lost
Message = Progress | Busy | Outcome


class _MendFirst(Exception):  # noqa: N818 - it is the user's error, of another kind
    """Raised in a search where a run has ended by what the user has to mend."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(lost.reason)
        self.lost = lost


def course(pack: Pack) -> Generator[Job, Outcome, Done | Lost]:
    """Yield the runs that a pack needs, each when the outcome of the one before is sent.

    Returns:
        `Done`, or `Lost` if the pack fails as a whole, which no cell is to blame for.
    """
    excluded: dict[int, str] = {}
    deaths = 0
    outcome = yield Job(pack)
    for _ in range(SEARCHES):
        if not isinstance(outcome, Lost) or outcome.user_error:
            break
        if len(pack.cells) == 1:
            # nobody has to be found, only a death from outside to be told from one from within
            if outcome.died:
                outcome = yield Job(pack)
            break
        try:
            found = yield from _culprits(pack, excluded, outcome)
        except _MendFirst as stop:
            return stop.lost
        deaths += not found
        if found is None or deaths == DEATHS:
            break
        excluded |= found
        outcome = yield Job(pack, excluded)
    assert not isinstance(outcome, Survived)
    return outcome


def _culprits(
    pack: Pack, excluded: Mapping[int, str], lost: Lost
) -> Generator[Job, Outcome, dict[int, str] | None]:
    """Find the cells that made a pack fail by halving it.

    Returns:
        Each with its reason; none if it comes through with all of them now, None if it fails without any of
        them, or with any of them.
    """
    everyone = [place for place in range(len(pack.cells)) if place not in excluded]
    left = 8 * math.ceil(math.log2(len(everyone) + 1)) + 8

    def trial(chosen: list[int]) -> Generator[Job, Outcome, Lost | None]:
        nonlocal left
        left -= 1
        others = {place: "on trial" for place in everyone if place not in chosen}
        outcome = yield Job(pack, {**excluded, **others}, lost.step)
        if not isinstance(outcome, Lost):
            return None
        if outcome.user_error:
            raise _MendFirst(outcome)
        return outcome

    def second(chosen: list[int], first: Lost | None) -> Generator[Job, Outcome, Lost | None]:
        """Try once more what has died: that may come from outside, an exception comes from within."""
        return (yield from trial(chosen)) if first is not None and first.died else first

    if not everyone:
        return None
    if (yield from second([], (yield from trial([])))) is not None:
        return None
    again = yield from second(everyone, lost)
    if again is None:
        return {}
    if len(everyone) > 2:
        # where it is in what all have in common, halving would go on to the last of them
        alone = set()
        for place in (everyone[0], everyone[len(everyone) // 2], everyone[-1]):
            outcome = yield from trial([place])
            alone.add(None if outcome is None else outcome.reason)
        if len(alone) == 1 and None not in alone:
            return None
    found: dict[int, str] = {}
    guilty = [(everyone, again)]
    while guilty:
        group, told = guilty.pop()
        if len(group) == 1:
            if (sure := (yield from second(group, told))) is not None:
                found[group[0]] = sure.reason
        elif left <= 0:
            many = f"{told.reason} (one or more of {len(group)} networks did this, not told apart)"
            found |= dict.fromkeys(group, many)
        else:
            failed = []
            # the second must have done it if the first has not; alone it says what it did
            for half in (group[: len(group) // 2], group[len(group) // 2 :]):
                outcome = yield from trial(half)
                if outcome is not None:
                    failed.append((half, outcome))
            if not failed and (sure := (yield from second(group, told))) is not None:
                # only together: all of them are kept apart from the rest
                why = f"{sure.reason} (only beside other networks of its pack)"
                found |= dict.fromkeys(group, why)
            guilty += failed
    return found
