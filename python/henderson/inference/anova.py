"""Tests of the terms of the fixed part, and the door to comparisons of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from henderson import errors_inference
from henderson.inference import comparison
from henderson.inference.degrees import fixed_effect_tests, method_name
from henderson.inference.f_tables import FRow, f_columns, f_row
from henderson.significance import AnovaTable

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

TYPES = {1: "I", 2: "II", 3: "III"}
NAN = float("nan")


def anova(
    model: LinearMixedModel,
    *others: LinearMixedModel,
    type: int | str = 3,  # noqa: A002 - the name R has for it
    ddf: str = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    refit: bool = True,
) -> AnovaTable:
    """F tests of the fixed terms; with other models: likelihood-ratio tests between them.

    Parameters
    ----------
    others
        Fits of the same response to compare this one with; see `henderson.anova`.
    type
        1: each term after those before it; 2: each term after those that do not contain it; 3: each term averaged over
        the levels of the factors it interacts with. "I", "II", "III" mean the same.
    ddf
        Denominator degrees of freedom: "satterthwaite", "kenward-roger", "residual" or "normal" (chi-square tests).
    vcov
        Covariance matrix of the estimates: "model", or a cluster-robust kind such as "CR2".
    cluster
        What the rows are clustered by, for a robust kind.
    refit
        Fit models by maximum likelihood again before they are compared.

    Returns
    -------
    AnovaTable
        Prints in lmerTest's layout; `.to_frame()` has the columns sum_sq, mean_sq, num_df, den_df, statistic, p_value.

    Notes
    -----
    The hypotheses depend on which terms contain which, not on how factors are coded. The mean square of a term is its F
    (before Kenward and Roger's scaling) times the residual variance.

    References
    ----------
    Kuznetsova, A., Brockhoff, P. B. and Christensen, R. H. B. (2017). lmerTest package: tests in linear mixed effects
    models. Journal of Statistical Software 82(13).

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", hd.datasets.load_cake())
    >>> print(fit.anova())
    Type III Analysis of Variance Table with Satterthwaite's method
                 Sum Sq Mean Sq NumDF  DenDF F value Pr(>F)
    recipe         4.00    2.00     2 254.02  0.0957 0.9088
    temp        1966.71 1966.71     1 222.00 94.1632 <2e-16 ***
    recipe:temp    1.74    0.87     2 222.00  0.0417 0.9592
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    """
    if others:
        return comparison.compare((model, *others), refit)
    kind = _checked_type(type)
    tests = fixed_effect_tests(model, ddf, vcov, cluster)
    rows = [
        f_row(label, tests, contrasts) if len(contrasts) else FRow(label, NAN, 0.0, NAN, NAN, NAN)
        for label, contrasts in model.row_facts.term_contrasts(kind)
    ]
    heading = (f"Type {TYPES[kind]} Analysis of Variance Table with {method_name(tests)}",)
    return AnovaTable(heading, tuple(row.label for row in rows), f_columns(rows), tests.notes)


def _checked_type(value: int | str) -> int:
    for kind, name in TYPES.items():
        if value in (kind, str(kind), name) and not isinstance(value, bool):
            return kind
    raise errors_inference.anova_type(value)
