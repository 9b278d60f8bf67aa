"""Wald inference on the fixed effects: estimate, standard error, and the normal distribution.

The covariance matrix of the estimates is taken at the estimated variances as if those were known; intervals are
estimate +- z * standard error. With few groups they are too short.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import errors_fit

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel


def coefficients(model: LinearMixedModel) -> pd.DataFrame:
    """Table of all fixed effects: estimate, std_error, statistic (their ratio); NaN rows for aliased columns."""
    import pandas as pd

    kept = model.kept
    table = np.full((len(model.design.x_names), 3), np.nan)
    table[kept, 0] = model.solution.beta
    table[kept, 1] = standard_errors(model)
    with np.errstate(divide="ignore", invalid="ignore"):
        table[:, 2] = table[:, 0] / table[:, 1]
    return pd.DataFrame(table, index=list(model.design.x_names), columns=["estimate", "std_error", "statistic"])


def standard_errors(model: LinearMixedModel) -> NDArray[np.float64]:
    """Standard errors of the fixed effects kept, shape (rank,)."""
    found = model.solution
    return found.sigma * np.sqrt(np.diag(found.unscaled_vcov))


def limits(model: LinearMixedModel, level: float) -> NDArray[np.float64]:
    """Lower and upper limits of the fixed effects kept, shape (rank, 2)."""
    try:
        inside = 0.0 < level < 1.0
    except TypeError:
        inside = False
    if not inside:
        raise errors_fit.level_invalid(level)
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    beta, reach = model.solution.beta, z * standard_errors(model)
    return np.column_stack([beta - reach, beta + reach])


def confint(model: LinearMixedModel, level: float) -> pd.DataFrame:
    """Wald confidence intervals of the fixed effects, columns named by their percentages as in R."""
    import pandas as pd

    bounds = limits(model, level)
    names = [f"{100 * tail:.3g} %" for tail in ((1 - level) / 2, (1 + level) / 2)]
    return pd.DataFrame(bounds, index=model.fixef.index, columns=names)


def normal_p_values(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p-values of z statistics."""
    return np.array([math.erfc(abs(z) / math.sqrt(2.0)) for z in statistics])
