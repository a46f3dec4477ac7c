"""Tests of normality without scipy.stats."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from lmm.diagnostics.normality import dagostino_pearson, normality_test, shapiro_francia


@pytest.mark.parametrize("n", [8, 25, 300])
def test_shapiro_francia_keeps_its_level(n):
    rng = np.random.default_rng(1)
    p = np.array([shapiro_francia(values) for values in rng.normal(3.0, 2.0, (4000, n))])
    for level in (0.01, 0.05, 0.5):
        assert (p < level).mean() == pytest.approx(level, abs=4.0 * np.sqrt(level / 4000))


def test_shapiro_francia_by_its_definition():
    values = np.random.default_rng(2).gamma(3.0, size=40)
    W = stats.pearsonr(np.sort(values), stats.norm.ppf((np.arange(1, 41) - 3 / 8) / (40 + 1 / 4))).statistic ** 2
    u = np.log(40.0)
    z = (np.log(1.0 - W) - 1.0521 * (np.log(u) - u) + 1.2725) / (1.0308 - 0.26758 * (np.log(u) + 2.0 / u))
    assert shapiro_francia(values) == pytest.approx(stats.norm.sf(z), rel=1e-10)


@pytest.mark.parametrize("draw", [stats.norm, stats.t(4), stats.gamma(5.0), stats.uniform], ids=["n", "t", "g", "u"])
def test_shapiro_francia_is_near_shapiro_and_wilk(draw):
    values = draw.rvs(size=(200, 60), random_state=3)
    own = np.array([shapiro_francia(row) for row in values])
    theirs = np.array([stats.shapiro(row).pvalue for row in values])
    assert stats.spearmanr(own, theirs).statistic > 0.8


@pytest.mark.parametrize("draw", [stats.norm, stats.t(9), stats.gamma(900.0), stats.uniform], ids=["n", "t", "g", "u"])
def test_dagostino_pearson_as_scipy_has_it(draw):
    values = draw.rvs(size=6000, random_state=4)
    test, p_value = normality_test(values)
    assert test == "D'Agostino-Pearson"
    assert p_value == pytest.approx(stats.normaltest(values).pvalue, rel=1e-8, abs=1e-300)
    assert dagostino_pearson(values[:30]) == pytest.approx(stats.normaltest(values[:30]).pvalue, rel=1e-8)


def test_a_report_does_not_import_scipy_stats():
    code = (
        "import sys, lmm\n"
        "fit = lmm.fit('Reaction ~ Days + (Days | Subject)', lmm.datasets.load('sleepstudy'))\n"
        "assert 'Shapiro-Francia' in str(fit.check())\n"
        "assert 'scipy.stats' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code


def test_values_along_the_normal_scores_are_normal():
    assert shapiro_francia(stats.norm.ppf((np.arange(1, 21) - 0.375) / 20.25)) > 0.99
