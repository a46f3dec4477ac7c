"""Likelihood-ratio tests of nested models, with the null distribution that belongs to them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.arguments import Seed, at_least, one_of, random_generator
from lmm.display import Report, Table, format_column, format_p
from lmm.errors import ArgumentError
from lmm.fixed import FixedModel
from lmm.inference.boundary import bound, null_distribution
from lmm.inference.distributions import simulated_p
from lmm.inference.mixture import ChiBarSquare
from lmm.inference.nested import Embedding, check_comparable, embed, same_fixed_part
from lmm.inference.reduced import fit_quietly, gain
from lmm.linalg import FloatArray
from lmm.models import linear_model
from lmm.workers import Workers, checked_workers

if TYPE_CHECKING:
    from lmm.model import FittedModel


TESTS = ("auto", "chi2", "mixture", "bootstrap")
COLUMNS = ("n_params", "aic", "bic", "llf", "deviance", "statistic", "df", "null_distribution", "p_value")
UNKNOWN = "unknown on the boundary"
# How the text of a null distribution begins that is only a bound.
AT_MOST = "at most "
# A larger model whose deviance is higher by more than this was not fitted to its optimum.
WORSE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """
    One model against the next larger.

    Attributes
    ----------
    statistic : float
        Difference of the deviances.
    df : int
        Difference of the numbers of parameters, those that the data do not determine left out.
    distribution : str
        Null distribution as text; ``"at most ..."`` where it is stochastically larger than the true one.
    p_value : float
        An upper bound where the distribution is one.
    notes : tuple of str
    """

    statistic: float
    df: int
    distribution: str
    p_value: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False, eq=False)
class LRTResult(Report):
    """
    Likelihood-ratio tests of a chain of nested models.

    Attributes
    ----------
    table : DataFrame
        One row per model, by increasing number of parameters, named by its formula: n_params, aic, bic, llf, deviance;
        and for its comparison with the row before statistic, df, null_distribution (text) and p_value. Where the text
        begins with "at most", the p-value is an upper bound.
    method : str
        ``"REML"`` or ``"maximum likelihood"``: how all models of the table were fitted.
    notes : tuple of str
        What a reader must know besides.
    """

    table: pd.DataFrame
    method: str
    notes: tuple[str, ...]

    def _heading(self) -> list[str]:
        models = [f"Model {i + 1}: {name}" for i, name in enumerate(self.table.index)]
        return [f"Likelihood-ratio tests of nested models, fitted by {self.method}", *models]

    def _notes(self) -> tuple[str, ...]:
        return self.notes

    def _tables(self) -> list[Table]:
        """The table as text cells; a model stands for itself by its number."""
        table = self.table
        columns = [
            [str(i + 1) for i in range(len(table))],
            [str(n) for n in table["n_params"]],
            *([f"{x:.2f}" for x in table[name]] for name in ("aic", "bic", "llf", "deviance")),
            _blank_first(format_column(table["statistic"].to_numpy(dtype=np.float64), digits=5)),
            _blank_first([f"{x:.0f}" for x in table["df"]]),
            list(table["null_distribution"]),
            [_p_cell(*cells) for cells in zip(table["null_distribution"], table["p_value"], strict=True)],
        ]
        header = ("Model", "n_params", "aic", "bic", "llf", "deviance", "LR", "df", "null distribution", "p-value")
        return [Table("", header, tuple(zip(*columns, strict=True)), 1)]


def lrt(
    *fits: FittedModel | FixedModel, test: str = "auto", n_boot: int = 1000, rng: Seed = None, workers: Workers = 1
) -> LRTResult:
    """
    Likelihood-ratio tests of two or more nested models.

    Each model is compared with the next larger one. The null distribution is derived from where the smaller model lies
    in the larger: inside, it is chi-square; on the boundary, as with a variance of zero, a mixture of chi-squares with
    the weights of the cone in which the variances may move. One variance against none: 0.5 chi2(0) + 0.5 chi2(1); a
    slope correlated with k effects: 0.5 chi2(k) + 0.5 chi2(k + 1).

    Where the smaller model's own estimates are on the boundary, the distribution for added random effects depends on
    true values that cannot be known. The table then has a distribution that is stochastically larger whatever they are,
    "at most ...", and the p-value is an upper bound. It comes from the mixture with r degrees of freedom more, where r
    counts the parameters that go when the empty effects of the smaller model are left out, and where one variance is
    tested from the angles between it and what is empty, which is closer. What the bound does not settle is for the
    bootstrap.

    Parameters
    ----------
    *fits : FittedModel or FixedModel
        Fitted to the same rows, in any order. Models fitted by REML are compared as they are when they have the same
        fixed effects; otherwise all are fitted again by ML, with a note.
    test : {"auto", "chi2", "mixture", "bootstrap"}
        Null distribution: derived; chi-square with the difference in parameters, which is conservative where variances
        of zero are tested and the smaller model's own are not zero; the derived mixture even where the smaller model's
        estimates are on the boundary, as if they were not; or simulated from the smaller model, both models fitted to
        each draw.
    n_boot : int
        Draws of the bootstrap.
    rng : int or Generator, optional
        Seed of the bootstrap, and of the weights of a mixture that have no closed form.
    workers : int or callable
        Processes of the bootstrap, or a callable like `map`. The numbers do not depend on it.

    Returns
    -------
    LRTResult
        Its ``table`` is a DataFrame; it prints as text.

    Raises
    ------
    ArgumentError
        When the models differ in rows, response or weights, or are not nested; says how.

    References
    ----------
    Stram, D. O. and Lee, J. W. (1994). Variance components testing in the longitudinal mixed effects model. Biometrics
    50, 1171-1177.

    Silvapulle, M. J. and Sen, P. K. (2005). Constrained Statistical Inference. Wiley.

    Baey, C., Cournede, P.-H. and Kuhn, E. (2019). Asymptotic distribution of likelihood ratio test statistics for
    variance components in nonlinear mixed effects models. Computational Statistics & Data Analysis 135, 107-122.

    Susko, E. (2013). Likelihood ratio tests with boundary constraints using data-dependent degrees of freedom.
    Biometrika 100, 1019-1023.

    Examples
    --------
    >>> import lmm
    >>> pigs = lmm.datasets.load("pig_weights")
    >>> small = lmm.fit("weight ~ num.weeks + (1 | id.num)", pigs)
    >>> large = lmm.fit("weight ~ num.weeks + (num.weeks | id.num)", pigs)
    >>> print(lmm.lrt(small, large))
    Likelihood-ratio tests of nested models, fitted by REML
    Model 1: weight ~ num.weeks + (1 | id.num)
    Model 2: weight ~ num.weeks + (num.weeks | id.num)
    <BLANKLINE>
    Model n_params     aic     bic      llf deviance     LR df         null distribution p-value
    1            4 2041.80 2058.07 -1016.90  2033.80
    2            6 1752.87 1777.28  -870.44  1740.87 292.93  2 0.5 chi2(1) + 0.5 chi2(2) <0.0001
    """
    _check(fits, test, n_boot, workers)
    check_comparable(fits)
    generator = random_generator(rng)
    ordered, notes = _same_criterion(sorted(fits, key=lambda fit: fit.n_params))
    steps = [
        compare(small, big, test=test, n_boot=n_boot, rng=generator, workers=workers)
        for small, big in itertools.pairwise(ordered)
    ]
    for step in steps:
        notes.extend(note for note in step.notes if note not in notes)
    method = "REML" if ordered[0].reml else "maximum likelihood"
    return LRTResult(_frame(ordered, steps), method, tuple(notes))


def compare(
    small: FittedModel | FixedModel,
    big: FittedModel | FixedModel,
    *,
    test: str,
    n_boot: int,
    rng: np.random.Generator,
    workers: Workers,
) -> Comparison:
    """Test a model against a larger one, fitted by the same criterion to the same data; arguments as for `lrt`."""
    df = big.n_params - small.n_params
    if df == 0:
        raise ArgumentError(
            f"{small.formula!r} and {big.formula!r} have the same number of parameters, {big.n_params}: neither is a "
            "special case of the other, or they are the same model"
        )
    embedding = embed(small, big)
    statistic, notes = gain(small.deviance, big.deviance), []
    if embedding.n_undetermined:
        df -= embedding.n_undetermined
        notes.append(
            f"The data do not determine all variances and covariances of {big.formula!r} (see lmm.estimability): df "
            "counts those that they do."
        )
    if big.deviance > small.deviance + WORSE:
        notes.append(
            f"The deviance of {big.formula!r} is higher than that of {small.formula!r}: the larger model was not "
            "fitted to its optimum. Fit it again from other starting values."
        )
    if test == "bootstrap":
        return _bootstrap(small, big, statistic, df, n_boot, rng, workers, tuple(notes))
    null = _null(small, big, embedding, df, test, rng)
    if null is None:
        if statistic == 0.0:  # reached under any null distribution
            return Comparison(statistic, df, UNKNOWN, 1.0, tuple(notes))
        notes.append(
            f"The null distribution is not known, as {big.formula!r} adds parameters on the boundary that the data do "
            "not determine: use test='bootstrap', or leave them out."
        )
        return Comparison(statistic, df, UNKNOWN, np.nan, tuple(notes))
    larger = bound(null, small, big, embedding) if test == "auto" and _adds_random(small, big) else None
    if larger is not None:
        null = larger
        notes.append(
            f"Estimated variances of {small.formula!r} are on the boundary, where the null distribution of added "
            "random effects depends on their true values. In large samples the p-value is an upper bound, whatever "
            "these are; test='bootstrap' draws the distribution for the estimated ones."
        )
    if null.covariance is not None:
        notes.append(
            f"The weights of the mixture are simulated; that gives the p-value of {big.formula!r} a standard error of "
            f"{null.sf_error(statistic):.1g}."
        )
    return Comparison(statistic, df, f"{AT_MOST if larger is not None else ''}{null}", null.sf(statistic), tuple(notes))


def _null(
    small: FittedModel | FixedModel,
    big: FittedModel | FixedModel,
    embedding: Embedding,
    df: int,
    test: str,
    rng: np.random.Generator,
) -> ChiBarSquare | None:
    """Null distribution by theory, as if no variance of the smaller model were zero; None where there is none."""
    if df <= 0:
        return None
    return ChiBarSquare(np.ones(1), df) if test == "chi2" else null_distribution(small, big, embedding, rng)


def _adds_random(small: FittedModel | FixedModel, big: FittedModel | FixedModel) -> bool:
    """Whether the larger model has more variance parameters."""
    return sum(f.covariance.n_theta for f in big.factors) > sum(f.covariance.n_theta for f in small.factors)


def _bootstrap(
    small: FittedModel | FixedModel,
    big: FittedModel | FixedModel,
    statistic: float,
    df: int,
    n_boot: int,
    rng: np.random.Generator,
    workers: Workers,
    notes: tuple[str, ...],
) -> Comparison:
    """p-value from the statistic's distribution under the smaller model, the observed one counted in."""
    from lmm.inference.null_distribution import bootstrap_lrt_statistics  # noqa: PLC0415 - most tests need no refits

    draws: FloatArray = bootstrap_lrt_statistics(small, big, n_boot, rng, workers)
    p_value, error = simulated_p(statistic, draws)
    note = f"Bootstrap p-value of {big.formula!r}: standard error {error:.1g} from {len(draws)} draws."
    return Comparison(statistic, df, f"bootstrap, {len(draws)} draws", p_value, (*notes, note))


