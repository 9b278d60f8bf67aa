"""Residuals of responses drawn from a fitted model: what the residuals of the data are compared with.

Each response drawn gets the fixed effects, and for conditional residuals the random effects, that it would be given at
the estimated theta. Residuals are smaller than the errors they come from, and those drawn must be so by as much. All
are multiplied by the square roots of the weights:

    marginal      W^(1/2) (y - X beta(y))               = (I - x adjusted') W^(1/2) y      (columns as in `leverage`)
    conditional   W^(1/2) (y - X beta(y) - Z b(y)),  b  = H Z'W (y - X beta(y))
    whitened      K W^(1/2) (y - X beta(y))
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from henderson import draws
from henderson.diagnostics.residual_kinds import EXACT, residual_values, standard_errors
from henderson.diagnostics.whitening import Whitening
from henderson.inference import products
from henderson.inference.leverage import fixed_columns
from henderson.residuals import marginal_mean

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

Result = TypeVar("Result")

MOST_WORKERS = 8
MARGINAL, CONDITIONAL, WHITENED = "marginal", "conditional", "whitened"


class ResidualDraws:
    """Residuals of drawn responses, and those of the data on the same scale.

    Parameters
    ----------
    model
        A fitted model.
    kind
        "marginal", "conditional" or "whitened".

    Attributes
    ----------
    observed
        (n,) the residuals of the data.
    root
        (n,) square roots of the weights.
    standard_errors
        (n,) their standard errors; NaN where a residual is zero for every response.
    """

    def __init__(self, model: LinearMixedModel, kind: str) -> None:
        design = model.design
        self._model, self._kind = model, kind
        self._draws = replace(draws.parametric_draws(model), mean=np.zeros(design.n))
        self.root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
        self._fixed = fixed_columns(model)
        self._whitening = Whitening(model) if kind == WHITENED else None
        if self._whitening is not None:
            self.observed = model.sigma * residual_values(model, WHITENED)
            share = 1.0 - np.sum(self._whitening(self._fixed.x.T.copy()) ** 2, axis=0)
            with np.errstate(invalid="ignore"):
                self.standard_errors = model.sigma * np.sqrt(np.where(share > EXACT, share, np.nan))
        else:
            is_conditional = kind == CONDITIONAL
            self.observed = self.root * residual_values(model, "response", is_conditional)
            self.standard_errors = self.root * standard_errors(model, is_conditional)

    def __call__(self, random: np.random.Generator, count: int) -> Matrix:
        """Draw the residuals of `count` responses, shape (count, n), one a row."""
        return self._residuals(self.root * self._draws(random, count))

    def with_fitted(self, random: np.random.Generator, count: int) -> tuple[Matrix, Matrix]:
        """Draw residuals and fitted values of `count` responses, (count, n) each; these not weighted."""
        responses = self._draws(random, count)
        residuals = self._residuals(self.root * responses)
        return residuals, marginal_mean(self._model) + (responses - residuals / self.root)

    def _residuals(self, values: Matrix) -> Matrix:
        values -= (values @ self._fixed.adjusted) @ self._fixed.x.T
        if self._whitening is not None:
            return self._whitening(values)
        if self._kind == CONDITIONAL:
            design = self._model.design
            sums = products.random_sums(design, (self.root * row for row in values))
            effects = products.unstacked(design, self._model.solve_random(products.stacked(sums)))
            for row, predicted in zip(values, products.random_values(design, effects), strict=True):
                row -= self.root * predicted
        return values


Statistic = Callable[[Matrix, Matrix], Vector]
"""Of residuals and fitted values, (sets, n) each: a number for each set."""


def simulated_statistics(
    model: LinearMixedModel,
    statistics: Sequence[Statistic],
    scale: Vector | None = None,
    *,
    conditional: bool = True,
    count: int,
    seed: int,
    threads: int = 0,
) -> Matrix:
    """Statistics of the residuals of `count` simulated responses: (statistics, count).

    Residuals are multiplied by `scale` (n,); None: standardized, zero where they have no standard error.
    """
    draw = ResidualDraws(model, CONDITIONAL if conditional else MARGINAL)
    factor = np.nan_to_num(1.0 / draw.standard_errors) if scale is None else scale / draw.root

    def found(_: int, random: np.random.Generator, size: int) -> Matrix:
        residuals, fitted = draw.with_fitted(random, size)
        residuals *= factor
        return np.array([statistic(residuals, fitted) for statistic in statistics])

    blocks = by_block(found, rows=model.nobs, count=count, seed=seed, threads=threads)
    return np.concatenate([part for _, part in blocks], axis=1)


def by_block(
    function: Callable[[int, np.random.Generator, int], Result], *, rows: int, count: int, seed: int, threads: int
) -> Iterator[tuple[int, Result]]:
    """A function of each block of `count` sets of residuals, and how many are done; the same for any `threads`.

    The function is called with the number of the first set of the block, its random generator and its number of sets,
    by any thread.
    """

    def of(block: tuple[int, int, int]) -> tuple[int, Result]:
        number, first, size = block
        return first + size, function(first, draws.generator(seed, number), size)

    blocks = list(draws.blocks(rows, count))
    workers = min(threads or os.cpu_count() or 1, MOST_WORKERS, len(blocks))
    if workers == 1:
        yield from map(of, blocks)
        return
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(blocks), workers):
            yield from pool.map(of, blocks[start : start + workers])
