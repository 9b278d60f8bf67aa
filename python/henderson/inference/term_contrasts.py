"""Which contrasts of the fixed effects test a term: types I, II and III, in the sense of SAS and lmerTest.

A term contains another if it has all its factors, more of them, and the same numeric variables. The hypotheses depend
on the terms of the model and on which combinations of levels occur, not on how factors are coded:

    type I     the term after the ones before it in the formula, none of the others
    type II    the term after all terms that do not contain it
    type III   the functions of the term and of those that contain it, orthogonal to those of the latter alone

Orthogonal in the coefficients of the complete set of indicators: with X = (indicators of all terms) B', type III
averages over the levels of the other factors with equal weights when all combinations occur.

References
----------
SAS Institute (1978). Tests of hypotheses in fixed-effects linear models. SAS Technical Report R-101.
Kuznetsova, A., Brockhoff, P. B. and Christensen, R. H. B. (2017). lmerTest package: tests in linear mixed effects
models. Journal of Statistical Software 82(13).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import errors_inference
from henderson.coding import CategoricalVariable, is_contrast_coded
from henderson.levels import Categories

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.expression import Expression
    from henderson.model import LinearMixedModel
    from henderson.terms import Term

Matrix = NDArray[np.float64]
Indices = NDArray[np.intp]

CHUNK = 2**14
DEPENDENT = (1e-9, 1e-7, 1e-11, 1e-13)
"""A column is a combination of earlier ones when this share of its length, or less, is its own: the first of these by
which there are as many independent columns as X has."""


@dataclass(frozen=True, eq=False)
class TermColumns:
    """Which columns of X belong to which term.

    Attributes
    ----------
    terms
        The terms of the fixed part.
    columns
        Per term, positions among the columns kept.
    containing
        Per term, the indices of the terms that contain it.
    """

    terms: tuple[Term, ...]
    columns: tuple[Indices, ...]
    containing: tuple[tuple[int, ...], ...]

    def with_containing(self, term: int) -> Indices:
        """Columns of the terms that contain a term."""
        return np.concatenate([np.empty(0, dtype=np.intp), *(self.columns[other] for other in self.containing[term])])


def term_columns(model: LinearMixedModel) -> TermColumns:
    """Assign the columns of X that were kept to the terms of the formula."""
    design = model.design
    side = design.formula.fixed
    position = {column: place for place, column in enumerate(model.kept)}
    start = int(side.has_intercept)
    columns = []
    for flags, term in zip(_codings(design), side.terms, strict=True):
        width = 1
        for is_contrast, variable in zip(flags, term.variables, strict=True):
            width *= _width(design, variable, is_contrast)
        kept = [position[j] for j in range(start, start + width) if j in position]
        columns.append(np.array(kept, dtype=np.intp))
        start += width
    assert start == len(design.x)
    factors = [frozenset(v for v in term.variables if _is_categorical(design, v)) for term in side.terms]
    numbers = [frozenset(term.variables) - own for term, own in zip(side.terms, factors, strict=True)]
    containing = tuple(
        tuple(j for j in range(len(factors)) if factors[i] < factors[j] and numbers[i] == numbers[j])
        for i in range(len(factors))
    )
    return TermColumns(side.terms, tuple(columns), containing)


def term_contrasts(model: LinearMixedModel, kind: int) -> list[tuple[str, Matrix]]:
    """The label and the contrasts (r, p) of each term, p columns kept; kind is 1, 2 or 3."""
    found = term_columns(model)
    rows = {1: _sequential, 2: _marginal, 3: _balanced}[kind](model, found)
    return [(term.label, contrasts) for term, contrasts in zip(found.terms, rows, strict=True)]


def _sequential(model: LinearMixedModel, found: TermColumns) -> list[Matrix]:
    """Type I: rows of the unit upper triangle of X'X, which test each column after the ones before it."""
    rows = _unit_triangle(_triangle(model.design, [_fixed_columns(model)]))
    return [rows[columns] for columns in found.columns]


def _marginal(model: LinearMixedModel, found: TermColumns) -> list[Matrix]:
    """Type II: the same with the terms that contain the term moved to the end."""
    p = len(model.kept)
    triangle = _triangle(model.design, [_fixed_columns(model)]) if any(found.containing) else None
    result = []
    for term, columns in enumerate(found.columns):
        after = found.with_containing(term)
        if triangle is None or not len(after):
            result.append(np.eye(p)[columns])
            continue
        before = np.setdiff1d(np.arange(p), np.concatenate([columns, after]))
        order = np.concatenate([before, columns, after])
        rows = np.zeros((len(columns), p))
        reordered: Matrix = np.asarray(np.linalg.qr(triangle[:, order], mode="r"))
        rows[:, order] = _unit_triangle(reordered)[len(before) : len(before) + len(columns)]
        result.append(rows)
    return result


def _balanced(model: LinearMixedModel, found: TermColumns) -> list[Matrix]:
    """Type III, in terms of treatment contrasts."""
    p = len(model.kept)
    if not any(found.containing):
        return [np.eye(p)[columns] for columns in found.columns]
    design = model.design
    complete, is_treatment, owners = _indicators(design)
    triangle = _triangle(design, [_fixed_columns(model), complete])
    own, indicators = triangle[:, :p], triangle[:, p:]
    chosen = _independent(indicators, np.flatnonzero(is_treatment), p)
    basis = indicators[:, chosen]
    owners = owners[chosen]
    functions = _coefficients(basis, indicators)  # coefficients of `basis` by those of all indicators
    to_own = _coefficients(basis, own)  # by those of X
    result = []
    for term in range(len(found.terms)):
        mine = np.flatnonzero(owners == term)
        others = np.flatnonzero(np.isin(owners, found.containing[term]))
        rows = np.eye(len(basis.T))[mine]
        if len(others):
            weights = np.linalg.lstsq(functions[others].T, functions[mine].T, rcond=None)[0]
            rows[:, others] -= weights.T
        result.append(rows @ to_own)
    return result


