"""Covariance matrices of the fixed effects: the model's own, Kenward and Roger's, cluster-robust ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson.inference import degrees, robust

if TYPE_CHECKING:
    import pandas as pd

    from henderson.inference.covariance_matrix import CovarianceMatrix
    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]


def vcov(model: LinearMixedModel) -> CovarianceMatrix:
    """Covariance matrix of the fixed effects, a table; `vcov(kind=...)` gives other kinds.

    Notes
    -----
    The kinds are "model", sigma² (X'V⁻¹X)⁻¹ at the estimated variances; "kenward-roger", adjusted for the uncertainty
    of the variances (a fit by maximum likelihood is fitted again by REML for it); and the cluster-robust "CR0", "CR1",
    "CR2" and others, with `cluster=`.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.vcov.round(3)
                 (Intercept)   Days
    (Intercept)       46.575 -1.451
    Days              -1.451  2.389
    >>> fit.vcov(kind="CR2").round(3)
                 (Intercept)   Days
    (Intercept)       46.575 -1.451
    Days              -1.451  2.389
    """
    from henderson.inference.covariance_matrix import CovarianceMatrix

    result = CovarianceMatrix(table(model, matrix(model, "model", None)))
    result._model = model
    return result


def matrix(model: LinearMixedModel, kind: str, cluster: Any) -> Matrix:
    """Covariance matrix of the fixed effects kept, shape (p, p)."""
    degrees.check_kind(kind, cluster)
    if kind == "model":
        return model.sigma**2 * model.solution.unscaled_vcov
    if kind == "kenward-roger":
        return model._kenward_roger.covariance
    return robust.vcov(model, kind, cluster)


def table(model: LinearMixedModel, values: Matrix) -> pd.DataFrame:
    """A matrix with the names of the fixed effects kept."""
    import pandas as pd

    names = [model.design.x_names[i] for i in model.kept]
    return pd.DataFrame(values, index=names, columns=names)
