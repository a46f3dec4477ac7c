"""Estimability: the rank against dense inner products, the words, and the models that fit refuses."""

import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import fitted


def rows(n_groups=10, n_times=6):
    """Groups observed at the same times; the first half has x = 0, the rest x = 1."""
    n = n_groups * n_times
    data = pd.DataFrame(
        {"g": np.repeat(np.arange(n_groups), n_times), "t": np.tile(np.arange(float(n_times)), n_groups)}
    )
    data["x"] = (data["g"] >= n_groups // 2).astype(float)
    data["h"] = data["g"]
    data["one"] = 1
    data["y"] = np.random.default_rng(5).normal(size=n)
    return data


def dense_rank(data, fixed, changes):
    """Rank of the changes of V with the fixed effects projected out."""
    M = np.eye(len(data)) - fixed @ np.linalg.pinv(fixed)
    columns = np.column_stack([(M @ V @ M).ravel() for V in changes])
    return int(np.linalg.matrix_rank(columns / np.linalg.norm(np.column_stack([V.ravel() for V in changes]), axis=0)))


def slope_changes(data, column):
    Z = pd.get_dummies(data["g"]).to_numpy(float)
    W = Z * data[[column]].to_numpy()
    return [Z @ Z.T, W @ W.T, Z @ W.T + W @ Z.T, np.eye(len(data))]


CASES = {
    "all of a correlated slope": ("y ~ t + (t | g)", rows(), "t", 4),
    "a slope of a covariate constant within groups": ("y ~ x + (x | g)", rows(), "x", 3),
    "two observations a group": ("y ~ t + (t | g)", rows(10, 2), "t", 3),
    "groups among the fixed effects": ("y ~ factor(g) + (t | g)", rows(), "t", 2),
}


@pytest.mark.parametrize("case", CASES)
def test_rank_agrees_with_dense_inner_products(case):
    formula, data, column, rank = CASES[case]
    X = np.column_stack([np.ones(len(data)), data[column]])
    if "factor" in formula:
        X = pd.get_dummies(data["g"]).to_numpy(float)
    found = lmm.estimability(formula, data)
    assert found.rank == rank == dense_rank(data, X, slope_changes(data, column))
    assert found.is_estimable == (rank == 4)
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(found.information)[::-1], atol=1e-12)
    assert (found.eigenvalues[:rank] > 1e-3).all()
    assert (found.eigenvalues[rank:] < 1e-10).all()


@pytest.mark.parametrize(
    ("formula", "combinations", "sentence"),
    [
        ("y ~ x + (x | g)", ("g.Intercept", "g.x + 2 g.Intercept.x", "Residual"), "only the combination g.x + 2 g.Int"),
        (
            "y ~ t + (1 | g) + (1 | h)",
            ("g + h", "Residual"),
            "do not tell 'g' and 'h' apart: only the combination g",
        ),
        ("y ~ factor(g) + (1 | g)", ("Residual",), "say nothing about 'g': it has no part in the covariance"),
        ("y ~ t + (1 | one) + (1 | g)", ("g", "Residual"), "say nothing about 'one'"),
    ],
)
def test_what_is_identified_is_said(formula, combinations, sentence):
    found = lmm.estimability(formula, rows())
    assert set(found.combinations) == set(combinations)
    assert len(found.combinations) == found.rank
    assert sentence in str(found)
    assert sentence in found._repr_html_().replace("&#x27;", "'")


def test_two_observations_a_group_leave_three_combinations():
    found = lmm.estimability("y ~ t + (t | g)", rows(10, 2))
    assert found.combinations == ("g.Intercept + Residual", "g.t + 2 Residual", "g.Intercept.t - Residual")
    assert found.confounded == found.parameters
    assert found.unidentified == ()


def test_one_measurement_a_unit():
    data = rows(40, 1)
    found = lmm.estimability("y ~ 1 + (1 | g)", data)
    assert found.combinations == ("g + Residual",)
    assert lmm.estimability("y ~ 1 + (1 | g)", data, sigma=1.0).is_estimable
    assert lmm.estimability("y ~ 1 + (1 | g)", data, weights=np.linspace(1.0, 3.0, 40)).is_estimable


