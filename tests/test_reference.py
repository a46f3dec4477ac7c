"""The estimates against lme4's, on every embedded data set that a published analysis uses."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import fitted

_FILE = Path(__file__).with_name("reference_lme4.json")
# R 4.2.2, lme4 1.1-31, with the optimum polished: by "model method".
REFERENCE = json.loads(_FILE.read_text())["fits"]

# lme4's optimum is known to about 1e-8 in the criterion; 1e-6 is what two programs can be asked to agree on.
CRITERION = 1e-6
# The criterion is flat at the optimum: an error of 1e-11 in it is one of 1e-6 in the variances.
RELATIVE = 1e-5
# A variance that is small beside the residual one is compared in units of this share of it.
SMALL_VARIANCE = 1e-4


@pytest.fixture(params=REFERENCE, ids=lambda key: key.replace(" ", "-"))
def case(request):
    name, method = request.param.split()
    return fitted(name, reml=method == "REML"), REFERENCE[request.param]


def test_criterion(case):
    fit, expected = case
    assert fit.converged
    assert abs(fit.deviance - expected["criterion"]) <= CRITERION
    assert abs(fit.aic - expected["aic"]) <= CRITERION
    assert abs(fit.bic - expected["bic"]) <= CRITERION
    assert fit.n_params == expected["n_params"]


def test_singular(case):
    fit, expected = case
    assert fit.is_singular is expected["singular"]


def test_fixed_effects(case):
    fit, expected = case
    kept = fit.params.notna()
    params, errors = fit.params[kept].to_numpy(), fit.bse[kept].to_numpy()
    reference, reference_errors = np.array(expected["params"]), np.array(expected["std_errors"])
    assert len(params) == len(reference)
    # An estimate near zero is known to a share of its standard error, not of itself.
    scale = np.maximum(np.abs(reference), reference_errors)
    assert np.max(np.abs(params - reference) / scale) <= RELATIVE
    np.testing.assert_allclose(errors, reference_errors, rtol=RELATIVE, atol=0)
    np.testing.assert_allclose(fit.tvalues[kept], params / errors, rtol=1e-14)


def test_variance_components(case):
    fit, expected = case
    table = fit.variance_components
    reference = np.array(expected["variances"])
    assert len(table) == len(reference)
    residual = reference[-1]
    # A covariance is as well known as the two variances beside it allow.
    variances = table[table["var2"].isna()].set_index(["group", "var1"])["vcov"]
    scale = [
        max(np.sqrt(variances[group, one] * variances[group, other if isinstance(other, str) else one]), 0.0)
        for group, one, other in zip(table["group"][:-1], table["var1"][:-1], table["var2"][:-1], strict=True)
    ]
    scale = np.maximum([*scale, residual], SMALL_VARIANCE * residual)
    assert np.max(np.abs(table["vcov"].to_numpy() - reference) / scale) <= RELATIVE


def printed(value, text):
    """Whether a number rounds to a printed one."""
    decimals = len(text.partition(".")[2])
    assert f"{value:.{decimals}f}" == text


def test_every_spelling_of_a_model_is_the_same_model():
    for one, other in (
        ("sleepstudy", "sleepstudy_explicit"),
        ("sleepstudy_uncorrelated", "sleepstudy_double_bar"),
        ("sleepstudy_slope", "sleepstudy_slope_minus"),
        ("pastes", "pastes_sample"),
    ):
        for reml in (True, False):
            a, b = fitted(one, reml=reml), fitted(other, reml=reml)
            np.testing.assert_allclose(a.deviance, b.deviance, rtol=1e-12)
            np.testing.assert_allclose(
                a.variance_components["vcov"], b.variance_components["vcov"], rtol=1e-7, atol=1e-12
            )


# Numbers printed in publications and documents that analyse these data.


def test_lamb_ml():
    fit = fitted("lamb", reml=False)
    assert fit.random_cov["Sire"].to_numpy().item() == 0.0
    assert fit.is_singular
    printed(fit.sigma**2, "2.9709")
    for name, estimate, error in (
        ("Line[1]", "10.72010", "0.65981"),
        ("Line[2]", "12.31608", "0.63314"),
        ("Line[3]", "10.89224", "0.48753"),
        ("Line[4]", "10.21310", "0.62860"),
        ("Line[5]", "10.97742", "0.46298"),
        ("Age[T.1]", "-0.02184", "0.52187"),
    ):
        printed(fit.params[name], estimate)
        printed(fit.bse[name], error)


def test_lamb_reml():
    fit = fitted("lamb", reml=True)
    printed(fit.random_cov["Sire"].to_numpy().item(), "0.51136")
    printed(fit.sigma**2, "2.9959")
    for name, estimate, error in (
        ("Line[1]", "10.500799", "0.807022"),
        ("Line[5]", "10.962486", "0.543773"),
        ("Age[T.1]", "-0.009646", "0.548103"),
        ("Age[T.2]", "-0.165080", "0.643456"),
    ):
        printed(fit.params[name], estimate)
        printed(fit.bse[name], error)


def test_pig_reml():
    fit = fitted("pig", reml=True)
    printed(fit.deviance, "2033.797")
    printed(fit.random_cov["id.num"].to_numpy().item(), "15.142")
    printed(fit.sigma**2, "4.395")
    printed(fit.params["Intercept"], "19.35561")
    printed(fit.bse["Intercept"], "0.60314")
    printed(fit.params["num.weeks"], "6.20990")
    printed(fit.bse["num.weeks"], "0.03906")
    covariance = fit.cov_params().to_numpy()
    printed(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]), "-0.324")
    quantiles = np.quantile(fit.resid / fit.sigma, [0, 0.25, 0.5, 0.75, 1])
    for quantile, text in zip(quantiles, ["-3.7390", "-0.5456", "0.0184", "0.5122", "3.9313"], strict=True):
        printed(quantile, text)


def test_sitka_ml():
    fit = fitted("sitka", reml=False)
    printed(fit.llf, "72.249")
    printed(fit.aic, "-118.50")
    printed(fit.bic, "-66.772")
    covariance = fit.random_cov["tree"].to_numpy()
    for variance, text in zip(np.diagonal(covariance), ["0.35649", "0.013509", "0.002593"], strict=True):
        printed(variance, text)
    sd = np.sqrt(np.diagonal(covariance))
    for (a, b), text in zip([(0, 1), (0, 2), (1, 2)], ["0.04", "0.12", "-0.71"], strict=True):
        printed(covariance[a, b] / (sd[a] * sd[b]), text)
    printed(fit.sigma**2, "0.008096")


def test_sitka_ml_without_treat():
    fit = fitted("sitka_without_treat", reml=False)
    printed(fit.llf, "65.939")
    printed(fit.aic, "-111.88")
    printed(fit.bic, "-72.089")


def test_sitka_on_raw_days_reaches_the_same_optimum():
    fit = fitted("sitka_raw", reml=False)
    printed(fit.llf, "72.24878")
    assert fit.converged
    # The model is the same in either unit of time; the change of basis costs a few digits of 1e-16.
    np.testing.assert_allclose(fit.llf, fitted("sitka", reml=False).llf, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "reml", "text"),
    [
        ("dyestuff", False, "327.32706"),
        ("dyestuff", True, "319.65428"),
        ("dyestuff2", False, "162.87304"),
        ("penicillin", False, "332.18835"),
        ("pastes", False, "247.99447"),
        ("sleepstudy", False, "1751.93934"),
        ("sleepstudy", True, "1743.62827"),
        ("sleepstudy_uncorrelated", False, "1752.00326"),
        ("sleepstudy_slope", False, "1774.08032"),
        ("insteval", False, "237721.76877"),
    ],
)
def test_published_criteria(name, reml, text):
    # MixedModels.jl asserts these values in its own tests.
    printed(fitted(name, reml=reml).deviance, text)
