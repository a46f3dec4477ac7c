"""
MINQUE(0): minimum-norm quadratic unbiased estimation for variances near zero.

With M = I - X (X'X)^-1 X', the quadratic forms y'M Z_c Z_c'M y and y'M y are set equal to their expectations

    E(y'M V_c M y) = sum_d sigma_d^2 tr(M V_c M V_d),    V_c = Z_c Z_c',  V_residual = I.

One pass over the data, no iteration and no order of the sources.

References
----------
Rao, C. R. (1971). Minimum variance quadratic unbiased estimation of variance components. Journal of Multivariate
Analysis 1, 445-456.

Hartley, H. O., Rao, J. N. K. and LaMotte, L. R. (1978). A simple "synthesis"-based method of variance component
estimation. Biometrics 34, 233-242.
"""

from __future__ import annotations

import numpy as np

from lmm.design import Design
from lmm.errors import ModelError
from lmm.fitting import standardized_deviance
from lmm.linalg import FloatArray
from lmm.moments.sources import Source
from lmm.start import moment_equations

# Smallest share of the largest eigenvalue, for equations scaled to a unit diagonal, that still gives a solution.
SINGULAR = 1e-11


def minque0(design: Design, sources: tuple[Source, ...]) -> tuple[FloatArray, FloatArray]:
    """
    Equations of the sources and the residual, in that order.

    Returns
    -------
    coefficients : ndarray (m + 1, m + 1)
        Expectations of the forms as combinations of the variances.
    forms : ndarray (m + 1,)

    Raises
    ------
    ModelError
        When the equations are singular.
    """
    _, deviance, basis = standardized_deviance(design, reml=True, sigma=None)
    cross = deviance.cross
    traces, forms = moment_equations(cross, [(np.arange(k), np.arange(k)) for k, _ in cross.sizes])

    starts = dict(zip(cross.order, np.cumsum([0, *(k for k, _ in cross.sizes)]), strict=False))
    places = [*(starts[source.factor] + source.effect for source in sources), len(forms) - 1]
    # Columns of independent effects are scaled only, so that each form goes back to the user's units by one factor.
    units = np.array([*(basis.bases[source.factor][source.effect, source.effect] for source in sources), 1.0]) ** 2
    traces, forms = traces[np.ix_(places, places)], forms[places]
    scale = np.sqrt(np.diagonal(traces))
    eigenvalues = np.linalg.eigvalsh(traces / np.outer(scale, scale))
    if eigenvalues[0] <= SINGULAR * eigenvalues[-1]:
        raise ModelError(
            "The moment equations are singular: two variances of the model have the same effect on the data, so that "
            "they cannot be told apart. Remove one of the terms that split the rows alike."
        )
    return traces / np.outer(units, units), basis.scale**2 * forms / units
