"""`lmm.data_cloning`: from a formula and data, or a fitted model, to draws with several numbers of clones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lmm.arguments import Seed, at_least, known_sigma, random_generator, whole_number
from lmm.cloning.posterior import Priors
from lmm.cloning.result import DataCloning
from lmm.cloning.sampler import cloned_model, draw, on_user_scale
from lmm.design import Design, build_design
from lmm.errors import ArgumentError
from lmm.formula import parse_formula
from lmm.model import FittedModel


def data_cloning(
    formula: FittedModel | str,
    data: Any = None,  # noqa: ANN401 - frames of any library
    *,
    n_clones: int | Sequence[int] = (1, 10, 25),
    chains: int = 3,
    n_iter: int = 500,
    n_warmup: int = 100,
    priors: Priors | None = None,
    weights: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    sigma: float | None = None,
    na_action: str = "drop",
    contrasts: dict[str, Any] | None = None,
    rng: Seed = None,
) -> DataCloning:
    """
    Estimate a model by Bayesian sampling of growing numbers of copies of its data.

    Given K independent copies of the data, each with random effects of its own, the posterior mean tends to the maximum
    likelihood estimate and K times the posterior covariance to the inverse of the Fisher information, whatever the
    priors. Where a combination of parameters is not estimable, its posterior variance does not fall: data cloning also
    takes models that `lmm.fit` refuses, to show that.

    Parameters
    ----------
    formula : str or FittedModel
        As for `lmm.fit`. A fitted model stands for its formula with its data, weights, offset, sigma and contrasts.
    data : DataFrame, optional
        One row per observation; left out with a fitted model.
    n_clones : int or sequence of int
        Numbers K of clones, ascending.
    chains : int
        Independent chains, at least 2, from points drawn from the prior.
    n_iter, n_warmup : int
        Draws of each chain that are kept, and draws before them that are not.
    priors : Priors, optional
        Prior distributions. The fixed effects have flat ones.
    weights, offset, sigma, na_action, contrasts
        As for `lmm.fit`; left out with a fitted model.
    rng : int or Generator, optional
        Seed; the same seed gives the same draws.

    Returns
    -------
    DataCloning

    Raises
    ------
    ArgumentError
        When an argument is impossible, or the arguments do not go together.
    LMMError
        When the design cannot be built, as in `lmm.fit`.

    Notes
    -----
    The copies' random effects and the fixed effects are integrated out exactly: the likelihood of K copies is the K-th
    power of one. Only the relative covariance factors are sampled, by slices along each of their entries (Neal 2003);
    the residual variance and the fixed effects are then drawn from their inverse gamma and normal distributions. A draw
    costs some five evaluations of the deviance for each entry, whatever the number of clones; small models are
    evaluated for all chains at once.

    References
    ----------
    Lele, S. R., Dennis, B. and Lutscher, F. (2007). Data cloning: easy maximum likelihood estimation for complex
    ecological models using Bayesian Markov chain Monte Carlo methods. Ecology Letters 10, 551-563.

    Lele, S. R., Nadeem, K. and Schmuland, B. (2010). Estimability and likelihood inference for generalized linear mixed
    models using data cloning. Journal of the American Statistical Association 105, 1617-1625.

    Neal, R. M. (2003). Slice sampling. Annals of Statistics 31, 705-767.

    Examples
    --------
    >>> import lmm
    >>> cloned = lmm.data_cloning(
    ...     "Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"), n_clones=(1, 20), n_iter=100, rng=1
    ... )
    >>> cloned.is_estimable
    True
    >>> list(cloned.diagnostics.columns)
    ['n_clones', 'lambda_max', 'lambda_scaled', 'ms_error', 'r_squared', 'r_hat']
    """
    clones = _clones(n_clones)
    n_chains = at_least(2, "chains", chains)
    kept, dropped = (
        at_least(10, name, given, of="draws") for name, given in (("n_iter", n_iter), ("n_warmup", n_warmup))
    )
    if priors is not None and not isinstance(priors, Priors):
        raise ArgumentError(f"priors must be an lmm.Priors, for example lmm.Priors(relative_sd=2.0); got {priors!r}")
    generator = random_generator(rng)
    design, known = _design(
        formula, data, {"weights": weights, "offset": offset, "contrasts": contrasts}, sigma=sigma, na_action=na_action
    )
    laid_out = cloned_model(design, known)
    generators = generator.spawn(len(clones) * n_chains)
    together = draw(laid_out, np.repeat(clones, n_chains), priors or Priors(), kept, dropped, generators)
    by_clones = [together.of(slice(i * n_chains, (i + 1) * n_chains)) for i in range(len(clones))]
    found = {K: on_user_scale(laid_out, draws) for K, draws in zip(clones, by_clones, strict=True)}
    return DataCloning(design.formula.text, clones, found, laid_out.names, dropped, laid_out, by_clones[-1])


def _design(
    formula: FittedModel | str,
    data: Any,  # noqa: ANN401 - frames of any library
    given: dict[str, Any],
    *,
    sigma: float | None,
    na_action: str,
) -> tuple[Design, float | None]:
    """Design, and the residual standard deviation where it is known."""
    if isinstance(formula, FittedModel):
        if na_action != "drop" or any(value is not None for value in (data, sigma, *given.values())):
            raise ArgumentError(
                "a fitted model has its data, weights, offset and sigma: give data_cloning none of them besides it"
            )
        return formula.design, formula.known_sigma
    if data is None:
        raise ArgumentError("data_cloning needs the data that go with a formula: data_cloning(formula, data)")
    known = known_sigma(sigma)
    return build_design(parse_formula(formula), data, na_action=na_action, estimable=False, **given), known


def _clones(given: int | Sequence[int]) -> tuple[int, ...]:
    """Numbers of clones as a tuple, refused unless they are whole, positive and ascending."""
    listed = given if isinstance(given, (list, tuple)) else [given]
    clones = [whole_number(K) for K in listed]
    valid = [K for K in clones if K is not None and K > 0]
    if not clones or len(valid) < len(clones) or sorted(set(valid)) != valid:
        raise ArgumentError(f"n_clones must be whole numbers above 0 in ascending order, as (1, 10, 25); got {given!r}")
    return tuple(valid)
