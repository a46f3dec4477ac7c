"""The printed account of a fit: its text, its HTML and its numbers."""

import html
import re
from html.parser import HTMLParser
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import fit_quietly, fitted, frame
from lmm.diagnostics import leverage
from lmm.display import format_column

# Exact texts. The numbers of the pigs and the spruces are those that R 4.2.2, lme4 1.1-31 prints.

PIG = """\
Linear mixed model fit by REML
Formula: weight ~ (1 | id.num) + num.weeks

REML criterion at convergence: 2033.7968

Scaled residuals:
    Min      1Q Median     3Q    Max
-3.7390 -0.5456 0.0184 0.5122 3.9313

Random effects:
Groups   Name      Variance Std.Dev.
id.num   Intercept   15.142    3.891
Residual              4.395    2.096
Number of obs: 432, groups: id.num, 48

Fixed effects:
          Estimate Std. Error t value
Intercept 19.35561    0.60314   32.09
num.weeks  6.20990    0.03906  158.97

Correlation of fixed effects:
          Intercept
num.weeks    -0.324"""

SITKA = """\
Linear mixed model fit by maximum likelihood
Formula: size ~ treat*(time + I(time^2)) + (time + I(time^2) | tree)

     AIC     BIC logLik deviance df.resid
-118.498 -66.772 72.249 -144.498      382

Scaled residuals:
    Min      1Q  Median     3Q    Max
-2.9081 -0.3656 -0.0246 0.4094 3.5664

Random effects:
Groups   Name      Variance Std.Dev. Corr
tree     Intercept 0.356492  0.59707
         time      0.013509  0.11623 0.04
         I(time^2) 0.002593  0.05092 0.12 -0.71
Residual           0.008096  0.08998
Number of obs: 395, groups: tree, 79

Fixed effects:
                          Estimate Std. Error t value
Intercept                 5.093296   0.120073  42.418
treat[T.ozone]           -0.201347   0.145231  -1.386
time                      0.546397   0.024637  22.178
I(time^2)                -0.108450   0.014041  -7.724
treat[T.ozone]:time      -0.079045   0.029800  -2.653
treat[T.ozone]:I(time^2) -0.009835   0.016984  -0.579
"""


def test_pig():
    fit = fitted("pig", reml=True)
    assert str(fit.summary(ddf=None)) == PIG
    assert str(fit) == repr(fit.summary()) == str(fit.summary())
    fixed = """\
Fixed effects (degrees of freedom: satterthwaite):
          Estimate Std. Error    df t value p-value
Intercept 19.35561    0.60314  58.6   32.09 <0.0001
num.weeks  6.20990    0.03906 383.0  158.97 <0.0001
"""
    assert fixed in str(fit)


@pytest.mark.parametrize(
    ("ddf", "title", "header"),
    [
        (
            "kenward-roger",
            "degrees of freedom: kenward-roger",
            "Estimate Std. Error df t value p-value",
        ),
        ("residual", "degrees of freedom: residual", "Estimate Std. Error  df t value p-value"),
        ("normal", "normal tests", "Estimate Std. Error z value p-value"),
    ],
)
def test_tests_of_the_fixed_effects_say_what_they_are(ddf, title, header):
    lines = str(fitted("sleepstudy", reml=True).summary(ddf)).splitlines()
    place = lines.index(f"Fixed effects ({title}):")
    assert lines[place + 1].strip() == header
    assert lines[place + 3].endswith("<0.0001")


def test_large_fits_are_shown_without_tests(monkeypatch):
    fit = fitted("penicillin", reml=True)
    monkeypatch.setattr("lmm.model.MANY_EFFECTS", 5)
    assert "p-value" not in str(fit)
    assert "p-value" in str(fit.summary())


def test_sitka():
    text = str(fitted("sitka", reml=False).summary(ddf=None))
    assert text.startswith(SITKA)
    assert "Correlation of fixed effects:" in text[len(SITKA) :]


def test_lamb_ml_says_what_is_singular():
    text = str(fitted("lamb", reml=False).summary(ddf=None))
    heading = "Linear mixed model fit by maximum likelihood\nFormula: Weight ~ Line + Age - 1 + (1|Sire)\n\n"
    assert text.startswith(heading)
    for line in (
        "261.457 280.602 -121.729  243.457       53",
        "Sire     Intercept    0.000    0.000",
        "Residual              2.971    1.724",
        "Number of obs: 62, groups: Sire, 23",
        "Line[1]  10.72010    0.65981  16.247",
        "Age[T.1] -0.02184    0.52187  -0.042",
        "Age[T.2]  -0.339  -0.188  -0.385  -0.159  -0.396    0.318",
    ):
        assert line in text.splitlines()
    note = text.splitlines()[-1]
    assert note.startswith("Singular fit. The random effects of 'Sire' (Intercept) have an estimated variance of zero")
    assert "The fit equals the one without them: the term may be left out" in note


