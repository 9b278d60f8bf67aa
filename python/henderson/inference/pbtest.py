"""Parametric bootstrap likelihood-ratio test of two nested models."""

from __future__ import annotations

import math
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import draws, errors_intervals
from henderson.absent import in_one_place
from henderson.compiled import CONVERGED_CODE
from henderson.inference import comparison, nesting
from henderson.inference.bootstrap import chunks
from henderson.inference.distributions import f_tail
from henderson.inference.mixtures import chi_square_tail
from henderson.options import check_options
from henderson.progress import StepLine
from henderson.significance import AnovaTable, TableColumn
from henderson.submodel import by_criterion

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
ROWS = ("LRT", "PBtest", "Gamma", "Bartlett", "F")
SAME = 1e-6
"""Deviances that differ by less than this are those of the same optimum."""


@dataclass(frozen=True, eq=False, repr=False)
class BootstrapTest:
    """A likelihood-ratio statistic and its distribution under the smaller model, by simulation.

    Prints in the layout of pbkrtest's ``summary(PBmodcomp())``; `to_frame` gives the numbers.

    Attributes
    ----------
    statistic
        Difference of the deviances (ML) of the two models.
    df
        Difference of their numbers of parameters.
    reference
        The statistic in responses simulated from the smaller model, shape (samples,).
    formulas
        Of the larger and the smaller model.
    seed
        Gives the same reference again.
    n_failed
        Simulated responses that one of the models could not be fitted to; they are not in `reference`.
    notes
        What the user should know.
    """

    statistic: float
    df: int
    reference: Vector = field(repr=False)
    formulas: tuple[str, str]
    seed: int
    n_failed: int = 0
    notes: tuple[str, ...] = ()

    @property
    def n_extreme(self) -> int:
        """Simulated statistics at least as large as the one observed."""
        return int(np.sum(self.reference >= self.statistic))

    @property
    def p_value(self) -> float:
        """(extremes + 1) / (samples + 1)."""
        return (self.n_extreme + 1) / (len(self.reference) + 1)

    @cached_property
    def table(self) -> AnovaTable:
        """The test and its relatives: LRT (chi-square), PBtest, Gamma, Bartlett, F."""
        mean, variance = self._moments()
        ratio = mean / self.df
        den_df = 2.0 * ratio / (ratio - 1.0) if ratio > 1.0 else math.inf
        bartlett = self.statistic / ratio if ratio > 0 else math.nan
        values = (
            (self.statistic, self.df, math.nan, chi_square_tail(self.statistic, self.df)),
            (self.statistic, math.nan, math.nan, self.p_value),
            (self.statistic, math.nan, math.nan, _gamma_tail(self.statistic, mean, variance)),
            (bartlett, self.df, math.nan, chi_square_tail(bartlett, self.df) if ratio > 0 else math.nan),
            (self.statistic / self.df, self.df, den_df, f_tail(self.statistic / self.df, self.df, den_df)),
        )
        columns = list(zip(*values, strict=True))
        large, small = self.formulas
        counts = f"samples: {len(self.reference)}; extremes: {self.n_extreme}; seed: {self.seed}"
        failed = f"; not fitted: {self.n_failed}" if self.n_failed else ""
        return AnovaTable(
            (f"Bootstrap test; {counts}{failed}", f"large : {large}", f"small : {small}"),
            ROWS,
            (
                TableColumn("statistic", "stat", columns[0], "statistic"),
                TableColumn("df", "df", columns[1], "df"),
                TableColumn("den_df", "ddf", columns[2], "statistic"),
                TableColumn("p_value", "p.value", columns[3], "p_value"),
            ),
            self.notes,
            index_name="test",
        )

    def _moments(self) -> tuple[float, float]:
        if len(self.reference) < 2:
            return math.nan, math.nan
        return float(self.reference.mean()), float(self.reference.var(ddof=1))

    def to_frame(self) -> pd.DataFrame:
        """One row per variant of the test: statistic, df, den_df, p_value."""
        return self.table.to_frame()

    def __len__(self) -> int:
        return len(self.reference)

    def __str__(self) -> str:
        return self.table.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table.to_html()


def _gamma_tail(statistic: float, mean: float, variance: float) -> float:
    """Tail of the gamma distribution with this mean and variance."""
    from scipy.special import gammaincc

    if not (mean > 0 and variance > 0):
        return math.nan
    return float(gammaincc(mean**2 / variance, statistic * mean / variance))


