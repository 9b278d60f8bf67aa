"""ModelFrame -> DesignMatrices: response, columns of X, random terms and grouping factors, as arrays with names.

Nothing here is n x levels: a random term is a few columns and the codes of its grouping factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors
from henderson.coding import Coder, Value, Variable, check_contrast_names
from henderson.columns import Numbers
from henderson.contrasts import as_contrast
from henderson.expression import Expression, columns_of
from henderson.factors import Factor, make_factor
from henderson.formula import Formula, RandomPart, parse_formula
from henderson.frame import ModelFrame, model_frame
from henderson.transforms import Evaluator, States


@dataclass(frozen=True, eq=False)
class RandomTerm:
    """Random effects of one grouping factor, with an unstructured covariance.

    Attributes
    ----------
    group
        Name of the grouping factor, ``Subject``.
    label
        The same, made unique among the terms as lme4 does: ``Subject``, ``Subject.1``.
    factor
        Index into ``DesignMatrices.factors``.
    names
        Column names, ``("(Intercept)", "Days")``.
    columns
        (n,) float64 each, None for a column of ones.
    part
        Index into ``DesignMatrices.formula.random_terms``.
    """

    group: str
    label: str
    factor: int
    names: tuple[str, ...]
    columns: tuple[Numbers | None, ...]
    part: int


BY_ROW = "values by row"
"""Stands for an argument that belongs to the rows of a table, and is not kept."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What has to be remembered to compute the same columns for other rows.

    Attributes
    ----------
    variables, states
        What is known about the variables of the formula, and what its transformations learned.
    offset_column, offset
        The ``offset=`` argument: its name, if it is a column, and its values at the rows used.
    context
        Functions and constants of the formula.
    columns
        The columns of the table that the fixed effects and the offsets use, at the rows used: numbers, or categories
        with codes in order.
    is_weighted, weights_column
        Whether there was a ``weights=`` argument, and its name, if it was a column.
    arguments
        Those of the arguments ``subset``, ``contrasts`` and ``na_action`` that were given; `BY_ROW` for a subset that
        was not text.
    """

    variables: dict[Expression, Variable]
    states: States
    offset_column: str | None
    context: Mapping[str, Any]
    columns: dict[str, Value]
    offset: Numbers | None
    is_weighted: bool = False
    weights_column: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class DesignMatrices:
    """A linear mixed model as arrays.

    Attributes
    ----------
    y
        (n,) response; the offset has not been subtracted.
    x
        Columns of the fixed effects, (n,) float64 each, None for a column of ones; may be rank-deficient.
    x_names
        Their names as R prints them.
    terms
        Sorted by decreasing number of levels; terms of ``||`` have one column each.
    factors
        The distinct grouping factors, in the order in which the terms use them.
    weights
        (n,) positive, or None.
    offset
        (n,) sum of ``offset()`` terms and the argument, or None.
    n_dropped, n_zero_weight, n_excluded
        Rows left out for missing values, for weight zero, by ``subset``.
    rows
        Positions in the table of the rows used, None for all.
    recipe
        What `design_for` needs for new rows.
    values
        What the variables of the formula are at the rows used: designs of smaller formulas are made of them.
    represented
        Number and sum of log weights of the rows that these rows stand for, None for themselves (see `compression`).
    """

    y: Numbers
    x: list[Numbers | None]
    x_names: tuple[str, ...]
    terms: tuple[RandomTerm, ...]
    factors: tuple[Factor, ...]
    weights: Numbers | None
    offset: Numbers | None
    response_name: str
    formula: Formula
    n_dropped: int
    n_zero_weight: int
    n_excluded: int
    rows: NDArray[np.intp] | None
    recipe: Recipe = field(repr=False)
    values: Mapping[Expression, Value] = field(repr=False)
    table_index: Any = field(repr=False, default=None)
    data_name: str = ""
    represented: tuple[int, float] | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def nobs(self) -> int:
        """Number of observations that the model was fitted to: the rows, or those that they stand for."""
        return self.n if self.represented is None else self.represented[0]

    @cached_property
    def index(self) -> Any:
        """Labels of the rows used, a pandas Index: the table's own, or row numbers."""
        return row_labels(self.table_index, self.rows, self.n)

    def x_matrix(self) -> NDArray[np.float64]:
        """The fixed-effects model matrix, (n, p) in Fortran order."""
        return stack(self.x, self.n)

    def z_matrix(self, term: int) -> NDArray[np.float64]:
        """The columns of a random term, (n, effects) in Fortran order."""
        return stack(self.terms[term].columns, self.n)


