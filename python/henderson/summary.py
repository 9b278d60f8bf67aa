"""The summary of a fit: values gathered from the model, ready to be printed as text, HTML, LaTeX or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_fit, errors_simulation
from henderson.inference import coefficients
from henderson.optimum import GIVEN

if TYPE_CHECKING:
    import pandas as pd

    from henderson.inference.coefficients import CoefficientTable
    from henderson.model import LinearMixedModel
    from henderson.varcorr import VarCorr

CORRELATION_LIMIT = 12
"""With more fixed effects than this their correlations are shown only when asked for (lme4's rule)."""


@dataclass(frozen=True, eq=False)
class Summary:
    """What a fit says, in the order in which it is printed.

    Prints as text in lme4's layout; notebooks show it as HTML.

    Attributes
    ----------
    is_reml
        Whether the fit is by REML.
    call
        Lines that say what was fitted: ("Formula", text), ("Data", name), ("Weights", column), ...
    criterion
        REML criterion or deviance.
    fit_statistics
        AIC, BIC, logLik, -2*log(L) and df.resid.
    residual_quantiles
        Minimum, quartiles and maximum of the scaled residuals; None when left out.
    varcorr
        Variances and correlations of the random effects.
    nobs, ngroups
        Number of rows used, and of levels of each grouping factor.
    n_dropped
        Rows dropped because of missing values.
    coefficients
        Estimate, standard error, degrees of freedom, statistic and p-value of every fixed effect, NaN for aliased
        columns; without tests no p-values, and degrees of freedom only where they are finite.
    ddf
        Rule for the degrees of freedom; None: no tests.
    method
        The same in words, with the covariance matrix if it is a robust one; empty if there is nothing to say.
    correlation
        Correlation matrix of the fixed effects.
    show_correlation
        Whether it is printed.
    notes
        What the user should know: singular fit, no convergence, dropped columns.
    digits
        Significant digits.
    """

    is_reml: bool
    call: tuple[tuple[str, str], ...]
    criterion: float
    fit_statistics: dict[str, float]
    residual_quantiles: NDArray[np.float64] | None
    varcorr: VarCorr
    nobs: int
    ngroups: dict[str, int]
    n_dropped: int
    coefficients: pd.DataFrame
    ddf: str | None
    method: str
    correlation: pd.DataFrame
    show_correlation: bool
    notes: tuple[str, ...]
    digits: int

    @property
    def title(self) -> str:
        """The method, in words."""
        criterion = "REML" if self.is_reml else "maximum likelihood"
        tests = "Standard errors" if self.ddf is None else "z-tests" if self.ddf == "normal" else "t-tests"
        return f"Linear mixed model fit by {criterion}" + (f". {tests} use {self.method}" if self.method else "")

    def to_text(self) -> str:
        """Text in lme4's layout."""
        from henderson.text import summary_text

        return summary_text(self)

    def to_html(self) -> str:
        """Tables for a notebook or a web page."""
        from henderson.markup import summary_html

        return summary_html(self)

    def to_latex(self) -> str:
        """A LaTeX ``table`` with fixed effects, random effects and the sizes of the data (needs booktabs)."""
        from henderson.markup import summary_latex

        return summary_latex(self)

    def to_markdown(self) -> str:
        """Markdown tables (pipes)."""
        from henderson.markup import summary_markdown

        return summary_markdown(self)

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.to_html()


def summarize(
    model: LinearMixedModel,
    *,
    ddf: str | None = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    correlation: bool | None = None,
    digits: int = 4,
) -> Summary:
    """Everything in lme4's layout: print it, or use `.coefficients`, `.to_latex()`, `.to_markdown()`.

    Parameters
    ----------
    ddf
        Degrees of freedom of the t tests: "satterthwaite", "kenward-roger", "residual", "normal" (z tests); None: no
        tests.
    vcov
        Covariance matrix of the fixed effects: "model", or a cluster-robust kind such as "CR2".
    cluster
        What the rows are clustered by, for a robust kind; by default the outermost grouping factor.
    correlation
        Show the correlations of the fixed effects; None: when there are at most 12 of them.
    digits
        Significant digits.

    Notes
    -----
    A fit by maximum likelihood is fitted again by REML for Kenward-Roger's method, and the summary says so. Where
    degrees of freedom cannot be computed there is a note, and no tests.
    """
    found = coefficients.coefficient_table(model, ddf, vcov, cluster)
    return _gathered(model, found, correlation, digits, quantiles=True)


def short_text(model: LinearMixedModel) -> str:
    """Print the essentials of a fit, without tests: lme4's ``print(fit)``."""
    from henderson.text import model_text

    return model_text(
        _gathered(model, coefficients.coefficient_table(model, None, "model", None), None, 4, quantiles=False)
    )


def _gathered(
    model: LinearMixedModel, found: CoefficientTable, correlation: bool | None, digits: int, *, quantiles: bool
) -> Summary:
    p = len(model.kept)
    return Summary(
        is_reml=model.is_reml,
        call=(("Formula", model.formula), *model.call),
        criterion=model.criterion,
        fit_statistics={
            "AIC": model.aic,
            "BIC": model.bic,
            "logLik": model.loglik,
            "-2*log(L)": model.criterion,
            "df.resid": model.df_resid,
        },
        residual_quantiles=model.row_facts.residual_quantiles if quantiles else None,
        varcorr=model.varcorr,
        nobs=model.nobs,
        ngroups=model.ngroups,
        n_dropped=model.design.n_dropped,
        coefficients=found.table,
        ddf=found.ddf,
        method=found.method,
        correlation=found.correlation,
        show_correlation=1 < p <= CORRELATION_LIMIT if correlation is None else correlation and p > 1,
        notes=(*notes(model), *found.notes),
        digits=digits,
    )


def notes(model: LinearMixedModel) -> tuple[str, ...]:
    """What the user should know about this fit, and what to do about it."""
    found = model.optimum
    result = []
    if model.aliased:
        result.append(errors_fit.aliased_note(model.aliased))
    if found.status == GIVEN:
        result.append(errors_simulation.given_note())
    elif not found.converged:
        result.append(errors_fit.not_converged_note(found.status, found.evaluations, found.decrement))
    deficient = _deficient_terms(model.varcorr, found.ranks)
    if deficient:
        result.append(errors_fit.singular_note(deficient))
    return tuple(result)


def _deficient_terms(varcorr: VarCorr, ranks: Sequence[int]) -> list[tuple[str, int, int]]:
    sizes = [len(term.names) for term in varcorr.terms]
    return [
        (term_label(term.names, term.group), rank, size)
        for term, rank, size in zip(varcorr.terms, ranks, sizes, strict=True)
        if rank < size
    ]


def term_label(names: Sequence[str], group: str) -> str:
    """A random term as it would be written: ``1 + Days | Subject``."""
    effects = ["1" if name == "(Intercept)" else name for name in names]
    return f"{' + '.join(effects)} | {group}"
