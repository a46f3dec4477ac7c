"""Predicted random effects over their own standard deviations, which is what can be held against a normal."""

from __future__ import annotations

import numpy as np

from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.diagnostics.leverage import reduce_fixed
from lmm.linalg import FloatArray
from lmm.standardize import Basis


def mode_variances(deviance: ProfiledDeviance, at: Evaluation, basis: Basis) -> list[FloatArray]:
    """
    Variances of the predicted random effects under the model, relative to sigma^2.

    Predictions are shrunk: Var(b-hat) = Var(b) - Var(b-hat - b), so their variance is less than that of b, and less in
    levels with few rows. With G = Lambda Omega^-1 Lambda' and B = G Z'X it is Sigma - G - B C^-1 B' in each level.

    Returns
    -------
    list of ndarray (J_t, k_t)
        In the order in which the grouping factors were given to the core; 0 where an effect does not vary.
    """
    p, cross = deviance.cross.p, deviance.cross
    found: dict[int, FloatArray] = {}
    blocks = zip(
        cross.order,
        at.factors,
        deviance.conditional_covariances(at),
        cross.by_block(at.b_1[:p], at.b_T[:p]),
        strict=True,
    )
    for t, T, G, B in blocks:
        half = reduce_fixed(at, B.reshape(p, B.shape[1] * B.shape[2])).reshape(B.shape)
        variance = (T @ T.T)[:, :, None] - G - np.einsum("paj,pbj->abj", half, half)
        A = basis.bases[t]
        found[t] = np.maximum(np.einsum("ab,bcj,ac->ja", A, variance, A), 0.0)
    return [found[t] for t in range(len(found))]
