"""One model fitted to many responses: a frame of estimates."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lmm.alignment import check_positions
from lmm.arguments import as_numbers
from lmm.batch.refits import Refitter
from lmm.errors import ConvergenceWarning, DataError, warn
from lmm.inference.estimated import estimate_names, refit_values

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Responses that a warning names.
SHOWN = 5


def refit_many(model: FittedModel, Y: ArrayLike | pd.DataFrame) -> pd.DataFrame:
    """Fit a model to the columns of a matrix, shape (nobs, m); see `FittedModel.refit`."""
    responses = as_numbers(Y)
    n = model.nobs
    if responses is None or responses.ndim != 2 or len(responses) != n:  # noqa: PLR2004 - a matrix
        got = f"a {type(Y).__name__} that holds something else" if responses is None else f"shape {responses.shape}"
        raise DataError(
            f"refit needs one response per column, numbers in an array of shape ({n}, m), one row for each of the {n} "
            f"rows used; got {got}"
        )
    check_positions("y", Y, model.design.index, "the rows used by the fit", "y.loc[fit.design.index]")
    labels = Y.columns if isinstance(Y, pd.DataFrame) else pd.RangeIndex(responses.shape[1])
    finite = np.atleast_1d(np.isfinite(responses).all(axis=0))
    if not finite.all():
        raise DataError(
            f"{(~finite).sum()} of the {len(finite)} responses hold values that are not finite numbers, the first is "
            f"column {labels[int(np.argmin(finite))]!r}; leave such columns out, or fit them one by one"
        )
    found = Refitter(model).fit(responses)
    names, values = estimate_names(model), refit_values(model, found)
    columns = []
    for i, name in enumerate(names):
        columns.append((name, values[:, i]))
        if i < found.beta.shape[1]:
            columns.append((f"std_error({name})", found.std_error[:, i]))
    columns += [("deviance", found.criterion), ("singular", found.singular == 1.0)]
    if found.failures:
        _warn(found.failures, labels)
    frame = pd.DataFrame(dict(enumerate(column for _, column in columns)), index=labels)
    frame.columns = pd.Index([name for name, _ in columns])
    return frame


def _warn(failures: dict[int, str], labels: pd.Index) -> None:
    """Say which responses have no estimates, and why."""
    named = ", ".join(repr(labels[i]) for i in list(failures)[:SHOWN]) + (", ..." if len(failures) > SHOWN else "")
    reasons = "; ".join(f"{count}: {reason}" for reason, count in Counter(failures.values()).most_common())
    warn(
        f"{len(failures)} of {len(labels)} responses could not be fitted and have NaN in the table ({named}). "
        f"{reasons}. Fit one of them alone, fit.refit(y), for what to do",
        ConvergenceWarning,
    )
