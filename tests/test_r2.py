"""Shares of variance and principal components of random effects."""

import numpy as np
import pytest

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
    with pytest.raises(lmm.ArgumentError, match="a fitted model is expected"):
        share(given)
