"""
Refits of one model to many responses: in batches where the model is small, one by one where it is not.

Both ways reuse all that does not depend on the response, start at the model's own theta and end at a certified optimum:
a response that the batch cannot certify is searched again on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lmm.batch.responses import Responses, projector
from lmm.batch.search import BatchOptimum, find_optima
from lmm.batch.system import BatchEvaluation, BatchSystem, Statistics, batch_system, cost_of_one
from lmm.deviance import ProfiledDeviance
from lmm.errors import ModelError
from lmm.estimates import Estimates, estimates
from lmm.linalg import FloatArray, IntArray
from lmm.optimize import Optimum, find_optimum, minimize
from lmm.standardize import Basis

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Numbers that a batch may hold, and the most responses that it takes.
BATCH_NUMBERS, LARGEST_BATCH = 4_000_000, 1024
# Responses that are projected at a time hold up to this many numbers.
CHUNK = 4_000_000

FITTED_EXACTLY = "the fixed effects fit the response exactly, so no variation is left for the random effects"
NOT_CERTIFIED = "the optimiser stopped before it could certify the optimum"


@dataclass(frozen=True)
class Refits:
    """
    Estimates from B responses, on the user's scale.

    Attributes
    ----------
    beta, std_error : ndarray (B, p)
        Fixed effects with their standard errors.
    covariances : tuple of ndarray (B, k_t, k_t)
        Covariance matrices of the random effects, in the order of the formula.
    sigma : ndarray (B,)
        Residual standard deviation.
    criterion : ndarray (B,)
        Deviance (ML) or REML criterion.
    singular : ndarray (B,)
        Whether some covariance matrix is singular, 1 or 0; NaN where the fit failed, as all other numbers.
    failures : dict of int to str
        Why a response could not be fitted, by its position.
    """

    beta: FloatArray
    std_error: FloatArray
    covariances: tuple[FloatArray, ...]
    sigma: FloatArray
    criterion: FloatArray
    singular: FloatArray
    failures: dict[int, str] = field(default_factory=dict)

    def put(self, where: IntArray, found: Refits) -> None:
        """Write the estimates of some responses."""
        for name in ("beta", "std_error", "sigma", "criterion", "singular"):
            getattr(self, name)[where] = getattr(found, name)
        for own, new in zip(self.covariances, found.covariances, strict=True):
            own[where] = new
        self.failures.update({int(where[i]): reason for i, reason in found.failures.items()})

    def put_one(self, i: int, found: Estimates, *, singular: bool) -> None:
        """Write the estimates of replicate number i."""
        self.beta[i], self.std_error[i] = found.beta, np.sqrt(np.diagonal(found.cov_beta))
        self.sigma[i], self.criterion[i], self.singular[i] = found.sigma, found.criterion, singular
        for own, covariance in zip(self.covariances, found.covariances, strict=True):
            own[i] = covariance


def unfitted(model: FittedModel, n: int) -> Refits:
    """Room for the estimates of n responses: NaN everywhere."""
    p = len(model.estimates.beta)
    return Refits(
        beta=np.full((n, p), np.nan),
        std_error=np.full((n, p), np.nan),
        covariances=tuple(np.full((n, *T.shape), np.nan) for T in model.estimates.T),
        sigma=np.full(n, np.nan),
        criterion=np.full(n, np.nan),
        singular=np.full(n, np.nan),
    )


def fitting_at_once(numbers: int) -> int:
    """Replicates that are fitted at once where each of them takes so many numbers."""
    return int(np.clip(BATCH_NUMBERS // numbers, 16, LARGEST_BATCH))


def refits_at(
    system: BatchSystem,
    at: BatchEvaluation,
    y: Statistics,
    basis: Basis,
    beta_0: FloatArray,
    *,
    scale: FloatArray | float,
    known_sigma: float | None,
) -> Refits:
    """
    Map the optima of B replicates to the user's scale.

    Parameters
    ----------
    system : BatchSystem
    at : BatchEvaluation
    y : Statistics
    basis : Basis
        Of the model; its origin and scale do not count.
    beta_0 : ndarray (B, p) or (p,)
        Origin of the standardised coefficients.
    scale : ndarray (B,) or float
        Unit of the standardised response.
    known_sigma : float or None

    Returns
    -------
    Refits
        All of them as if their covariance matrices were not singular.
    """
    reml, nu, q = system.deviance.reml, y.nu, system.n_tail
    L_inverse = np.linalg.inv(at.L)
    rho = at.L[:, -1, -1]
    sigma = scale * rho / np.sqrt(nu) if known_sigma is None else np.full(len(rho), known_sigma)
    roots = basis.R_inverse @ L_inverse[:, q:-1, q:-1].transpose(0, 2, 1)
    covariances: list[FloatArray] = [np.zeros(0)] * len(at.factors)
    for t, T in zip(system.deviance.cross.order, at.factors, strict=True):
        AT = sigma[:, None, None] * (basis.bases[t] @ T)
        covariances[t] = AT @ AT.transpose(0, 2, 1)
    return Refits(
        beta=beta_0 - ((scale * rho)[:, None] * L_inverse[:, -1, q:-1]) @ basis.R_inverse.T,
        std_error=sigma[:, None] * np.sqrt((roots**2).sum(axis=2)),
        covariances=tuple(covariances),
        sigma=sigma,
        criterion=at.value + 2.0 * nu * np.log(scale) + replace(basis, scale=1.0).criterion_shift(0, reml=reml),
        singular=np.zeros(len(rho)),
    )


class Refitter:
    """
    Fits a model to other responses.

    Parameters
    ----------
    model : FittedModel
    """

    def __init__(self, model: FittedModel) -> None:
        self.model = model
        self.start = model.optimum.theta
        design = model.design
        self.projector = projector(model.factors, model.deviance_function.cross, model.basis, design.X, design.weights)

    @cached_property
    def system(self) -> BatchSystem | None:
        """The system of a small model; None where responses are fitted one by one."""
        return batch_system(self.model.deviance_function) if self.batch_size > 1 else None

    @cached_property
    def batch_size(self) -> int:
        """Responses that are fitted at once; it depends on the model only."""
        numbers = cost_of_one(self.model.deviance_function)
        return 1 if numbers is None else fitting_at_once(numbers)

    def fit(self, Y: FloatArray) -> Refits:
        """Fit responses, shape (n, B), one a column, offset included."""
        found = unfitted(self.model, Y.shape[1])
        for where, responses in self._projected(Y):
            good = responses.scale > 0.0
            found.failures.update(dict.fromkeys(where[~good].tolist(), FITTED_EXACTLY))
            if good.any():
                some = responses if good.all() else responses.take(good)
                system = self.system
                found.put(where[good], self._one_by_one(some) if system is None else self._batch(system, some))
        return found

    def models(self, Y: FloatArray) -> Iterator[FittedModel | str]:
        """Fitted models of responses, shape (n, B), one a column, offset included; or why there is none."""
        for where, responses in self._projected(Y):
            optima = self._certified_optima(responses)
            for i, column in enumerate(where):
                if responses.scale[i] == 0.0:
                    yield FITTED_EXACTLY
                    continue
                model = self._fit_one(responses, i, Y[:, column], optima.get(i))
                yield model if isinstance(model, str) or model.converged else NOT_CERTIFIED

    def _certified_optima(self, responses: Responses) -> dict[int, FloatArray]:
        """Optima theta of the responses that a batch can certify, by their positions."""
        good = np.flatnonzero(responses.scale > 0.0)
        if self.system is None or not len(good):
            return {}
        best = self._find_optima(self.system, responses.take(good))[1]
        return dict(zip(good[best.certified].tolist(), best.theta[best.certified], strict=True))

    def _projected(self, Y: FloatArray) -> Iterator[tuple[IntArray, Responses]]:
        """Cross-products of some responses at a time, with the columns that they stand in."""
        offset = self.model.design.offset
        size = max(1, min(self.batch_size if self.batch_size > 1 else LARGEST_BATCH, CHUNK // len(Y)))
        for start in range(0, Y.shape[1], size):
            where = np.arange(start, min(start + size, Y.shape[1]))
            some = np.ascontiguousarray(Y[:, where])
            yield where, self.projector.project(some if offset is None else some - offset[:, None])

    def _find_optima(self, system: BatchSystem, responses: Responses) -> tuple[Statistics, BatchOptimum]:
        """What the deviance needs to know of the responses, and its optima."""
        known = self.model.known_sigma
        y = system.statistics(responses, None if known is None else known / responses.scale)
        return y, find_optima(system, y, self.start, self.model.control)

    def _batch(self, system: BatchSystem, responses: Responses) -> Refits:
        """Fit responses at once."""
        known = self.model.known_sigma
        y, best = self._find_optima(system, responses)
        failures = {}
        for i in np.flatnonzero(~best.certified):
            optimum = self._search_one(responses, int(i))[1]
            if isinstance(optimum, str):
                failures[int(i)] = optimum
                continue
            best.theta[i], best.on_boundary[i] = optimum.theta, optimum.on_boundary
            if not optimum.converged:
                failures[int(i)] = NOT_CERTIFIED
        at, basis = system.evaluate(best.theta, y), self.model.basis
        beta_0 = responses.coefficients.T @ basis.R_inverse.T
        found = replace(
            refits_at(system, at, y, basis, beta_0, scale=responses.scale, known_sigma=known),
            singular=best.on_boundary.astype(np.float64),
            failures=failures,
        )
        if failures:
            nothing = unfitted(self.model, len(failures))
            found.put(np.array(list(failures)), replace(nothing, failures=dict(enumerate(failures.values()))))
        return found

    def _one_by_one(self, responses: Responses) -> Refits:
        """Fit responses one after the other."""
        found = unfitted(self.model, len(responses))
        known = self.model.known_sigma
        for i in range(len(responses)):
            deviance, optimum = self._search_one(responses, i)
            if isinstance(optimum, str) or not optimum.converged:
                found.failures[i] = optimum if isinstance(optimum, str) else NOT_CERTIFIED
                continue
            basis = self._basis(responses, i)
            one = estimates(deviance, optimum.evaluation, basis, known)
            found.put_one(i, one, singular=optimum.on_boundary)
        return found

    def _search_one(
        self, responses: Responses, i: int, theta: FloatArray | None = None
    ) -> tuple[ProfiledDeviance, Optimum | str]:
        """Deviance of one response and its optimum, which is searched for unless it is known; or why there is none."""
        known, scale = self.model.known_sigma, float(responses.scale[i])
        deviance = self.model.deviance_function.with_response(
            responses.first[:, :, i], responses.tail[:, i], sigma=None if known is None else known / scale
        )
        shift = self._basis(responses, i).criterion_shift(deviance.nu, reml=deviance.reml)
        try:
            if theta is not None:
                return deviance, minimize(deviance, theta, self.model.control, shift=shift)
            return deviance, find_optimum(deviance, self.start, self.model.control, shift=shift)
        except ModelError as error:
            return deviance, str(error)

    def _basis(self, responses: Responses, i: int) -> Basis:
        """Map from the standardised basis of one response to the user's scale."""
        basis = self.model.basis
        beta_0 = basis.R_inverse @ responses.coefficients[:, i]
        return replace(basis, beta_0=beta_0, scale=float(responses.scale[i]))

    def _fit_one(self, responses: Responses, i: int, y: FloatArray, theta: FloatArray | None) -> FittedModel | str:
        """The model of one response, whose optimum may be known, or why there is none."""
        deviance, optimum = self._search_one(responses, i, theta)
        if isinstance(optimum, str):
            return optimum
        model = self.model
        design = replace(model.design, y=y)
        return type(model)(
            design, model.factors, deviance, self._basis(responses, i), optimum, model.control, model.known_sigma
        )
