"""Tests, corrections, verdicts and the number of seeds that would settle a question."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.ledger.decision import for_every, for_some, holm, opposite, together
from analysis.ledger.outcomes import (
    LEVEL,
    POWER,
    Outcome,
    above,
    above_ranked,
    all_zero,
    below,
    below_ranked,
    both,
    exactly,
    median_above,
    more_often,
    outside,
    pseudo_values,
    ratio_above,
    seeds_needed,
    settled,
    share_above,
    within,
    within_ranked,
)

samples = st.lists(st.floats(-100, 100).map(lambda one: round(one, 3)), min_size=2, max_size=30)


@given(samples, st.floats(-100, 100))
@settings(deadline=None)
def test_above_and_below_are_mirrors_and_never_both(values: list[float], margin: float) -> None:
    up, down = above("", values, margin), below("", values, margin)
    mirrored = below("", [-one for one in values], -margin)
    assert (up.p_for, up.p_against) == (mirrored.p_for, mirrored.p_against)
    assert up.p_for == down.p_against
    assert not (up.p_for <= LEVEL and up.p_against <= LEVEL)
    assert (up.low, up.high, up.estimate) == (down.low, down.high, down.estimate)


def test_a_test_is_students() -> None:
    values = np.array([0.3, 0.1, 0.5, 0.2, 0.4])
    found = above("x", values, 0.1)
    assert found.p_for == stats.ttest_1samp(values, 0.1, alternative="greater").pvalue
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    wide = above("x", values, 0.1, against=0.0)
    assert wide.p_against == stats.ttest_1samp(values, 0.0, alternative="less").pvalue
    assert wide.margins == (0.0, 0.1)


def test_no_difference_is_two_one_sided_tests_and_few_seeds_prove_nothing() -> None:
    near = np.array([0.1, -0.2, 0.15, -0.1, 0.05, 0.0, -0.05, 0.1, -0.1, 0.05])
    assert within("", near, -1, 1).verdict == "supported"
    assert within("", near, -0.05, 0.05).verdict == "inconclusive"
    assert within("", near + 5, -1, 1).verdict == "refuted"
    assert within("", [0.5, -0.5], -1, 1).verdict == "inconclusive"
    expected = max(
        stats.ttest_1samp(near, -1, alternative="greater").pvalue,
        stats.ttest_1samp(near, 1, alternative="less").pvalue,
    )
    assert within("", near, -1, 1).p_for == expected


def test_equal_numbers_are_beyond_doubt_and_one_number_is_not() -> None:
    assert above("", [2.0] * 5, 1.0).verdict == "supported"
    assert above("", [1.0] * 5, 2.0).verdict == "refuted"
    assert above("", [5.0], 1.0).verdict == "inconclusive"
    with pytest.raises(ValueError, match="not finite"):
        above("x", [1.0, math.nan], 0.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_ordered_never_smaller_and_at_most_bonferroni(values: list[float]) -> None:
    found = holm(values)
    for one, corrected in zip(values, found, strict=True):
        assert one <= corrected <= min(1.0, len(values) * one) or corrected == pytest.approx(
            max(found)
        )
    order = np.argsort(values, kind="stable")
    assert list(np.array(found)[order]) == sorted(found)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_exact_claims_hold_everywhere_or_not() -> None:
    assert exactly("", [True] * 3).verdict == "supported"
    assert exactly("", [True, False]).verdict == "refuted"
    assert exactly("", []).verdict == "inconclusive"


def test_the_sign_test_counts_no_pair_in_which_neither_is_ahead() -> None:
    assert more_often("", [1] * 8 + [0, 0]).p_for == pytest.approx(0.5**8)
    assert more_often("", [-1] * 8).verdict == "refuted"
    assert more_often("", [0, 0, 0]).verdict == "inconclusive"
    assert more_often("", [math.inf, math.inf, -math.inf]).estimate == pytest.approx(2 / 3)


def test_a_share_is_tested_by_the_exact_binomial() -> None:
    found = share_above("", [True] * 9 + [False], 0.5)
    assert found.p_for == stats.binomtest(9, 10, 0.5, alternative="greater").pvalue
    assert found.estimate == 0.9


def test_outside_is_within_turned_round() -> None:
    far = np.array([0.4, 0.6, 0.5, 0.45, 0.55])
    for values in (far, -far):
        assert outside("", values, -0.1, 0.1).verdict == "supported"
        assert within("", values, -0.1, 0.1).verdict == "refuted"
    assert outside("", far - 0.5, -0.5, 0.5).verdict == "refuted"


def test_what_is_not_finite_is_ranked_and_nan_is_on_no_side() -> None:
    values = np.arange(1.0, 11.0)
    assert above_ranked("", values, 0.5) == above("", values, 0.5)
    assert below_ranked("", values, 0.5) == below("", values, 0.5)
    assert within_ranked("", values, 0.5, 11) == within("", values, 0.5, 11)
    up = above_ranked("", [*values[:-1], math.inf], 0.5)
    assert up.p_for == pytest.approx(0.5**10)
    assert (up.estimate, up.low, up.high) == (5.5, 2.0, 9.0)
    assert below_ranked("", [*values[:-1], math.inf], 0.5).verdict == "refuted"
    lost = [-math.inf] * 6 + [-3.0] * 4
    down = below_ranked("", lost, -1)
    assert (down.verdict, down.estimate, down.margins) == ("supported", -math.inf, (-1,))
    assert within_ranked("", lost, -1, 1).verdict == "refuted"
    assert within_ranked("", [0.0] * 9 + [math.inf], -1, 1).verdict == "supported"
    unknown = above_ranked("", [math.nan] * 10, 0)
    assert (unknown.verdict, unknown.distance) == ("inconclusive", 0.0)
    assert above_ranked("", [1.0] * 8 + [math.nan] * 2, 0).p_for == pytest.approx(0.5**8)
    assert above_ranked("", [1.0, math.inf], 0).low == -math.inf


@given(st.integers(6, 40))
def test_the_interval_of_a_median_covers_what_it_says(count: int) -> None:
    found = above_ranked("", [*map(float, range(count - 1)), math.inf], 0.0)
    cut = int(found.low)
    if math.isfinite(found.low):
        # outside when at most `cut` numbers are on one side of the median
        assert 1 - 2 * stats.binom.cdf(cut, count, 0.5) >= 0.95
        assert 1 - 2 * stats.binom.cdf(cut + 1, count, 0.5) < 0.95


def test_a_median_is_tested_by_sign_and_its_interval_agrees_with_the_test() -> None:
    times = [0.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, math.inf, math.inf]
    found = median_above("", times, 1.0)
    assert found.p_for == pytest.approx(11 / 1024)
    # P(B ≤ 1) = 11 / 1024 is the largest below 2.5 %: the second and the last but one
    assert (found.estimate, found.low, found.high) == (5.5, 2.0, math.inf)
    assert median_above("", times, 2.0).seeds == 10
    assert median_above("", [0.5] * 10, 1.0).verdict == "refuted"
    assert median_above("", [math.nan] * 10, 1.0).verdict == "inconclusive"
    assert median_above("", [*[2.0] * 5, *[math.nan] * 5], 1.0).p_for == pytest.approx(0.5**5)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=40), st.floats(-9, 9))
@settings(deadline=None)
def test_a_median_beyond_doubt_has_its_interval_beyond_the_margin(
    values: list[float], margin: float
) -> None:
    found = median_above("", values, margin)
    if found.low > margin:
        assert found.p_for <= LEVEL / 2
    if found.high < margin:
        assert found.p_against <= LEVEL / 2


def test_ratios_are_tested_on_logarithms_and_told_as_ratios() -> None:
    ratios = np.array([5.0, 6.0, 7.0, 6.5, 5.5])
    found = ratio_above("", ratios, 4.0, 2.0)
    logs = above("", np.log(ratios), math.log(4.0))
    assert found.p_for == logs.p_for
    assert found.estimate == pytest.approx(stats.gmean(ratios))
    assert (found.low, found.high) == pytest.approx((math.exp(logs.low), math.exp(logs.high)))
    assert found.margins == pytest.approx((2.0, 4.0))
    assert ratio_above("", 1 / ratios, 4.0, 2.0).verdict == "refuted"
    assert ratio_above("", [3.0, 2.9, 3.1], 4.0, 2.0).verdict == "inconclusive"
    assert ratio_above("", [3.0], 4.0).high == math.inf
    with pytest.raises(ValueError, match="not finite"):
        ratio_above("", [0.0, 1.0], 1.0)


def test_zero_is_zero_and_nan_is_neither() -> None:
    assert all_zero("", [0.0, 0.0]).verdict == "supported"
    assert all_zero("", [0.0, 1e-300, math.nan]).verdict == "refuted"
    assert all_zero("", [0.0, math.nan]).verdict == "inconclusive"
    assert all_zero("", []).verdict == "inconclusive"
    assert all_zero("", [0.0, 3.0, 1.0]).estimate == 3.0


def test_the_contrary_of_some_is_none() -> None:
    verdict = for_some([one("supported", "a"), one("refuted", "b")])
    contrary = opposite(verdict)
    assert (contrary.word, contrary.supported, contrary.refuted) == ("refuted", ("b",), ("a",))
    assert opposite(contrary) == verdict
    assert opposite(for_some([one("inconclusive")])).word == "inconclusive"


def one(word: str, label: str = "") -> Outcome:
    p_for, p_against = {"supported": (1e-4, 1), "refuted": (1, 1e-4), "inconclusive": (0.4, 0.4)}[
        word
    ]
    return Outcome(label or word, 0.0, -1.0, 1.0, 10, p_for, p_against, 0.5)


@pytest.mark.parametrize(
    ("words", "every", "some"),
    [
        (["supported", "supported"], "supported", "supported"),
        (["supported", "inconclusive"], "inconclusive", "supported"),
        (["supported", "refuted"], "conditional", "supported"),
        (["refuted", "inconclusive"], "refuted", "inconclusive"),
        (["refuted", "refuted"], "refuted", "refuted"),
        (["inconclusive", "inconclusive"], "inconclusive", "inconclusive"),
    ],
)
def test_what_tests_come_to(words: list[str], every: str, some: str) -> None:
    tests = [one(word, f"{word} {place}") for place, word in enumerate(words)]
    assert for_every(tests).word == every
    assert for_some(tests).word == some
    verdict = for_every(tests)
    told = {*verdict.supported, *verdict.refuted, *verdict.open}
    assert told <= {test.label for test in tests}


def test_a_conditional_verdict_is_as_sure_as_its_weaker_side() -> None:
    holds, fails = Outcome("a", 0, -1, 1, 10, 0.01, 1.0), Outcome("b", 0, -1, 1, 10, 1.0, 1e-6)
    verdict = for_every([holds, fails])
    assert verdict.word == "conditional"
    assert verdict.p == pytest.approx(2 * 0.01)
    turned = for_every([replace(holds, p_for=1e-6), replace(fails, p_against=0.01)])
    assert turned.p == pytest.approx(2 * 0.01)


def test_one_counterexample_of_many_must_survive_holm() -> None:
    weak = Outcome("weak", 0, -1, 1, 10, 0.9, 0.03)
    assert for_every([weak]).word == "refuted"
    assert for_every([weak, *[one("inconclusive")] * 9]).word == "inconclusive"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["supported"], "supported"),
        (["supported", "refuted"], "conditional"),
        (["supported", "inconclusive"], "inconclusive"),
        (["refuted", "inconclusive"], "inconclusive"),
        (["supported", "conditional"], "conditional"),
        (["refuted", "refuted"], "refuted"),
    ],
)
def test_parts_together(words: list[str], expected: str) -> None:
    verdicts = []
    for word in words:
        if word == "conditional":
            verdicts.append(for_every([one("supported", "a"), one("refuted", "b")]))
        else:
            verdicts.append(for_every([one(word)]))
    assert together(verdicts) == expected


@pytest.mark.parametrize(
    ("effect", "level"), [(0.3, LEVEL), (0.7, LEVEL), (1.5, LEVEL), (0.7, 0.01)]
)
def test_the_seeds_that_are_asked_for_have_the_power_that_is_said(
    effect: float, level: float
) -> None:
    count = int(seeds_needed(effect, level))
    random = np.random.default_rng(0)
    drawn = random.standard_normal((20_000, count)) + effect
    t = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1) * math.sqrt(count)
    found = float((t > stats.t.ppf(1 - level, count - 1)).mean())
    # four standard errors of a share over 20,000
    assert found > POWER - 4 * math.sqrt(POWER * (1 - POWER) / 20_000)
    if count > 2:
        fewer = drawn[:, :-1]
        t = fewer.mean(axis=1) / fewer.std(axis=1, ddof=1) * math.sqrt(count - 1)
        less = float((t > stats.t.ppf(1 - level, count - 2)).mean())
        assert less < POWER + 4 * math.sqrt(POWER * (1 - POWER) / 20_000)


def test_nothing_to_see_needs_no_number_of_seeds() -> None:
    assert seeds_needed(0.0) == math.inf
    assert seeds_needed(1e-9) == math.inf
    assert seeds_needed(math.inf) == 2.0
    assert math.isnan(seeds_needed(math.nan))
    equal, near = above("", [2.0] * 5, 1.0), above("", [1.0, 3.0], 1.0)
    assert (equal.distance, near.distance) == (math.inf, pytest.approx(1 / math.sqrt(2)))


def test_the_seeds_for_no_difference_have_the_power_for_both_of_its_tests() -> None:
    values = np.linspace(-1, 1, 9) / np.linspace(-1, 1, 9).std(ddof=1)
    found = within("", values, -0.7, 0.7)
    assert (found.distance, found.far) == (pytest.approx(0.7), pytest.approx(0.7))
    count = int(for_every([found]).needed())
    assert count > seeds_needed(0.7)
    random = np.random.default_rng(0)
    drawn = random.standard_normal((20_000, count))
    half = stats.t.ppf(1 - LEVEL, count - 1) * drawn.std(axis=1, ddof=1) / math.sqrt(count)
    share = float((np.abs(drawn.mean(axis=1)) + half < 0.7).mean())
    assert share > POWER - 4 * math.sqrt(POWER * (1 - POWER) / 20_000)
    # beyond a margin one test is enough
    assert within("", values + 3, -0.7, 0.7).far == math.inf


def test_the_seeds_that_settle_a_verdict_pass_the_levels_that_the_rule_leaves() -> None:
    leans = Outcome("for", 0, -1, 1, 10, 0.2, 0.8, 0.5)
    away = Outcome("against", 0, -1, 1, 10, 0.8, 0.2, 0.5)
    # all must pass, each at the full level; against it one is enough, of three
    assert for_every([leans] * 3).needed() == seeds_needed(0.5)
    assert for_every([leans, leans, away]).needed() == seeds_needed(0.5, LEVEL / 3)
    assert for_some([leans] * 3).needed() == seeds_needed(0.5, LEVEL / 3)
    assert for_some([away] * 3).needed(0.01) == seeds_needed(0.5, 0.01)
    # of what passed at 5 % the weakest must pass again at less
    weak = replace(leans, p_for=0.04, distance=0.7)
    assert for_every([weak, replace(weak, distance=3.0)]).needed(0.01) == seeds_needed(0.7, 0.01)
    sure = replace(away, p_against=1e-6, distance=2.0)
    assert for_every([sure, away]).needed(0.01) == seeds_needed(2.0, 0.005)
    assert math.isnan(for_every([exactly("", [])]).needed())


def test_what_is_unknown_supports_nothing_and_hides_no_counterexample() -> None:
    assert settled("", [1, 1]) == exactly("", [True, True])
    assert settled("", [1, math.nan]).verdict == "inconclusive"
    assert settled("", [0, math.nan]).verdict == "refuted"
    assert settled("", [math.nan]).verdict == "inconclusive"
    assert settled("", []).verdict == "inconclusive"
    found = settled("", [1, math.nan, math.nan, 1], 7.0)
    assert (found.estimate, found.seeds) == (7.0, 4)
    assert settled("", [1, math.nan]).estimate == 0.5


def test_both_must_pass_and_one_that_fails_is_doubled() -> None:
    strong, weak = Outcome("a", 1, 0, 2, 10, 0.01, 0.99), Outcome("b", 3, 2, 4, 10, 0.04, 0.96)
    assert (both("x", [strong, weak]).p_for, both("x", [strong, weak]).estimate) == (0.04, 3)
    assert both("x", [strong, weak]).label == "x"
    against = Outcome("c", 5, 4, 6, 10, 0.99, 0.02)
    assert both("x", [strong, against]).p_against == 0.04
    assert both("x", [strong, against]).estimate == 5
    assert both("x", [strong, replace(against, p_against=0.03)]).verdict == "inconclusive"


def test_pseudo_values_of_a_mean_are_the_numbers_themselves() -> None:
    numbers = np.array([1.0, 4.0, 2.0, 8.0])
    assert pseudo_values(lambda one: float(one.mean()), numbers) == pytest.approx(numbers)
    # the jackknife makes the variance with n in it unbiased
    found = pseudo_values(lambda one: float(one.var()), numbers).mean()
    assert found == pytest.approx(numbers.var(ddof=1))


@pytest.mark.parametrize("correlated", [0.0, 0.6])
def test_equal_spreads_are_called_different_as_often_as_is_said(correlated: float) -> None:
    random = np.random.default_rng(1)

    def log_ratio(one: np.ndarray) -> float:
        return math.log10(one[:, 0].std() / one[:, 1].std())

    hits = 0
    for _ in range(1000):
        drawn = random.standard_normal((30, 2))
        drawn[:, 1] += correlated * drawn[:, 0]
        drawn[:, 1] /= math.sqrt(1 + correlated**2)
        hits += below("", pseudo_values(log_ratio, drawn), 0.0).p_for <= LEVEL
    # four standard errors of a share over 1,000
    assert abs(hits / 1000 - LEVEL) < 4 * math.sqrt(LEVEL * (1 - LEVEL) / 1000)
