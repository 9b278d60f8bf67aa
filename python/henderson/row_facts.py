"""What later answers need to know of the rows of a fit, each fact computed when it is first asked for.

Topics that can do with such a fact ask for it here rather than at the rows: a fit that is saved without its rows keeps
the facts instead.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson.inference import estimability, term_contrasts, variance_shares

if TYPE_CHECKING:
    from henderson.inference.estimability import Estimability
    from henderson.inference.variance_shares import VarianceShares
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


class RowFacts:
    """Facts about the rows of a fitted model.

    Parameters
    ----------
    model
        A fitted model.
    """

    def __init__(self, model: LinearMixedModel) -> None:
        self._model = model

    @cached_property
    def residual_quantiles(self) -> Vector | None:
        """Minimum, quartiles and maximum of the scaled residuals, shape (5,); None where the rows are not known."""
        return np.asarray(np.quantile(self._model.residuals("scaled"), QUARTILES))

    @cached_property
    def variance_shares(self) -> VarianceShares:
        """The mean variance of the rows by source."""
        return variance_shares.variance_shares(self._model)

    @cached_property
    def mean_products(self) -> tuple[Matrix, ...]:
        """Z'Z / n over the columns of each random term, (s, s) each."""
        design = self._model.design
        return tuple(variance_shares.mean_products(design, t) for t in range(len(design.terms)))

    @cached_property
    def level_sizes(self) -> tuple[NDArray[np.intp], ...]:
        """Number of rows of each level of each grouping factor, by code, (levels,) each."""
        return tuple(np.bincount(factor.codes, minlength=factor.n_levels) for factor in self._model.design.factors)

    @cached_property
    def estimability(self) -> Estimability:
        """How the aliased columns of X depend on those that were kept."""
        return estimability.estimability(self._model)

    @cached_property
    def _term_contrasts(self) -> dict[int, list[tuple[str, Matrix]]]:
        return {}

    def term_contrasts(self, kind: int) -> list[tuple[str, Matrix]]:
        """The label and the contrasts (r, p) of each fixed term, p columns kept; kind is 1, 2 or 3."""
        known = self._term_contrasts
        if kind not in known:
            known[kind] = term_contrasts.term_contrasts(self._model, kind)
        return known[kind]
