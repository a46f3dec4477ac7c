"""Very large and very small numbers: the same fit as in other units, or a refusal; never a warning of NumPy."""

import numpy as np
import pytest

import lmm
from lmm.errors import DataError

SLEEP = lmm.datasets.load("sleepstudy")
FORMULA = "Reaction ~ Days + (Days | Subject)"
# Units change the last digits of what is computed.
UNITS = 1e-6


def scaled(y=1.0, x=1.0):
    return SLEEP.assign(Reaction=SLEEP["Reaction"] * y, Days=SLEEP["Days"] * x)


@pytest.mark.parametrize(
    ("y", "x"), [(1e56, 1.0), (1e-60, 1.0), (1.0, 1e59), (1.0, 1e-56), (1e56, 1e112), (1e-56, 1e-112), (1e50, 1e50)]
)
def test_whatever_the_size_the_fit_is_the_same(y, x):
    fit, usual = lmm.fit(FORMULA, scaled(y, x)), lmm.fit(FORMULA, SLEEP)
    units = np.array([y, y / x])
    np.testing.assert_allclose(fit.params, usual.params * units, rtol=UNITS)
    table, expected = fit.coef_table(), usual.coef_table()
    np.testing.assert_allclose(table["std_error"], expected["std_error"] * units, rtol=UNITS)
    np.testing.assert_allclose(table[["df", "p_value"]], expected[["df", "p_value"]], rtol=UNITS)
    variances = np.array([y**2, (y / x) ** 2, y * (y / x), y**2])
    scale = np.outer(variances, variances)
    np.testing.assert_allclose(fit.cov_variance() / scale, usual.cov_variance(), rtol=UNITS)
    limits = np.array([y, y / x, y, y / x, 1.0, y])[:, None]
    np.testing.assert_allclose(fit.profile().conf_int() / limits, usual.profile().conf_int(), rtol=1e-4)
    assert [finding.check for finding in fit.check().warnings if finding.check != "scales"] == [
        finding.check for finding in usual.check().warnings
    ]
    str(fit.summary())
    fit.influence()


@pytest.mark.parametrize("y", [1e200, 1e300, 1e-200, 1e-306])
def test_a_response_of_an_impossible_size_is_refused(y):
    with pytest.raises(DataError, match=r"The response `Reaction`, which goes from .*Measure it in other units\.$"):
        lmm.fit(FORMULA, scaled(y))
    for fit in (lmm.fit(FORMULA, SLEEP), lmm.fit("Reaction ~ Days", SLEEP, allow_fixed=True)):
        with pytest.raises(DataError, match="Measure it in other units"):
            fit.refit(SLEEP["Reaction"] * y)


@pytest.mark.parametrize("x", [1e100, 1e300, 1e-100, 1e-300])
@pytest.mark.parametrize("formula", [FORMULA, "Reaction ~ Days + (1 | Subject)", "Reaction ~ 1 + (0 + Days | Subject)"])
def test_a_column_of_an_impossible_size_is_refused(formula, x):
    with pytest.raises(DataError, match=r"`Days` goes up to 9e[+-].*Measure `Days` in other units"):
        lmm.fit(formula, scaled(x=x))


def test_products_and_weights_of_an_impossible_size_are_refused():
    data = scaled(x=1e200).assign(z=SLEEP["Days"] * 1e200)
    with pytest.raises(DataError, match="`Days:z` goes up to inf"):
        lmm.fit("Reaction ~ Days:z + (1 | Subject)", data)
    for weight in (1e200, 1e-200):
        with pytest.raises(DataError, match=r"square root of a weight.*divide all weights"):
            lmm.fit(FORMULA, SLEEP, weights=np.full(180, weight))


def test_a_covariate_of_any_size_may_enter_by_its_logarithm():
    formula = "Reaction ~ log(Days) + (1 | Subject)"
    data = SLEEP.assign(Days=SLEEP["Days"] + 1)
    large, usual = lmm.fit(formula, data.assign(Days=data["Days"] * 1e300)), lmm.fit(formula, data)
    assert large.deviance == pytest.approx(usual.deviance, rel=UNITS)
    assert large.design.variables["Days"].sd == pytest.approx(data["Days"].std() * 1e300)
    assert lmm.emmeans(large, []).table["estimate"][0] == pytest.approx(
        lmm.emmeans(usual, []).table["estimate"][0], rel=UNITS
    )