@pytest.mark.parametrize(
    ("formula", "data", "message"),
    [
        (
            "y ~ 1 + (1 | g)",
            rows(40, 1),
            "random effects than rows. The data do not tell 'g' and 'Residual' apart",
        ),
        ("y ~ t + (t | g)", rows(10, 2), r"only the combinations g.Intercept \+ Residual, g.t \+ 2 Residual"),
    ],
)
def test_fit_says_what_the_data_identify(formula, data, message):
    with pytest.raises(lmm.ModelError, match=message):
        lmm.fit(formula, data)


@pytest.mark.parametrize("name", ["lamb", "penicillin", "sleepstudy", "sitka", "dyestuff2", "pastes"])
def test_models_of_the_literature_are_estimable(name):
    found = lmm.estimability(fitted(name, reml=True))
    assert found.is_estimable
    assert found.sentences == []
    assert found.confounded == ()
    assert "identify every variance parameter" in str(found)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_do_not_matter(scale):
    data = rows()
    one = lmm.estimability("y ~ t + (t || g)", data)
    other = lmm.estimability("y ~ t + (t || g)", data.assign(t=scale * data["t"], y=data["y"] / scale))
    np.testing.assert_allclose(other.information, one.information, rtol=1e-8, atol=1e-12)


def test_a_covariance_of_effects_that_never_meet():
    data = rows().assign(f=lambda data: np.where(data["t"] % 2, "odd", "even"))
    found = lmm.estimability("y ~ f + (0 + f | g:f)", data)
    assert found.unidentified == ("g:f.f[even].f[odd]",)
    assert found.rank == 3


def test_information_agrees_with_the_dense_formula():
    data = rows().assign(c=lambda data: (data["t"] + data["g"]) % 4)
    found = lmm.estimability("y ~ t + (t | g) + (1 | c)", data)
    n = len(data)
    columns = np.column_stack([np.ones(n), data["t"]])
    A = np.linalg.inv(np.linalg.qr(columns)[1] / np.sqrt(n))
    psi = A @ A.T
    C = pd.get_dummies(data["c"]).to_numpy(float)
    intercept, slope, covariance, residual = slope_changes(data, "t")
    changes = [intercept, slope, covariance, C @ C.T, residual]
    names = ["g.Intercept", "g.t", "g.Intercept.t", "c", "Residual"]
    assert list(found.parameters) == names
    V = psi[0, 0] * intercept + psi[1, 1] * slope + psi[0, 1] * covariance + C @ C.T + residual
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ columns @ np.linalg.solve(columns.T @ inverse @ columns, columns.T @ inverse)
    known = [np.trace(inverse @ change @ inverse @ change) for change in changes]
    projected = [[np.trace(P @ one @ P @ other) for other in changes] for one in changes]
    np.testing.assert_allclose(found.information, projected / np.sqrt(np.outer(known, known)), rtol=1e-8, atol=1e-10)


def test_large_refused_models_are_not_analysed():
    data = rows(12_000, 1)
    with pytest.raises(lmm.ModelError, match=r"fewer random effects than rows\. Use fewer effects"):
        lmm.fit("y ~ 1 + (1 | g)", data)


def test_aliased_fixed_effects_are_named():
    data = rows()
    found = lmm.estimability("y ~ t + I(2 * t) + (1 | g)", data)
    assert found.aliased == ("I(2 * t)",)
    assert "combinations of others: I(2 * t)" in str(found)


def test_arguments_that_do_not_go_together():
    fit = fitted("dyestuff", reml=True)
    with pytest.raises(lmm.ArgumentError, match="give estimability nothing besides it"):
        lmm.estimability(fit, sigma=1.0)
    with pytest.raises(lmm.ArgumentError, match="needs the data"):
        lmm.estimability("y ~ 1 + (1 | g)")
    with pytest.raises(lmm.ArgumentError, match="sigma must be a positive number"):
        lmm.estimability("y ~ 1 + (1 | g)", rows(), sigma=-1.0)
