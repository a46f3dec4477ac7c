"""Draws from the posterior of a design given several numbers of clones, in the standardised basis and on the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lmm.cloning.posterior import ClonedPosterior, Priors
from lmm.cloning.slices import circle_walk, walk_together
from lmm.design import Design
from lmm.deviance import ProfiledDeviance
from lmm.factors import GroupingFactor
from lmm.fitting import standardized_deviance
from lmm.inference.parameters import VarianceParameter, variance_parameters
from lmm.linalg import FloatArray, IntArray
from lmm.standardize import Basis


@dataclass(frozen=True)
class ClonedModel:
    """
    A model as data cloning works with it.

    Attributes
    ----------
    design : Design
    factors : tuple of GroupingFactor
    deviance : ProfiledDeviance
        By maximum likelihood, in the standardised basis.
    basis : Basis
    parameters : tuple of VarianceParameter
    """

    design: Design
    factors: tuple[GroupingFactor, ...]
    deviance: ProfiledDeviance
    basis: Basis
    parameters: tuple[VarianceParameter, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fixed effects and of the variance parameters."""
        return (*self.design.names, *(parameter.name for parameter in self.parameters))


@dataclass(frozen=True)
class Draws:
    """
    Draws in the standardised basis.

    Attributes
    ----------
    theta : ndarray (chains, n, m)
    beta : ndarray (chains, n, p)
    sigma : ndarray (chains, n)
    """

    theta: FloatArray
    beta: FloatArray
    sigma: FloatArray

    def of(self, chains: slice) -> Draws:
        """Draws of some of the chains."""
        return Draws(self.theta[chains], self.beta[chains], self.sigma[chains])


def cloned_model(design: Design, sigma: float | None) -> ClonedModel:
    """Lay out a design for data cloning."""
    factors, deviance, basis = standardized_deviance(design, reml=False, sigma=sigma)
    return ClonedModel(design, factors, deviance, basis, variance_parameters(factors, sigma_known=sigma is not None))


def draw(
    model: ClonedModel,
    n_clones: int | IntArray,
    priors: Priors,
    n_iter: int,
    n_warmup: int,
    rngs: Sequence[np.random.Generator],
) -> Draws:
    """Sample the posterior given copies of the data: a chain from each generator, each with its number of copies."""
    unit = model.basis.scale**2
    copies = np.broadcast_to(n_clones, len(rngs))
    posterior = ClonedPosterior(model.deviance, copies, replace(priors, scale=priors.scale / unit))
    walks = [circle_walk(model.deviance.n_theta, n_iter, n_warmup, rng) for rng in rngs]
    angles = walk_together(posterior.log_density, walks)
    rest = [posterior.draw_rest(phi, rng, chain) for chain, (phi, rng) in enumerate(zip(angles, rngs, strict=True))]
    beta, sigma = (np.array(part) for part in zip(*rest, strict=True))
    return Draws(posterior.theta(np.array(angles)), beta, sigma)


def on_user_scale(model: ClonedModel, draws: Draws) -> FloatArray:
    """Fixed effects and variance parameters, shape (chains, n, d), in the order of `ClonedModel.names`."""
    basis, deviance = model.basis, model.deviance
    beta = basis.beta_0 + basis.scale * draws.beta @ basis.R_inverse.T
    sigma2 = (basis.scale * draws.sigma) ** 2
    covariances = []
    for covariance, A, entries in zip(deviance.covariances, basis.bases, deviance.slices, strict=True):
        # T is linear in theta, and the tangents are its coefficients.
        AT = np.einsum("dc,...i,icb->...db", A, draws.theta[..., entries], covariance.tangents)
        covariances.append(sigma2[..., None, None] * AT @ np.swapaxes(AT, -1, -2))
    values = [
        sigma2 if parameter.factor is None else covariances[parameter.factor][..., *parameter.effects]
        for parameter in model.parameters
    ]
    return np.concatenate([beta, np.stack(values, axis=-1)], axis=-1)
