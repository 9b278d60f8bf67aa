"""Quantile residuals: where each residual lies among those of responses simulated from the model."""

from __future__ import annotations

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import draws, errors_diagnostics
from henderson.diagnostics.quantile_result import QuantileResiduals
from henderson.diagnostics.rank_tests import ranks_among, spreads_of
from henderson.diagnostics.replicates import CONDITIONAL, MARGINAL, WHITENED, ResidualDraws, by_block
from henderson.diagnostics.residual_kinds import require_flag
from henderson.inference.clusters import Clusters, intersection, resolve_several
from henderson.options import check_options
from henderson.progress import StepLine
from henderson.residuals import marginal_mean

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Counts = NDArray[np.int32]

MOST_KEPT = 2**24
"""Simulated residuals kept for the tests, at most; with more rows they are those of a random sample of the rows."""
_JITTER, _SAMPLE = (0, 1), (0, 2)  # streams apart from those of the blocks, which have one number


def quantile_residuals(
    model: LinearMixedModel,
    n: int = 250,
    *,
    seed: int | None = None,
    conditional: bool = False,
    whiten: bool = False,
    by: Any = None,
    threads: int = 0,
    progress: bool = False,
) -> QuantileResiduals:
    """Where each residual lies among those of responses simulated from the model: uniform on (0, 1) if it is right.

    Parameters
    ----------
    n
        Number of simulated responses.
    seed
        The same seed gives the same values, to the last bit, for any number of threads. None draws a seed, which the
        result names.
    conditional
        Compare y - X beta - Z b, which shows the errors; otherwise y - X beta, with new random effects in each
        response, which shows the whole model.
    whiten
        Transform observed and simulated residuals so that they are uncorrelated (see ``residuals("whitened")``).
    by
        Add up the residuals (times the weights) of the rows of each group before they are compared: a grouping factor
        or predictor, a list of them, or one label per row.
    threads
        Threads to use; 0 for as many as are useful.
    progress
        Show a line on stderr.

    Returns
    -------
    QuantileResiduals
        Print it for a report on uniformity, dispersion and outliers; ``.values``, ``.against("Days")``,
        ``.to_frame()``.

    Raises
    ------
    DataError
        Arguments that mean nothing; whitening with too many crossed random effects.

    Notes
    -----
    The value of a row is (r + u) / (n + 1): r of the n simulated residuals are smaller than the observed one, u is
    uniform on (0, 1). Each simulated response gets its own fixed effects, and for conditional residuals its own
    predictions of the random effects, at the estimated theta. Theta and sigma given, the residuals of the data and of
    the n responses are exchangeable if the model is right: the values are uniform, and the p-values, which are ranks of
    the observed statistics among the n simulated ones, are exact although rows of one group depend on each other. That
    theta and sigma are estimated makes the tests slightly conservative.

    References
    ----------
    Dunn, P. K. and Smyth, G. K. (1996). Randomized quantile residuals. Journal of Computational and Graphical
    Statistics 5, 236-244.
    Hartig, F. (2026). DHARMa: Residual diagnostics for hierarchical (multi-level / mixed) regression models. R package.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> found = fit.quantile_residuals(seed=1, conditional=True)
    >>> found.values.head(3).round(3).tolist()
    [0.443, 0.274, 0.035]
    >>> found.outliers.statistic
    4.0
    """
    require_flag("conditional", conditional)
    require_flag("whiten", whiten)
    if conditional and whiten:
        raise errors_diagnostics.both_conditional_and_whitened()
    check_options(200, 1e-10, None, threads)
    count, seed = draws.checked_count(n), draws.checked_seed(seed)
    groups = None if by is None else intersection(resolve_several(model.design, by, what="by"))
    kind = CONDITIONAL if conditional else WHITENED if whiten else MARGINAL
    job = _Simulation(ResidualDraws(model, kind), model, groups, count, seed)
    line = StepLine("simulate", count) if progress else None
    with nullcontext() if line is None else closing(line):
        below, ties = job.run(threads, line)
    jitter = _stream(seed, _JITTER).random(len(below))
    values = np.where(job.is_known, (below + jitter * (ties + 1)) / (count + 1), np.nan)
    mean = marginal_mean(model)  # predictions of random effects move with the residuals, and simulated ones otherwise
    return QuantileResiduals(
        formula=model.formula,
        kind=kind,
        group=None if groups is None else groups.name,
        n=count,
        seed=seed,
        labels=model.index if groups is None else groups.labels,
        is_low=(below == 0) & job.is_known,
        is_high=(below + ties == count) & job.is_known,
        ranks=ranks_among(job.kept),
        tested=job.tested,
        spreads=spreads_of(job.kept),
        _values=values,
        _fitted=mean if groups is None else np.bincount(groups.codes, mean) / groups.sizes,
        _design=model.design,
    )


class _Simulation:
    """Counts of simulated residuals below the observed ones, and some of the simulated residuals themselves."""

    def __init__(
        self, residual_draws: ResidualDraws, model: LinearMixedModel, groups: Clusters | None, count: int, seed: int
    ) -> None:
        self._draws, self._groups, self._count, self._seed = residual_draws, groups, count, seed
        self._root = None if model.design.weights is None else np.sqrt(model.design.weights)
        self._rows = model.nobs
        known = ~np.isnan(residual_draws.standard_errors)
        self.is_known = known if groups is None else np.bincount(groups.codes, known) > 0
        self._observed = self._by_unit(residual_draws.observed[None])[0]
        units = np.flatnonzero(self.is_known)
        most = max(1, MOST_KEPT // (count + 1))
        if len(units) > most:
            units = np.sort(_stream(seed, _SAMPLE).choice(units, most, replace=False))
        self.tested = units
        self.kept = np.empty((count + 1, len(units)))
        self.kept[0] = self._observed[units]

    def run(self, threads: int, line: StepLine | None) -> tuple[Counts, Counts]:
        """How many simulated residuals lie below each observed one, and how many are equal to it."""
        below, ties = np.zeros((2, len(self._observed)), dtype=np.int32)
        blocks = by_block(self._block, rows=self._rows, count=self._count, seed=self._seed, threads=threads)
        for done, (smaller, equal) in blocks:
            below += smaller
            ties += equal
            if line is not None:
                line(done)
        return below, ties

    def _block(self, first: int, random: np.random.Generator, count: int) -> tuple[Counts, Counts]:
        simulated = self._by_unit(self._draws(random, count))
        self.kept[1 + first : 1 + first + len(simulated)] = simulated[:, self.tested]
        smaller = np.count_nonzero(simulated < self._observed, axis=0)
        equal = np.count_nonzero(simulated == self._observed, axis=0)
        return smaller.astype(np.int32), equal.astype(np.int32)

    def _by_unit(self, residuals: Matrix) -> Matrix:
        """Residuals (m, n) by row, or weighted sums by group."""
        if self._groups is None:
            return residuals
        scaled = residuals if self._root is None else residuals * self._root
        codes, size = self._groups.codes, len(self._groups)
        return np.array([np.bincount(codes, row, size) for row in scaled])


def _stream(seed: int, key: tuple[int, int]) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))
