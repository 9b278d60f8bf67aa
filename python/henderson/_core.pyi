"""Types of the compiled core. It knows indices, never names; `theta` is lme4's, term after term."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Codes = NDArray[np.int32]
Callback = Callable[[Vector, float, int, float], object]

SIMD: Literal["v1", "v3", "v4"]

class NonFinite(ValueError):
    """A NaN or an infinity in the input: args are (kind, index, row), kind one of "y", "x", "z", "weights"."""

class OutOfScale(ValueError):
    """A column whose largest absolute value has no square in double precision: args as of `NonFinite`, row its row."""

class Solution:
    """Everything that follows from one value of theta, in the original coordinates of X and Z."""

    @property
    def criterion(self) -> float: ...
    @property
    def reml(self) -> bool: ...
    @property
    def beta(self) -> Vector: ...
    @property
    def unscaled_vcov(self) -> Matrix: ...
    @property
    def sigma(self) -> float: ...
    @property
    def pwrss(self) -> float: ...
    @property
    def b(self) -> list[Matrix]: ...
    @property
    def u(self) -> list[Matrix]: ...
    @property
    def log_det_l(self) -> float: ...
    @property
    def log_det_rx(self) -> float: ...

class Optimum:
    """Where the optimiser ended and what certifies it."""

    @property
    def theta(self) -> Vector: ...
    @property
    def criterion(self) -> float: ...
    @property
    def evaluations(self) -> int: ...
    @property
    def iterations(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def decrement(self) -> float: ...
    @property
    def gradient_norm(self) -> float: ...
    @property
    def curvature(self) -> float: ...
    @property
    def ranks(self) -> list[int]: ...
    @property
    def trace(self) -> list[tuple[Vector, float, float, float]]: ...

class Problem:
    """The part that does not depend on theta: A = [Z X y]'W[Z X y] and the layout of its Cholesky factor."""

    def __init__(
        self,
        y: Vector,
        x: Sequence[Vector | None],
        codes: Sequence[Codes],
        levels: Sequence[int],
        terms: Sequence[tuple[int, Sequence[Vector | None]]],
        weights: Vector | None = None,
        *,
        threads: int = 0,
        represented: tuple[float, float] | None = None,
    ) -> None: ...
    @property
    def n(self) -> int: ...
    @property
    def p(self) -> int: ...
    @property
    def kept(self) -> list[int]: ...
    @property
    def q(self) -> int: ...
    @property
    def theta_size(self) -> int: ...
    @property
    def block_description(self) -> list[dict[str, Any]]: ...
    def criterion(self, theta: Vector, reml: bool) -> float: ...
    def gradient(self, theta: Vector, reml: bool) -> tuple[float, Vector]: ...
    def deviance_parts(self, lambda_: Vector) -> tuple[float, float, Vector, Vector, Vector]: ...
    def solve(self, theta: Vector, reml: bool) -> Solution: ...
    def fit(
        self,
        reml: bool,
        *,
        start: Vector | None = None,
        tolerance: float = 1e-10,
        max_evaluations: int = 200,
        callback: Callback | None = None,
    ) -> Optimum: ...
    def set_response(self, y: Vector) -> None: ...
    def with_rows(
        self,
        y: Vector,
        x: Sequence[Vector | None],
        codes: Sequence[Codes],
        levels: Sequence[int],
        terms: Sequence[tuple[int, Sequence[Vector | None]]],
        weights: Vector | None = None,
        *,
        sign: float = 1.0,
        power: float = 1.0,
    ) -> Problem | None: ...
    @property
    def observations(self) -> float: ...
    @property
    def y_deviation(self) -> float: ...
    def fit_responses(
        self,
        y: Matrix,
        reml: bool,
        *,
        start: Vector | None = None,
        tolerance: float = 1e-10,
        max_evaluations: int = 200,
        threads: int = 0,
    ) -> dict[str, NDArray[Any]]: ...
    def conditional_variances(self, theta: Vector, reml: bool) -> list[NDArray[np.float64]]: ...
    def solve_random(self, theta: Vector, rhs: Matrix) -> Matrix: ...
    def random_leverages(self, theta: Vector) -> Vector: ...
    def traces(self, theta: Vector) -> list[Matrix]: ...
