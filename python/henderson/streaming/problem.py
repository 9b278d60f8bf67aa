"""The compiled problem of a streamed fit: cross-products without rows, and the rows where something needs them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from henderson import _core, errors_fit
from henderson.compiled import Arrays, CompiledProblem, Matrix, Vector
from henderson.compiling import compile_design
from henderson.conversion import minus
from henderson.optimum import CONVERGED, EXPECTED_DROP
from henderson.streaming.ledger import Ledger, whole_number

EXACT = 1e-7  # of the standard deviation of the response: what is left is rounding


class StreamedProblem(CompiledProblem):
    """Cross-products that were updated.

    What they answer takes no rows: the criterion, fits, solutions and conditional variances. The rest compiles the rows
    of the ledger when it is first asked for.
    """

    __slots__ = ("_whole", "ledger")

    def __init__(self, core: _core.Problem | None, y: Vector, ledger: Ledger, threads: int) -> None:
        self._problem = core
        self._y = y
        self._threads = threads
        self._limits = None
        self._root = None
        self._lock = threading.Lock()
        self._whole: CompiledProblem | None = None
        self.ledger = ledger

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
        StreamedProblem.__init__(self, None, y, ledger, threads)
