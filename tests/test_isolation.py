"""Who in a pack is to blame: the search for networks that take their neighbours with them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import assume, example, given
from hypothesis import strategies as st
from small import cells

from study.isolation import DEATHS, SEARCHES, Done, Job, Lost, Outcome, Survived, course
from study.packing import Pack

LAST = 100
"""The last probe step of the modelled pack."""


@dataclass(frozen=True)
class Fault:
    """What some networks of a pack do if all of them run: at a step, as an exception or as a death."""

    who: frozenset[int]
    step: int
    died: bool

    def reason(self, run: frozenset[int]) -> str:
        return f"{sorted(self.who)} at {self.step}" + " alone" * (run == self.who)


@dataclass
class Model:
    """Packs that run as real ones do: until their first fault, or past the step up to which they are tried.

    Attributes:
        size: how many networks.
        faults: what they do.
        kills: runs, by number from 0, that are killed from outside at once.
        runs: what was run.
    """

    size: int
    faults: Sequence[Fault] = ()
    kills: frozenset[int] = frozenset()
    runs: list[Job] = field(default_factory=list)

    def outcome(self, job: Job) -> Outcome:
        self.runs.append(job)
        if len(self.runs) - 1 in self.kills:
            return Lost(job.pack.id, "killed", died=True)
        run = frozenset(range(self.size)) - set(job.excluded)
        shown = [one for one in self.faults if one.who <= run]
        if shown:
            first = min(shown, key=lambda one: (one.step, sorted(one.who)))
            if job.trial is None or first.step - 1 <= job.trial:
                return Lost(job.pack.id, first.reason(run), step=first.step - 1, died=first.died)
        if job.trial is not None:
            return Survived(job.pack.id)
        return Done(
            job.pack.id, {str(n): "failed" if n in job.excluded else "ok" for n in range(self.size)}
        )

    def run(self) -> Done | Lost:
        runs = course(self.pack)
        job = next(runs)
        try:
            while True:
                job = runs.send(self.outcome(job))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    @property
    def pack(self) -> Pack:
        return PACKS[self.size]

    @property
    def blamed(self) -> Mapping[int, str]:
        """Those that the last run left out."""
        return self.runs[-1].excluded

    def kept(self) -> set[int]:
        return set(range(self.size)) - set(self.blamed)


PACKS = {size: Pack.of(cells(seeds=size)) for size in (*range(1, 41), 128)}


def bound(size: int) -> int:
    """Return how many trials one search of a pack may take."""
    # what is begun is finished, with a second look at what died
    return 8 * math.ceil(math.log2(size + 1)) + 8 + 2 * 8


faults = st.builds(
    Fault,
    st.frozensets(st.integers(0, 39), min_size=1, max_size=1),
    st.integers(0, LAST),
    st.booleans(),
)


@given(st.integers(4, 40), st.lists(faults, max_size=3, unique_by=lambda one: one.who))
@example(40, [Fault(frozenset({0}), 3, True), Fault(frozenset({39}), 3, False)])
def test_every_culprit_is_found_and_nobody_else(size: int, made: list[Fault]) -> None:
    made = [one for one in made if one.who <= set(range(size))]
    everyone = {0, size // 2, size - 1}
    assume(not everyone <= {place for one in made for place in one.who})
    model = Model(size, made)
    outcome = model.run()
    assert isinstance(outcome, Done)
    guilty = {place for one in made for place in one.who}
    assert {int(n) for n, status in outcome.statuses.items() if status == "failed"} == guilty
    assert set(model.blamed) == guilty
    for one in made:
        [place] = one.who
        assert model.blamed[place] == one.reason(one.who)
    # a later fault is looked for once the earlier ones are out of the way
    searches = len({one.step for one in made})
    assert len(model.runs) <= 1 + searches * (1 + bound(size))


@given(
    st.integers(1, 40),
    st.lists(
        st.builds(
            Fault,
            st.frozensets(st.integers(0, 39), min_size=1, max_size=5),
            st.integers(0, LAST),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.frozensets(st.integers(0, 60), max_size=6),
)
def test_whatever_happens_the_search_ends_and_what_is_kept_has_run_whole(
    size: int, made: list[Fault], kills: frozenset[int]
) -> None:
    model = Model(size, made, kills)
    outcome = model.run()
    # not more than this, however many are at fault and however they come to light
    assert len(model.runs) <= 1 + SEARCHES * (1 + bound(size))
    assert model.runs[-1].trial is None or isinstance(outcome, Lost)
    if isinstance(outcome, Done):
        assert not any(one.who <= model.kept() for one in made)
    else:
        assert outcome.reason
        assert not outcome.user_error
    # whoever is left out once stays left out, and trials are never committed
    whole = [set(job.excluded) for job in model.runs if job.trial is None]
    assert all(before <= after for before, after in itertools.pairwise(whole))


@given(st.integers(2, 40), st.integers(0, 60))
def test_a_kill_from_outside_blames_nobody(size: int, moment: int) -> None:
    model = Model(size, kills=frozenset({0, moment}))
    assert isinstance(model.run(), Done)
    assert not model.blamed


@given(st.integers(4, 40), st.integers(0, 39), st.booleans(), st.integers(1, 60))
def test_a_kill_from_outside_in_the_search_for_a_culprit_blames_nobody_else(
    size: int, place: int, died: bool, moment: int
) -> None:
    assume(place < size)
    model = Model(size, [Fault(frozenset({place}), 7, died)], frozenset({moment}))
    assert isinstance(model.run(), Done)
    assert set(model.blamed) == {place}
    # the kill may come when the culprit runs alone, and then it is the last that was heard of it
    assert model.blamed[place] in (f"[{place}] at 7 alone", "killed")


def test_a_pack_that_is_killed_again_and_again_is_lost_and_nobody_is_blamed() -> None:
    class Doomed(Model):
        def outcome(self, job: Job) -> Outcome:
            self.runs.append(job)
            if job.trial is None:
                return Lost(job.pack.id, "killed", died=True)
            return Survived(job.pack.id)

    model = Doomed(8)
    assert model.run() == Lost(model.pack.id, "killed", died=True)
    assert sum(job.trial is None for job in model.runs) == DEATHS
    assert not any(job.excluded for job in model.runs if job.trial is None)


def test_what_all_have_in_common_is_found_without_taking_them_apart() -> None:
    class Alike(Model):
        def outcome(self, job: Job) -> Outcome:
            self.runs.append(job)
            if self.size > len(job.excluded):
                return Lost(job.pack.id, "the same", step=3)
            return Survived(job.pack.id)

    model = Alike(128)
    assert model.run() == Lost(model.pack.id, "the same", step=3)
    assert len(model.runs) == 5


def test_what_is_in_no_cell_is_nobody_s_fault() -> None:
    model = Model(8, [Fault(frozenset(), 2, False)])
    outcome = model.run()
    assert isinstance(outcome, Lost)
    assert [job.trial for job in model.runs] == [None, 1]


def test_those_that_fail_only_together_are_kept_apart_from_the_rest() -> None:
    model = Model(16, [Fault(frozenset({2, 13}), 5, True)])
    assert isinstance(model.run(), Done)
    assert {2, 13} <= set(model.blamed)
    assert all("only beside other networks" in why for why in model.blamed.values())
    beside = Model(16, [Fault(frozenset({2, 3}), 5, True)])
    assert isinstance(beside.run(), Done)
    assert set(beside.blamed) == {2, 3}


def test_faults_that_come_to_light_one_after_another_are_all_found() -> None:
    for number in (5, SEARCHES - 1):
        model = Model(40, [Fault(frozenset({2 * n}), n, False) for n in range(number)])
        assert isinstance(model.run(), Done)
        assert set(model.blamed) == {2 * n for n in range(number)}


def test_more_culprits_than_the_search_may_take_apart_are_told_in_groups() -> None:
    model = Model(128, [Fault(frozenset({n}), 0, False) for n in range(1, 128, 2)])
    outcome = model.run()
    assert isinstance(outcome, Done)
    assert {n for n in range(128) if n % 2} <= set(model.blamed)
    assert any("not told apart" in why for why in model.blamed.values())
    assert len(model.runs) <= 2 + bound(128)


def test_what_the_user_has_to_mend_is_never_a_network_s_fault() -> None:
    class Full(Model):
        def outcome(self, job: Job) -> Outcome:
            if len(self.runs) == self.full:
                return Lost(job.pack.id, "the disk is full", user_error=True)
            return super().outcome(job)

        full = 0

    for full in range(12):
        model = Full(16, [Fault(frozenset({5}), 3, False)])
        model.full = full
        outcome = model.run()
        if isinstance(outcome, Lost):
            assert outcome == Lost(model.pack.id, "the disk is full", user_error=True)
        else:
            assert set(model.blamed) == {5}
            assert len(model.runs) <= full


def test_a_network_alone_that_dies_is_run_once_more() -> None:
    assert isinstance(Model(1, kills=frozenset({0})).run(), Done)
    model = Model(1, [Fault(frozenset({0}), 3, True)])
    assert model.run() == Lost(model.pack.id, "[0] at 3 alone", step=2, died=True)
    assert len(model.runs) == 2
    raising = Model(1, [Fault(frozenset({0}), 3, False)])
    assert isinstance(raising.run(), Lost)
    assert len(raising.runs) == 1
