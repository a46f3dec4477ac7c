"""
Random effects with the uncertainty of the parameters.

Parameters are drawn from the normal distribution that data cloning gives for their estimates, on a scale without bounds
(standardised beta, log sigma, the entries of the relative factors, those on the diagonal as logs); for each draw the
random effects are normal given the data. The mixture is what is known of them.

References
----------
Lele, S. R., Nadeem, K. and Schmuland, B. (2010). Estimability and likelihood inference for generalized linear mixed
models using data cloning. Journal of the American Statistical Association 105, 1617-1625, section 4.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmm.cloning.diagnostics import pooled_cov
from lmm.cloning.posterior import LARGEST
from lmm.cloning.sampler import ClonedModel, Draws
from lmm.linalg import BoolArray, FloatArray, IntArray
from lmm.prediction.blup import conditional_covariances, conditional_modes

# A relative standard deviation below this is as good as zero; its log would have no end.
SMALLEST = 1e-8


def predicted_effects(
    model: ClonedModel, draws: Draws, n_clones: int, n: int, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Mean, standard deviation and limits of every random effect, from n draws of the parameters."""
    p = model.deviance.cross.p
    coordinates = _unbounded(model, draws)
    flat = coordinates.reshape(-1, coordinates.shape[-1])
    values, vectors = np.linalg.eigh(n_clones * pooled_cov(coordinates))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    sampled = flat.mean(axis=0) + rng.standard_normal((n, len(root))) @ root.T
    beta, theta, sigma = _bounded(model, sampled)
    effects: list[list[FloatArray]] = [[] for _ in model.factors]
    means: list[list[FloatArray]] = [[] for _ in model.factors]
    for i in range(n):
        at = model.deviance.evaluate(theta[i])
        modes = conditional_modes(model.deviance, at, model.basis, beta[i] if p else None)
        covs = conditional_covariances(model.deviance, at, model.basis, model.basis.scale * sigma[i])
        for t, (b, cov) in enumerate(zip(modes, covs, strict=True)):
            sd = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
            means[t].append(b)
            effects[t].append(b + sd * rng.standard_normal(b.shape))
    tail = 0.5 * (1.0 - level)
    parts = []
    for factor, drawn, centre in zip(model.factors, effects, means, strict=True):
        stacked = np.array(drawn)
        lower, upper = np.quantile(stacked, [tail, 1.0 - tail], axis=0)
        k = len(factor.effects)
        columns = {
            "group": factor.group,
            "level": factor.levels.to_numpy().repeat(k),
            "effect": list(factor.effects) * factor.n_levels,
            "estimate": np.mean(centre, axis=0).ravel(),
            "std_error": stacked.std(axis=0, ddof=1).ravel(),
            "lower": lower.ravel(),
            "upper": upper.ravel(),
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _entries(model: ClonedModel) -> tuple[BoolArray, IntArray]:
    """For each entry of theta, whether it is on a diagonal, and the entry on the diagonal of its column."""
    on_diagonal: list[bool] = []
    partner: list[int] = []
    for covariance in model.deviance.covariances:
        _, rows, columns = np.nonzero(covariance.tangents)
        diagonal = {int(columns[i]): len(partner) + int(i) for i in np.flatnonzero(rows == columns)}
        partner.extend([diagonal[int(column)] for column in columns])
        on_diagonal.extend(rows == columns)
    return np.array(on_diagonal), np.array(partner, dtype=np.intp)


def _unbounded(model: ClonedModel, draws: Draws) -> FloatArray:
    """Coordinates without bounds, shape (chains, n, p + m), and log sigma last where it is a parameter."""
    on_diagonal, partner = _entries(model)
    # The sign of a column of T is arbitrary: that with a positive diagonal stands for both.
    theta = draws.theta * np.where(draws.theta[..., partner] < 0.0, -1.0, 1.0)
    theta[..., on_diagonal] = np.log(np.maximum(theta[..., on_diagonal], SMALLEST))
    parts = [draws.beta, theta]
    if model.deviance.sigma is None:
        parts.append(np.log(draws.sigma)[..., None])
    return np.concatenate(parts, axis=-1)


def _bounded(model: ClonedModel, coordinates: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Standardised beta (n, p), theta (n, m) and sigma (n,) of coordinates without bounds."""
    on_diagonal, _ = _entries(model)
    p, m = model.deviance.cross.p, model.deviance.n_theta
    beta, theta = coordinates[:, :p], coordinates[:, p : p + m].copy()
    theta[:, on_diagonal] = np.exp(np.minimum(theta[:, on_diagonal], np.log(LARGEST)))
    theta = np.clip(theta, -LARGEST, LARGEST)
    known = model.deviance.sigma
    sigma = np.full(len(coordinates), known) if known is not None else np.exp(coordinates[:, -1])
    return beta, theta, sigma
