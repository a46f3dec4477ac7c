"""The likelihood of the ratio of one variance to the residual variance, the other parameters profiled out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from lmm.covariance import Covariance, Stacked
from lmm.inference.profile.criteria import alike
from lmm.inference.profile.pinned import Pinned, parts_of
from lmm.inference.reduced import gain
from lmm.inference.tested import EffectsTested
from lmm.optimize import find_optimum

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Relative accuracy of the limits.
ACCURACY = 1e-10


@dataclass(frozen=True)
class RatioLikelihood:
    """
    Deviance of a model as a function of the ratio of one variance to the residual variance.

    Attributes
    ----------
    model : FittedModel
    tested : EffectsTested
        One effect, independent of the others.
    """

    model: FittedModel
    tested: EffectsTested

    @property
    def estimate(self) -> float:
        """The ratio at the fit."""
        effect = int(np.flatnonzero(self.tested.effects)[0])
        T = self.model.estimates.T[self.tested.factor]
        return float((T @ T.T)[effect, effect])

    def excess(self, ratio: float) -> float:
        """Deviance at a ratio less that of the fit."""
        model, t = self.model, self.tested.factor
        effect = int(np.flatnonzero(self.tested.effects)[0])
        length = float(model.basis.bases[t][effect, effect])
        covariances = list(model.deviance_function.covariances)
        covariances[t] = _with_given(covariances[t], effect, np.sqrt(ratio) / length)
        original = model.deviance_function
        deviance = alike(original, sigma=original.sigma, covariances=covariances)
        if deviance.n_theta == 0:
            value = deviance.evaluate(np.zeros(0)).value
        else:
            T = dict(zip(original.cross.order, model.optimum.evaluation.factors, strict=True))
            start = np.concatenate([covariance.from_root(T[i]) for i, covariance in enumerate(covariances)])
            value = find_optimum(deviance, start, model.control).value
        return gain(value, model.optimum.evaluation.value)

    def limits(self, level: float) -> tuple[float, float]:
        """Interval of the ratios that a likelihood-ratio test at this level keeps."""
        from scipy.optimize import brentq  # noqa: PLC0415 - few tests need intervals

        cutoff = float(special.chdtri(1, 1.0 - level))
        estimate = self.estimate

        def beyond(log_ratio: float) -> float:
            return self.excess(float(np.exp(log_ratio))) - cutoff

        inside = max(estimate, 1e-8)
        low = high = np.log(inside)
        lower = 0.0
        if self.excess(0.0) > cutoff:
            while beyond(low) < 0.0:
                low -= 1.0
            lower = float(np.exp(brentq(beyond, low, np.log(inside), xtol=ACCURACY)))
        while beyond(high) < 0.0:
            high += 1.0
        return lower, float(np.exp(brentq(beyond, np.log(inside), high, xtol=ACCURACY)))


def _with_given(covariance: Covariance, effect: int, sd: float) -> Covariance:
    """Covariance structure of a factor with the relative standard deviation of one independent effect given."""
    parts: list[Covariance] = [*parts_of(covariance)]
    starts = np.cumsum([0, *(part.size for part in parts)])
    parts[int(np.searchsorted(starts, effect))] = Pinned(np.eye(1), np.ones((1, 1)), tau=np.array([sd]))
    return parts[0] if len(parts) == 1 else Stacked(tuple(parts))
