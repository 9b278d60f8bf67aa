"""The columns of a fitted model at new rows, for prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson.coding import CategoricalVariable, Coder, Value, Variable
from henderson.columns import Mask, Numbers
from henderson.design import DesignMatrices, row_labels, stack, total_offset
from henderson.expression import Expression, Name, columns_of
from henderson.factors import Factor, grouping_parts
from henderson.formula import RandomPart
from henderson.frame import ModelFrame, argument_column, find_columns
from henderson.levels import Categories, Codes, factorize, level_text
from henderson.tables import Table, open_table
from henderson.terms import TermList
from henderson.transforms import Evaluator


@dataclass(frozen=True, eq=False)
class NewTerm:
    """A random term at new rows.

    Attributes
    ----------
    codes
        (n,) codes of the fitted model's factor, -1 where the level is new or missing; None if they were not wanted.
    columns
        (n,) float64 each, None for a column of ones; NaN where an effect was not wanted.
    is_new
        (n,) whether the level is one that the model was not fitted to; None if that is so nowhere.
    new_codes
        (n,) which of the factor's ``NewRows.unseen`` the level is, -1 where it is none; None with `is_new`.
    """

    codes: Codes | None
    columns: tuple[Numbers | None, ...]
    is_new: Mask | None = None
    new_codes: Codes | None = None


@dataclass(frozen=True)
class Wanted:
    """What of a random term is wanted at new rows.

    Attributes
    ----------
    effects
        Positions among its columns. Variables that only the others use may be absent from the table.
    is_grouped
        Whether its grouping factor is wanted too.
    """

    effects: tuple[int, ...]
    is_grouped: bool = True


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
    coder
        What the columns were computed with, and the values of the variables.
    """

    n: int
    x: list[Numbers | None]
    terms: dict[int, NewTerm]
    offset: Numbers | None
    unseen: dict[str, tuple[str, ...]]
    table_index: Any
    coder: Coder | None = field(default=None, repr=False)

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
    terms: Iterable[int] | Mapping[int, Wanted] | None = None,
    context: Mapping[str, Any] | None = None,
    offset: Any = None,
) -> NewRows:
    """The columns of `design` at the rows of another table; transformations keep what they learned.

    Parameters
    ----------
    newdata
        A table with the columns that the formula uses; the response may be absent.
    design
        Of the fitted model.
    terms
        Indices of the random terms wanted, None for all; or what is wanted of each. Columns that only other terms use
        may be absent.
    context
        Instead of the context that the model was fitted with.
    offset
        Instead of the column of the ``offset=`` argument that the model was fitted with: a column name, an array or a
        number.

    Raises
    ------
    DataError
        A column is absent, or a categorical fixed effect has a level that the model was not fitted to.
    """
    if not isinstance(terms, Mapping):
        indices = range(len(design.terms)) if terms is None else terms
        terms = {index: Wanted(tuple(range(len(design.terms[index].names)))) for index in indices}
    recipe, formula = design.recipe, design.formula
    context = recipe.context if context is None else context
    table = open_table(newdata)
    variables = dict.fromkeys(formula.fixed.variables())
    for index, wanted in terms.items():
        variables |= dict.fromkeys(_variables(design, index, wanted.effects))
    groupings = [_part(design, index).grouping for index, wanted in terms.items() if wanted.is_grouped]
    expressions = [*variables, *formula.offsets, *(node for grouping in groupings for node in grouping.variables)]
    names: dict[str, Name] = {name.name: name for node in expressions for name in columns_of(node)}
    columns = find_columns(table, names.values(), context)
    frame = ModelFrame(formula, table.n_rows, None, columns)
    evaluator = Evaluator(frame, recipe.states, context, is_learning=False)
    others = {node: known for node, known in recipe.variables.items() if node not in variables}
    blanks = {node: _blank(known, table.n_rows) for node, known in others.items()}
    coder = Coder(evaluator, recipe.variables, {}, blanks)
    unseen: dict[str, tuple[str, ...]] = {}
    found: dict[int, tuple[Codes, Mask | None, Codes | None]] = {}
    new_terms: dict[int, NewTerm] = {}
    for index, wanted in terms.items():
        term = design.terms[index]
        own = _columns(coder, design, index)
        if not wanted.is_grouped:
            new_terms[index] = NewTerm(None, own)
            continue
        if term.factor not in found:
            factor = design.factors[term.factor]
            codes, is_new, new_codes, unseen[factor.name] = _codes(design, index, factor, evaluator)
            found[term.factor] = codes, is_new, new_codes
        codes, is_new, new_codes = found[term.factor]
        new_terms[index] = NewTerm(codes, own, is_new, new_codes)
    argument = number_or_column(table, "offset", recipe.offset_column if offset is None else offset)
    total = total_offset(evaluator, formula, argument)
    return NewRows(table.n_rows, coder.columns(formula.fixed)[0], new_terms, total, unseen, table.index, coder)


