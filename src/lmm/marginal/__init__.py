"""
Marginal means and slopes: linear functions of the fixed effects, averaged over a balanced grid of the model's factors.

The grid has all combinations of the levels of the factors and the means of the covariates (`grid`); its averages are
linear functions of the coefficients; they, and contrasts of them (`families`) with simultaneous inference
(`adjustments`), are estimated (`means`).
"""
