"""The compiled problem of a streamed fit: cross-products without rows, and the rows where something needs them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from henderson import _core, errors_fit, errors_streaming
from henderson.absent import RowsElsewhere
from henderson.compiled import Arrays, CompiledProblem, Matrix, Vector
from henderson.compiling import compile_design
from henderson.conversion import UNUSABLE, minus
from henderson.design import DesignMatrices
from henderson.optimum import CONVERGED, EXPECTED_DROP
from henderson.streaming.ledger import Ledger, whole_number

EXACT = 1e-7  # of the standard deviation of the response: what is left is rounding


class StreamedProblem(CompiledProblem):
    """Cross-products that were updated.

    What they answer takes no rows: the criterion, fits, solutions and conditional variances. The rest compiles the rows
    of the ledger when it is first asked for.
    """

    __slots__ = ("_whole", "ledger")

    def __init__(self, core: _core.Problem | None, ledger: Ledger, threads: int) -> None:
        guard: Any = RowsElsewhere(round(ledger.nobs), are_known=ledger.is_real)
        self._problem = core
        self._y = guard
        self._threads = threads
        self._limits = None
        self._root = None
        self._lock = threading.Lock()
        self._whole: CompiledProblem | None = None
        self.ledger = ledger

    @property
    def guard(self) -> Vector:
        """What stands for the response of all rows."""
        return self._y

    def _compile(self, _: Vector) -> _core.Problem:
        whole = self._compiled()
        return whole._holding(whole._y)

    def _compiled(self) -> CompiledProblem:
        design = self.ledger.stacked()
        y = design.y if design.offset is None else minus(design.y, design.offset)
        return compile_design(design, y, self._threads)

    def whole(self) -> CompiledProblem:
        """The problem of all rows; it has a core of its own."""
        if self._whole is None:
            self._whole = self._compiled()
        return self._whole

    @property
    def nobs(self) -> Any:
        """The number of observations; forgotten ones count in part."""
        return whole_number(self.ledger.nobs)

    @property
    def arrays(self) -> Arrays:
        """Those of all rows."""
        return self.whole().arrays

    @property
    def theta_limits(self) -> Vector:
        """Largest size of each element of theta that leaves digits to the residuals."""
        return self.whole().theta_limits

    def fit_responses(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Fit other responses, to all rows."""
        return self.whole().fit_responses(*arguments, **options)

    def without(self, column: int, y: Vector) -> CompiledProblem:
        """The problem of the columns kept but one."""
        return self.whole().without(column, y)

    def with_random_columns(self, columns: Sequence[Sequence[Vector]], y: Vector) -> CompiledProblem:
        """The problem of other columns of the random terms."""
        return self.whole().with_random_columns(columns, y)

    def solve_random(self, theta: Vector, rhs: Matrix) -> Matrix:
        """H rhs at theta."""
        return self.whole().solve_random(theta, rhs)

    def random_leverages(self, theta: Vector) -> Vector:
        """w_i z_i'H z_i for every row."""
        return self.whole().random_leverages(theta)

    def traces(self, theta: Vector) -> list[Matrix]:
        """Sums over the levels of [Z'V⁻¹Z]_jj."""
        return self.whole().traces(theta)

    def _require_residuals(self, problem: _core.Problem, _: Vector, found: _core.Optimum, reml: bool) -> None:
        if found.status == CONVERGED and found.decrement <= EXPECTED_DROP:
            return
        if problem.solve(found.theta, reml).sigma <= EXACT * problem.y_deviation:
            raise errors_fit.exact_fit()

    def __getstate__(self) -> tuple[Any, ...]:
        return self._y, self.ledger, self._threads

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        y, ledger, threads = state
        StreamedProblem.__init__(self, None, ledger, threads)
        self._y = y  # the same object as in the fit


def changed(
    problem: CompiledProblem,
    y: Vector,
    rows: DesignMatrices,
    ledger: Ledger,
    *,
    sign: float,
    power: float,
    has_dropped: bool,
) -> StreamedProblem:
    """A problem with more rows or fewer.

    Parameters
    ----------
    problem, y
        Of the fit so far, and its response.
    rows
        That come or go.
    ledger
        All rows from now on.
    sign, power
        As in `CompiledProblem.with_rows`.
    has_dropped
        Whether columns of X were dropped: with other rows they may be determined, so that all rows are compiled.
    """
    core = None if has_dropped else _with_rows(problem, y, rows, ledger, sign, power)
    return StreamedProblem(core, ledger, problem.threads)


def _with_rows(
    problem: CompiledProblem, y: Vector, rows: DesignMatrices, ledger: Ledger, sign: float, power: float
) -> _core.Problem | None:
    own = rows.y if rows.offset is None else minus(rows.y, rows.offset)
    codes = [factor.codes for factor in rows.factors]
    levels = [factor.n_levels for factor in rows.factors]
    terms = [(term.factor, term.columns) for term in rows.terms]
    try:
        return problem.with_rows(y, (own, (rows.x, codes, levels, terms, rows.weights)), sign=sign, power=power)
    except UNUSABLE:
        compile_design(rows, own, 1)  # says what it is
        raise
    except ValueError:
        if ledger.is_real:
            return None  # the rows were there, and what is left of a sum is rounding
        raise errors_streaming.rows_not_there(
            "a level would have fewer than none, or a sum of squares below zero"
        ) from None
