"""One readable report on a fit: what was checked, what was found, and what to do about it."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc, ndtri

from lmm.diagnostics.normality import normality_test, skewness_and_kurtosis
from lmm.diagnostics.pca import constant_combinations
from lmm.diagnostics.simulated import observed
from lmm.display import capital, format_p
from lmm.errors import UnknownKeyError
from lmm.identification import undetermined_terms
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Significance levels: of the outlier test, over all rows together, and of the tests of the model's assumptions.
OUTLIER_LEVEL, ASSUMPTION_LEVEL = 0.05, 0.01
# Ratio of standard deviations of columns, and of a mean to its standard deviation, from which they are named.
WIDE_SCALES, FAR_ORIGIN = 1e3, 10.0
# Variance inflation from which it is named, and from which it is a warning.
SOME_INFLATION, MUCH_INFLATION = 5.0, 10.0
# Fewer levels than this say little about a variance.
FEW_LEVELS = 5
# Fewest values that are tested for normality.
FEWEST_VALUES = 8
# Promised decrease of the deviance, below which its size is rounding error.
LEAST_DECREASE = 1e-12
# Relative differences of fitted values that are rounding errors.
ROUNDING = 1e-10
# Rows and effects that a line names.
SHOWN = 5
WIDTH = 100
MARKS = {"ok": "ok  ", "note": "note", "warning": "WARN"}


@dataclass(frozen=True)
class Finding:
    """
    One line of the report.

    Attributes
    ----------
    check : str
        What was checked.
    status : {"ok", "note", "warning"}
    found : str
        What was found, a sentence.
    advice : str
        What to do; empty where nothing needs doing.
    """

    check: str
    status: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class CheckReport:
    """
    Report on a fit.

    ``str(report)`` is the text, a notebook shows the HTML form.

    Attributes
    ----------
    formula : str
    findings : tuple of Finding

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> fit.check()["levels of Subject"]
    Finding(check='levels of Subject', status='ok', found='18 levels with 10 rows each.', advice='')
    """

    formula: str
    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that need attention."""
        return tuple(finding for finding in self.findings if finding.status == "warning")

    def __getitem__(self, check: str) -> Finding:
        """Finding of a check, by its name; a name that is none is refused with those there are."""
        for finding in self.findings:
            if finding.check == check:
                return finding
        names = ", ".join(repr(finding.check) for finding in self.findings)
        raise UnknownKeyError(f"there is no check {check!r}; the checks are {names}")

    def __str__(self) -> str:
        width = max(len(finding.check) for finding in self.findings)
        indent = " " * (len(MARKS["ok"]) + width + 3)
        lines = [f"Check of {self.formula}"]
        for finding in self.findings:
            start = f"{MARKS[finding.status]} {finding.check:<{width}}  "
            lines.append(textwrap.fill(start + finding.found, WIDTH, subsequent_indent=indent))
            if finding.advice:
                lines.append(textwrap.fill(f"{indent}-> {finding.advice}", WIDTH, subsequent_indent=f"{indent}   "))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:left">{html.escape(cell)}</td>'
                for cell in (finding.status, finding.check, finding.found, finding.advice)
            )
            + "</tr>"
            for finding in self.findings
        )
        head = "".join(f'<th style="text-align:left">{cell}</th>' for cell in ("", "check", "found", "what to do"))
        caption = f'<caption style="text-align:left">Check of {html.escape(self.formula)}</caption>'
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def check(model: FittedModel) -> CheckReport:
    """Report on a fit; see `FittedModel.check`."""
    standardized = observed(model)
    studentized = standardized.residuals[0]
    findings = [
        _convergence(model),
        _singularity(model),
        *_undetermined(model),
        _scales(model),
        _outliers(model, studentized),
        _normal_residuals(studentized),
        *_normal_effects(model, [modes[0] for modes in standardized.modes]),
        _homogeneity(model, studentized),
        _collinearity(model),
        *_numbers_of_levels(model),
    ]
    return CheckReport(model.formula, tuple(findings))


def _convergence(model: FittedModel) -> Finding:
    optimum = model.optimum
    if model.converged:
        promised = max(optimum.decrement, optimum.escape, LEAST_DECREASE)
        bound = 10.0 ** np.ceil(np.log10(promised))
        steps = "one more step, or leaving the boundary," if optimum.on_boundary else "one more step"
        found = f"The optimum is certified: {steps} would lower the deviance by less than {bound:.0e}."
        return Finding("convergence", "ok", found)
    found = f"The search stopped after {optimum.effort}: {optimum.certificate}."
    advice = (
        "Estimates may be off. Continue with lmm.fit(..., start=fit.theta), allow more with "
        "control=lmm.Control(max_evaluations=1000), or simplify the random effects."
    )
    return Finding("convergence", "warning", found, advice)


