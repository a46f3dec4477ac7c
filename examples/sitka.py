"""
Growth of 79 Sitka spruces, with and without ozone.

Each tree was measured on five days of 1988; 54 trees grew in ozone, 25 in control chambers. Every tree has a parabola
of its own around the one of its treatment: size = log(height * diameter^2). Reference values, computed with lme4 on
standardised days, are log-likelihoods of 72.249 and 65.939.
"""

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
