"""Fits from arrays that were updated from their cross-products."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from henderson import _core, errors_fit, errors_streaming
from henderson.array_inputs import Inputs, RandomTerm, gather
from henderson.arrays import ArrayFit, ResponseFits
from henderson.blocks import Blocks, describe
from henderson.compiled import Vector
from henderson.conversion import as_float, minus
from henderson.design import DesignMatrices, Recipe
from henderson.design import RandomTerm as NamedTerm
from henderson.factors import Factor
from henderson.formula import Formula
from henderson.levels import Levels
from henderson.streaming.ledger import Ledger, checked_forgetting, ledger_of
from henderson.streaming.problem import StreamedProblem, changed
from henderson.terms import TermList

Given = tuple[ArrayLike, ArrayLike | None, Any, ArrayLike | None, ArrayLike | None]

NO_FORMULA = Formula.of("", None, TermList(False, ()), (), ())


class StreamedArrayFit(ArrayFit):
    """A fit from arrays with rows added or taken out; all of them are put together when something needs them."""

    _problem: StreamedProblem

    def __init__(self, rows: DesignMatrices, problem: StreamedProblem, found: _core.Optimum, reml: bool) -> None:
        """`rows`: those that came last, with all levels."""
        self._rows = rows
        self._y = problem.guard
        self._problem = problem
        self._found = found
        self.is_reml = reml
        self._theta = None

    @property
    def _p(self) -> int:
        return len(self._rows.x)

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        return [(self._rows.factors[term.factor].n_levels, len(term.columns)) for term in self._rows.terms]

    @cached_property
    def blocks(self) -> Blocks:
        """How the Cholesky factor is stored and what one evaluation of the criterion costs; print it."""
        return describe(self._problem.block_description, [factor.name for factor in self._rows.factors])

    @property
    def nobs(self) -> int:
        """Number of rows; forgotten ones count in part."""
        count: int = self._problem.nobs
        return count

    @cached_property
    def _whole(self) -> ArrayFit:
        """The same fit with its rows in one place."""
        if not self._problem.ledger.is_real:
            raise errors_streaming.rows_unknown("This")
        design = self._problem.ledger.stacked()
        terms = tuple(_with_columns(design, term) for term in design.terms)
        inputs = Inputs(design.n, design.x, terms, design.weights, design.recipe.offset)
        fit = ArrayFit(design.y, inputs, self._problem.whole(), None, self.is_reml)
        fit.__dict__.update({name: getattr(self, name) for name in ("optimum", "kept", "_solution")})
        return fit

    @property
    def fitted(self) -> Vector:
        """Fitted values, random effects and offset included, shape (n,)."""
        return self._whole.fitted

    @property
    def resid(self) -> Vector:
        """Residuals: response (offset not subtracted) minus fitted values, shape (n,)."""
        return self._whole.resid

    def refit(self, y: ArrayLike, **options: Any) -> ArrayFit:
        """Fit another response to all rows."""
        return self._whole.refit(y, **options)

    def refit_many(self, Y: ArrayLike, **options: Any) -> ResponseFits:
        """Fit every column of `Y` to all rows."""
        return self._whole.refit_many(Y, **options)


def add_rows(fit: ArrayFit, given: Given, forgetting: float) -> StreamedArrayFit:
    """The fit with more rows; the arguments are those of `ArrayFit.update`."""
    power = checked_forgetting(forgetting)
    names, ledger = _rows_so_far(fit)
    rows = _read(names, given)
    return _fitted(fit, rows, ledger.plus(rows, power), 1.0, power)


def remove_rows(fit: ArrayFit, given: Given) -> StreamedArrayFit:
    """The fit without some rows."""
    names, ledger = _rows_so_far(fit)
    rows = _read(names, given)
    for own, new in zip(names.factors, rows.factors, strict=True):
        if new.n_levels > own.n_levels:
            raise errors_streaming.rows_not_there(f"{own.name} has no level {new.n_levels - 1}")
    left = ledger.less(rows)
    if left.nobs <= len(fit.kept):
        raise errors_streaming.too_few_left(left.nobs, len(fit.kept))
    return _fitted(fit, rows, left, -1.0, 1.0)


def _fitted(fit: ArrayFit, rows: DesignMatrices, ledger: Ledger, sign: float, power: float) -> StreamedArrayFit:
    has_dropped = len(fit.kept) < len(rows.x)
    problem = changed(fit._problem, fit._y, rows, ledger, sign=sign, power=power, has_dropped=has_dropped)
    return StreamedArrayFit(rows, problem, problem.fit(problem.guard, fit.is_reml, fit.theta), fit.is_reml)


def _rows_so_far(fit: ArrayFit) -> tuple[DesignMatrices, Ledger]:
    """Layout and levels of a fit, and its rows."""
    if isinstance(fit, StreamedArrayFit):
        return fit._rows, fit._problem.ledger
    x, codes, levels, layout, weights = fit._problem.arrays
    names = [", ".join(f"terms[{t}]" for t, (own, _) in enumerate(layout) if own == f) for f in range(len(codes))]
    rows = DesignMatrices(
        y=fit._y,
        x=list(x),
        x_names=tuple(f"X[:, {j}]" for j in range(len(x))),
        terms=tuple(_named_term(t, factor, tuple(columns)) for t, (factor, columns) in enumerate(layout)),
        factors=tuple(_factor(*known) for known in zip(names, codes, levels, strict=True)),
        weights=weights,
        offset=None,
        response_name="y",
        formula=NO_FORMULA,
        n_dropped=0,
        n_zero_weight=0,
        n_excluded=0,
        rows=None,
        recipe=Recipe({}, {}, None, {}, {}, fit._inputs.offset),
        values={},
    )
    return rows, ledger_of(rows)


def _read(names: DesignMatrices, given: Given) -> DesignMatrices:
    """Rows of a fit from what the user gave; the response has the offset subtracted. Everything is copied."""
    y, x, terms, weights, offset = given
    inputs = gather(x, terms, weights, offset, is_estimated=False)
    response = as_float("y", y)
    if response.shape != (inputs.n,):
        raise errors_fit.wrong_shape("y", response.shape, f"({inputs.n},)")
    if len(inputs.x) != len(names.x):
        raise errors_streaming.layout_differs("X", "columns", len(inputs.x), len(names.x))
    if len(inputs.terms) != len(names.terms):
        raise errors_streaming.layout_differs("terms", "random terms", len(inputs.terms), len(names.terms))
    factors: dict[int, Factor] = {}
    own = []
    for t, (term, known) in enumerate(zip(inputs.terms, names.terms, strict=True)):
        if len(term.columns) != len(known.columns):
            raise errors_streaming.layout_differs(f"Z of terms[{t}]", "columns", len(term.columns), len(known.columns))
        factor = factors.get(known.factor)
        if factor is None:
            old = names.factors[known.factor]
            factors[known.factor] = _factor(old.name, np.array(term.codes), max(old.n_levels, term.levels))
        elif factor.codes is not term.codes and not np.array_equal(factor.codes, term.codes):
            raise errors_streaming.codes_differ(factor.name)
        own.append(replace(known, columns=tuple(None if z is None else np.array(z) for z in term.columns)))
    return replace(
        names,
        y=np.array(response) if inputs.offset is None else minus(response, inputs.offset),
        x=[None if column is None else np.array(column) for column in inputs.x],
        terms=tuple(own),
        factors=tuple(factors[f] for f in range(len(names.factors))),
        weights=None if inputs.weights is None else np.array(inputs.weights),
        recipe=replace(names.recipe, offset=None if inputs.offset is None else np.array(inputs.offset)),
    )


def _named_term(t: int, factor: int, columns: tuple[Vector | None, ...]) -> NamedTerm:
    name = f"terms[{t}]"
    return NamedTerm(name, name, factor, tuple(f"Z[:, {k}]" for k in range(len(columns))), columns, t)


def _factor(name: str, codes: Any, levels: int) -> Factor:
    return Factor(name, codes, (Levels(range(levels)),), None, ())


def _with_columns(design: DesignMatrices, term: NamedTerm) -> RandomTerm:
    """A random term of all rows, as `fit_arrays` takes it."""
    factor = design.factors[term.factor]
    own = RandomTerm(factor.codes, None, factor.n_levels)
    own.columns = list(term.columns)
    return own
