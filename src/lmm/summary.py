"""The readable account of a fit, in the order that users of lme4 know, as text and as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.display import Table, as_html, capital, format_column, format_p
from lmm.factors import GroupingFactor
from lmm.inference.ddf import ddf_used
from lmm.linalg import FloatArray, correlation

if TYPE_CHECKING:
    from lmm.linear import LinearModel
    from lmm.model import FittedModel

# Correlations of fixed effects are printed for up to this many coefficients.
MAX_CORRELATIONS = 12


class Summary:
    """
    Summary of a fitted model.

    ``str(summary)`` is the text, a notebook shows the HTML form.

    Examples
    --------
    >>> import lmm
    >>> print(lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff")).summary())
    Linear mixed model fit by REML
    Formula: Yield ~ 1 + (1 | Batch)
    <BLANKLINE>
    REML criterion at convergence: 319.6543
    <BLANKLINE>
    Scaled residuals:
        Min      1Q Median     3Q    Max
    -1.4117 -0.7634 0.1418 0.7792 1.8296
    <BLANKLINE>
    Random effects:
    Groups   Name      Variance Std.Dev.
    Batch    Intercept     1764    42.00
    Residual               2451    49.51
    Number of obs: 30, groups: Batch, 6
    <BLANKLINE>
    Fixed effects (degrees of freedom: satterthwaite):
              Estimate Std. Error df t value p-value
    Intercept  1527.50      19.38  5    78.8 <0.0001
    """

    def __init__(self, model: FittedModel, ddf: str | None = "satterthwaite") -> None:
        method = "REML" if model.reml else "maximum likelihood"
        self.heading = f"Linear mixed model fit by {method}\nFormula: {model.formula}"
        self.criterion = _criterion(model)
        self.residuals = _scaled_residuals(model)
        self.random = _random_effects(model)
        self.counts = _counts(model)
        self.fixed = fixed_effects(model, ddf)
        self.correlations = _correlations(model)
        self.notes = _notes(model)

    def __str__(self) -> str:
        criterion = self.criterion if isinstance(self.criterion, str) else self.criterion.text()
        parts = [self.heading, criterion, self.residuals.text(), f"{self.random.text()}\n{self.counts}"]
        if self.fixed is not None:
            parts.append(self.fixed.text())
        if self.correlations is not None:
            parts.append(self.correlations.text())
        parts.extend(self.notes)
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        criterion = f"<p>{as_html(self.criterion)}</p>" if isinstance(self.criterion, str) else self.criterion.html()
        tables = [table.html() for table in (self.fixed, self.correlations) if table is not None]
        notes = "".join(f"<p>{as_html(note)}</p>" for note in self.notes)
        return (
            f"<div><p>{as_html(self.heading)}</p>{criterion}{self.residuals.html()}{self.random.html()}"
            f"<p>{as_html(self.counts)}</p>{''.join(tables)}{notes}</div>"
        )


def singular_sentence(factor: GroupingFactor, cov: FloatArray) -> str:
    """What is singular about the random effects of a grouping factor, what that means and what to do."""
    sd = np.sqrt(np.diagonal(cov))
    zero = [effect for effect, s in zip(factor.effects, sd, strict=True) if s == 0.0]
    whole = f"the random effects of {factor.group!r} ({', '.join(factor.effects)})"
    if len(zero) == len(factor.effects):
        what = f"{whole} have an estimated variance of zero: the levels of {factor.group!r} differ no more than the"
        return (
            f"{capital(what)} residual variation explains. The fit equals the one without them: the term may be left "
            "out, or kept where it belongs to the design."
        )
    if zero:
        return (
            f"{capital(whole)} include an estimated variance of zero, of {', '.join(zero)}. "
            f"The fit equals the one without {'it' if len(zero) == 1 else 'them'}: leave {', '.join(zero)} out of the "
            "term, or keep what belongs to the design."
        )
    return (
        f"{capital(whole)} have a singular covariance matrix: some combination of them does not vary, as with a "
        "correlation of -1 or 1 (fit.random_pca() names it). The data do not support so many of them; consider fewer "
        f"effects, or uncorrelated ones, (... || {factor.group})."
    )


def _criterion(model: FittedModel) -> str | Table:
    if model.reml:
        return f"REML criterion at convergence: {model.deviance:.4f}"
    values = np.array([model.aic, model.bic, model.llf, model.deviance])
    cells = (*(f"{x:.3f}" for x in values), str(model.df_resid))
    return Table("", ("AIC", "BIC", "logLik", "deviance", "df.resid"), (cells,), 0)


def _scaled_residuals(model: FittedModel) -> Table:
    residuals = model.resid.to_numpy() / model.sigma
    if model.design.weights is not None:
        residuals = residuals * np.sqrt(model.design.weights)
    quantiles = np.quantile(residuals, [0.0, 0.25, 0.5, 0.75, 1.0])
    cells = tuple(f"{x:.4f}" for x in quantiles)
    return Table("Scaled residuals:", ("Min", "1Q", "Median", "3Q", "Max"), (cells,), 0)


def _random_effects(model: FittedModel) -> Table:
    components = model.variance_components
    variances = components[components["var2"].isna()]
    variance = format_column(variances["vcov"].to_numpy(dtype=np.float64))
    deviation = format_column(variances["sdcor"].to_numpy(dtype=np.float64))
    correlations = _correlation_cells(model)
    width = max(len(cells) for cells in correlations)
    header = ("Groups", "Name", "Variance", "Std.Dev.", *(["Corr", *[""] * (width - 1)] if width else []))
    rows = []
    last = ""
    for i, (group, effect) in enumerate(zip(variances["group"], variances["var1"], strict=True)):
        label = "" if group == last else str(group)
        last = group
        name = "" if i == len(variance) - 1 else str(effect)
        cells = correlations[i] + [""] * (width - len(correlations[i]))
        rows.append((label, name, variance[i], deviation[i], *cells))
    return Table("Random effects:", header, tuple(rows), 2)


def _correlation_cells(model: FittedModel) -> list[list[str]]:
    """For each row of the table of random effects, its correlations with the effects above it in its term."""
    cells: list[list[str]] = []
    for factor, cov in zip(model.factors, model.random_cov.values(), strict=True):
        matrix = cov.to_numpy()
        for effects in factor.term_effects:
            cells.extend([f"{correlation(matrix, b, a):.2f}" for b in effects if b < a] for a in effects)
    return [*cells, []]


def _counts(model: FittedModel) -> str:
    groups = "; ".join(f"{group}, {n}" for group, n in model.n_groups.items())
    lines = [f"Number of obs: {model.nobs}, groups: {groups}"]
    if model.design.n_missing:
        lines.append(f"Rows dropped for missing values: {model.design.n_missing}")
    if model.design.n_zero_weight:
        lines.append(f"Rows dropped for a weight of zero: {model.design.n_zero_weight}")
    return "\n".join(lines)


def fixed_effects(model: LinearModel, ddf: str | None) -> Table | None:
    """Table of the fixed effects with their tests, None where there are none; see `FittedModel.summary`."""
    table = model.coef_table("normal" if ddf is None else ddf)
    if not len(table):
        return None
    both = format_column(table[["estimate", "std_error"]].to_numpy().ravel(order="F"))
    estimate, error = both[: len(table)], both[len(table) :]
    ratio = format_column(np.round(table["statistic"].to_numpy(), 3), most_decimals=3)
    columns = [list(table.index), estimate, error]
    header = ["", "Estimate", "Std. Error"]
    if ddf is None:
        return Table("Fixed effects:", (*header, "t value"), tuple(zip(*columns, ratio, strict=True)), 1)
    used = ddf_used(model, ddf)
    if used != "normal":
        header.append("df")
        columns.append(format_column(np.round(table["df"].to_numpy(), 1), most_decimals=1))
    header.extend(["z value" if used == "normal" else "t value", "p-value"])
    columns.extend([ratio, [format_p(p_value) for p_value in table["p_value"]]])
    title = "Fixed effects (normal tests):" if used == "normal" else f"Fixed effects (degrees of freedom: {used}):"
    return Table(title, tuple(header), tuple(zip(*columns, strict=True)), 1)


def _correlations(model: FittedModel) -> Table | None:
    cov = model.cov_params()
    p = len(cov)
    if not 1 < p <= MAX_CORRELATIONS:
        return None
    sd = np.sqrt(np.diagonal(cov.to_numpy()))
    matrix = cov.to_numpy() / np.outer(sd, sd)
    names = [str(name) for name in cov.index]
    rows = tuple((names[i], *(f"{x:.3f}" if j < i else "" for j, x in enumerate(matrix[i, :-1]))) for i in range(1, p))
    return Table("Correlation of fixed effects:", ("", *(_short(name) for name in names[:-1])), rows, 1)


def _short(name: str, width: int = 9) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def _notes(model: FittedModel) -> list[str]:
    design = model.design
    notes = []
    dropped = [name for name, kept in zip(design.all_names, design.kept, strict=True) if not kept]
    if dropped:
        notes.append(
            f"Dropped, because a linear combination of the columns before gives the same: {', '.join(dropped)}."
        )
    if model.known_sigma is not None:
        notes.append(f"The residual standard deviation is known: {model.known_sigma:g}.")
    notes.extend(f"Singular fit. {sentence}" for sentence in model.singular_terms)
    if not model.converged:
        notes.append(f"Not converged: stopped after {model.optimum.effort}.")
    return notes
