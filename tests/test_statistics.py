"""Intervals and slopes against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.statistics import gradient_slope, student_interval


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    trials = 4000
    covered = sum(
        found.low <= 3.0 <= found.high
        for found in (student_interval(3.0 + random.standard_normal(5)) for _ in range(trials))
    )
    # five standard errors of a binomial share of 0.95
    assert abs(covered / trials - 0.95) < 5 * math.sqrt(0.95 * 0.05 / trials)


def test_values_that_are_not_finite_are_left_out_and_not_counted():
    found = student_interval([1.0, 3.0, math.nan, math.inf])
    assert (found.mean, found.networks) == (2.0, 2)
    assert student_interval([math.nan]).networks == 0


def test_a_gradient_that_shrinks_tenfold_a_layer_towards_the_input_has_slope_minus_one():
    assert gradient_slope([1e-5, 1e-4, 1e-3, 1e-2]) == pytest.approx(-1.0)


def test_zeros_do_not_enter_the_slope_and_two_layers_give_none():
    assert gradient_slope([0.0, 1e-4, 1e-3, 1e-2]) == pytest.approx(-1.0)
    assert gradient_slope([0.0, 0.0, 1e-3, 1e-2]) is None
