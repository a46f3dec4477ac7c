"""
Birth weights of 62 lambs: what ML and what REML say about the variation between sires.

Five lines and three age classes of the dam are fixed effects (the third age class is the reference), 23 sires are
random. The data are those of Harville and Fenech (1985) as printed by Jiang (2007). The published estimates beside
ours come from a report on these data (Chen, 2024, computed with the R package lme4). Its second question is how
uncertain the variances are: by the inverse of the Fisher information and by the parametric bootstrap.
"""

import warnings

import pandas as pd

import lmm

FORMULA = "Weight ~ Line + Age - 1 + (1|Sire)"

# Estimate and standard error as printed. The report has no row for the second age class under ML.
PUBLISHED_ML = {
    "Line[1]": ("10.72010", "0.65981"),
    "Line[2]": ("12.31608", "0.63314"),
    "Line[3]": ("10.89224", "0.48753"),
    "Line[4]": ("10.21310", "0.62860"),
    "Line[5]": ("10.97742", "0.46298"),
    "Age[T.1]": ("-0.02184", "0.52187"),
    "Sire": ("0", ""),
    "Residual": ("2.971", ""),
}
PUBLISHED_REML = {
    "Line[1]": ("10.500799", "0.807022"),
    "Line[2]": ("12.299933", "0.756868"),
    "Line[3]": ("11.042510", "0.656169"),
    "Line[4]": ("10.286381", "0.788240"),
    "Line[5]": ("10.962486", "0.543773"),
    "Age[T.1]": ("-0.009646", "0.548103"),
    "Age[T.2]": ("-0.165080", "0.643456"),
    "Sire": ("0.511", ""),
    "Residual": ("2.995", ""),
}

# Standard errors of the variances of sires and residuals as printed: asymptotic, and from 100 bootstrap replicates.
PUBLISHED_ERRORS = {
    "ML": (("0.297", "0.610"), ("0.077", "0.524")),
    "REML": (("0.670", "0.675"), ("0.741", "0.587")),
}
N_REPLICATES = 2000


def fit(data: pd.DataFrame, *, reml: bool) -> tuple[lmm.FittedModel, list[str]]:
    """Fit the model; return it with what the library warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", lmm.LMMWarning)
        model = lmm.fit(FORMULA, data, reml=reml)
    return model, [str(warning.message) for warning in caught]


def compare(model: lmm.FittedModel, published: dict[str, tuple[str, str]]) -> None:
    """Print our estimates and standard errors beside the published ones."""
    variances = model.variance_components.set_index("group")["vcov"]
    print(f"{'':10}{'estimate':>10}{'published':>12}{'std. error':>13}{'published':>12}")
    for name, (estimate, error) in published.items():
        ours = variances if name in variances.index else model.params
        ours_error = f"{model.bse[name]:.6f}" if error else ""
        print(f"{name:10}{ours[name]:10.6f}{estimate:>12}{ours_error:>13}{error:>12}".rstrip())


def uncertainty(model: lmm.FittedModel, method: str) -> float:
    """Print both covariance matrices of the variances; give the share of replicates without variation of sires."""
    result = model.bootstrap(N_REPLICATES, rng=2022)
    names = ["Sire", "Residual"]
    found = [model.cov_variance().loc[names, names], result.cov().loc[names, names]]
    print(f"{method:12}{'asymptotic':>20}{'bootstrap':>24}")
    for name in names:
        print(f"{name:12}" + "    ".join("".join(f"{x:10.3f}" for x in matrix.loc[name]) for matrix in found))
    errors = ["".join(f"{matrix.loc[name, name] ** 0.5:10.3f}" for name in names) for matrix in found]
    print(f"{'std. error':12}" + "    ".join(errors))
    printed = ["".join(f"{text:>10}" for text in texts) for texts in PUBLISHED_ERRORS[method]]
    print(f"{'published':12}" + "    ".join(printed))
    share: float = (result.estimates["Sire"] == 0.0).mean()
    print(f"{share:.0%} of the replicates have a sire variance of zero.\n")
    return share


lambs = lmm.datasets.load("lamb")
lambs["Age"] = lambs["Age"].cat.reorder_categories(["3", "1", "2"])  # the first category is the reference

print("1. Maximum likelihood\n")
ml, said = fit(lambs, reml=False)
print(ml.summary(ddf=None))
print("\nWarning given:", *said)
print(f"""
From a sire variance of 0 the deviance rises, at a rate of {ml.optimum.boundary_curvature:.3f} for each unit of
the ratio of sire variance to residual variance. So 0 is the optimum, and not a place where a search got stuck.
""")
compare(ml, PUBLISHED_ML)

print("\n2. Restricted maximum likelihood\n")
reml, said = fit(lambs, reml=True)
print(reml.summary(ddf=None))
print("\nWarning given:", *(said or ["none"]))
print()
compare(reml, PUBLISHED_REML)
print("The printed 2.995 was cut off, not rounded: lme4 1.1-31 gives variances of 0.51136 and 2.99593.")

sire, residual = reml.variance_components["vcov"]
print(f"""
3. Beside each other

The fixed effects and the residual variance hardly differ. ML finds no variation between sires. REML takes into account
that seven fixed effects were estimated from the same 62 lambs, and finds some: a sire variance of {sire:.3f},
which is {sire / (sire + residual):.1%} of the variance within a line and age class.""")

print(f"""
4. How uncertain the variances are

Covariance matrices of the two variances (sire, residual), from the Fisher information and from {N_REPLICATES} bootstrap
replicates.
""")
share_ml = uncertainty(ml, "ML")
share_reml = uncertainty(reml, "REML")
wrong = " and ".join(PUBLISHED_ERRORS["REML"][1])
print(f"""Under ML the two disagree. Of the replicates {share_ml:.0%} are at zero: the distribution of the sire variance
is far from normal, and its standard error is less than half of what the information says. Under REML {share_reml:.0%}
are at zero, and the standard errors are close.

The published bootstrap under ML has 100 replicates, ours {N_REPLICATES}. Under REML there is more to it: bootMer calls
refit, which in lme4 up to 2023 forgot the number of fixed effects of a REML fit, here seven. The replicates were then
no REML estimates, and the published standard errors, {wrong}, are wrong. lme4 was corrected in April 2023.""")
