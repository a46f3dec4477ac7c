"""The report on a fit: each check finds what it is made for, and nothing in data that obey the model."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import lmm
from conftest import fit_quietly, fitted, frame
from lmm.diagnostics.check import variance_inflation
from lmm.diagnostics.modes import mode_variances
from test_residuals import crossed, dense


def sample(*, seed=0, n_levels=30, size=12, spread=lambda _: 1.0, noise=None, effects=None, **columns):
    """Data of a random-intercept model, with a fault on request."""
    rng = np.random.default_rng(seed)
    n = n_levels * size
    g = np.repeat(np.arange(n_levels), size)
    x = rng.normal(size=n)
    b = rng.normal(size=n_levels) if effects is None else effects(rng, n_levels)
    e = rng.normal(size=n) if noise is None else noise(rng, n)
    mean = 2.0 * x + b[g]
    data = pd.DataFrame({"g": g, "x": x, "y": mean + spread(mean) * e})
    return data.assign(**{name: make(rng, data) for name, make in columns.items()})


def statuses(report):
    return {finding.check: finding.status for finding in report.findings}


def test_nothing_to_report():
    report = lmm.fit("y ~ x + (1 | g)", sample(seed=1)).check()
    assert set(statuses(report).values()) == {"ok"}
    assert report.warnings == ()
    assert list(statuses(report)) == [
        "convergence",
        "singularity",
        "scales",
        "outliers",
        "normal residuals",
        "normal g",
        "homogeneity",
        "collinearity",
        "levels of g",
    ]


FAULTS = {
    "outliers": ({"y": lambda _, d: d["y"] + 9.0 * (d.index == 100)}, r"1 of 360 rows has .* 100 \("),
    "normal residuals": ({"noise": lambda r, n: r.exponential(size=n)}, r"Skewness [12]\."),
    "normal g": ({"effects": lambda _, J: 4.0 * (np.arange(J) % 10 == 0)}, r"Intercept: skewness 2"),
    "homogeneity": ({"spread": lambda mean: np.exp(mean / 3)}, r"p-value <0\.0001"),
    "collinearity": ({"z": lambda r, d: d["x"] + 0.1 * r.normal(size=360)}, r"inflation: [xz] \(\d+\.\d\), [xz] \("),
    "singularity": (
        {"y": lambda _, d: d["y"] - (d["y"] - 2.0 * d["x"]).groupby(d["g"]).transform("mean")},
        r"Does not vary between levels: Intercept \(g\)",
    ),
}


@pytest.mark.parametrize("check", FAULTS)
def test_a_fault_is_found_and_an_advice_given(check):
    fault, says = FAULTS[check]
    formula = "y ~ x + z + (1 | g)" if "z" in fault else "y ~ x + (1 | g)"
    report = fit_quietly(formula, sample(seed=1, **fault)).check()
    finding = report[check]
    assert finding.status == "warning"
    assert re.search(says, finding.found)
    assert finding.advice
    assert finding in report.warnings
    assert f"WARN {check}" in str(report)
    assert finding.found in report._repr_html_().replace("&#x27;", "'").replace("&lt;", "<")


def test_not_converged():
    with pytest.warns(lmm.ConvergenceWarning):
        fit = lmm.fit("y ~ x + (x | g)", sample(), control=lmm.Control(max_evaluations=1))
    finding = fit.check()["convergence"]
    assert finding.status == "warning"
    assert "stopped after 1 evaluation:" in finding.found


def test_scales_and_far_origins_are_notes():
    data = sample(seed=2).assign(year=lambda d: 2000.0 + d.index % 12, nm=lambda d: 1e6 * d["x"])
    finding = lmm.fit("y ~ year + nm + (1 | g)", data).check()["scales"]
    assert finding.status == "note"
    assert "'year' and 'nm' differ by a factor of" in finding.found
    assert "zero lies far outside the values of 'year'" in finding.found


def test_few_levels_are_a_note():
    data = sample(seed=3, n_levels=4, effects=lambda _, J: np.arange(J) * 1.0)
    report = lmm.fit("y ~ x + (1 | g)", data).check()
    assert statuses(report)["levels of g"] == "note"
    assert report["levels of g"].found == "4 levels with 12 rows each."
    assert report["normal g"].found == "4 levels are too few to say."
    uneven = lmm.fit("y ~ x + (1 | g)", sample().drop(index=[0, 1])).check()
    assert uneven["levels of g"].found == "30 levels with 10 to 12 rows."


def test_large_samples_take_another_test_of_normality():
    data = sample(seed=4, n_levels=100, size=60)
    assert "D'Agostino-Pearson p-value" in lmm.fit("y ~ x + (1 | g)", data).check()["normal residuals"].found


@pytest.mark.parametrize("name", ["lamb", "sitka", "cake", "penicillin", "machines"])
def test_every_model_gets_a_report(name):
    report = fitted(name, reml=True).check()
    assert report["convergence"].status == "ok"
    assert str(report).startswith(f"Check of {fitted(name, reml=True).formula}")
    assert max(len(line) for line in str(report).splitlines()) <= 100


def test_a_model_without_fixed_effects_or_with_weights():
    assert fit_quietly("Reaction ~ 0 + (1 | Subject)", frame("sleepstudy")).check()["collinearity"].status == "ok"
    assert crossed(seed=1, weights=True).check()["outliers"].status == "ok"


def test_score_test_is_n_r_squared():
    fit = fitted("sleepstudy", reml=True)
    square = fit.residuals("studentized") ** 2
    r = stats.linregress(fit.fittedvalues, square).rvalue
    assert f"p-value {stats.chi2.sf(180 * r**2, 1):.4f}" in fit.check()["homogeneity"].found


def test_variance_inflation_is_the_textbook_one():
    # Without a random part that matters it is 1 / (1 - R^2) of each column on the others.
    data = sample(seed=5, effects=lambda _, J: np.zeros(J), z=lambda r, d: d["x"] + r.normal(size=360))
    fit = fit_quietly("y ~ x + z + (1 | g)", data)
    r = np.corrcoef(data["x"], data["z"])[0, 1]
    assert variance_inflation(fit) == pytest.approx({"x": 1 / (1 - r**2), "z": 1 / (1 - r**2)}, rel=1e-3)


def test_variance_inflation_of_a_factor_does_not_depend_on_its_coding():
    one = variance_inflation(lmm.fit("angle ~ recipe * temp + (1 | recipe:replicate)", frame("cake")))
    two = variance_inflation(
        lmm.fit("angle ~ recipe * temp + (1 | recipe:replicate)", frame("cake"), contrasts={"recipe": "helmert"})
    )
    assert set(one) == {"recipe", "temp", "recipe:temp"}
    assert one["recipe"] == pytest.approx(two["recipe"])


def test_variances_of_predicted_effects_are_the_dense_formula():
    for fit in (crossed(seed=6), crossed(seed=7, weights=True), fitted("machines", reml=True)):
        X, Z, V, _ = dense(fit)
        inverse = np.linalg.inv(V)
        P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
        B = fit.Lambda @ Z.T
        expected = np.diagonal(B @ P @ B.T)  # b-hat = Lambda Lambda' Z' P y
        found = mode_variances(fit.deviance_function, fit.optimum.evaluation, fit.basis)
        np.testing.assert_allclose(np.concatenate([v.ravel() for v in found]), expected, rtol=1e-7, atol=1e-10)


def test_few_rows_and_a_constant_mean_are_said():
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0, 7.0, 5.0], "g": list("aabbcc")})
    report = fit_quietly("y ~ 1 + (1 | g)", data).check()
    assert report["normal residuals"].found == "6 values are too few to say."
    singular = fitted("dyestuff2", reml=True).check()
    assert singular["homogeneity"].found == "All fitted values are equal: nothing to compare."
    assert repr(singular) == str(singular)


def test_a_check_that_there_is_not_is_refused_with_those_there_are():
    report = fitted("dyestuff", reml=True).check()
    for error in (KeyError, lmm.ArgumentError):
        with pytest.raises(error, match=r"there is no check 'outlier'; the checks are .*'outliers'"):
            report["outlier"]
