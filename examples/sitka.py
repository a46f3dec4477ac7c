"""
Growth of 79 Sitka spruces, with and without ozone.

Each tree was measured on five days of 1988; 54 trees grew in ozone, 25 in control chambers. Every tree has a parabola
of its own around the one of its treatment: size = log(height * diameter^2). Reference values, computed with lme4 on
standardised days, are log-likelihoods of 72.249 and 65.939.

With the name of a folder as argument, the figures are saved there (that needs matplotlib).
"""

import sys
import warnings
from pathlib import Path

import lmm

WITH = "size ~ treat * (time + I(time^2)) + (time + I(time^2) | tree)"
WITHOUT = "size ~ time + I(time^2) + (time + I(time^2) | tree)"

sitka = lmm.datasets.load("sitka")
sitka["time"] = (sitka["Time"] - sitka["Time"].mean()) / sitka["Time"].std()

print("1. Maximum likelihood, with and without the treatment\n")
# ML, because REML criteria of models with different fixed effects are not comparable.
treatment = lmm.fit(WITH, sitka, reml=False)
none = lmm.fit(WITHOUT, sitka, reml=False)
print(treatment)
print(f"\n{'':12}{'npar':>5}{'AIC':>9}{'BIC':>9}{'logLik':>8}{'deviance':>10}")
for name, model in {"without": none, "with": treatment}.items():
    print(f"{name:12}{model.n_params:5}{model.aic:9.2f}{model.bic:9.3f}{model.llf:8.3f}{model.deviance:10.2f}")
print(f"""
Twice the gain in log-likelihood is {none.deviance - treatment.deviance:.2f}, for three parameters. AIC prefers
the model with ozone; BIC, which charges more for a parameter, the one without.""")

print("\n2. The same model on the days themselves\n")
# Days run from 152 to 258, their squares to 66,564: columns of very different size, and nearly collinear.
raw = lmm.fit(WITH, sitka.assign(time=sitka["Time"]), reml=False)
print(f"standardised days  logLik {treatment.llf:.5f}")
print(f"raw days           logLik {raw.llf:.5f}")
print(f"largest difference of fitted values {(raw.fittedvalues - treatment.fittedvalues).abs().max():.0e}")
print("The parameters are different numbers, the model is the same, and so is the fit.")

print("\n3. One tree\n")
tree = sitka["tree"] == 1
effects = treatment.random_effects["tree"].loc[1]
print("Random effects of tree 1, predicted (BLUPs):")
print(effects.to_string(float_format="%.4f"))
print(f"\n{'day':>4}{'size':>7}{'ozone mean':>12}{'tree 1':>8}")
average = treatment.X.loc[tree] @ treatment.params
for row in sitka.index[tree]:
    day, size = sitka.loc[row, ["Time", "size"]]
    print(f"{day:4.0f}{size:7.2f}{average[row]:12.3f}{treatment.fittedvalues[row]:8.3f}")
print("Tree 1 was larger than the mean of the trees in ozone from the first day on, and grew faster.")

print("\n4. Does ozone matter? A likelihood ratio and its bootstrap\n")
bootstrap = lmm.lrt(none, treatment, test="bootstrap", n_boot=1000, rng=1)
print(bootstrap)
chi_square = lmm.lrt(none, treatment, test="chi2").table["p_value"].iloc[1]
simulated = bootstrap.table["p_value"].iloc[1]
print(f"""
p-value by chi-square {chi_square:.6f}, by 1000 responses simulated without ozone {simulated:.4f}.
Printed are 0.005535 by chi-square and 0.011 by 1000 simulations; pbkrtest, with 1000 others, gives 0.005.
Each of these bootstrap p-values has a standard error near 0.003; 100,000 simulations give 0.0073.""")

print("\n5. Diagnostics\n")
print(treatment.check())
print()
print(treatment.influence(by="tree", exact=True))
cook = treatment.influence().cooks_distance
print(f"\n{(cook > 3 * cook.mean()).sum()} of {len(cook)} rows have a Cook's distance above three times the mean.")

print("\n6. The language of formulas, on the yields of oats (blocks, varieties within them, nitrogen)\n")
TERMS = {
    "(1 | Block)": "an intercept for each block",
    "(nitro | Block)": "an intercept and a slope, correlated",
    "(0 + nitro | Block)": "a slope, no intercept",
    "(1 | Block) + (0 + nitro | Block)": "an intercept and a slope, uncorrelated",
    "(1 | Block/Variety)": "blocks, and varieties within blocks",
    "Block + (1 | Block:Variety)": "blocks fixed, varieties within blocks random",
    "(nitro | Block/Variety)": "lines for blocks, and for varieties within blocks",
    "nitro * Block + (nitro | Block:Variety)": "a fixed line for each block, random ones within",
    "(1 | Block) + (nitro | Variety)": "different effects of two crossed factors",
    "(1 | Block) + (1 | Variety)": "two crossed factors",
}
oats = lmm.datasets.load("oats")
print(f"{'yield ~ nitro + ...':42}{'npar':>5}{'logLik':>10}  meaning")
for terms, meaning in TERMS.items():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lmm.SingularFitWarning)
        model = lmm.fit(f"yield ~ nitro + {terms}", oats, reml=False)
    mark = ", singular" if model.is_singular else ""
    print(f"{terms:42}{model.n_params:5}{model.llf:10.3f}  {meaning}{mark}")


def draw(folder: Path) -> None:
    """Save the figures of the analysis."""
    folder.mkdir(parents=True, exist_ok=True)
    intercepts = lmm.fit("size ~ time + (1 | tree)", sitka, reml=False)
    figures = {
        "by_tree": lmm.plots.residuals_by_group(treatment, kind="marginal").figure,
        "intercepts": lmm.plots.shrinkage(intercepts).figure,
        "lines": lmm.plots.fitted_lines(treatment, sitka, "time", by="treat").figure,
        "residuals": lmm.plots.residuals_vs_fitted(treatment).figure,
        "quantiles": lmm.plots.qq_residuals(treatment).figure,
        "cook": lmm.plots.cooks_distance(treatment).figure,
        "effects": lmm.plots.qq_random_effects(treatment)[0].figure,
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"sitka_{name}.png", dpi=150)


if len(sys.argv) > 1:
    draw(Path(sys.argv[1]))