def _singularity(model: FittedModel) -> Finding:
    if not model.is_singular:
        return Finding("singularity", "ok", "All covariance matrices of random effects have full rank.")
    what = []
    for factor, T in zip(model.factors, model.estimates.T, strict=True):
        what += [f"{constant} ({factor.group})" for constant in constant_combinations(factor.effects, T)]
    found = f"Does not vary between levels: {'; '.join(what)}."
    advice = (
        "The estimate is valid, but the data do not support so many random effects: leave these out, or make them "
        "uncorrelated (||), and see whether the conclusions change. Likelihood-ratio tests of these variances need "
        "their boundary distribution."
    )
    return Finding("singularity", "warning", found, advice)


def _undetermined(model: FittedModel) -> list[Finding]:
    """Terms whose covariance matrix no data of the design determine; nothing where there are none."""
    terms = undetermined_terms(model.factors, model.deviance_function.cross)
    if not terms:
        return []
    found = f"No data of this design determine all variances and covariances of {_listed(terms)}."
    advice = (
        "Those shown, and the correlation, are one choice of many with the same likelihood; fixed effects and fitted "
        "values do not depend on it. lmm.estimability(fit) names what is determined. Leave out effects that do not "
        "vary within the levels, or their covariances (||)."
    )
    return [Finding("identification", "warning", found, advice)]


def _scales(model: FittedModel) -> Finding:
    """Columns of X on very different scales, or far from their origin."""
    X = model.design.X
    sd, mean = X.std(axis=0), X.mean(axis=0)
    varying = sd > 0.0
    names = [name for name, keep in zip(model.design.names, varying, strict=True) if keep]
    sd, mean = sd[varying], np.abs(mean[varying])
    found = []
    if len(sd) > 1 and sd.max() > WIDE_SCALES * sd.min():
        found.append(
            f"the standard deviations of {names[int(np.argmin(sd))]!r} and {names[int(np.argmax(sd))]!r} differ by a "
            f"factor of {sd.max() / sd.min():.1g}"
        )
    far = [name for name, ratio in zip(names, mean / sd, strict=True) if ratio > FAR_ORIGIN]
    if far:
        found.append(f"zero lies far outside the values of {_listed(far)}")
    if not found:
        return Finding("scales", "ok", "The predictors have comparable scales and origins.")
    advice = (
        "The fit does not depend on it, but its numbers are hard to read: centre such predictors or change their "
        "units. Intercepts, fixed and random, refer to predictors of zero."
    )
    return Finding("scales", "note", f"{capital('; '.join(found))}.", advice)


def _outliers(model: FittedModel, studentized: FloatArray) -> Finding:
    limit = float(-ndtri(OUTLIER_LEVEL / (2.0 * model.nobs)))
    size = np.abs(studentized)
    out = np.flatnonzero(size > limit)
    if not len(out):
        found = f"No studentised residual exceeds {limit:.2f}, the limit for {model.nobs} rows; the largest is"
        return Finding("outliers", "ok", f"{found} {np.nanmax(size):.2f}.")
    largest = out[np.argsort(-size[out], kind="stable")][:SHOWN]
    named = ", ".join(f"{model.design.index[int(i)]} ({studentized[i]:.2f})" for i in largest)
    found = (
        f"{len(out)} of {model.nobs} rows {'has' if len(out) == 1 else 'have'} a studentised residual beyond "
        f"{limit:.2f}, the limit for so many rows: {named}{', ...' if len(out) > SHOWN else ''}."
    )
    advice = "Check how these rows were measured and entered; model.influence(exact=True) says what they change."
    return Finding("outliers", "warning", found, advice)


def _normal_residuals(studentized: FloatArray) -> Finding:
    found, p_value = _shape(studentized[np.isfinite(studentized)])
    if not p_value < ASSUMPTION_LEVEL:
        return Finding("normal residuals", "ok", found)
    advice = (
        "Look at lmm.plots.qq_residuals(fit). With many rows, fixed effects and their standard errors are robust to "
        "it; prediction intervals and tests of variances are not. Transform the response, or look into the outliers."
    )
    return Finding("normal residuals", "warning", found, advice)


def _normal_effects(model: FittedModel, modes: list[FloatArray]) -> Iterator[Finding]:
    """One finding for each grouping factor, from its standardised random effects, shape (J, k)."""
    for factor, b in zip(model.factors, modes, strict=True):
        name = f"normal {factor.group}"
        if factor.n_levels < FEWEST_VALUES:
            yield Finding(name, "note", f"{factor.n_levels} levels are too few to say.")
            continue
        parts, least = [], 1.0
        for a, effect in enumerate(factor.effects):
            varying = b[np.isfinite(b[:, a]), a]
            if len(varying) < FEWEST_VALUES:
                continue
            text, p_value = _shape(varying)
            parts.append(f"{effect}: {text[0].lower()}{text[1:]}")
            least = min(least, p_value)
        found = " ".join(parts) if parts else "The random effects do not vary."
        if least >= ASSUMPTION_LEVEL:
            caveat = "Predictions are shrunk towards a normal shape, so this says little." if parts else ""
            yield Finding(name, "ok", found, caveat)
            continue
        advice = (
            "Look at lmm.plots.qq_random_effects(fit) for single levels that stand out or for groups of levels; a "
            "missing predictor of the levels is the usual cause."
        )
        yield Finding(name, "warning", found, advice)


