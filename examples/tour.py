"""
A tour of `lmm` in sixty lines: reaction times of 18 people over ten days of restricted sleep.

With the name of a folder as argument, the figures are saved there (that needs matplotlib).
"""

import sys
from pathlib import Path

import pandas as pd

import lmm

print("1. Fit: an intercept and a slope for each person\n")
sleepstudy = lmm.datasets.load("sleepstudy")
fit = lmm.fit("Reaction ~ Days + (Days | Subject)", sleepstudy)
print(fit)

print("\n2. The optimum is certified\n")
print(fit.optimum.certificate)

print("\n3. People: predicted intercepts and slopes, with limits\n")
print(fit.random_effects_table().head(4).round(2).to_string(index=False))

print("\n4. Predictions for somebody seen and somebody new\n")
new = pd.DataFrame({"Days": [10, 10], "Subject": ["308", "somebody new"]})
print(fit.predict(new, new_levels="population", interval="prediction").round(1))

print("\n5. How much is explained, and by what\n")
print(lmm.r2(fit), lmm.icc(fit), fit.random_pca()["Subject"], sep="\n")

print("\n6. Is the model any good?\n")
print(fit.check())

print("\n7. Whom does it rest on? Each person left out, the model fitted again\n")
influence = fit.influence(by="Subject", exact=True)
print(influence)
print(influence.variance_components.loc[["335"]].round(1).to_string())

print("\n8. Do people differ in their slopes, and do slopes go with intercepts?\n")
terms = ["(1 | Subject)", "(Days || Subject)", "(Days | Subject)"]
path = [lmm.fit(f"Reaction ~ Days + {term}", sleepstudy) for term in terms]
print(lmm.lrt(*path))

print("\n9. A hypothesis, and intervals from the profile likelihood and from a thousand bootstrap replicates\n")
print(fit.contrast("Days = 8", ddf="kenward-roger"))
print(fit.profile())
print(fit.bootstrap(1000, rng=1).conf_int().round(2))

if len(sys.argv) > 1:
    import matplotlib.pyplot as plt

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.0), layout="constrained")
    lmm.plots.fitted_lines(fit, sleepstudy, "Days", ax=left)
    lmm.plots.shrinkage(fit, ax=right)
    figure.savefig(folder / "tour_people.png", dpi=100)
    fit.plot().savefig(folder / "tour_checks.png", dpi=150)
    lmm.plots.information_criteria(*path, names=terms).figure.savefig(folder / "tour_criteria.png", dpi=150)