def _same_criterion(
    fits: Sequence[FittedModel | FixedModel],
) -> tuple[list[FittedModel | FixedModel], list[str]]:
    """The models by one criterion: as they are, or all by ML where restricted likelihoods are not comparable."""
    if not any(fit.reml for fit in fits):
        return list(fits), []
    comparable = all(fit.reml for fit in fits) and all(same_fixed_part(fits[0], fit) for fit in fits[1:])
    if comparable:
        return list(fits), []
    why = "have different columns of fixed effects" if all(fit.reml for fit in fits) else "were fitted by REML and ML"
    note = f"The models {why}, so those fitted by REML were fitted again by ML."
    return [fit_quietly(fit, fit.design, reml=False) if fit.reml else fit for fit in fits], [note]


def _frame(fits: Sequence[FittedModel | FixedModel], steps: Sequence[Comparison]) -> pd.DataFrame:
    """Table of models and comparisons."""
    rows = []
    for fit, step in zip(fits, [None, *steps], strict=True):
        figures = (fit.n_params, fit.aic, fit.bic, fit.llf, fit.deviance)
        compared = (np.nan, np.nan, "", np.nan)
        if step is not None:
            compared = (step.statistic, float(step.df), step.distribution, step.p_value)
        rows.append((*figures, *compared))
    return pd.DataFrame(rows, columns=list(COLUMNS), index=_distinct([fit.formula for fit in fits]))


