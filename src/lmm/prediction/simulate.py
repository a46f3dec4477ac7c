"""Simulated responses from a fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lmm.arguments import Seed, at_least, random_generator
from lmm.errors import ArgumentError
from lmm.linalg import FloatArray
from lmm.memory import require_memory
from lmm.prediction.predict import predicted_mean
from lmm.prediction.rows import fitted_rows, new_rows
from lmm.prediction.selection import chosen_effects

if TYPE_CHECKING:
    from lmm.linear import LinearModel


def simulate(
    model: LinearModel,
    n: int = 1,
    *,
    rng: Seed = None,
    random: str = "new",
    newdata: Any = None,  # noqa: ANN401 - frames of any library
) -> FloatArray:
    """Draw responses; see `FittedModel.simulate`."""
    if not isinstance(random, str) or random not in {"new", "conditional"}:
        raise ArgumentError(
            f'random must be "new" (draw random effects) or "conditional" (keep the BLUPs); got {random!r}'
        )
    count = at_least(0, "n", n, of="simulated responses")
    generator = random_generator(rng)
    everything = chosen_effects(model, random=True)
    new_levels = "population" if random == "new" else "error"
    rows = fitted_rows(model, everything) if newdata is None else new_rows(model, newdata, everything, new_levels)
    mean = predicted_mean(model, rows, random=random == "conditional")
    # the responses, the noise, and their sum
    require_memory(3.0 * 8.0 * count * mean.size, f"{count} simulated responses", "Simulate fewer at a time.")
    responses = np.tile(mean, (count, 1))
    for part in rows.random if random == "new" else ():
        T = model.estimates.T[part.factor]
        b = np.full((count, part.n_levels + 1, len(T)), np.nan)  # the last level serves missing labels
        b[:, :-1] = model.sigma * generator.standard_normal((count, part.n_levels, len(T))) @ T.T
        responses += np.einsum("na,rna->rn", part.columns, b[:, part.codes])
    weights = model.design.weights if newdata is None else model.design.new_weights(newdata)
    noise = model.sigma * generator.standard_normal(responses.shape)
    return responses + (noise if weights is None else noise / np.sqrt(weights))
