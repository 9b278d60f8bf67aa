"""The random part of a fitted learner: covariances, predicted effects, and their sum at other rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson.design import DesignMatrices
from henderson.formula import RandomPart
from henderson.learn.inputs import ColumnsTable, require_complete
from henderson.learn.model_text import columns_of_group, effect_columns
from henderson.learn.routed_groups import warn_of_types
from henderson.newdata import NewTerm, design_for
from henderson.varcorr import TermCovariance, VarCorr

if TYPE_CHECKING:
    import pandas as pd

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
MISSING = "give such rows a label or a value, or leave them out"


@dataclass(frozen=True, eq=False)
class FittedEffects:
    """Random effects with their estimates.

    Attributes
    ----------
    design
        Names, levels and transformations; its rows are not used.
    covariances
        Per term (s, s).
    b
        Predicted effects, per term (levels, s).
    """

    design: DesignMatrices
    covariances: tuple[Matrix, ...]
    b: tuple[Matrix, ...]

    def without_rows(self) -> FittedEffects:
        """The same without the data of the fit."""
        design, empty, none = self.design, np.zeros(0), np.zeros(0, dtype=np.int32)
        terms = tuple(replace(term, columns=tuple(empty for _ in term.columns)) for term in design.terms)
        factors = tuple(replace(factor, codes=none) for factor in design.factors)
        bare = replace(
            design, y=empty, x=[], terms=terms, factors=factors, values={}, weights=None, rows=None, table_index=None
        )
        return replace(self, design=bare)

    def at(self, table: ColumnsTable, absent: Collection[str]) -> Vector:
        """Zb at rows of a table, (n,), with b = 0 for groups that are new or missing.

        Parameters
        ----------
        table
            Has the columns of the random terms.
        absent
            Columns that it lacks: terms whose groups are made of them are left out.
        """

        def takes_part(part: RandomPart) -> bool:
            return not set(columns_of_group(part)) & set(absent)

        parts = [part for part in self.design.formula.random_terms if takes_part(part)]
        slopes = dict.fromkeys(name for part in parts for name in effect_columns(part))
        require_complete(table, [name for name in slopes if table.column(name) is not None], "Column '{}'", MISSING)
        labels = {part.grouping.label for part in parts}
        chosen = [t for t, term in enumerate(self.design.terms) if term.group in labels]
        rows = design_for(table, self.design, terms=chosen)
        warn_of_types(self.design.factors, rows.unseen)
        total = np.zeros(table.n_rows)
        for t in chosen:
            total += _effects(rows.terms[t], self.b[t])
        return total

    def varcorr(self, sigma: float) -> VarCorr:
        """Covariance matrices of the random effects, and the residual standard deviation."""
        pairs = zip(self.design.terms, self.covariances, strict=True)
        return VarCorr(tuple(TermCovariance(term.label, term.names, own) for term, own in pairs), sigma)

    def ranef(self) -> dict[str, pd.DataFrame]:
        """Predicted effects: by grouping factor a table of levels and effects."""
        import pandas as pd

        found: dict[str, list[pd.DataFrame]] = {}
        for term, modes in zip(self.design.terms, self.b, strict=True):
            factor = self.design.factors[term.factor]
            index = pd.Index(factor.labels[factor.order], name=factor.name)
            table = pd.DataFrame(modes[factor.order], index=index, columns=list(term.names))
            found.setdefault(term.group, []).append(table)
        return {group: pd.concat(tables, axis=1) for group, tables in found.items()}


def _effects(term: NewTerm, modes: Matrix) -> Vector:
    """The sum of a term's effects at new rows; zero for new and missing levels."""
    assert term.codes is not None
    padded = np.vstack([modes, np.zeros(modes.shape[1])])  # code -1: the last row
    total = np.zeros(len(term.codes))
    for k, column in enumerate(term.columns):
        own = np.ascontiguousarray(padded[:, k])[term.codes]
        total += own if column is None else np.where(term.codes < 0, 0.0, own * column)
    return total
