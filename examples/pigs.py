"""
Weights of 48 pigs over nine weeks: what a predicted random effect is.

One line for all pigs, and for each pig a shift of its own: weight = a + b * week + u_pig + e. In a model with a random
intercept alone, the prediction of u_pig is the mean residual of the pig, shrunk towards 0 by the factor

    n s_u^2 / (s^2 + n s_u^2)

where n is the number of measurements of the pig, s_u^2 the variance between pigs and s^2 the one within.

With the name of a folder as argument, the figures are saved there (that needs matplotlib).
"""

import sys
from pathlib import Path

import lmm

pigs = lmm.datasets.load("pig_weights")
fit = lmm.fit("weight ~ num.weeks + (1 | id.num)", pigs)

print("1. The fit\n")
print(fit.summary(ddf=None))

print("\n2. Predicted random effects by hand\n")
between = fit.random_cov["id.num"].loc["Intercept", "Intercept"]
within = fit.sigma**2
residual = pigs["weight"] - fit.X @ fit.params
by_pig = residual.groupby(pigs["id.num"])
n = by_pig.size()
shrinkage = n * between / (within + n * between)
by_hand = shrinkage * by_pig.mean()
blup = fit.random_effects["id.num"]["Intercept"]

print(f"between pigs {between:.4f}, within {within:.4f}, {n.iloc[0]} measurements of each pig")
print(f"shrinkage {shrinkage.iloc[0]:.5f}\n")
print(f"{'pig':>4}{'mean residual':>15}{'shrunk':>9}{'BLUP':>9}")
for pig in (1, 2, 3, 4, 48):
    print(f"{pig:4}{by_pig.mean()[pig]:15.4f}{by_hand[pig]:9.4f}{blup[pig]:9.4f}")
print(f"largest difference over the 48 pigs: {(by_hand - blup).abs().max():.0e}")

print("\n3. Why shrink\n")
print("With fewer weighings a mean residual says less about the pig, and is trusted less:")
for weighings in (1, 2, 4, 9):
    print(f"  times weighed {weighings}: shrinkage {weighings * between / (within + weighings * between):.3f}")

print("\n4. Do pigs differ at all?\n")
# Under the null hypothesis the variance is on its boundary: half the time its estimate is 0 and so is the statistic.
alike = lmm.fit("weight ~ num.weeks", pigs, allow_fixed=True)
test = lmm.lrt(alike, fit)
print(test)
print(f"p-value {test.table['p_value'].iloc[1]:.2e}\n")
print(lmm.exact_f_test(fit))

print("\n5. What the fit says about itself\n")
print(lmm.r2(fit))
print()
print(lmm.icc(fit))
print()
print(fit.check())


def draw(folder: Path) -> None:
    """Save the figures of the analysis."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "lines": lmm.plots.fitted_lines(fit, pigs, "num.weeks"),
        "effects": lmm.plots.caterpillar(fit),
        "shrinkage": lmm.plots.shrinkage(fit),
    }
    for name, ax in pictures.items():
        ax.figure.savefig(folder / f"pigs_{name}.png", dpi=150)
    fit.plot().savefig(folder / "pigs_checks.png", dpi=150)


if len(sys.argv) > 1:
    draw(Path(sys.argv[1]))
