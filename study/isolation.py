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

ROUNDS = 4
"""How often a pack is searched: a second fault may show once the first is out of the way."""


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


@dataclass(frozen=True)
class Progress:
    """A message from a running pack: it has come to this step."""

    pack: str
    step: int


@dataclass(frozen=True)
class Done:
    """A message that a pack is committed, with the status of each cell."""

    pack: str
    statuses: dict[str, str]


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


def course(pack: Pack) -> Generator[Job, Outcome, Done | Lost]:
    """Yield the runs that a pack needs, each when the outcome of the one before is sent.

    Returns:
        `Done`, or `Lost` if the pack fails as a whole, which no cell is to blame for.
    """
    excluded: dict[int, str] = {}
    outcome = yield Job(pack)
    for _ in range(ROUNDS):
        if not isinstance(outcome, Lost) or outcome.user_error or len(pack.cells) == 1:
            break
        found = yield from _culprits(pack, excluded, outcome)
        if found is None:
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
    left = 4 * math.ceil(math.log2(len(everyone) + 1)) + 8

    def trial(chosen: list[int]) -> Generator[Job, Outcome, Lost | None]:
        nonlocal left
        left -= 1
        others = {place: "on trial" for place in everyone if place not in chosen}
        outcome = yield Job(pack, {**excluded, **others}, lost.step)
        return outcome if isinstance(outcome, Lost) else None

    if (yield from trial([])) is not None:
        return None
    # a process can be ended from outside, an exception comes from within
    again = lost if not lost.died else (yield from trial(everyone))
    if again is None:
        return {}
    if len(everyone) > 2:
        # where it is in what all have in common, halving would go on to the last of them
        alone = []
        for place in (everyone[0], everyone[len(everyone) // 2], everyone[-1]):
            alone.append((yield from trial([place])))
        if len({None if one is None else one.reason for one in alone} | {again.reason}) == 1:
            return None
    found: dict[int, str] = {}
    guilty = [(everyone, again.reason)]
    while guilty:
        group, reason = guilty.pop()
        if len(group) == 1:
            found[group[0]] = reason
        elif left <= 0:
            told = f"{reason} (one or more of {len(group)} networks did this, not told apart)"
            found |= dict.fromkeys(group, told)
        else:
            halves = [group[: len(group) // 2], group[len(group) // 2 :]]
            failed = []
            for half in halves:
                # the second must have done it if the first has not; alone it says what it did
                outcome = yield from trial(half)
                if outcome is not None:
                    failed.append((half, outcome.reason))
            if not failed:  # only together: all of them are kept apart from the rest
                found |= dict.fromkeys(group, f"{reason} (only beside other networks of its pack)")
            guilty += failed
    return found