def test_singular_notes_name_what_is_singular():
    oats = str(fitted("oats", reml=True).summary())
    assert "'Block:Variety' (Intercept, nitro) have a singular covariance matrix" in oats
    assert "uncorrelated ones, (... || Block:Variety)" in oats
    # Days moves nobody: its variance alone is zero.
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(12), 8), np.tile(np.linspace(-1, 1, 8), 12)
    e = rng.normal(size=(12, 8))
    e -= np.outer(e @ x[:8] / (x[:8] @ x[:8]), x[:8])
    data = pd.DataFrame({"y": 2 * rng.normal(size=12)[g] + e.ravel(), "x": x, "g": g})
    text = str(fit_quietly("y ~ x + (x||g)", data).summary())
    assert (
        "include an estimated variance of zero, of x. The fit equals the one without it: leave x out of the term"
        in text
    )


def reduced():
    """A weighted fit that lost rows and a column."""
    data = frame("sleepstudy")
    data["w"] = np.linspace(0.5, 2, 180)
    data.loc[[3, 50], "Reaction"] = np.nan
    data.loc[7, "w"] = 0.0
    return lmm.fit("Reaction ~ Days + I(2*Days) + (1|Subject)", data, weights="w")


def test_dropped_rows_and_columns_are_told():
    fit = reduced()
    lines = str(fit.summary(ddf=None)).splitlines()
    for line in (
        "Number of obs: 177, groups: Subject, 18",
        "Rows dropped for missing values: 2",
        "Rows dropped for a weight of zero: 1",
        "Dropped, because a linear combination of the columns before gives the same: I(2 * Days).",
    ):
        assert line in lines
    assert lines[lines.index("Fixed effects:") + 4].split() == ["I(2", "*", "Days)", "NaN", "NaN", "NaN"]


def test_scaled_residuals_of_a_weighted_fit():
    fit = reduced()
    scaled = np.sqrt(np.delete(np.linspace(0.5, 2, 180), [3, 7, 50])) * fit.resid.to_numpy() / fit.sigma
    expected = " ".join(f"{x:.4f}" for x in np.quantile(scaled, [0, 0.25, 0.5, 0.75, 1]))
    lines = str(fit.summary()).splitlines()
    assert " ".join(lines[lines.index("Scaled residuals:") + 2].split()) == expected


def test_known_sigma_is_told():
    milk = lmm.datasets.load("milk")
    fit = lmm.fit("yi ~ C(MajorArea) + (1|SmallArea)", milk, weights=1 / milk["SD"] ** 2, sigma=1)
    assert str(fit.summary()).endswith("The residual standard deviation is known: 1.")


def test_several_groups_in_the_order_of_the_table():
    text = str(fitted("pastes", reml=True).summary())
    assert "Number of obs: 60, groups: batch:cask, 30; batch, 10" in text
    rows = [line.split()[0] for line in text.partition("Random effects:")[2].splitlines()[2:5]]
    assert rows == ["batch:cask", "batch", "Residual"]


def test_uncorrelated_effects_have_no_correlation():
    text = str(fitted("sleepstudy_double_bar", reml=True).summary())
    assert "Corr\n" not in text
    block = text.partition("Random effects:")[2].splitlines()
    assert block[2].split()[:2] == ["Subject", "Intercept"]
    assert block[3].split()[0] == "Days"


def test_correlations_of_many_coefficients_are_left_out():
    assert "Correlation of fixed effects" not in str(fitted("cake", reml=True).summary())  # 18 coefficients
    assert "Correlation of fixed effects" not in str(fitted("dyestuff", reml=True).summary())  # one


def test_no_fixed_effects():
    text = str(lmm.fit("Reaction ~ 0 + (1|Subject)", frame("sleepstudy")).summary())
    assert "Fixed effects" not in text
    assert text.endswith("Number of obs: 180, groups: Subject, 18")


def test_correlations_of_fixed_effects():
    covariance = fitted("lamb", reml=True).cov_params().to_numpy()
    sd = np.sqrt(np.diagonal(covariance))
    rows = str(fitted("lamb", reml=True).summary()).partition("Correlation of fixed effects:\n")[2].splitlines()[1:]
    for i, row in enumerate(rows, start=1):
        expected = [f"{covariance[i, j] / (sd[i] * sd[j]):.3f}" for j in range(i)]
        assert row.split()[1:] == expected


def test_lines_carry_no_trailing_blanks():
    for name, reml in (("sitka", False), ("machines", True), ("lamb", False)):
        assert all(line == line.rstrip() for line in str(fitted(name, reml=reml).summary()).splitlines())


# HTML


class Checker(HTMLParser):
    """Collects the text of every cell and refuses tags that do not match."""

    def __init__(self):
        super().__init__()
        self.open, self.tables, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        assert all(name == "style" and value.startswith("text-align") for name, value in attrs)
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] in ("th", "td"):
            self.tables[-1][-1][-1] += data