def number_or_column(table: Table, what: str, value: Any) -> Numbers | None:
    """An argument such as ``offset=`` at the rows of a table: a column name, an array, or one number for all rows."""
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return np.full(table.n_rows, float(value))
    column = argument_column(table, what, value)
    return None if column is None else column.numbers(what)


def effect_names(design: DesignMatrices, side: TermList) -> tuple[str, ...]:
    """The names of the columns that the left side of a bar has; its variables are among those of `design`."""
    return _blank_coder(design).columns(side)[1]


def _part(design: DesignMatrices, index: int) -> RandomPart:
    return design.formula.random_terms[design.terms[index].part]


def _blank_coder(design: DesignMatrices) -> Coder:
    """A coder of tables without rows: it knows the names of columns."""
    recipe = design.recipe
    values: dict[Expression, Value] = {node: _blank(variable, 0) for node, variable in recipe.variables.items()}
    evaluator = Evaluator(ModelFrame(design.formula, 0, None, {}), recipe.states, recipe.context, is_learning=True)
    return Coder(evaluator, recipe.variables, {}, values)


def _blank(variable: Variable, n: int) -> Value:
    """Missing values of a variable."""
    if isinstance(variable, CategoricalVariable):
        return Categories(np.broadcast_to(np.int32(-1), n), variable.levels)
    return np.broadcast_to(np.nan, n if variable.width == 1 else (n, variable.width))


def _variables(design: DesignMatrices, index: int, effects: Sequence[int]) -> list[Expression]:
    """The variables that some columns of a random term are made of."""
    term, side = design.terms[index], _part(design, index).effects
    if len(effects) == len(term.names) and _part(design, index).is_correlated:
        return list(side.variables())
    wanted = {term.names[position] for position in effects}
    found: dict[Expression, None] = {}
    for own, columns in _blank_coder(design).by_term(side):
        if any(name in wanted for _, name in columns):
            found |= dict.fromkeys(own.variables)
    return list(found)


def _columns(coder: Coder, design: DesignMatrices, index: int) -> tuple[Numbers | None, ...]:
    """The columns of one random term, picked by name from those of its part of the formula."""
    columns, names = coder.columns(_part(design, index).effects)
    return tuple(columns[names.index(name)] for name in design.terms[index].names)


def _codes(
    design: DesignMatrices, index: int, factor: Factor, evaluator: Evaluator
) -> tuple[Codes, Mask | None, Codes | None, tuple[str, ...]]:
    """Codes of new rows, where they have levels that are not among the factor's, which ones, and these."""
    parts = grouping_parts(_part(design, index).grouping, evaluator)
    codes = factor.find(parts)
    if not len(codes) or codes.min() >= 0:
        return codes, None, None, ()
    is_new = np.asarray(np.all([part.codes >= 0 for part in parts], axis=0) & (codes < 0))
    rows = np.flatnonzero(is_new)
    if not len(rows):
        return codes, None, None, ()
    key = np.zeros(len(rows), dtype=np.int64)
    for part in parts:  # one number per combination, kept small
        key = factorize(key * len(part.levels) + part.codes[rows]).codes.astype(np.int64)
    first = rows[np.unique(key, return_index=True)[1]]
    texts = [np.array(part.levels.texts(), dtype=object)[part.codes[first]] for part in parts]
    labels = (":".join(map(level_text, label)) for label in zip(*texts, strict=True))
    new_codes = np.full(len(codes), -1, dtype=np.int32)
    new_codes[rows] = key
    return codes, is_new, new_codes, tuple(labels)