def _shape(values: FloatArray) -> tuple[str, float]:
    """Skewness, excess kurtosis and a test of normality, as a sentence, with the p-value."""
    if len(values) < FEWEST_VALUES:
        return f"{len(values)} values are too few to say.", float("nan")
    skewness, kurtosis = skewness_and_kurtosis(values)
    test, p_value = normality_test(values)
    return f"Skewness {skewness:.2f}, excess kurtosis {kurtosis:.2f}, {test} p-value {format_p(p_value)}.", p_value


def _homogeneity(model: FittedModel, studentized: FloatArray) -> Finding:
    """
    Score test of a residual variance that depends linearly on the fitted values, in the studentised form.

    References
    ----------
    Koenker, R. (1981). A note on studentizing a test for heteroscedasticity. Journal of Econometrics 17, 107-112.
    """
    kept = np.isfinite(studentized)
    square = studentized[kept] ** 2
    fitted = model.fittedvalues.to_numpy()[kept]
    if np.ptp(fitted) <= ROUNDING * float(np.abs(fitted).max(initial=0.0)):
        return Finding("homogeneity", "ok", "All fitted values are equal: nothing to compare.")
    r = float(np.corrcoef(square, fitted)[0, 1])
    p_value = float(chdtrc(1.0, len(square) * r**2))
    found = f"Correlation of squared residuals with fitted values {r:.2f}, score test p-value {format_p(p_value)}."
    if p_value >= ASSUMPTION_LEVEL:
        return Finding("homogeneity", "ok", found)
    advice = (
        "Look at lmm.plots.scale_location(fit). Model the response on a log or square-root scale where the spread "
        "grows with the mean, or give known precisions as weights."
    )
    return Finding("homogeneity", "warning", found, advice)


def _collinearity(model: FittedModel) -> Finding:
    """
    Generalised variance inflation of the terms of the fixed part, from the covariance of the estimates.

    References
    ----------
    Fox, J. and Monette, G. (1992). Generalized collinearity diagnostics. Journal of the American Statistical
    Association 87, 178-183.
    """
    inflation = variance_inflation(model)
    if len(inflation) <= 1:
        return Finding("collinearity", "ok", "There are fewer than two fixed terms besides the intercept.")
    worst = max(inflation, key=inflation.__getitem__)
    if inflation[worst] < SOME_INFLATION:
        return Finding("collinearity", "ok", f"The largest variance inflation is {inflation[worst]:.1f} ({worst}).")
    listed = [
        f"{name} ({value:.1f})"
        for name, value in sorted(inflation.items(), key=lambda item: -item[1])
        if value >= SOME_INFLATION
    ]
    status = "warning" if inflation[worst] >= MUCH_INFLATION else "note"
    advice = (
        "The fit is exact all the same, but these terms are hard to tell apart. Centre predictors that appear in "
        "interactions or powers; otherwise judge such terms together, not one by one."
    )
    return Finding("collinearity", status, f"Variance inflation: {', '.join(listed)}.", advice)


def variance_inflation(model: FittedModel) -> dict[str, float]:
    """
    Generalised variance inflation factor of each fixed term but the intercept, to the power 1 / columns.

    For a term of one column this is the variance inflation factor.
    """
    encoding = model.design.fixed_encoding
    assign = np.array(encoding.assign, dtype=np.intp)[model.design.kept]
    columns = assign > 0
    assign = assign[columns]
    cov = model.estimates.cov_beta[np.ix_(columns, columns)]
    sd = np.sqrt(np.diagonal(cov))
    correlation = cov / np.outer(sd, sd)
    whole = np.linalg.slogdet(correlation)[1] if len(cov) else 0.0
    found = {}
    for number in np.unique(assign):
        own = assign == number
        apart = sum(np.linalg.slogdet(correlation[np.ix_(part, part)])[1] for part in (own, ~own))
        found[encoding.term_names[number - 1]] = float(np.exp((apart - whole) / own.sum()))
    return found


def _numbers_of_levels(model: FittedModel) -> Iterator[Finding]:
    """One finding for each grouping factor."""
    for factor in model.factors:
        rows = np.bincount(factor.codes, minlength=factor.n_levels)
        fewest, most = int(rows.min()), int(rows.max())
        each = f"{fewest} to {most} rows" if fewest < most else f"{most} row{'s' * (most > 1)} each"
        found = f"{factor.n_levels} levels with {each}."
        name = f"levels of {factor.group}"
        if factor.n_levels >= FEW_LEVELS:
            yield Finding(name, "ok", found)
            continue
        advice = (
            "So few levels say little about their variance, and its standard error nothing: report profile or "
            f"bootstrap limits, or make {factor.group} a fixed effect."
        )
        yield Finding(name, "note", found, advice)


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:SHOWN]))
    return shown + (", ..." if len(names) > SHOWN else "")
