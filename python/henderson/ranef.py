"""Random effects by grouping factor and level: conditional modes, their variances, per-level coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel


def ranef(model: LinearMixedModel) -> dict[str, pd.DataFrame]:
    """Conditional modes (BLUPs): per grouping factor a table with a row per level and a column per effect.

    Several terms on one factor stand side by side in one table, as in lme4.
    """
    return _by_factor(model, [effects[_order(model, i)] for i, effects in enumerate(model.solution.b)])


def ranef_std_error(model: LinearMixedModel) -> dict[str, pd.DataFrame]:
    """Conditional standard deviations of the random effects, in the shape of `ranef`."""
    variances = model.conditional_variance_arrays
    deviations = [
        np.sqrt(np.diagonal(variance, axis1=1, axis2=2))[_order(model, i)] for i, variance in enumerate(variances)
    ]
    return _by_factor(model, deviations)


def conditional_variances(model: LinearMixedModel) -> dict[str, pd.DataFrame]:
    """Variances of the random effects given y, beta and theta (lme4's condVar), by random term.

    Returns
    -------
    dict
        Per term label ("Subject", "Subject.1", ...) a table indexed by (level, effect) with a column per effect:
        ``fit.conditional_variances["Subject"].loc["308"]`` is the (s, s) matrix of one level.
    """
    import pandas as pd

    tables = {}
    for i, term in enumerate(model.design.terms):
        factor = model.design.factors[term.factor]
        variance = model.conditional_variance_arrays[i][_order(model, i)]
        index = pd.MultiIndex.from_product([_levels(factor), list(term.names)], names=[factor.name, None])
        tables[term.label] = pd.DataFrame(variance.reshape(-1, len(term.names)), index=index, columns=list(term.names))
    return tables


def ranef_table(model: LinearMixedModel) -> pd.DataFrame:
    """All random effects in one long table, as lme4's ``as.data.frame(ranef(fit))``.

    Returns
    -------
    DataFrame
        Columns grpvar, term, grp (level), condval (conditional mode) and condsd (conditional standard deviation).
    """
    import pandas as pd

    parts = []
    deviations = ranef_std_error(model)
    for group, modes in ranef(model).items():
        size = len(modes)
        for k, name in enumerate(modes.columns):
            columns = {
                "grpvar": [group] * size,
                "term": [name] * size,
                "grp": modes.index.to_numpy(),
                "condval": modes.iloc[:, k].to_numpy(),
                "condsd": deviations[group].iloc[:, k].to_numpy(),
            }
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def coef(model: LinearMixedModel) -> dict[str, pd.DataFrame]:
    """Coefficients per level: fixed effects plus the random effects of the same name, by grouping factor.

    An effect that varies over levels but has no fixed effect counts as a fixed effect of zero.
    """
    import pandas as pd

    fixed = model.fixef
    tables = {}
    for group, modes in ranef(model).items():
        names = [*fixed.index, *dict.fromkeys(name for name in modes.columns if name not in fixed.index)]
        values = np.zeros((len(modes), len(names)))
        values[:, : len(fixed)] = fixed.to_numpy()
        for k, name in enumerate(modes.columns):
            values[:, names.index(name)] += modes.iloc[:, k].to_numpy()
        tables[group] = pd.DataFrame(values, index=modes.index, columns=names)
    return tables


def _by_factor(model: LinearMixedModel, per_term: list[Any]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    design = model.design
    tables = {}
    for factor_index in dict.fromkeys(term.factor for term in design.terms):
        factor = design.factors[factor_index]
        mine = [i for i, term in enumerate(design.terms) if term.factor == factor_index]
        tables[factor.name] = pd.DataFrame(
            np.hstack([per_term[i] for i in mine]),
            index=pd.Index(_levels(factor), name=factor.name),
            columns=[name for i in mine for name in design.terms[i].names],
        )
    return tables


def _order(model: LinearMixedModel, term: int) -> Any:
    return model.design.factors[model.design.terms[term].factor].order


def _levels(factor: Any) -> list[Any]:
    return list(factor.levels)
