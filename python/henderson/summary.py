"""The summary of a fit: values gathered from the model, ready to be printed as text, HTML, LaTeX or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import errors_fit

if TYPE_CHECKING:
    import pandas as pd

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
        Estimate, standard error and statistic of every fixed effect, NaN for aliased columns.
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
    correlation: pd.DataFrame
    show_correlation: bool
    notes: tuple[str, ...]
    digits: int

    @property
    def title(self) -> str:
        """The method, in words."""
        return f"Linear mixed model fit by {'REML' if self.is_reml else 'maximum likelihood'}"

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
    model: LinearMixedModel, *, correlation: bool | None = None, digits: int = 4, quantiles: bool = True
) -> Summary:
    """Gather what `Summary` shows from a fitted model.

    Parameters
    ----------
    model
        A fitted model.
    correlation
        Show the correlations of the fixed effects; None: when there are at most 12 of them.
    digits
        Significant digits.
    quantiles
        Include the quantiles of the scaled residuals.
    """
    vcov = model.vcov
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
        residual_quantiles=np.quantile(model.residuals("scaled"), [0, 0.25, 0.5, 0.75, 1]) if quantiles else None,
        varcorr=model.varcorr,
        nobs=model.nobs,
        ngroups=model.ngroups,
        n_dropped=model.design.n_dropped,
        coefficients=model.coefficients,
        correlation=vcov.div(model.stderror, axis=0).div(model.stderror, axis=1),
        show_correlation=1 < len(vcov) <= CORRELATION_LIMIT if correlation is None else correlation and len(vcov) > 1,
        notes=notes(model),
        digits=digits,
    )


def short_text(model: LinearMixedModel) -> str:
    """Print the essentials of a fit: lme4's ``print(fit)``."""
    from henderson.text import model_text

    return model_text(summarize(model, quantiles=False))


def notes(model: LinearMixedModel) -> tuple[str, ...]:
    """What the user should know about this fit, and what to do about it."""
    found = model.optimum
    result = []
    if model.aliased:
        result.append(errors_fit.aliased_note(model.aliased))
    if not found.converged:
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