def stack(columns: list[Numbers | None] | tuple[Numbers | None, ...], n: int) -> NDArray[np.float64]:
    """Columns side by side, in Fortran order."""
    matrix = np.ones((n, len(columns)), order="F")
    for position, column in enumerate(columns):
        if column is not None:
            matrix[:, position] = column
    return matrix


def row_labels(table_index: Any, rows: NDArray[np.intp] | None, n: int) -> Any:
    """The labels of some rows of a table, as a pandas Index."""
    import pandas

    if table_index is not None:
        return table_index if rows is None else table_index[rows]
    return pandas.RangeIndex(n) if rows is None else pandas.Index(rows)


def build_design(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    subset: Any = None,
    na_action: str = "drop",
    contrasts: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    data_name: str = "",
    needs_response: bool = True,
) -> DesignMatrices:
    """Formula and table to arrays.

    Parameters
    ----------
    formula
        In lme4's language.
    data
        pandas, polars or pyarrow table, or dict of arrays.
    weights, offset
        Column name, or one number per row of the table.
    subset
        Boolean array, query such as ``"age > 5"``, or function of the table.
    na_action
        ``"drop"`` or ``"fail"``.
    contrasts
        By variable: ``"treatment"``, ``"sum"``, ``"helmert"``, ``"poly"``, ``"sas"``, ``"diff"``,
        ``("treatment", base)``, or a (levels, columns) matrix.
    context
        Functions and constants the formula may use.
    data_name
        What to call the table in print.
    needs_response
        False for a design without a response: the formula has none, and y is zero.

    Raises
    ------
    FormulaError, DataError
        The formula cannot be read, or does not fit the data.

    Examples
    --------
    >>> data = {"y": [1.0, 2.5, 2.0, 4.0], "f": ["a", "b", "a", "b"], "g": [1, 1, 2, 2]}
    >>> design = build_design("y ~ f + (1 | g)", data)
    >>> design.x_names
    ('(Intercept)', 'fb')
    >>> design.factors[0].codes
    array([0, 0, 1, 1], dtype=int32)
    """
    parsed = formula if isinstance(formula, Formula) else parse_formula(formula)
    if needs_response:
        parsed.require_mixed()
    context = {name: context[name] for name in parsed.identifiers() & context.keys()} if context else {}
    frame = model_frame(
        parsed, data, weights=weights, offset=offset, subset=subset, na_action=na_action, context=context
    )
    named = [argument if isinstance(argument, str) else None for argument in (offset, weights)]
    arguments = _given(subset, contrasts, na_action)
    recipe = Recipe({}, {}, named[0], context, {}, frame.offset, weights is not None, named[1], arguments)
    evaluator = Evaluator(frame, recipe.states, context, is_learning=True)
    y = response_values(evaluator, frame.formula) if needs_response else np.zeros(frame.n)
    if contrasts is not None and not isinstance(contrasts, Mapping):
        raise errors.argument_type("contrasts", contrasts, "a dict such as {'x': 'sum'}")
    coder = Coder(evaluator, recipe.variables, {name: as_contrast(name, c) for name, c in (contrasts or {}).items()})
    x, x_names = coder.columns(frame.formula.fixed)
    terms, factors = random_terms(coder, frame.formula.random_terms, frame.n, {})
    if contrasts:
        check_contrast_names(contrasts, recipe.variables)
    recipe.columns.update(_own_columns(frame, coder.values))
    return DesignMatrices(
        y=y,
        x=x,
        x_names=x_names,
        terms=terms,
        factors=factors,
        weights=frame.weights,
        offset=total_offset(evaluator, frame.formula, frame.offset),
        response_name=frame.formula.response_label,
        formula=frame.formula,
        n_dropped=frame.n_dropped,
        n_zero_weight=frame.n_zero_weight,
        n_excluded=frame.n_excluded,
        rows=frame.rows,
        recipe=recipe,
        values=coder.values,
        table_index=frame.table_index,
        data_name=data_name,
    )


