"""Chi-bar-square distributions: weights against closed forms, quadratic programs and each other."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import nnls

from lmm.inference.cones import simulated_weights
from lmm.inference.mixture import ChiBarSquare, chi_bar_square, circular_cone


def information(d, seed):
    A = np.random.default_rng(seed).normal(size=(d, d))
    return A @ A.T + 0.3 * np.eye(d)


def counted_weights(J, n):
    """Weights of the orthant by counting the positive entries of projections."""
    d = len(J)
    L, rng = np.linalg.cholesky(J), np.random.default_rng(1)
    z = np.linalg.solve(L.T, rng.normal(size=(d, n))).T
    positive = [int((nnls(L.T, L.T @ row)[0] > 1e-10).sum()) for row in z]
    return np.bincount(positive, minlength=d + 1) / n


def test_one_variance_is_half_and_half():
    mixture = chi_bar_square(np.array([[3.7]]), (1,), 0, np.random.default_rng())
    assert str(mixture) == "0.5 chi2(0) + 0.5 chi2(1)"
    assert mixture.sf(3.0) == pytest.approx(0.5 * stats.chi2.sf(3.0, 1), rel=1e-12)
    assert mixture.sf(0.0) == 1.0


def test_free_parameters_shift_the_degrees_of_freedom():
    mixture = chi_bar_square(np.array([[2.0]]), (1,), 2, np.random.default_rng())
    assert str(mixture) == "0.5 chi2(2) + 0.5 chi2(3)"
    assert mixture.sf(5.0) == pytest.approx(0.5 * (stats.chi2.sf(5.0, 2) + stats.chi2.sf(5.0, 3)), rel=1e-12)


def test_nothing_confined_is_plain_chi_square():
    mixture = chi_bar_square(np.zeros((0, 0)), (), 3, np.random.default_rng())
    assert str(mixture) == "chi2(3)"
    assert mixture.sf(7.0) == pytest.approx(stats.chi2.sf(7.0, 3), rel=1e-12)


@pytest.mark.parametrize("d", [2, 3])
def test_independent_variances_have_binomial_weights(d):
    mixture = chi_bar_square(np.diag(np.arange(1.0, d + 1)), (1,) * d, 0, np.random.default_rng())
    assert mixture.weights == pytest.approx(stats.binom.pmf(np.arange(d + 1), d, 0.5), abs=1e-12)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_closed_forms_against_projections(d, seed):
    J = information(d, seed)
    exact = chi_bar_square(J, (1,) * d, 0, np.random.default_rng()).weights
    assert exact.sum() == pytest.approx(1.0, abs=1e-12)
    assert exact[::2].sum() == pytest.approx(0.5, abs=1e-12)
    assert exact == pytest.approx(counted_weights(J, 1500), abs=4 * np.sqrt(0.25 / 1500))


@pytest.mark.parametrize("d", [2, 4])
def test_simulated_weights_against_known_ones(d):
    J = information(d, 5) if d == 2 else np.eye(4)
    exact = chi_bar_square(J, (1, 1), 0, np.random.default_rng()).weights if d == 2 else np.array([1, 4, 6, 4, 1]) / 16
    weights, covariance = simulated_weights(J, (1,) * d, np.random.default_rng(2))
    assert (np.abs(weights - exact) <= 4.5 * np.sqrt(np.diagonal(covariance))).all()


def test_simulated_weights_of_four_correlated_variances():
    J = information(4, 6)
    weights, covariance = simulated_weights(J, (1,) * 4, np.random.default_rng(3))
    counted = counted_weights(J, 1500)
    error = np.sqrt(np.diagonal(covariance) + counted * (1 - counted) / 1500)
    assert (np.abs(weights - counted) <= 4.5 * error).all()


def test_two_by_two_matrices_in_the_euclidean_metric():
    """The cone is then circular with half angle 45 degrees; its last volume is (1 - cos 45) / 2."""
    weights, covariance = simulated_weights(np.diag([1.0, 2.0, 1.0]), (2,), np.random.default_rng(4))
    last = (1 - np.sqrt(0.5)) / 2
    assert weights == pytest.approx([last, 0.5 - last, 0.5 - last, last], abs=4.5 * np.sqrt(covariance.max()))


def test_independent_cones_multiply():
    weights, covariance = simulated_weights(np.diag([1.0, 2.0, 1.0, 5.0]), (2, 1), np.random.default_rng(5))
    last = (1 - np.sqrt(0.5)) / 2
    expected = np.convolve([last, 0.5 - last, 0.5 - last, last], [0.5, 0.5])
    assert (np.abs(weights - expected) <= 4.5 * np.sqrt(np.diagonal(covariance))).all()


def test_weights_do_not_depend_on_units():
    J = np.array([[2.0, 0.4, 0.3], [0.4, 1.5, 0.2], [0.3, 0.2, 1.0]])
    units = np.array([1e-3**2, 1e-3 * 1e4, 1e4**2])
    one, _ = simulated_weights(J, (2,), np.random.default_rng(6))
    other, _ = simulated_weights(J * np.outer(units, units), (2,), np.random.default_rng(6))
    assert other == pytest.approx(one, abs=0.005)


def test_error_of_the_tail():
    weights, covariance = simulated_weights(np.eye(4), (1,) * 4, np.random.default_rng(7))
    mixture = ChiBarSquare(weights, 0, covariance)
    exact = ChiBarSquare(np.array([1, 4, 6, 4, 1]) / 16, 0)
    assert exact.sf_error(6.0) == 0.0
    assert 0.0 < mixture.sf_error(6.0) < 0.001
    assert abs(mixture.sf(6.0) - exact.sf(6.0)) <= 4.5 * mixture.sf_error(6.0)


@pytest.mark.parametrize("d", [2, 3, 4, 6])
@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 4, 1.3, np.pi / 2])
def test_circular_cones_against_projections(d, angle):
    z = np.random.default_rng(4).normal(size=(100_000, d))
    height, width = z[:, 0], np.linalg.norm(z[:, 1:], axis=1)
    along = height * np.cos(angle) + width * np.sin(angle)  # the nearest generator
    inside = width * np.cos(angle) <= height * np.sin(angle)
    squared = np.where(inside, (z**2).sum(axis=1), np.maximum(along, 0.0) ** 2)
    mixture = circular_cone(d, angle)
    assert mixture.weights.sum() == pytest.approx(1.0)
    for x in (0.1, 2.0, 6.0):
        assert np.mean(squared >= x) == pytest.approx(mixture.sf(x), abs=6e-3)


def test_matrices_of_size_two_are_a_circular_cone():
    weights = simulated_weights(np.diag([1.0, 2.0, 1.0]), (2,), np.random.default_rng(0))[0]
    assert weights == pytest.approx(circular_cone(3, np.pi / 4).weights, abs=4e-3)