def parsed(fit):
    checker = Checker()
    checker.feed(fit.summary()._repr_html_())
    checker.close()
    assert checker.open == []
    return checker


@pytest.mark.parametrize(
    ("name", "reml"), [("pig", True), ("sitka", False), ("lamb", False), ("oats", True), ("cake", True)]
)
def test_html_says_the_same_as_the_text(name, reml):
    fit = fitted(name, reml=reml)
    checker = parsed(fit)
    assert fit._repr_html_() == fit.summary()._repr_html_()
    for table in checker.tables:
        widths = {len(row) for row in table}
        assert len(widths) == 1
    html_words = " ".join(checker.text).split()
    assert sorted(html_words) == sorted(str(fit.summary()).split())


def test_html_escapes_names():
    data = frame("sleepstudy").rename(columns={"Days": "<b>&days", "Subject": "a<i>b"})
    data["f"] = np.where(data["<b>&days"] % 2, "<script>", '"&quot;')
    fit = lmm.fit("Reaction ~ f + `<b>&days` + (1|`a<i>b`)", data)
    source = fit.summary()._repr_html_()
    for name in ("<script>", "<b>&days", "a<i>b"):
        assert name not in source
        assert html.escape(name) in source
    checker = parsed(fit)
    names = [row[0] for row in checker.tables[2][1:]]
    assert names == list(fit.params.index)


# Numbers


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1764.05, 2451.25], ["1764", "2451"]),
        ([15.142, 4.395], ["15.142", "4.395"]),
        ([0.35649, 0.013509, 0.002593], ["0.356490", "0.013509", "0.002593"]),
        ([0.0, 2.9708], ["0.000", "2.971"]),
        ([0.0], ["0"]),
        ([1.0], ["1"]),
        ([-0.5, 12.0], ["-0.5", "12.0"]),
        ([np.nan, 1.25], ["NaN", "1.25"]),
        ([np.inf, 1.25], ["NaN", "1.25"]),
        ([np.nan], ["NaN"]),
        ([1e-20], ["1.000e-20"]),
        ([1.2346e-12, 5.0], ["1.235e-12", "5.000e+00"]),
        ([1.5e12, 2.5e-3], ["1.500e+12", "2.500e-03"]),
        ([1e20], ["1.000e+20"]),
        ([123456789.0, 0.001234], ["1.235e+08", "1.234e-03"]),
        ([np.nan, 1e-20], ["NaN", "1.000e-20"]),
    ],
)
def test_numbers_keep_four_digits_of_the_smallest(values, texts):
    assert format_column(np.array(values)) == texts


def test_rounding_up_to_the_next_decade():
    assert format_column(np.array([9.99996, 0.999996])) == ["10", "1"]


def test_most_decimals():
    assert format_column(np.array([0.000123, 4.5]), most_decimals=3) == ["0.000", "4.500"]


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_summaries_on_extreme_scales_can_be_read(scale):
    data = frame("sleepstudy").assign(Reaction=lambda data: scale * data["Reaction"])
    fit = lmm.fit("Reaction ~ Days + (Days|Subject)", data)
    text = str(fit.summary())
    assert max(map(len, text.splitlines())) < 80
    lines = text.splitlines()
    intercept = next(line for line in lines if line.startswith("Intercept"))
    # The estimate stands there with four digits, whatever the unit.
    np.testing.assert_allclose(float(intercept.split()[1]), fit.params["Intercept"], rtol=5e-4)
    variance = next(line for line in lines if line.startswith("Subject"))
    np.testing.assert_allclose(float(variance.split()[2]), fit.random_cov["Subject"].iloc[0, 0], rtol=5e-4)
    assert dedent(text) == text


def test_every_part_of_a_fit_is_shown_briefly():
    fit = fitted("penicillin", reml=True)
    null = lmm.fit("diameter ~ 1", frame("penicillin"), allow_fixed=True)
    for shown in (fit.design, *fit.design.terms, *fit.factors, fit.optimum, fit.structure(), leverage(fit), null):
        assert len(repr(shown)) < 400
    assert repr(fit.factors[1]) == "<GroupingFactor 'sample': Intercept for 6 levels>"
    assert repr(fit.design) == "<Design 'diameter ~ 1 + (1|plate) + (1|sample)': n = 144, p = 1, q = 30>"
    assert null._repr_html_() == null.summary()._repr_html_()
    layout = fit.structure()
    assert repr(layout) == str(layout)
    cells = [cell for line in str(layout).splitlines() for cell in re.split(" {2,}", line)]
    assert all(html.escape(cell) in layout._repr_html_() for cell in cells)


def test_leverage_prints_the_effective_number_of_coefficients():
    h = leverage(fitted("penicillin", reml=True))
    last = str(h).splitlines()[-2].split()
    assert last[0] == "Both"
    np.testing.assert_allclose(
        np.array(last[1:], dtype=float), [h.total.sum(), h.total.mean(), h.total.max()], rtol=1e-2
    )
    assert h._repr_html_().count("<tr>") == 4
