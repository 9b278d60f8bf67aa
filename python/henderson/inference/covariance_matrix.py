"""A table that can be called for its other kinds. Loaded only when used: it needs pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from henderson.inference import covariance

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel


class CovarianceMatrix(pd.DataFrame):
    """Covariance matrix of the fixed effects: a data frame that gives its other kinds when called.

    What is computed from it is a plain data frame.
    """

    _metadata = ["_model"]  # noqa: RUF012 - pandas' protocol
    _model: LinearMixedModel

    def __call__(self, kind: str = "model", *, cluster: Any = None) -> pd.DataFrame:
        """Covariance matrix of another kind.

        Parameters
        ----------
        kind
            "model": sigma² (X'V⁻¹X)⁻¹ at the estimated variances; "kenward-roger": adjusted for their uncertainty;
            "CR0", "CR1", "CR1p", "CR1S", "CR2" or "CR3": cluster-robust.
        cluster
            For a robust kind: name of a grouping factor, or one label per row; by default the outermost factor.
        """
        return covariance.table(self._model, covariance.matrix(self._model, kind, cluster))
