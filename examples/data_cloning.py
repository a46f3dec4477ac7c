"""
Data cloning: what the data can say about two variances, and how sure one can be of a random effect.

A hundred units are measured once each. Their variance and that of the measurement add up to the variance of the data,
which is all that can be learned; the likelihood has a ridge. Data cloning shows it: the posterior of estimable
parameters shrinks as copies of the data are added, that of the others does not. With two measurements a unit all is
well. Lele, Nadeem and Schmuland (2010) and the workshop notes of Solymos and Lele (2016) have the same example.

python examples/data_cloning.py [FOLDER]    the figures are saved where a folder is given
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import lmm
from lmm.cloning.result import DataCloning

MEAN, SD_UNITS, SD_ERROR = 2.5, 0.5, 0.2


def measured(n_units: int, n_times: int, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Units measured several times each, and their true effects."""
    effects = SD_UNITS * rng.standard_normal(n_units)
    unit = np.repeat(np.arange(n_units), n_times)
    y = MEAN + effects[unit] + SD_ERROR * rng.standard_normal(len(unit))
    return pd.DataFrame({"y": y, "unit": unit}), effects


def save(result: DataCloning, name: str) -> None:
    """Save the three pictures of a result, where a folder is given."""
    if len(sys.argv) == 1:
        return
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("trace", "density", "clones"):
        result.plot(kind)[0].figure.savefig(folder / f"{name}_{kind}.png", dpi=120)


print("1. One measurement a unit\n")
once, _ = measured(100, 1, np.random.default_rng(1234))
try:
    lmm.fit("y ~ 1 + (1 | unit)", once)
except lmm.ModelError as refusal:
    print(f"lmm.fit: {refusal}\n")
one = lmm.data_cloning("y ~ 1 + (1 | unit)", once, rng=1)
print(one)
save(one, "one_measurement")
variances = one.draws[25][..., 1:].reshape(-1, 2)
print(f"\nCorrelation of the two variances with 25 clones: {np.corrcoef(variances.T)[0, 1]:.2f}")
print(f"Variance of the data, which is the maximum likelihood estimate of their sum: {once['y'].var(ddof=0):.4f}")

print("\n2. Two measurements a unit\n")
twice, effects = measured(100, 2, np.random.default_rng(1234))
two = lmm.data_cloning("y ~ 1 + (1 | unit)", twice, rng=1)
print(two)
save(two, "two_measurements")
fit = lmm.fit("y ~ 1 + (1 | unit)", twice, reml=False)
likelihood = [*fit.params, *fit.variance_components["vcov"]]
errors = [*fit.bse, *np.sqrt(np.diagonal(fit.cov_variance()))]
print(f"\n{'':12}{'cloning':>9}{'ML':>9}{'s.e.':>9}{'s.e. ML':>9}")
for row in zip(two.parameters, two.estimates, likelihood, two.std_errors, errors, strict=True):
    print(f"{row[0]:12}" + "".join(f"{number:9.4f}" for number in row[1:]))

print("\n3. How sure one can be of a unit\n")
# With few units the parameters are uncertain. Limits of predicted effects that take them as known are too narrow.
rng = np.random.default_rng(1)
covered = {"parameters as known": [], "with their uncertainty": []}
for _ in range(25):
    data, effects = measured(8, 2, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lmm.SingularFitWarning)
        plug_in = lmm.fit("y ~ 1 + (1 | unit)", data, reml=False).random_effects_table()
    cloned = lmm.data_cloning("y ~ 1 + (1 | unit)", data, n_clones=20, chains=2, n_iter=100, n_warmup=30, rng=rng)
    for name, table in zip(covered, (plug_in, cloned.random_effects(n=200, rng=rng)), strict=True):
        covered[name].append((table["lower"] <= effects) & (effects <= table["upper"]))
print("Share of 200 true effects of units within their 95 % limits, eight units measured twice:")
for name, inside in covered.items():
    print(f"{name:24}{np.mean(inside):.2f}")