def _given(subset: Any, contrasts: Any, na_action: str) -> dict[str, Any]:
    """The arguments that are not the default."""
    found: dict[str, Any] = {} if subset is None else {"subset": subset if isinstance(subset, str) else BY_ROW}
    if contrasts:
        found["contrasts"] = contrasts
    return found if na_action == "drop" else found | {"na_action": na_action}


def _own_columns(frame: ModelFrame, known: Mapping[Expression, Value]) -> dict[str, Value]:
    """The columns of the table behind the fixed effects and the offsets; most are variables of the formula anyway."""
    columns: dict[str, Value] = {}
    for node in (*frame.formula.fixed.variables(), *frame.formula.offsets):
        for name in columns_of(node):
            kind = frame.kind(name.name)
            if kind is not None and name in known:
                columns[name.name] = known[name]
            elif kind == "number":
                columns[name.name] = frame.numbers(name.name, "a predictor")
            elif kind is not None:
                columns[name.name] = frame.categories(name.name).in_order()
    return columns


def response_values(evaluator: Evaluator, formula: Formula) -> Numbers:
    """The response, numeric and not constant; booleans count as 0 and 1, as in lme4."""
    assert formula.response is not None
    y = evaluator.number(formula.response, "the response")
    if y[0] == y[-1] and bool((y == y[0]).all()):
        raise errors.response_constant(formula.response_label, float(y[0]))
    return y


def total_offset(evaluator: Evaluator, formula: Formula, argument: Numbers | None) -> Numbers | None:
    """The sum of the ``offset()`` terms of a formula and the ``offset=`` argument, None if there is neither."""
    total = argument
    if argument is not None and evaluator.is_learning and not np.isfinite(argument).all():
        row = int(np.argmax(~np.isfinite(argument)))
        raise errors.infinite_value("offset=", evaluator.source.table_row(row), float(argument[row]))
    for node in formula.offsets:
        value = evaluator.number(node, "an offset")
        total = value if total is None else total + value
    return total


def random_terms(
    coder: Coder, parts: Sequence[RandomPart], n: int, known: Mapping[str, Factor]
) -> tuple[tuple[RandomTerm, ...], tuple[Factor, ...]]:
    """The random terms of n rows, sorted by decreasing number of levels, and their distinct factors.

    Factors that are `known` (by name) are not computed again.
    """
    factors = dict(known)
    for part in parts:
        if part.grouping.label not in factors:
            factors[part.grouping.label] = _checked_factor(part, coder.evaluator, n)
    order = sorted(range(len(parts)), key=lambda index: -factors[parts[index].grouping.label].n_levels)
    positions: dict[str, int] = {}
    terms: list[RandomTerm] = []
    for index in order:
        part = parts[index]
        group = part.grouping.label
        columns, names = coder.columns(part.effects)
        factor = positions.setdefault(group, len(positions))
        _check_effects(part, factors[group].n_levels * (len(columns) if part.is_correlated else 1), n)
        chunks = [slice(None)] if part.is_correlated else [slice(j, j + 1) for j in range(len(columns))]
        for chunk in chunks:
            label = _unique_label(group, terms)
            terms.append(RandomTerm(group, label, factor, names[chunk], tuple(columns[chunk]), index))
    return tuple(terms), tuple(factors[group] for group in positions)


def _checked_factor(part: RandomPart, evaluator: Evaluator, n: int) -> Factor:
    factor = make_factor(part.grouping, evaluator)
    if factor.n_levels >= n:
        raise errors.grouping_too_fine(factor.name, factor.n_levels, n)
    return factor


def _check_effects(part: RandomPart, effects: int, n: int) -> None:
    if effects >= n:
        raise errors.effects_too_many(part.text, effects, n)


def _unique_label(group: str, terms: list[RandomTerm]) -> str:
    """R's make.unique: the second term of a group is called group.1."""
    count = sum(term.group == group for term in terms)
    return f"{group}.{count}" if count else group
