"""Random effects whose covariance no data of a design determine."""

import warnings

import numpy as np
import pandas as pd
import pytest

import lmm

RNG = np.random.default_rng(5)


def plots(n_levels, varying=()):
    """Three rows a plot; the treatment differs between plots, and within those that are varying."""
    plot = np.repeat(np.arange(n_levels), 3)
    treated = (plot % 2).astype(float)
    treated[np.isin(plot, varying) & (np.arange(len(plot)) % 3 == 0)] = 0.5
    y = RNG.normal(size=len(plot)) + RNG.normal(size=n_levels)[plot]
    return pd.DataFrame({"y": y, "plot": plot, "treated": treated, "row": np.arange(len(plot)) // 2 % (n_levels + 7)})


@pytest.mark.parametrize(
    ("formula", "terms"),
    [
        ("y ~ treated + (treated | plot)", ["(Intercept + treated | plot)"]),
        ("y ~ treated + (treated | plot) + (1 | row)", ["(Intercept + treated | plot)"]),
        ("y ~ treated + (0 + C(treated) | plot)", ["(C(treated)[0] + C(treated)[1] | plot)"]),
        ("y ~ treated + (treated || plot)", []),
        ("y ~ treated + (1 | plot) + (0 + treated | row)", []),
    ],
)
def test_an_effect_that_varies_between_levels_only(formula, terms):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lmm.fit(formula, plots(20), weights=np.linspace(0.5, 2.0, 60))
    messages = [str(w.message) for w in caught if w.category is lmm.LMMWarning]
    assert len(messages) == len(terms)
    for term, message in zip(terms, messages, strict=True):
        assert term in message


def test_one_level_in_which_it_varies_is_enough():
    # Beyond the levels that are looked at first.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", lmm.SingularFitWarning)
        lmm.fit("y ~ treated + (treated | plot)", plots(1500, varying=[1400]))


def test_the_choice_of_the_ridge_does_not_matter_to_the_fixed_effects():
    data = plots(20)
    with pytest.warns(lmm.LMMWarning, match="one choice of many"):
        ridge = lmm.fit("y ~ treated + (treated | plot)", data)
    plain = lmm.fit("y ~ treated + (0 + C(treated) || plot)", data)
    for ddf in ("satterthwaite", "kenward-roger"):
        assert ridge.coef_table(ddf).to_numpy() == pytest.approx(plain.coef_table(ddf).to_numpy(), rel=1e-5)
    assert ridge.fittedvalues.to_numpy() == pytest.approx(plain.fittedvalues.to_numpy(), rel=1e-6)
    assert not lmm.estimability(ridge).is_estimable
    assert "(Intercept + treated | plot)" in ridge.check()["identification"].found
    assert "identification" not in [finding.check for finding in plain.check().findings]
