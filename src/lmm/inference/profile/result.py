"""Profiles as users see them: limits, tables, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri

from lmm.arguments import as_numbers, confidence_level, one_of
from lmm.display import DIGITS, Report, Table, capital
from lmm.errors import ArgumentError
from lmm.inference.parameters import VarianceParameter
from lmm.inference.profile.curve import Curve
from lmm.inference.profile.targets import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCALES = ("sd", "variance")


def cutoff(level: float) -> float:
    """Zeta at the limits of a confidence level: the root of the quantile of chi-square with one degree of freedom."""
    return float(ndtri((1.0 + level) / 2.0))


@dataclass(frozen=True, eq=False, repr=False)
class ProfileResult(Report):
    """
    Profile likelihood of parameters of a fitted model, made by `FittedModel.profile`.

    For a parameter with value v, zeta(v) = sign(v - estimate) sqrt(F(v) - F), with F the least criterion, -2 log
    likelihood (restricted or not), and F(v) the least with the parameter held at v. Where the likelihood is quadratic,
    zeta is a straight line; limits of confidence level 1 - alpha are where its size reaches the normal quantile.

    Attributes
    ----------
    curves : tuple of Curve
        The profiles, in the order of the table.
    level : float
        Confidence level that was asked for.
    reml : bool
        Whether variance parameters are profiled by REML; fixed effects always by maximum likelihood.
    names : tuple of str
        All parameters of the model.
    variance : tuple of VarianceParameter
        The variance parameters among them.

    References
    ----------
    Bates, D. M. and Watts, D. G. (1988). Nonlinear Regression Analysis and Its Applications. Wiley, chapter 6.

    Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4. Journal
    of Statistical Software 67(1), section 5.1.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"), reml=False)
    >>> print(fit.profile())
    Profile likelihood, 95 % limits
               estimate   lower   upper
    Intercept   1527.50 1486.45 1568.55
    Batch         37.26   12.20   84.06
    Residual      49.51   38.23   67.66
    """

    curves: tuple[Curve, ...]
    level: float
    reml: bool
    names: tuple[str, ...]
    variance: tuple[VarianceParameter, ...]
    _levels: list[float] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._levels.append(self.level)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that were profiled."""
        return tuple(curve.target.name for curve in self.curves)

    @property
    def estimates(self) -> pd.Series[float]:
        """Where the profiles have their minimum; NaN for a correlation of an effect without variance."""
        return pd.Series([curve.estimate for curve in self.curves], index=list(self.parameters))

    def conf_int(self, level: float | None = None, scale: str = "sd") -> pd.DataFrame:
        """
        Confidence limits: the values at which the profile reaches the cutoff, found on the profile itself.

        Parameters
        ----------
        level : float, optional
            Confidence level; that of the profile where None. Others are found when they are asked for.
        scale : {"sd", "variance"}
            Random effects and residual as standard deviations or as variances, whose limits are the squares.
            Correlations stay correlations, and shares of the variance stay shares.

        Returns
        -------
        DataFrame
            Columns lower and upper, one row a parameter. A standard deviation whose profile does not reach the cutoff
            has a limit of 0 or inf, a correlation one of -1 or 1, a share one of 0; `notes` says why.

        Raises
        ------
        ArgumentError
            When level or scale is not one of those.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"), reml=False)
        >>> fit.profile("Batch").conf_int(0.9, scale="variance").round(0)
               lower   upper
        Batch  281.0  5311.0
        """
        z = cutoff(self.level if level is None else confidence_level(level))
        one_of("scale", scale, SCALES)
        if level is not None and level not in self._levels:
            self._levels.append(level)
        limits = np.array([[curve.value_at(curve.limit(z, side)) for side in (-1, 1)] for curve in self.curves])
        if scale == "variance":
            squared = [curve.target.kind == "sd" for curve in self.curves]
            limits[squared] **= 2
        return pd.DataFrame(limits, index=list(self.parameters), columns=["lower", "upper"])

    @property
    def table(self) -> pd.DataFrame:
        """
        Every point of the profiles that has been computed.

        Returns
        -------
        DataFrame
            Columns parameter, value and zeta, and one column for each parameter of the model: its value at the
            optimum with the first parameter held. Variance parameters are standard deviations and correlations.
        """
        rows = [
            (curve.target.name, curve.target.value(point.t), curve.zeta(point), *self._values(point))
            for curve in self.curves
            for point in curve.points
        ]
        return pd.DataFrame(rows, columns=["parameter", "value", "zeta", *self.names])

    def _values(self, point: Point) -> list[float]:
        """All parameters of the model at a point."""
        return [*point.beta, *(parameter.sdcor(point.covariances, point.sigma) for parameter in self.variance)]

    def zeta(self, parameter: str, values: ArrayLike | None = None) -> pd.Series[float]:
        """
        Signed root of a profile.

        Parameters
        ----------
        parameter : str
        values : array_like, optional
            Values at which the parameter is held, on the scale of `estimates`, each of which costs a fit; without
            them, those that have been computed.

        Returns
        -------
        Series
            Zeta, on the index of the values.

        Raises
        ------
        ArgumentError
            When there is no such parameter in the profile, or a value is outside its range.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"), reml=False)
        >>> fit.profile("Batch").zeta("Batch", [0, 20, 40, 80]).round(4)
        0.0    -2.3244
        20.0   -1.3833
        40.0    0.1805
        80.0    1.8524
        Name: Batch, dtype: float64
        """
        curve = self.curve(parameter)
        if values is None:
            points = curve.points
        else:
            numbers = as_numbers(values)
            if numbers is None or not np.isfinite(numbers).all():
                raise ArgumentError(f"values must be numbers, values of {parameter!r}; got {values!r}")
            points = [curve.held_at(float(value)) for value in numbers.ravel()]
        held = [curve.target.value(point.t) for point in points]
        return pd.Series([curve.zeta(point) for point in points], index=held, name=parameter)

    def curve(self, parameter: str) -> Curve:
        """
        Profile of a parameter by name.

        Parameters
        ----------
        parameter : str

        Returns
        -------
        Curve

        Raises
        ------
        ArgumentError
            When it was not profiled.
        """
        for curve in self.curves:
            if curve.target.name == parameter:
                return curve
        known = ", ".join(repr(name) for name in self.parameters)
        raise ArgumentError(f"there is no profile of {parameter!r}; there are those of {known}")

    @property
    def irregularities(self) -> tuple[str, ...]:
        """What is wrong with profiles, by parameter: a lower criterion than at the fit, a second minimum."""
        return tuple(
            f"profile of {curve.target.name}: {sentence}"
            for curve in self.curves
            for sentence in curve.irregularities()
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know besides the limits, among it why one is open."""
        notes = []
        if self.reml and any(curve.target.kind == "fixed" for curve in self.curves):
            notes.append(
                "Variance parameters are profiled by REML, fixed effects by maximum likelihood: the restricted "
                "likelihood does not contain them."
            )
        for level in self._levels:
            for curve in self.curves:
                lower, upper = (curve.limit(cutoff(level), side).note for side in (-1, 1))
                said = {"limits": lower} if lower == upper else {"lower limit": lower, "upper limit": upper}
                notes.extend(
                    f"{curve.target.name}, {which} at {100.0 * level:g} %: {why}." for which, why in said.items() if why
                )
        return (*notes, *(f"{capital(sentence)}." for sentence in self.irregularities))

    def _tables(self) -> list[Table]:
        limits = self.conf_int()
        rows = []
        for name, estimate, lower, upper in zip(
            self.parameters, self.estimates, limits["lower"], limits["upper"], strict=True
        ):
            rows.append((name, *_cells(estimate, lower, upper)))
        title = f"Profile likelihood, {100.0 * self.level:g} % limits"
        return [Table(title, ("", "estimate", "lower", "upper"), tuple(rows), 1)]

    def _notes(self) -> Sequence[str]:
        return self.notes

    def plot(self, kind: str = "zeta", *, ax: Axes | Sequence[Axes] | None = None) -> Any:  # noqa: ANN401
        """
        Draw the profiles.

        Parameters
        ----------
        kind : {"zeta", "density", "pairs"}
            Signed roots against the values; the densities that make zeta standard normal; or contours of the
            likelihood for pairs of parameters, with the traces of the profiles. Pairs need one criterion for all
            parameters: for a REML fit, ``fit.profile(criterion="ml")``.
        ax : Axes or array of Axes, optional
            Where to draw: one for each parameter, or for pairs a square array of them. A new figure where None.

        Returns
        -------
        ndarray of Axes

        Raises
        ------
        ArgumentError
            When kind is unknown, the number of axes does not fit, or pairs have two criteria.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"), reml=False)
        >>> [ax.get_xlabel() for ax in fit.profile().plot("density")]
        ['Intercept', 'Batch', 'Residual']
        """
        from lmm.plots.profile import plot_profile  # noqa: PLC0415 - matplotlib is imported on use

        return plot_profile(self, kind, ax)


def _cells(estimate: float, lower: float, upper: float) -> list[str]:
    """An estimate and its limits with as many decimals as their distance deserves."""
    width = upper - lower if np.isfinite(upper - lower) else abs(estimate)
    decimals = max(0, DIGITS - 1 - int(np.floor(np.log10(width)))) if width > 0.0 else DIGITS
    return [f"{x:.{decimals}f}" for x in (estimate, lower, upper)]
