"""Shares of variance and principal components of random effects."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import fdtri

import lmm
from conftest import fit_quietly, fitted, frame

# By hand from lme4 1.1-31 fits (Nakagawa & Schielzeth 2013, Johnson 2014): R2 marginal and conditional, ICC adjusted
# and unadjusted; lme4::rePCA standard deviations by grouping factor.
REFERENCE = {
    ("dyestuff", True): ((0, 0.418487415, 0.418487415, 0.418487415), {"Batch": [0.848324]}),
    ("lamb", True): ((0.090191125, 0.222840601, 0.145799276, 0.132649476), {"Sire": [0.41314]}),
    ("lamb_treatment", True): ((0.090191125, 0.222840601, 0.145799276, 0.132649476), {"Sire": [0.41314]}),
    ("machines", True): (
        (0.467700119, 0.986942234, 0.975469155, 0.519242115),
        {"Worker": [6.634428, 4.632426, 2.146984]},
    ),
    ("oats_split", True): (
        (0.380490175, 0.790246212, 0.661419756, 0.409756037),
        {"Block:Variety": [0.811193], "Block": [1.13819]},
    ),
    ("penicillin", True): ((0, 0.936336825, 0.936336825, 0.936336825), {"plate": [1.539678], "sample": [3.512415]}),
    ("pig", True): ((0.929526481, 0.984147125, 0.77505203, 0.054620644), {"id.num": [1.856198]}),
    ("sitka", True): ((0.38321871, 0.987470946, 0.979686392, 0.604252237), {"tree": [6.722915, 1.378062, 0.384412]}),
    ("sleepstudy_intercept", True): ((0.279885637, 0.704255452, 0.589308916, 0.424369815), {"Subject": [1.197882]}),
    ("sleepstudy", True): ((0.278652034, 0.799218908, 0.721658476, 0.520566874), {"Subject": [0.966859, 0.230879]}),
}


@pytest.mark.parametrize(("name", "reml"), REFERENCE)
def test_shares_are_those_by_hand(name, reml):
    expected, _ = REFERENCE[name, reml]
    fit = fitted(name, reml=reml)
    r2, icc = lmm.r2(fit), lmm.icc(fit)
    np.testing.assert_allclose((r2.marginal, r2.conditional, icc.adjusted, icc.unadjusted), expected, atol=1e-7)
    assert icc.by_group.sum() == pytest.approx(icc.adjusted)
    assert list(icc.by_group.index) == list(fit.n_groups)


@pytest.mark.parametrize(("name", "reml"), REFERENCE)
def test_principal_components_are_those_of_lme4(name, reml):
    _, expected = REFERENCE[name, reml]
    fit = fitted(name, reml=reml)
    components = fit.random_pca()
    assert set(components) == set(expected)
    for group, sdev in expected.items():
        own = components[group]
        np.testing.assert_allclose(own.sdev, sdev, atol=2e-6)
        assert own.share.sum() == pytest.approx(1.0)
        assert own.constant == ()
        rotation = own.rotation.to_numpy()
        psi = fit.sigma**2 * (rotation * own.sdev**2) @ rotation.T
        np.testing.assert_allclose(psi, fit.random_cov[group], rtol=1e-9, atol=1e-12)


def test_shares_do_not_depend_on_the_origin_of_a_covariate():
    data = frame("sleepstudy")
    shifted = lmm.fit("Reaction ~ Days + (Days | Subject)", data.assign(Days=data["Days"] - 1e3))
    assert lmm.r2(shifted).conditional == pytest.approx(lmm.r2(fitted("sleepstudy", reml=True)).conditional, rel=1e-7)
    assert lmm.icc(shifted).adjusted == pytest.approx(lmm.icc(fitted("sleepstudy", reml=True)).adjusted, rel=1e-7)


def test_weights_count_in_the_residual_variance():
    data = frame("sleepstudy").assign(w=lambda d: 1.0 + d["Days"] % 2)
    fit = lmm.fit("Reaction ~ Days + (1 | Subject)", data, weights="w")
    parts = lmm.r2(fit).variances
    assert parts.residual == pytest.approx(fit.sigma**2 * (1 / data["w"]).mean())
    assert parts.random["Subject"] == pytest.approx(fit.random_cov["Subject"].iloc[0, 0])
    assert parts.total == pytest.approx(parts.fixed + parts.random.sum() + parts.residual)


# Slopes with weights, crossed factors, and a known residual standard deviation.
BOOTSTRAPPED = {
    "slopes": ("Reaction ~ Days + (Days | Subject)", "sleepstudy", {"weights": "w"}),
    "independent": ("Reaction ~ Days + (Days || Subject)", "sleepstudy", {"sigma": 30.0}),
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin", {}),
}


@pytest.mark.parametrize("name", BOOTSTRAPPED)
def test_bootstrap_shares_are_those_of_each_replicate(name):
    formula, dataset, options = BOOTSTRAPPED[name]
    fit = lmm.fit(formula, lmm.datasets.load(dataset).assign(w=lambda d: 1.0 + np.arange(len(d)) % 2), **options)

    def shares(model):
        r2, icc = lmm.r2(model), lmm.icc(model)
        return [r2.marginal, r2.conditional, icc.adjusted, icc.unadjusted, *icc.by_group]

    one_by_one = fit.bootstrap(20, rng=3, statistic=shares).estimates
    found = [share(fit, n_boot=20, rng=3).bootstrap.estimates for share in (lmm.r2, lmm.icc)]
    np.testing.assert_allclose(np.hstack(found), one_by_one, atol=1e-6)
    assert [*found[1].columns[2:]] == [f"by_group.{group}" for group in fit.n_groups]


def test_limits_of_a_balanced_one_way_layout():
    """The percentiles of the variance ratio follow from those of F, as the ANOVA estimates are those of REML."""
    fit = fitted("dyestuff", reml=True)
    limits = lmm.icc(fit, n_boot=4000, level=0.9, rng=1).limits
    groups, rows = 6, 5
    ratio = lmm.icc(fit).adjusted / (1.0 - lmm.icc(fit).adjusted)
    for level, found in zip((0.05, 0.95), limits.loc["adjusted"], strict=True):
        F = (1.0 + rows * ratio) * fdtri(groups - 1, groups * (rows - 1), level)
        expected = max(F - 1.0, 0.0) / (max(F - 1.0, 0.0) + rows)
        assert found == pytest.approx(expected, abs=0.02)


def test_limits_on_request():
    fit = fitted("sleepstudy", reml=True)
    assert lmm.r2(fit).limits is None
    assert "Limits" not in str(lmm.r2(fit))
    r2 = lmm.r2(fit, n_boot=200, level=0.8, rng=2)
    pd.testing.assert_frame_equal(r2.limits, lmm.r2(fit, n_boot=200, level=0.8, rng=2, workers=2).limits)
    assert (r2.limits["lower"] < [r2.marginal, r2.conditional]).all()
    assert (r2.limits["upper"] > [r2.marginal, r2.conditional]).all()
    text = str(r2)
    assert f"{r2.limits.loc['marginal', 'upper']:.4f}" in text
    assert "80 % percentile intervals from 200 replicates" in text
    assert "singular covariance" in r2._repr_html_()
    assert r2.bootstrap.original["conditional"] == r2.conditional
    # Acceleration by leaving out subjects, from the shares themselves.
    assert set(r2.bootstrap.conf_int(method="bca").index) == {"marginal", "conditional"}


@pytest.mark.parametrize("share", [lmm.r2, lmm.icc])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_boot": 1}, r"n_boot must be 0 \(no limits\)"),
        ({"n_boot": 10.5}, "n_boot must be 0"),
        ({"n_boot": 10, "level": 95}, "level must be"),
        ({"rng": "x"}, "rng must be"),
        ({"workers": 0}, "workers must be"),
    ],
)
def test_bad_arguments(share, options, message):
    with pytest.raises(lmm.ArgumentError, match=message):
        share(fitted("sleepstudy", reml=True), **options)


def test_no_random_variance():
    fit = fitted("dyestuff2", reml=True)
    assert lmm.r2(fit).conditional == pytest.approx(0.0, abs=1e-20)
    assert lmm.icc(fit).adjusted == 0.0


def test_what_does_not_vary_is_said_in_words():
    slopes = fitted("oats", reml=True).random_pca()
    assert slopes["Block"].constant == ("0.71 Intercept - 0.71 nitro, each in units of its standard deviation",)
    assert slopes["Block"].sdev[1] == pytest.approx(0.0, abs=1e-12)
    assert "Does not vary: 0.71 Intercept - 0.71 nitro" in str(slopes["Block"])
    batch = fitted("dyestuff2", reml=True).random_pca()["Batch"]
    assert batch.constant == ("Intercept",)
    assert np.isnan(batch.share).all()
    assert "Does not vary: Intercept." in batch._repr_html_()
    # The combination itself, on the scale of the effects, has no variance.
    psi = fitted("oats", reml=True).random_cov["Block"].to_numpy()
    v = np.array([1.0, -1.0]) / np.sqrt(np.diagonal(psi))
    assert v @ psi @ v < 1e-10


def test_independent_terms_of_a_factor():
    fit = fit_quietly("Reaction ~ Days + (Days || Subject)", frame("sleepstudy"))
    own = fit.random_pca()["Subject"]
    np.testing.assert_allclose(np.sort(own.sdev * fit.sigma), np.sort(np.sqrt(np.diagonal(fit.random_cov["Subject"]))))


def test_printed():
    fit = fitted("penicillin", reml=True)
    assert "adjusted, plate" in str(lmm.icc(fit))
    assert "marginal (fixed effects)" in lmm.r2(fit)._repr_html_()
    assert "PC1" in str(fit.random_pca()["plate"])


@pytest.mark.parametrize("share", [lmm.r2, lmm.icc])
@pytest.mark.parametrize("given", [None, 3.0, "fit"])
def test_only_fitted_models(share, given):
    with pytest.raises(lmm.ArgumentError, match="takes a model with random effects"):
        share(given)