# ------------------------------------------------------------------------------------------------------------- columns


def _is_categorical(design: DesignMatrices, variable: Expression) -> bool:
    return isinstance(design.recipe.variables[variable], CategoricalVariable)


def _codings(design: DesignMatrices) -> list[tuple[bool, ...]]:
    return list(is_contrast_coded(design.formula.fixed, lambda variable: _is_categorical(design, variable)))


def _width(design: DesignMatrices, node: Expression, is_contrast: bool) -> int:
    variable = design.recipe.variables[node]
    if isinstance(variable, CategoricalVariable):
        return variable.contrast.shape[1] if is_contrast else len(variable.levels)
    return variable.width


Columns = Callable[[Indices], Matrix]
"""Columns that can be asked for by rows."""


def _fixed_columns(model: LinearMixedModel) -> Columns:
    """The columns of X that were kept."""
    columns = [model.design.x[j] for j in model.kept]

    def rows(chosen: Indices) -> Matrix:
        parts = [np.ones(len(chosen)) if column is None else column[chosen] for column in columns]
        return np.column_stack(parts) if parts else np.ones((len(chosen), 0))

    return rows


def _indicator_columns(design: DesignMatrices) -> Columns:
    """One column for each combination of levels of the factors of each term, times its numeric variables."""
    side = design.formula.fixed

    def block(variable: Expression, chosen: Indices) -> Matrix:
        value = design.values[variable]
        if isinstance(value, Categories):
            return np.asarray(value.codes[chosen, None] == np.arange(len(value.levels)), dtype=np.float64)
        part: Matrix = value[chosen]
        return part[:, None] if part.ndim == 1 else part

    def rows(chosen: Indices) -> Matrix:
        blocks = [np.ones((len(chosen), int(side.has_intercept)))]
        for term in side.terms:
            product = np.ones((len(chosen), 1))
            for variable in term.variables:
                product = (block(variable, chosen)[:, :, None] * product[:, None, :]).reshape(len(chosen), -1)
            blocks.append(product)
        return np.concatenate(blocks, axis=1)

    return rows


def _indicators(design: DesignMatrices) -> tuple[Columns, NDArray[np.bool_], Indices]:
    """Indicators of all combinations of levels for every term; which of them treatment coding uses; whose they are."""
    side = design.formula.fixed
    used = [np.ones(int(side.has_intercept), dtype=bool)]
    owners = [np.full(int(side.has_intercept), -1)]
    for term, (flags, node) in enumerate(zip(_codings(design), side.terms, strict=True)):
        product = np.ones(1, dtype=bool)
        for is_contrast, variable in zip(flags, node.variables, strict=True):
            own = np.ones(_width(design, variable, False), dtype=bool)
            own[0] = not (is_contrast and _is_categorical(design, variable))
            product = (own[:, None] & product[None, :]).ravel()
        used.append(product)
        owners.append(np.full(len(product), term))
    return _indicator_columns(design), np.concatenate(used), np.concatenate(owners)


# ----------------------------------------------------------------------------------------------------- linear algebra


def _triangle(design: DesignMatrices, parts: Sequence[Columns]) -> Matrix:
    """R of a QR decomposition of columns side by side, rows taken in chunks."""
    rows, counts = _distinct_rows(design)
    triangle: Matrix | None = None
    for start in range(0, len(rows), CHUNK):
        chosen = rows[start : start + CHUNK]
        block = np.concatenate([part(chosen) for part in parts], axis=1)
        if counts is not None:
            block *= np.sqrt(counts[start : start + CHUNK])[:, None]
        stacked = block if triangle is None else np.concatenate([triangle, block])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
    assert triangle is not None
    return triangle


def _distinct_rows(design: DesignMatrices) -> tuple[Indices, Indices | None]:
    """Rows that differ in the fixed effects and how often each occurs, if these are factors only; else all rows."""
    values = [design.values[variable] for variable in design.formula.fixed.variables()]
    cells = np.zeros(design.n, dtype=np.intp)
    for value in values:
        if not isinstance(value, Categories):
            return np.arange(design.n), None
        cells = np.unique(cells * len(value.levels) + value.codes, return_inverse=True)[1].reshape(-1)
    _, rows, counts = np.unique(cells, return_index=True, return_counts=True)
    return rows, counts


def _unit_triangle(triangle: Matrix) -> Matrix:
    """Rows of an upper triangle over their diagonal elements."""
    unit: Matrix = triangle / np.diag(triangle)[:, None]
    return unit


def _independent(columns: Matrix, candidates: Indices, rank: int) -> Indices:
    """Those candidates that are not combinations of earlier ones; there are `rank` of them."""
    for tolerance in DEPENDENT:
        basis = np.zeros((len(columns), 0))
        kept = []
        for j in candidates:
            left = columns[:, j] - basis @ (basis.T @ columns[:, j])
            left -= basis @ (basis.T @ left)
            size = np.linalg.norm(left)
            if size > tolerance * np.linalg.norm(columns[:, j]):
                kept.append(j)
                basis = np.column_stack([basis, left / size])
        if len(kept) == rank:
            return np.array(kept, dtype=np.intp)
    raise errors_inference.term_contrasts_undetermined()


def _coefficients(basis: Matrix, columns: Matrix) -> Matrix:
    """What `columns` are in terms of linearly independent columns."""
    scale = np.linalg.norm(basis, axis=0)
    found: Matrix = np.linalg.lstsq(basis / scale, columns, rcond=None)[0] / scale[:, None]
    return found
