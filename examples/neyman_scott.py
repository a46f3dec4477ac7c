"""
Many means, two measurements of each: where maximum likelihood goes wrong, and what random effects change.

Neyman and Scott (1948): y_ij = u_i + e_ij for i = 1, ..., m and j = 1, 2, errors of variance s^2. With the means u_i as
parameters, their number grows with the data, and the maximum likelihood estimate of s^2 tends to s^2 / 2. REML, which
counts them, is consistent; so are both methods where the means are draws from a normal distribution.

With the name of a folder as argument, the figure is saved there (that needs matplotlib).
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import lmm

print("1. The one-way layout in closed form: six batches of dyestuff, five samples of each\n")
dyestuff = lmm.datasets.load("dyestuff")
by_batch = dyestuff.groupby("Batch", observed=True)["Yield"]
m, k = by_batch.ngroups, by_batch.size().iloc[0]
n = m * k
ssa = k * ((by_batch.mean() - dyestuff["Yield"].mean()) ** 2).sum()
sse = ((dyestuff["Yield"] - by_batch.transform("mean")) ** 2).sum()
msa, mse = ssa / (m - 1), sse / (n - m)
print(f"{'':10}{'df':>4}{'sum of squares':>16}{'mean square':>13}{'expected':>18}")
print(f"{'batches':10}{m - 1:4}{ssa:16.1f}{msa:13.1f}{'s^2 + 5 t^2':>18}")
print(f"{'samples':10}{n - m:4}{sse:16.1f}{mse:13.1f}{'s^2':>18}\n")

closed = {
    "ANOVA": ((msa - mse) / k, mse),
    "REML": ((msa - mse) / k, mse),  # as long as this is not negative
    "ML": ((ssa / m - mse) / k, mse),
}
fits = {name: lmm.fit("Yield ~ 1 + (1 | Batch)", dyestuff, reml=name == "REML") for name in ("REML", "ML")}
print(f"{'':8}{'between, closed form':>22}{'fit':>10}{'within, closed form':>22}{'fit':>10}")
for name, (between, within) in closed.items():
    ours = fits[name].variance_components["vcov"] if name in fits else ("", "")
    cells = [f"{x:10.3f}" if name in fits else " " * 10 for x in ours]
    print(f"{name:8}{between:22.3f}{cells[0]}{within:22.3f}{cells[1]}".rstrip())

between, within = closed["REML"]
total = within + k * between
restricted = -0.5 * (
    (n - 1) * np.log(2 * np.pi) + np.log(n) + m * (k - 1) * np.log(within) + (m - 1) * np.log(total)
) - 0.5 * (sse / within + ssa / total)
print(f"\nrestricted log-likelihood in closed form {restricted:.6f}, of the fit {fits['REML'].llf:.6f}")

print("\n2. The means as parameters: the estimate of the error variance, 1 in truth\n")
rng = np.random.default_rng(1948)
SIZES = (10, 100, 1000, 10_000)
REPEATS = 20


def estimates(m: int) -> pd.Series:
    """Estimates of the error variance, of one sample of m pairs."""
    means = rng.normal(0.0, 2.0, size=m)
    y = means[:, None] + rng.normal(size=(m, 2))
    half = 0.5 * (y[:, 0] - y[:, 1]) ** 2  # sum of squares of each pair around its mean
    pairs = pd.DataFrame({"y": y.ravel(), "pair": np.repeat(np.arange(m), 2)})
    ml, reml = (lmm.fit("y ~ 1 + (1 | pair)", pairs, reml=reml).sigma ** 2 for reml in (False, True))
    return pd.Series({"ML, fixed": half.sum() / (2 * m), "REML, fixed": half.sum() / m, "ML": ml, "REML": reml})


table = {}
with warnings.catch_warnings():  # ten pairs may show no variation between their means
    warnings.simplefilter("ignore", lmm.SingularFitWarning)
    for m in SIZES:
        draws = pd.DataFrame([estimates(m) for _ in range(REPEATS)])
        table[m] = (draws.mean(), draws.std(ddof=1))
print(f"Means of {REPEATS} samples, with their standard deviations\n")
print(f"{'pairs':>6}" + "".join(f"{name:>18}" for name in ("ML, fixed", "REML, fixed", "ML", "REML")))
for m, (mean, deviation) in table.items():
    print(f"{m:6}" + "".join(f"{mean[name]:10.3f} ({deviation[name]:.3f})" for name in mean.index))
print("""
With the means as parameters, more pairs make maximum likelihood ever surer of 0.5. REML divides the sum of squares by
the m degrees of freedom that are left, not by 2 m. With random means there are three parameters, whatever m, and both
methods tend to 1.""")


def draw(folder: Path) -> None:
    """Save the figure: estimates against the number of pairs."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - only where a figure is wanted

    folder.mkdir(parents=True, exist_ok=True)
    figure, ax = plt.subplots(figsize=(6.0, 4.0), layout="constrained")
    styles = {"ML, fixed": ("#D55E00", "s-"), "REML, fixed": ("#0072B2", "o-"), "REML": ("#009E73", "^--")}
    for place, (name, (colour, style)) in enumerate(styles.items()):
        mean = np.array([table[m][0][name] for m in SIZES])
        deviation = np.array([table[m][1][name] for m in SIZES])
        shifted = np.array(SIZES) * 1.12 ** (place - 1)
        label = f"{name} means" if "fixed" in name else f"{name}, random means"
        ax.errorbar(shifted, mean, deviation, fmt=style, color=colour, capsize=3.0, label=label)
    for value in (0.5, 1.0):
        ax.axhline(value, color="#BFBFBF", linewidth=1.0, zorder=0)
    ax.set(xscale="log", xlabel="Pairs", ylabel="Estimated error variance (truth: 1)")
    ax.legend(frameon=False)
    figure.savefig(folder / "neyman_scott.png", dpi=150)


if len(sys.argv) > 1:
    draw(Path(sys.argv[1]))
