"""What statsmodels calls the model of a result: the names and arrays that went into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson.interop.mixedlm_formula import MixedLMFormula
from henderson.interop.mixedlm_names import variable_name

if TYPE_CHECKING:
    from henderson.formula import Formula
    from henderson.interop.mixedlm_result import MixedLMResults


@dataclass(frozen=True, eq=False)
class MixedLMModel:
    """The data and the names of a model given in statsmodels' way.

    Attributes
    ----------
    formula
        Response and fixed effects with our random terms.
    endog_names, exog_names
        Of the response and of the fixed effects kept.
    exog_re_names, vcomp_names
        Of the effects of ``re_formula``, and of the variance components.
    endog
        (n,) response at the rows used.
    exog
        (n, k_fe) columns of the fixed effects kept, in the order of `exog_names`.
    groups
        (n,) group of each row.
    group_labels
        The groups, sorted.
    """

    formula: str
    endog_names: str
    exog_names: list[str]
    exog_re_names: list[str]
    vcomp_names: list[str]
    endog: NDArray[np.float64]
    exog: NDArray[np.float64]
    groups: NDArray[Any]
    group_labels: list[Any]

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.endog)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.group_labels)


def _response_name(formula: Formula) -> str:
    original = formula.structure.original if isinstance(formula, MixedLMFormula) else {}
    return "" if formula.response is None else variable_name(formula.response, original)


def model_of(fit: MixedLMResults) -> MixedLMModel:
    """The model of a fit."""
    design, effects = fit.design, fit._group_effects
    columns = [fit.kept[place] for place in fit._places]
    labels = np.array(list(effects.places), dtype=object)
    owner = np.empty(sum(map(len, effects.places.values())), dtype=np.intp)
    for position, own in enumerate(effects.places.values()):
        owner[own] = position
    term = design.terms[0]
    factor = design.factors[term.factor]
    level = np.empty(factor.n_levels, dtype=np.intp)
    level[np.asarray(factor.order)] = np.arange(factor.n_levels)
    return MixedLMModel(
        formula=fit.formula,
        endog_names=_response_name(design.formula) or design.response_name,
        exog_names=list(fit._labels),
        exog_re_names=list(fit.cov_re.index),
        vcomp_names=list(fit.vcomp_names),
        endog=design.y,
        exog=design.x_matrix()[:, columns],
        groups=labels[owner[level[factor.codes] * len(term.columns)]],
        group_labels=labels.tolist(),
    )
