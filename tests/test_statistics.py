"""Intervals, slopes and areas under ROC curves against closed forms, loops and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics import area_interval, roc_areas, student_interval


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


def area_by_hand(scores, positive, clusters):
    """Return area and variance of one score by loops, as Obuchowski 1997 writes them."""
    x = [(s, c) for s, p, c in zip(scores, positive, clusters, strict=True) if p]
    y = [(s, c) for s, p, c in zip(scores, positive, clusters, strict=True) if not p]

    def kernel(a, b):
        return 1.0 if a > b else 0.5 if a == b else 0.0

    area = sum(kernel(a, b) for a, _ in x for b, _ in y) / (len(x) * len(y))
    names = sorted(set(clusters))
    of_x = dict.fromkeys(names, 0.0)
    of_y = dict.fromkeys(names, 0.0)
    for a, cluster in x:
        of_x[cluster] += sum(kernel(a, b) for b, _ in y) / len(y) - area
    for b, cluster in y:
        of_y[cluster] += sum(kernel(a, b) for a, _ in x) / len(x) - area
    many_x, many_y = len({c for _, c in x}), len({c for _, c in y})
    s10 = many_x / ((many_x - 1) * len(x)) * sum(value**2 for value in of_x.values())
    s01 = many_y / ((many_y - 1) * len(y)) * sum(value**2 for value in of_y.values())
    s11 = len(names) / (len(names) - 1) * sum(of_x[name] * of_y[name] for name in names)
    return area, s10 / len(x) + s01 / len(y) + 2 * s11 / (len(x) * len(y))


def drawn_clusters(random, clusters=8, of_each=5):
    """Return two scores with ties, labels of both kinds, and clusters that both depend on."""
    names = np.repeat(np.arange(clusters), of_each)
    shift = random.normal(size=clusters)[names]
    positive = random.random(len(names)) < 1 / (1 + np.exp(-shift))
    positive[:2] = True, False
    scores = np.round(shift[:, None] + random.normal(size=(len(names), 2)) + positive[:, None], 1)
    return scores, positive, names


def test_area_and_variance_are_those_of_the_formula_written_out():
    random = np.random.default_rng(1)
    for _ in range(5):
        scores, positive, clusters = drawn_clusters(random)
        found = roc_areas(scores, positive, clusters)
        for column in (0, 1):
            area, variance = area_by_hand(scores[:, column], positive, clusters.tolist())
            # sums of forty terms of order one
            assert found.areas[column] == pytest.approx(area, rel=1e-12)
            assert found.covariance[column, column] == pytest.approx(variance, rel=1e-10)


def test_the_covariance_is_that_which_the_variance_of_a_difference_needs():
    # the area is linear in its kernel: what is left of a + b and a − b is four times the covariance
    random = np.random.default_rng(2)
    scores, positive, clusters = drawn_clusters(random)
    covariance = roc_areas(scores, positive, clusters).covariance
    np.testing.assert_allclose(covariance, covariance.T, rtol=1e-12)
    both = np.column_stack([scores[:, 0], scores[:, 0], -scores[:, 0]])
    same = roc_areas(both, positive, clusters).covariance
    assert same[0, 1] == pytest.approx(same[0, 0], rel=1e-10)
    assert same[0, 2] == pytest.approx(-same[0, 0], rel=1e-10)


def test_clusters_of_one_give_delongs_variance():
    random = np.random.default_rng(3)
    scores, positive, _ = drawn_clusters(random)
    x, y = scores[positive, 0], scores[~positive, 0]
    beats = (x[:, None] > y).astype(float) + 0.5 * (x[:, None] == y)
    delong = beats.mean(axis=1).var(ddof=1) / len(x) + beats.mean(axis=0).var(ddof=1) / len(y)
    found = roc_areas(scores, positive, np.arange(len(positive)))
    assert found.covariance[0, 0] == pytest.approx(delong, rel=1e-12)
    assert found.areas[0] == pytest.approx(beats.mean(), rel=1e-12)


@pytest.mark.parametrize("mixed", [True, False], ids=["clusters of both kinds", "of one kind"])
def test_the_interval_of_an_area_covers_the_truth_where_networks_resemble_each_other(mixed):
    random = np.random.default_rng(4)
    clusters, of_each, shift, trials = 30, 6, 1.2, 800
    names = np.repeat(np.arange(clusters), of_each)
    positive = np.arange(len(names)) % 2 == 0 if mixed else names % 2 == 0
    # networks of one cluster share half of their variance, and differ by what is left of it
    between = stats.norm.cdf(shift / math.sqrt(2 * (1 + 1)))
    within = stats.norm.cdf(shift / math.sqrt(2 * 1))
    truth = (within + (clusters - 1) * between) / clusters if mixed else between
    covered = {"clustered": 0, "ignored": 0}
    for _ in range(trials):
        scores = shift * positive + random.normal(size=clusters)[names]
        scores = (scores + random.normal(size=len(names)))[:, None]
        for way, groups in (("clustered", names), ("ignored", np.arange(len(names)))):
            found = roc_areas(scores, positive, groups)
            low, high = area_interval(found.areas[0], found.covariance[0, 0], found.clusters)
            covered[way] += low <= truth <= high
    error = math.sqrt(0.95 * 0.05 / trials)
    # Student's t with the smaller number of clusters is a little wide where both kinds have few
    assert 0.95 - 4 * error < covered["clustered"] / trials < 0.95 + 4 * error
    assert abs(covered["ignored"] / trials - 0.95) > 3 * error


def test_an_area_without_doubt_or_with_one_cluster_has_no_interval():
    perfect = roc_areas([[1.0], [2.0], [3.0], [4.0]], [False, False, True, True], [0, 1, 2, 3])
    assert perfect.areas[0] == 1.0
    assert all(map(math.isnan, area_interval(1.0, perfect.covariance[0, 0], 2)))
    one = roc_areas([[1.0], [3.0], [2.0], [4.0]], [False, False, True, True], [0, 0, 0, 1])
    assert math.isnan(one.covariance[0, 0])
    assert all(map(math.isnan, area_interval(one.areas[0], one.covariance[0, 0], one.clusters)))
    low, high = area_interval(0.999, 0.5, 3)
    assert 0 <= low < 0.999 < high <= 1


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_networks_of_one_kind_and_scores_that_are_none_have_no_area(positive):
    with pytest.raises(ValueError, match="both kinds"):
        roc_areas([[1.0], [2.0]], positive, [0, 1])
    with pytest.raises(ValueError, match="numbers"):
        roc_areas([[1.0], [math.nan]], [True, False], [0, 1])
