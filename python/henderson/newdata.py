"""The columns of a fitted model at new rows, for prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson.coding import Coder
from henderson.columns import Numbers
from henderson.design import DesignMatrices, row_labels, stack, total_offset
from henderson.expression import Expression, Name, columns_of
from henderson.factors import Factor, grouping_parts
from henderson.frame import ModelFrame, argument_column, find_columns
from henderson.levels import Codes, level_text
from henderson.tables import open_table
from henderson.transforms import Evaluator


@dataclass(frozen=True, eq=False)
class NewTerm:
    """A random term at new rows.

    Attributes
    ----------
    codes
        (n,) codes of the fitted model's factor, -1 where the level is new or missing.
    columns
        (n,) float64 each, None for a column of ones.
    """

    codes: Codes
    columns: tuple[Numbers | None, ...]


@dataclass(frozen=True, eq=False)
class NewRows:
    """A model's columns at new rows; NaN where an input is missing.

    Attributes
    ----------
    n
        Number of rows.
    x
        As ``DesignMatrices.x``.
    terms
        By index of the fitted model's random term; only those asked for.
    offset
        (n,) or None.
    unseen
        By name of the grouping factor: levels that the model was not fitted to, as text, in order of appearance.
    table_index
        Row labels of the table, None for row numbers.
    """

    n: int
    x: list[Numbers | None]
    terms: dict[int, NewTerm]
    offset: Numbers | None
    unseen: dict[str, tuple[str, ...]]
    table_index: Any

    @property
    def index(self) -> Any:
        """Row labels, a pandas Index."""
        return row_labels(self.table_index, None, self.n)

    def x_matrix(self) -> NDArray[np.float64]:
        """The fixed-effects model matrix, (n, p) in Fortran order."""
        return stack(self.x, self.n)


def design_for(
    newdata: Any,
    design: DesignMatrices,
    *,
    terms: Iterable[int] | None = None,
    context: Mapping[str, Any] | None = None,
) -> NewRows:
    """The columns of `design` at the rows of another table; transformations keep what they learned.

    Parameters
    ----------
    newdata
        A table with the columns that the formula uses; the response may be absent.
    design
        Of the fitted model.
    terms
        Indices of the random terms wanted, None for all. Columns that only other terms use may be absent.
    context
        Instead of the context that the model was fitted with.

    Raises
    ------
    DataError
        A column is absent, or a categorical fixed effect has a level that the model was not fitted to.
    """
    wanted = list(range(len(design.terms)) if terms is None else terms)
    recipe, formula = design.recipe, design.formula
    context = recipe.context if context is None else context
    table = open_table(newdata)
    expressions: list[Expression] = [*formula.fixed.variables(), *formula.offsets]
    for index in wanted:
        part = formula.random_terms[design.terms[index].part]
        expressions += [*part.effects.variables(), *part.grouping.variables]
    names: dict[str, Name] = {name.name: name for node in expressions for name in columns_of(node)}
    columns = find_columns(table, names.values(), context)
    frame = ModelFrame(formula, table.n_rows, None, columns)
    evaluator = Evaluator(frame, recipe.states, context, is_learning=False)
    coder = Coder(evaluator, recipe.variables, {})
    unseen: dict[str, tuple[str, ...]] = {}
    codes: dict[int, Codes] = {}
    new_terms: dict[int, NewTerm] = {}
    for index in wanted:
        term = design.terms[index]
        if term.factor not in codes:
            factor = design.factors[term.factor]
            codes[term.factor], unseen[factor.name] = _codes(design, index, factor, evaluator)
        new_terms[index] = NewTerm(codes[term.factor], _columns(coder, design, index))
    argument = argument_column(table, "offset", recipe.offset_column)
    offset = total_offset(evaluator, formula, None if argument is None else argument.numbers("offset"))
    return NewRows(table.n_rows, coder.columns(formula.fixed)[0], new_terms, offset, unseen, table.index)


def _columns(coder: Coder, design: DesignMatrices, index: int) -> tuple[Numbers | None, ...]:
    """The columns of one random term, picked by name from those of its part of the formula."""
    term = design.terms[index]
    columns, names = coder.columns(design.formula.random_terms[term.part].effects)
    return tuple(columns[names.index(name)] for name in term.names)


def _codes(design: DesignMatrices, index: int, factor: Factor, evaluator: Evaluator) -> tuple[Codes, tuple[str, ...]]:
    """Codes of new rows and the levels that are not among the factor's."""
    parts = grouping_parts(design.formula.random_terms[design.terms[index].part].grouping, evaluator)
    codes = factor.find(parts)
    present = np.all([part.codes >= 0 for part in parts], axis=0)
    rows = np.flatnonzero(present & (codes < 0))
    if not len(rows):
        return codes, ()
    texts = [np.array(part.levels.texts(), dtype=object)[part.codes[rows]] for part in parts]
    labels = (":".join(map(level_text, label)) for label in zip(*texts, strict=True))
    return codes, tuple(dict.fromkeys(labels))