def pbtest(
    m0: LinearMixedModel,
    m1: LinearMixedModel,
    n: int = 1000,
    seed: int | None = None,
    *,
    threads: int = 0,
    progress: bool = False,
) -> BootstrapTest:
    """Test a model against a larger one, with the distribution of the likelihood ratio simulated under the smaller.

    Parameters
    ----------
    m0, m1
        Fits of the same response, one a special case of the other, in either order. REML fits are fitted again by
        maximum likelihood.
    n
        Number of simulated responses.
    seed
        The same seed gives the same result to the last bit, for any number of threads. None draws one.
    threads
        Threads to use; 0 for as many as there are processors.
    progress
        Show a line on stderr.

    Returns
    -------
    BootstrapTest
        Prints as pbkrtest's ``summary(PBmodcomp())``; ``.p_value`` is that of PBtest, ``.to_frame()`` has all.

    Raises
    ------
    DataError
        The models are not of the same data, or neither has more parameters.

    Notes
    -----
    With T the statistic, T* the n simulated ones, d the difference in parameters, m and v mean and variance of T*:

        LRT        T against chi²(d)
        PBtest     (#{T* >= T} + 1) / (n + 1)
        Gamma      T against the gamma distribution with mean m and variance v
        Bartlett   T d / m against chi²(d)
        F          T / d against F(d, 2r / (r - 1)), r = m / d; against chi²(d) / d where r <= 1

    A simulated statistic is never negative: fits of the larger model that end above the smaller one are repeated from
    another start. Two things are not as in pbkrtest: it counts only the positive T* among the samples, so that where a
    variance is tested, and half of the T* are zero, its p-values are about twice as large; and for d > 1 it takes m
    itself for r, so that its F distribution has the mean of T* and not that of T* / d.

    References
    ----------
    Halekoh, U. and Hojsgaard, S. (2014). A Kenward-Roger approximation and parametric bootstrap methods for tests in
    linear mixed models: the R package pbkrtest. Journal of Statistical Software 59(9).

    Examples
    --------
    >>> import henderson as hd
    >>> data = hd.datasets.load_sleepstudy()
    >>> m0 = hd.lmer("Reaction ~ 1 + (Days | Subject)", data)
    >>> m1 = hd.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> round(hd.pbtest(m0, m1, 999, seed=1).p_value, 4)
    0.001
    """
    count = draws.checked_count(n)
    check_options(200, 1e-10, None, threads)
    comparison.compare((m0, m1))  # refuses what cannot be compared
    small, large = sorted((by_criterion(in_one_place(m), reml=False) for m in (m0, m1)), key=lambda m: m.n_parameters)
    df = large.n_parameters - small.n_parameters
    if df == 0:
        raise errors_intervals.not_nested(small.formula, large.formula, small.n_parameters)
    seed = draws.checked_seed(seed)
    reference = _reference(small, large, count, seed, threads, progress)
    kept = reference[~np.isnan(reference)]
    statistic = max(0.0, small.criterion - large.criterion)
    return BootstrapTest(
        statistic, df, kept, (large.formula, small.formula), seed, len(reference) - len(kept), _notes(small, large)
    )


def _reference(
    small: LinearMixedModel, large: LinearMixedModel, n: int, seed: int, threads: int, progress: bool
) -> Vector:
    """Statistics of simulated responses, shape (n,); NaN where a fit failed."""
    parts = []
    line = StepLine("bootstrap test", n) if progress else None
    with nullcontext() if line is None else closing(line):
        for first, responses in chunks(draws.parametric_draws(small), seed, small.nobs, n):
            below = _deviances(small, responses, np.asarray(small.optimum.theta), threads)
            above = _deviances(large, responses, np.asarray(large.optimum.theta), threads)
            again = np.flatnonzero(above > below + SAME)
            if len(again):
                above[again] = np.fmin(above[again], _deviances(large, responses[again], None, threads))
            parts.append(np.maximum(below - above, 0.0))
            if line is not None:
                line(first + len(responses))
    return np.concatenate(parts)


def _deviances(model: LinearMixedModel, responses: Any, start: Vector | None, threads: int) -> Vector:
    """ML deviances of responses (count, n), shape (count,); NaN where a fit failed."""
    offset = model.design.offset
    y = responses if offset is None else responses - offset
    found = model._problem.fit_responses(np.asfortranarray(y.T), False, start, 1e-10, 200, threads)
    return np.where(found["status"] == CONVERGED_CODE, found["criterion"], np.nan)


def _notes(small: LinearMixedModel, large: LinearMixedModel) -> tuple[str, ...]:
    variances = nesting.variances_added(small.design, large.design)
    if variances is None or not nesting.fixed_effects_nested(small.design, large.design):
        return (errors_intervals.nesting_unclear_note(),)
    return (errors_intervals.variance_tested_note(),) if variances else ()
