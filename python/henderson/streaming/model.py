"""A fit that was updated from its cross-products."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from henderson import errors_streaming
from henderson.absent import RowsElsewhere
from henderson.compiling import compile_design
from henderson.conversion import minus
from henderson.levels import Categories
from henderson.model import LinearMixedModel, Vector
from henderson.persistence import saving
from henderson.row_facts import RowFacts
from henderson.streaming.ledger import Ledger, whole_number
from henderson.streaming.problem import StreamedProblem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from henderson.design import DesignMatrices
    from henderson.inference.variance_shares import VarianceShares

SHARED = ("kept", "optimum", "solution")


def all_rows(model: StreamedModel) -> LinearMixedModel:
    """The same fit with all its rows in one place; of rows that are not known, ones that stand for them."""
    if model._stand_in is None:
        design = model._problem.ledger.stacked()
        y = design.y if design.offset is None else minus(design.y, design.offset)
        problem = compile_design(design, y, model._problem.threads)
        model._stand_in = LinearMixedModel(design, problem, None, y, model.is_reml, model.call)
        model._stand_in.__dict__.update({name: getattr(model, name) for name in SHARED})
    return model._stand_in


def facts(model: StreamedModel) -> RowFacts:
    """Facts about the rows, from all of them."""
    own = all_rows(model)
    return own.row_facts if model._problem.ledger.is_real else UnknownFacts(own)


class StreamedModel(LinearMixedModel):
    """A fit that was updated from its cross-products, with `stand_in`, the same fit with all rows, made when needed."""

    _problem: StreamedProblem

    stand_in = property(all_rows)

    row_facts = cached_property(facts)

    def save(self, path: str | os.PathLike[str], *, rows: bool = False) -> None:
        """Write the fit to a file, as a fit with all its rows."""
        if not self._problem.ledger.is_real:
            raise errors_streaming.rows_unknown("A file of a fit")
        saving.save(self.stand_in, path, rows=rows)


class UnknownFacts(RowFacts):
    """Facts about rows of which only cross-products are known."""

    @cached_property
    def residual_quantiles(self) -> Vector | None:
        """They are left out of the summary."""
        return None

    @cached_property
    def variance_shares(self) -> VarianceShares:
        """The mean variance of the rows is not known."""
        raise errors_streaming.rows_unknown("The mean variance of the rows")

    @cached_property
    def mean_products(self) -> tuple[NDArray[Any], ...]:
        """Z'Z / n is not known."""
        raise errors_streaming.rows_unknown("The mean variance of the rows")

    @cached_property
    def level_sizes(self) -> tuple[NDArray[Any], ...]:
        """The number of rows of a level is not known."""
        raise errors_streaming.rows_unknown("The number of rows of each level")


def without_rows(rows: DesignMatrices, ledger: Ledger) -> DesignMatrices:
    """The design of a streamed fit: names and levels of the last rows, and guards in place of vectors over the rows."""
    count = whole_number(ledger.nobs)
    guard: Any = RowsElsewhere(round(ledger.nobs), are_known=ledger.is_real)
    columns: dict[str, Any] = {
        name: Categories(guard, value.levels, value.all_used) if isinstance(value, Categories) else guard
        for name, value in rows.recipe.columns.items()
    }
    has_argument = any(piece.rows.recipe.offset is not None for piece in ledger.pieces)
    return replace(
        rows,
        y=guard,
        x=[None if column is None else guard for column in rows.x],
        terms=tuple(
            replace(term, columns=tuple(None if column is None else guard for column in term.columns))
            for term in rows.terms
        ),
        factors=tuple(replace(factor, codes=guard) for factor in rows.factors),
        weights=guard if any(piece.rows.weights is not None for piece in ledger.pieces) else None,
        offset=guard if any(piece.rows.offset is not None for piece in ledger.pieces) else None,
        rows=guard,
        recipe=replace(rows.recipe, columns=columns, offset=guard if has_argument else None),
        values=guard,
        table_index=guard,
        n_dropped=ledger.pieces[0].rows.n_dropped,
        represented=None if ledger.is_real else (count, 0.0),
    )
