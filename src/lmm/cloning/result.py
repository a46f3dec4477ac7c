"""What data cloning gives: estimates, their covariance, and the diagnostics of estimability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmm.arguments import Seed, at_least, confidence_level, random_generator
from lmm.cloning.diagnostics import chi_square_fit, largest_eigenvalue, pooled_cov, r_hat
from lmm.cloning.prediction import predicted_effects
from lmm.cloning.sampler import ClonedModel, Draws
from lmm.display import Report, Table, format_column
from lmm.errors import ArgumentError
from lmm.inference.estimability import Estimability, design_estimability
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Share of the fall of the largest variance that clones should bring, on the log scale, below which something is amiss.
ENOUGH = 0.5
# Chains whose scale might still be reduced by more than this have not met.
MET = 1.1


@dataclass(frozen=True, repr=False, eq=False)
class DataCloning(Report):
    """
    Estimates by data cloning, made by `lmm.data_cloning`.

    Attributes
    ----------
    formula : str
    n_clones : tuple of int
        Numbers of clones, ascending; estimates are those of the last.
    draws : dict of int to ndarray (chains, n_iter, d)
        Draws of the parameters, on the user's scale, for each number of clones.
    parameters : tuple of str
        Names of the d parameters: fixed effects, then variance parameters.
    n_warmup : int
        Draws of each chain that were thrown away before.
    model : ClonedModel
        What was sampled.
    standardized : Draws
        The draws of the last number of clones in the standardised basis.
    """

    formula: str
    n_clones: tuple[int, ...]
    draws: dict[int, FloatArray]
    parameters: tuple[str, ...]
    n_warmup: int
    model: ClonedModel
    standardized: Draws

    @property
    def estimates(self) -> pd.Series[float]:
        """Posterior means with the most clones: they tend to the maximum likelihood estimates."""
        return pd.Series(self._last.mean(axis=(0, 1)), index=list(self.parameters))

    @property
    def std_errors(self) -> pd.Series[float]:
        """Asymptotic standard errors."""
        return pd.Series(np.sqrt(np.diagonal(self.cov())), index=list(self.parameters))

    def cov(self) -> pd.DataFrame:
        """
        Asymptotic covariance of the estimates.

        Returns
        -------
        DataFrame (d, d)
            K times the posterior covariance with the most clones K: it tends to the inverse of the Fisher information.

        Examples
        --------
        >>> import lmm
        >>> dyestuff = lmm.datasets.load("dyestuff")
        >>> cloned = lmm.data_cloning("Yield ~ 1 + (1 | Batch)", dyestuff, n_clones=(1, 20), n_iter=100, rng=1)
        >>> list(cloned.cov())
        ['Intercept', 'Batch', 'Residual']
        """
        names = list(self.parameters)
        return pd.DataFrame(self.n_clones[-1] * pooled_cov(self._last), index=names, columns=names)

    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """
        Wald confidence limits.

        Parameters
        ----------
        level : float
            Confidence level.

        Returns
        -------
        DataFrame (d, 2)
            Columns lower, upper. Those of a variance near zero may be negative: it is not normally distributed.

        Raises
        ------
        ArgumentError
            When level is no number strictly between 0 and 1.

        Examples
        --------
        >>> import lmm
        >>> dyestuff = lmm.datasets.load("dyestuff")
        >>> cloned = lmm.data_cloning("Yield ~ 1 + (1 | Batch)", dyestuff, n_clones=(1, 20), n_iter=100, rng=1)
        >>> list(cloned.conf_int(0.9))
        ['lower', 'upper']
        """
        half = NormalDist().inv_cdf(0.5 + confidence_level(level) / 2.0) * self.std_errors
        return pd.DataFrame({"lower": self.estimates - half, "upper": self.estimates + half})

    @cached_property
    def diagnostics(self) -> pd.DataFrame:
        """
        One row per number of clones.

        lambda_max is the largest eigenvalue of the posterior covariance, and lambda_scaled the same where each
        parameter is measured in its posterior standard deviation with the fewest clones, 1 there: if all parameters
        are estimable both fall like 1 / n_clones, otherwise they tend to a positive number. ms_error and r_squared (1
        less a squared correlation) compare squared distances of the draws from their mean with chi-square quantiles: 0
        for a normal posterior. r_hat is 1 where the chains agree.
        """
        unit = np.sqrt(np.diagonal(pooled_cov(self.draws[self.n_clones[0]])))
        rows = []
        for K in self.n_clones:
            cov = pooled_cov(self.draws[K])
            scaled = largest_eigenvalue(cov / np.outer(unit, unit))
            rows.append((K, largest_eigenvalue(cov), scaled, *chi_square_fit(self.draws[K]), r_hat(self.draws[K])))
        table = pd.DataFrame(
            rows, columns=["n_clones", "lambda_max", "lambda_scaled", "ms_error", "r_squared", "r_hat"]
        )
        table["lambda_scaled"] /= table["lambda_scaled"].iloc[0]
        return table

    @property
    def is_estimable(self) -> bool | None:
        """Whether the posterior shrinks in the last step to more clones as it should; None with one number of them."""
        if len(self.n_clones) == 1:
            return None
        fall, expected = self._last_fall
        return bool(np.log(fall) > ENOUGH * np.log(expected))

    @property
    def _last_fall(self) -> tuple[float, float]:
        """Factor by which lambda_scaled fell in the last step, and the one expected of estimable parameters."""
        before, after = self.diagnostics["lambda_scaled"].iloc[-2:]
        return float(before / after), self.n_clones[-1] / self.n_clones[-2]

    @cached_property
    def estimability(self) -> Estimability:
        """Which variance parameters the design identifies, found without sampling."""
        sigma = self.model.deviance.sigma
        return design_estimability(self.model.design, None if sigma is None else sigma * self.model.basis.scale)

    @property
    def by_clones(self) -> pd.DataFrame:
        """
        How each parameter's posterior changes with the clones.

        Columns parameter, n_clones, mean, sd, and expected_sd: the standard deviation with the fewest clones, divided
        by the square root of how many more there are.
        """
        parts = []
        for d, name in enumerate(self.parameters):
            parts.append(self._by_clones(name, {K: draws[..., d] for K, draws in self.draws.items()}))
        return pd.concat(parts, ignore_index=True)

    def combine(self, weights: Mapping[str, float]) -> pd.DataFrame:
        """
        Do for a combination of parameters what `by_clones` does for each.

        Parameters
        ----------
        weights : mapping of str to float
            Weights by name of the parameter.

        Returns
        -------
        DataFrame
            One row per number of clones: parameter (the combination), n_clones, mean, sd, expected_sd.

        Raises
        ------
        ArgumentError
            For a name that is no parameter.

        Examples
        --------
        >>> import lmm
        >>> dyestuff = lmm.datasets.load("dyestuff")
        >>> cloned = lmm.data_cloning("Yield ~ 1 + (1 | Batch)", dyestuff, n_clones=(1, 20), n_iter=100, rng=1)
        >>> cloned.combine({"Batch": 1, "Residual": 1})[["parameter", "n_clones"]]
                  parameter  n_clones
        0  Batch + Residual         1
        1  Batch + Residual        20
        """
        unknown = [name for name in weights if name not in self.parameters]
        if unknown or not weights:
            named = f"has no parameter {unknown[0]!r}" if unknown else "needs a weight for at least one parameter"
            raise ArgumentError(f"combine {named}; the parameters are {', '.join(map(repr, self.parameters))}")
        w = np.array([float(weights.get(name, 0.0)) for name in self.parameters])
        label = " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in weights.items())
        return self._by_clones(label, {K: draws @ w for K, draws in self.draws.items()})

    def random_effects(self, level: float = 0.95, *, n: int = 400, rng: Seed = None) -> pd.DataFrame:
        """
        Predict the random effects with the uncertainty of the parameters.

        Parameters
        ----------
        level : float
            Probability of the limits.
        n : int
            Draws of the parameters.
        rng : int or Generator, optional
            Seed; the same seed gives the same numbers.

        Returns
        -------
        DataFrame
            Columns group, level, effect, estimate, std_error, lower, upper, as in `FittedModel.random_effects_table`,
            whose limits take the parameters as known.

        Raises
        ------
        ArgumentError
            When level is no number strictly between 0 and 1, or n no whole number of draws, 2 or more.

        References
        ----------
        Lele, S. R., Nadeem, K. and Schmuland, B. (2010). Estimability and likelihood inference for generalized linear
        mixed models using data cloning. Journal of the American Statistical Association 105, 1617-1625, section 4.

        Examples
        --------
        >>> import lmm
        >>> dyestuff = lmm.datasets.load("dyestuff")
        >>> cloned = lmm.data_cloning("Yield ~ 1 + (1 | Batch)", dyestuff, n_clones=(1, 20), n_iter=100, rng=1)
        >>> len(cloned.random_effects(rng=1))
        6
        """
        probability, generator = confidence_level(level), random_generator(rng)
        count = at_least(2, "n", n, of="draws")  # a standard deviation needs two
        return predicted_effects(self.model, self.standardized, self.n_clones[-1], count, probability, generator)

    def plot(self, kind: str = "trace", *, ax: Axes | Sequence[Axes] | None = None) -> NDArray[Any]:
        """
        Draw the chains, or what became of them.

        Parameters
        ----------
        kind : {"trace", "density", "clones"}
            Chains with the most clones; densities of each number of clones; standard deviations against the number of
            clones, with the line on which estimable parameters lie.
        ax : Axes or array of Axes (d,), optional
            Where to draw: one for each parameter. A new figure where None.

        Returns
        -------
        array of Axes (d,)

        Raises
        ------
        ArgumentError
            When kind is unknown, or the number of axes does not fit.

        Examples
        --------
        >>> import lmm
        >>> dyestuff = lmm.datasets.load("dyestuff")
        >>> cloned = lmm.data_cloning("Yield ~ 1 + (1 | Batch)", dyestuff, n_clones=(1, 20), n_iter=100, rng=1)
        >>> cloned.plot().shape
        (3,)
        """
        from lmm.plots.cloning import plot_cloning  # noqa: PLC0415 - matplotlib is heavy

        return plot_cloning(self, kind, ax)

    @property
    def _last(self) -> FloatArray:
        return self.draws[self.n_clones[-1]]

    def _by_clones(self, name: str, values: dict[int, FloatArray]) -> pd.DataFrame:
        sd = np.array([values[K].std(ddof=1) for K in self.n_clones])
        clones = np.array(self.n_clones)
        columns = {
            "parameter": name,
            "n_clones": clones,
            "mean": [values[K].mean() for K in self.n_clones],
            "sd": sd,
            "expected_sd": sd[0] * np.sqrt(clones[0] / clones),
        }
        return pd.DataFrame(columns)

    _before_note = "\n\n"

    def _heading(self) -> list[str]:
        chains, n_iter, _ = self._last.shape
        return [
            "Data cloning",
            f"Formula: {self.formula}",
            f"{chains} chains of {n_iter} draws, after {self.n_warmup} of warm-up",
        ]

    def _tables(self) -> list[Table]:
        K = self.n_clones[-1]
        values = [format_column(np.asarray(column, dtype=np.float64)) for column in (self.estimates, self.std_errors)]
        estimates = tuple(zip(self.parameters, *values, strict=True))
        found = self.diagnostics
        cells = [format_column(found[name].to_numpy(dtype=np.float64)) for name in found.columns[1:]]
        diagnostics = tuple(zip(map(str, found["n_clones"]), *cells, strict=True))
        tables = [
            Table(f"Estimates with {K} clones", ("", "Estimate", "Std. Error"), estimates, 1),
            Table("Diagnostics", tuple(found.columns), diagnostics, 1),
        ]
        return [tables[0], *self._combinations(), tables[1]]

    def _combinations(self) -> list[Table]:
        """Estimates of the sums that are identified where the parameters by themselves are not."""
        weights = self.estimability.identified
        weights = weights[(weights != 0.0).sum(axis=1) > 1]
        if weights.empty:
            return []
        drawn = self._last[..., len(self.model.design.names) :] @ weights.to_numpy().T
        se = np.sqrt(self.n_clones[-1] * np.diagonal(pooled_cov(drawn)))
        cells = (format_column(values) for values in (drawn.mean(axis=(0, 1)), se))
        rows = tuple(zip(map(str, weights.index), *cells, strict=True))
        return [Table("Combinations that are identified", ("", "Estimate", "Std. Error"), rows, 1)]

    def _notes(self) -> list[str]:
        """What the diagnostics say, in words."""
        words = []
        if self.is_estimable is not None:
            fall, expected = self._last_fall
            words.append(
                f"From {self.n_clones[-2]} to {self.n_clones[-1]} clones the largest scaled variance of the posterior "
                f"fell by a factor of {fall:.3g}; it is {expected:.3g} where all parameters are estimable."
            )
        if self.is_estimable is False:
            words.append(
                "Some combination of the parameters is not estimable from these data: what is said above about the "
                "parameters it is made of comes from the prior."
            )
            words.extend(self.estimability.sentences)
        unmet = self.diagnostics.loc[self.diagnostics["r_hat"] > MET, "n_clones"]
        if len(unmet):
            words.append(f"The chains have not met with {', '.join(map(str, unmet))} clones (r_hat): draw longer ones.")
        return ["\n".join(words)] if words else []
