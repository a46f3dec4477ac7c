"""Each example runs, and prints the numbers that it is about."""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@functools.cache
def run(name):
    """Output of an example, with runs of spaces made one, and the names of the figures that it saved."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "error", str(EXAMPLES / name), str(Path(folder) / "new" / "figures")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        saved = {path.name for path in Path(folder).rglob("*.png")}
    return "\n".join(" ".join(line.split()) for line in done.stdout.splitlines()), saved


PRINTED = {
    "lamb.py": [
        "Line[1] 10.72010 0.65981 16.247",
        "Line[2] 12.31608 0.63314 19.452",
        "Line[3] 10.89224 0.48753 22.342",
        "Line[4] 10.21310 0.62860 16.247",
        "Line[5] 10.97742 0.46298 23.710",
        "Age[T.1] -0.02184 0.52187 -0.042",
        "Sire Intercept 0.000 0.000",
        "Residual 2.970872 2.971",
        "Warning given: The random effects of 'Sire' (Intercept) have an estimated variance of zero",
        "Line[1] 10.500799 10.500799 0.807022 0.807022",
        "Line[2] 12.299933 12.299933 0.756868 0.756868",
        "Line[3] 11.042510 11.042510 0.656169 0.656169",
        "Line[4] 10.286381 10.286381 0.788240 0.788240",
        "Line[5] 10.962486 10.962486 0.543773 0.543773",
        "Age[T.1] -0.009646 -0.009646 0.548103 0.548103",
        "Age[T.2] -0.165080 -0.165080 0.643456 0.643456",
        "Warning given: none",
        "Sire 0.511360 0.511",
        "Residual 2.995928 2.995",
        "published 0.297 0.610 0.077 0.524",
        "published 0.670 0.675 0.741 0.587",
    ],
    "sitka.py": [
        "without 10 -111.88 -72.089 65.939 -131.88",
        "with 13 -118.50 -66.772 72.249 -144.50",
        "is 12.62, for three parameters",
        "standardised days logLik 72.24878",
        "raw days logLik 72.24878",
        "time 0.013509 0.11623 0.04",
        "I(time^2) 0.002593 0.05092 0.12 -0.71",
        "Residual 0.008096 0.08998",
        "152 4.51 4.053 4.500",
        "2 13 -118.50 -66.77 72.25 -144.50 12.62 3 chi2(3) 0.0055",
        "p-value by chi-square 0.005535, by 2000 responses simulated without ozone 0.006;",
        "2 13 -118.50 -66.77 72.25 -144.50 36.681 3 0.5 chi2(2) + 0.5 chi2(3) <0.0001",
        "rows: 70 (5.23), 92 (4.28).",
        "24 of 395 rows have a Cook's distance above three times the mean.",
        "(1 | Block/Variety) 5 -302.115 blocks, and varieties within blocks",
        "(nitro | Block/Variety) 9 -301.627 lines for blocks, and for varieties within blocks, singular",
    ],
    "data_cloning.py": [
        "The data do not tell 'unit' and 'Residual' apart: only the combination unit + Residual is identified.",
        "Correlation of the two variances with 25 clones: -1.00",
        "Variance of the data, which is the maximum likelihood estimate of their sum: 0.3698",
        "it is 2.5 where all parameters are estimable",
    ],
    "pigs.py": [
        "REML criterion at convergence: 2033.7968",
        "-3.7390 -0.5456 0.0184 0.5122 3.9313",
        "id.num Intercept 15.142 3.891",
        "Residual 4.395 2.096",
        "Intercept 19.35561 0.60314 32.09",
        "num.weeks 6.20990 0.03906 158.97",
        "shrinkage 0.96876",
        "1 -1.7384 -1.6841 -1.6841",
        "48 6.3171 6.1198 6.1198",
        "2 4 2041.80 2058.07 -1016.90 2033.80 473.15 1 0.5 chi2(0) + 0.5 chi2(1) <0.0001",
        "p-value 3.31e-105",
        "F = 32.009, null distribution F(47, 383), p-value <0.0001",
        "marginal (fixed effects) 0.9295",
        "adjusted for the fixed effects 0.7751",
    ],
    "neyman_scott.py": [
        "batches 5 56357.5 11271.5 s^2 + 5 t^2",
        "REML 1764.050 1764.050 2451.250 2451.250",
        "ML 1388.333 1388.333 2451.250 2451.250",
        "restricted log-likelihood in closed form -159.827138, of the fit -159.827138",
        "10000 0.501 (0.009) 1.002 (0.018) 1.002 (0.018) 1.002 (0.018)",
    ],
    "tour.py": [
        "REML criterion at convergence: 1743.6283",
        "Subject 309 Days -8.62 2.30 -13.14 -4.10",
        "1 356.1 72.3 214.4 497.7",
        "conditional (fixed and random) 0.7992",
        "Relative SD 0.9669 0.2309",
        "3 of 180 rows have a studentised residual beyond 3.64",
        "335 Days 0.556 0.1151 0.938",
        "335 644.9 25.6 19.9 685.8",
        "2 5 1753.67 1769.63 -871.83 1743.67 42.795792 1 0.5 chi2(0) + 0.5 chi2(1) <0.0001",
        "t = 1.5961, null distribution t(17), p-value 0.1289",
        "Subject.Days 5.922 3.927 9.152",
        "Subject.Days 10.35 66.38",
    ],
}


def test_every_example_is_tested():
    assert set(PRINTED) == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", PRINTED)
def test_example_prints_its_numbers(name):
    output, _ = run(name)
    for line in PRINTED[name]:
        assert line in output


def test_pigs_by_hand_and_blup_agree():
    label = "largest difference over the 48 pigs: "
    line = next(line for line in run("pigs.py")[0].splitlines() if line.startswith(label))
    assert float(line.removeprefix(label)) < 1e-10


def test_sitka_fitted_values_do_not_depend_on_the_scale_of_time():
    label = "largest difference of fitted values "
    line = next(line for line in run("sitka.py")[0].splitlines() if line.startswith(label))
    assert float(line.removeprefix(label)) < 1e-8


def test_lambs_have_the_standard_errors_of_the_reference():
    lines = [line for line in run("lamb.py")[0].splitlines() if line.startswith("std. error ")]
    # Asymptotic ones as printed by the report; bootstrap ones of lme4 1.1-31 (3000 simulated responses, fresh fits).
    expected = [(0.297, 0.610, 0.138, 0.515), (0.670, 0.675, 0.611, 0.652)]
    for line, (sire, residual, sire_bootstrap, residual_bootstrap) in zip(lines, expected, strict=True):
        found = [float(text) for text in line.removeprefix("std. error ").split()]
        assert found[:2] == pytest.approx([sire, residual], abs=2e-3)
        assert found[2:] == pytest.approx([sire_bootstrap, residual_bootstrap], abs=0.06)


FIGURES = {
    "lamb.py": set(),
    "pigs.py": {"pigs_checks", "pigs_effects", "pigs_lines", "pigs_shrinkage"},
    "sitka.py": {
        "sitka_by_tree",
        "sitka_cook",
        "sitka_effects",
        "sitka_intercepts",
        "sitka_lines",
        "sitka_quantiles",
        "sitka_residuals",
    },
    "neyman_scott.py": {"neyman_scott"},
    "data_cloning.py": {
        f"{name}_{kind}" for name in ("one_measurement", "two_measurements") for kind in ("trace", "density", "clones")
    },
    "tour.py": {"tour_checks", "tour_criteria", "tour_people"},
}


@pytest.mark.parametrize("name", PRINTED)
def test_example_saves_its_figures_in_the_folder_named(name):
    _, saved = run(name)
    assert saved == {f"{figure}.png" for figure in FIGURES[name]}


def test_data_cloning_agrees_with_likelihood_and_covers():
    rows = [line.split() for line in run("data_cloning.py")[0].splitlines()]
    start = next(i for i, row in enumerate(rows) if row[:2] == ["cloning", "ML"])
    for _, cloning, likelihood, error, information in rows[start + 1 : start + 4]:
        assert abs(float(cloning) - float(likelihood)) < 0.05 * float(information)
        assert abs(float(error) / float(information) - 1.0) < 0.1
    known = next(float(row[-1]) for row in rows if row[:3] == ["parameters", "as", "known"])
    mixed = next(float(row[-1]) for row in rows if row[:3] == ["with", "their", "uncertainty"])
    assert known < 0.85
    assert 0.88 < mixed <= 1.0