def _distinct(names: Sequence[str]) -> list[str]:
    """Names, numbered where one occurs again."""
    return [name if name not in names[:i] else f"{name} [{names[:i].count(name) + 1}]" for i, name in enumerate(names)]


def _p_cell(distribution: str, p_value: float) -> str:
    """A p-value, or a bound of it, as text."""
    text = format_p(p_value)
    return f"<={text}" if distribution.startswith(AT_MOST) and not text.startswith("<") else text


def _blank_first(cells: list[str]) -> list[str]:
    """Cells without the first, which has nothing to be compared with."""
    return ["", *cells[1:]]


def _check(fits: Sequence[object], test: object, n_boot: object, workers: object) -> None:
    if len(fits) == 1 and isinstance(fits[0], (list, tuple)):
        raise ArgumentError("lrt takes the fitted models one by one; unpack the list: lmm.lrt(*fits)")
    if len(fits) < 2:  # noqa: PLR2004 - a pair
        raise ArgumentError(f"lrt compares two or more fitted models; got {len(fits)}")
    for fit in fits:
        linear_model(fit, "lrt")
    check_test(test, n_boot, workers)


def check_test(test: object, n_boot: object, workers: object) -> None:
    """Refuse an unknown null distribution, and numbers of draws or processes that are none."""
    one_of("test", test, TESTS)
    at_least(1, "n_boot", n_boot, of="draws")
    checked_workers(workers)
