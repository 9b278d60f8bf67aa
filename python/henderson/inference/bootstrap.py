"""Bootstrap of fitted models: responses drawn again, or clusters of rows, and the model fitted to each.

Replicates are drawn in blocks with random generators of their own (`henderson.draws`) and fitted by the core, which
compiles the design once and starts each fit at the estimates.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import draws as engines
from henderson import errors, errors_intervals
from henderson.compiled import CONVERGED_CODE
from henderson.compiling import compile_design
from henderson.errors import MixedModelError
from henderson.inference import acceleration, clusters
from henderson.inference import parameters as params
from henderson.inference.bootstrap_clusters import ClusterDesigns
from henderson.inference.bootstrap_result import KINDS, Bootstrap
from henderson.inference.statistics import Statistic, values_of
from henderson.options import check_options
from henderson.progress import Report, StepLine

if TYPE_CHECKING:
    from henderson.inference.clusters import Clusters
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Draws = Callable[[np.random.Generator, int], Matrix]

CHUNK_VALUES = 2**25
"""Numbers in the responses that are fitted by one call of the core, at most."""
LARGEST_CHUNK = 2048
DRAWS: dict[str, Callable[[LinearMixedModel], Draws]] = {
    "parametric": engines.parametric_draws,
    "residual": engines.ResidualDraws,
}


def bootstrap(
    model: LinearMixedModel,
    n: int,
    seed: int | None = None,
    *,
    type: str = "parametric",  # noqa: A002 - the name the literature has for it
    statistic: Callable[[LinearMixedModel], Any] | None = None,
    cluster: Any = None,
    threads: int = 0,
    progress: bool = False,
) -> Bootstrap:
    """Fit the model to data drawn again n times.

    Parameters
    ----------
    n
        Number of replicates.
    seed
        The same seed gives the same replicates, to the last bit, for any number of threads, and the first 100 of 1000
        are those of 100. None draws a seed, which the result names.
    type
        "parametric": random effects and errors from their estimated normal distributions. "residual": predicted random
        effects and residuals drawn with replacement, after their covariances were made those estimated. "cluster":
        whole clusters of rows drawn with replacement.
    statistic
        A function of a fitted model that returns a number, an array, a dict or a Series of numbers. None: the standard
        deviations and correlations of the random effects, sigma and the fixed effects.
    cluster
        For the cluster bootstrap: a grouping factor, or one label per row; by default the factor in which all others
        are nested.
    threads
        Threads to use; 0 for as many as there are processors. Statistics of the user's run in one.
    progress
        Show a line on stderr.

    Returns
    -------
    Bootstrap
        Print it, or use ``.summary()``, ``.confint(method="bca")``, ``.to_frame()``, ``.save("replicates.parquet")``.

    Raises
    ------
    DataError
        Arguments that mean nothing; clusters that are crossed.

    Notes
    -----
    Each fit is by the criterion of the model and starts at its theta. Fits that do not converge are counted and left
    out. The parametric bootstrap believes the model; the residual one believes its mean and covariances but not the
    normal distribution; the cluster one believes neither, and needs many clusters. Where grouping factors are crossed
    no clusters are independent: with `cluster` the rest is taken as it is, and its uncertainty is left out.

    References
    ----------
    Carpenter, J. R., Goldstein, H. and Rasbash, J. (2003). A novel bootstrap procedure for assessing the relationship
    between class size and achievement. Applied Statistics 52, 431-443.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> found = fit.bootstrap(1000, seed=1)
    >>> found.confint().round(0)
                           2.5 %  97.5 %
    sd_(Intercept)|Batch     0.0    71.0
    sigma                   36.0    64.0
    (Intercept)           1490.0  1566.0
    """
    if type not in KINDS:
        raise errors.choice("type", type, list(KINDS))
    if statistic is not None and not callable(statistic):
        raise errors.argument_type("statistic", statistic, "a function of a fitted model")
    if cluster is not None and type != "cluster":
        raise errors_intervals.cluster_unused(type)
    check_options(200, 1e-10, None, threads)
    job = _Job(model, engines.checked_count(n), engines.checked_seed(seed), threads)
    line = StepLine("bootstrap", job.n) if progress else None
    with nullcontext() if line is None else closing(line):
        if type == "cluster":
            return _of_clusters(job, _clusters(model, cluster), statistic, line)
        if statistic is not None:
            return _of_models(job, type, statistic, line)
        return _of_responses(job, type, line)


@dataclass(frozen=True, eq=False)
class _Job:
    model: LinearMixedModel
    n: int
    seed: int
    threads: int

    def result(self, kind: str, statistics: _Statistics, found: list[_Replicates], accelerations: Any) -> Bootstrap:
        return Bootstrap(
            self.model.formula,
            kind,
            self.seed,
            statistics.names,
            statistics.estimates,
            np.concatenate([part.values for part in found]),
            np.concatenate([part.is_singular for part in found]),
            np.concatenate([part.has_converged for part in found]),
            statistics.is_fixed,
            accelerations,
        )


@dataclass(frozen=True, eq=False)
class _Statistics:
    """What is computed from each replicate: names (k,), values for the data (k,), and which are fixed effects."""

    names: tuple[str, ...]
    estimates: Vector
    is_fixed: tuple[bool, ...] | None


@dataclass(frozen=True, eq=False)
class _Replicates:
    """Some replicates: values (r, k), flags (r,)."""

    values: Matrix
    is_singular: NDArray[np.bool_]
    has_converged: NDArray[np.bool_]


def _built_in(model: LinearMixedModel) -> _Statistics:
    available = params.parameters(model)
    names = tuple(parameter.name for parameter in available)
    return _Statistics(names, params.estimates(model), tuple(parameter.is_fixed for parameter in available))


# ------------------------------------------------------------------------------------------------- drawn responses


def chunks(draws: Draws, seed: int, rows: int, count: int) -> Iterator[tuple[int, Matrix]]:
    """Drawn responses (r, rows), some blocks at a time, with the number of the first."""
    size = engines.block_size(rows)
    most = max(size, min(LARGEST_CHUNK, CHUNK_VALUES // rows))
    held: list[Matrix] = []
    first = 0
    for block, start, wanted in engines.blocks(rows, count):
        held.append(draws(engines.generator(seed, block), size)[:wanted])
        if start + wanted == count or start + wanted + size - first > most:
            yield first, held[0] if len(held) == 1 else np.concatenate(held)
            first, held = start + wanted, []


def _of_responses(job: _Job, kind: str, report: Report | None) -> Bootstrap:
    """The built-in statistics, fitted by the core in bulk."""
    model = job.model
    design, problem = model.design, model._problem
    sizes = [len(term.columns) for term in design.terms]
    theta = np.asarray(model.optimum.theta)
    parts = []
    for first, responses in chunks(DRAWS[kind](model), job.seed, design.n, job.n):
        if design.offset is not None:
            responses -= design.offset
        found = problem.fit_responses(responses.T, model.is_reml, theta, 1e-10, 200, job.threads)
        sigma = found["sigma"]
        values = params.values(params.covariances_of(found["theta"], sigma, sizes), sigma, found["beta"])
        parts.append(_Replicates(values, found["is_singular"] != 0, found["status"] == CONVERGED_CODE))
        if report is not None:
            report(first + len(responses), "")
    return job.result(kind, _built_in(model), parts, ScoreAccelerations(model, kind, job.seed))


def _of_models(job: _Job, kind: str, statistic: Statistic, report: Report | None) -> Bootstrap:
    """A statistic of the user's, of a fitted model for each response."""
    model = job.model
    design, problem = model.design, model._problem
    names, estimates = values_of(statistic, model, None)
    theta = np.asarray(model.optimum.theta)
    parts = []
    for first, responses in chunks(DRAWS[kind](model), job.seed, design.n, job.n):
        for place, response in enumerate(responses, first):
            y = response if design.offset is None else response - design.offset
            try:
                found = problem.fit(y, model.is_reml, theta)
            except MixedModelError:
                parts.append(_failed(len(names)))
            else:
                fitted = _model_of(model, replace(design, y=response), problem, found, y)
                parts.append(_one(statistic, fitted, names, place))
            if report is not None:
                report(place + 1, "")
    statistics = _Statistics(names, estimates, None)
    return job.result(kind, statistics, parts, ScoreAccelerations(model, kind, job.seed))


@dataclass(frozen=True, eq=False)
class ScoreAccelerations:
    """Accelerations of statistics of drawn responses: the responses are drawn again, and their scores computed."""

    model: LinearMixedModel
    kind: str
    seed: int

    def __call__(self, replicates: Matrix) -> Vector:
        """Accelerations of the statistics with these replicates, shape (k,)."""
        count = min(len(replicates), acceleration.MOST_SCORES)
        drawn = chunks(DRAWS[self.kind](self.model), self.seed, self.model.nobs, count)
        influences = np.concatenate([acceleration.scores(self.model, responses) for _, responses in drawn])
        return _by_column(acceleration.of_scores, influences, replicates[:count])


# ---------------------------------------------------------------------------------------------------- drawn clusters


def _clusters(model: LinearMixedModel, cluster: Any) -> Clusters:
    if cluster is not None:
        return clusters.resolve(model.design, cluster, what="cluster")
    found = clusters.outermost(model.design)
    if found is None:
        raise errors_intervals.clusters_crossed([factor.name for factor in model.design.factors])
    return found


def _of_clusters(job: _Job, drawn: Clusters, statistic: Statistic | None, report: Report | None) -> Bootstrap:
    """Any statistic, of a model with a design of its own for each draw of clusters."""
    model = job.model
    designs = ClusterDesigns(model.design, drawn)
    statistics = _built_in(model) if statistic is None else _Statistics(*values_of(statistic, model, None), None)

    kept = model.kept

    def replicate(place: int) -> _Replicates:
        fitted = _refitted(model, designs, cluster_draw(job.seed, place, len(drawn)))
        if fitted is None:
            return _failed(len(statistics.names))
        if statistic is not None:
            return _one(statistic, fitted, statistics.names, place)
        values = _aligned(params.estimates(fitted), fitted.kept, kept, len(statistics.names))
        return _Replicates(values[None], np.array([fitted.is_singular]), np.array([fitted.converged]))

    parts = []
    pool = ThreadPoolExecutor(job.threads or os.cpu_count())
    try:
        found = pool.map(replicate, range(job.n)) if statistic is None else map(replicate, range(job.n))
        for place, part in enumerate(found, 1):
            parts.append(part)
            if report is not None:
                report(place, "")
    finally:
        pool.shutdown(cancel_futures=True)
    return job.result("cluster", statistics, parts, CountAccelerations(job.seed, len(drawn)))


def _aligned(values: Vector, own: list[int], kept: list[int], count: int) -> Vector:
    """Parameters of a fit that kept the columns `own` of X, in the places of one that kept `kept`; NaN for the rest."""
    result = np.full(count, np.nan)
    first = count - len(kept)
    result[:first] = values[:first]
    for column, value in zip(own, values[first:], strict=True):
        if column in kept:
            result[first + kept.index(column)] = value
    return result


def cluster_draw(seed: int, place: int, count: int) -> NDArray[np.intp]:
    """The clusters of one replicate."""
    return engines.generator(seed, place).integers(count, size=count)


def _refitted(model: LinearMixedModel, designs: ClusterDesigns, draw: NDArray[np.intp]) -> LinearMixedModel | None:
    """The fit to drawn clusters; None where nothing can be fitted."""
    design = designs.drawn(draw)
    y = design.y if design.offset is None else design.y - design.offset
    try:
        problem = compile_design(design, y, 1)
        found = problem.fit(y, model.is_reml, np.asarray(model.optimum.theta))
    except MixedModelError:
        return None
    return _model_of(model, design, problem, found, y)


@dataclass(frozen=True, eq=False)
class CountAccelerations:
    """Accelerations of statistics of drawn clusters: from how often each cluster was drawn."""

    seed: int
    clusters: int

    def __call__(self, replicates: Matrix) -> Vector:
        """Accelerations of the statistics with these replicates, shape (k,)."""
        draws = (cluster_draw(self.seed, place, self.clusters) for place in range(len(replicates)))
        counts = np.array([np.bincount(draw, minlength=self.clusters) for draw in draws], dtype=np.float64)
        return _by_column(acceleration.of_counts, counts, replicates)


# ----------------------------------------------------------------------------------------------------------- common


def _model_of(model: LinearMixedModel, design: Any, problem: Any, found: Any, y: Vector) -> LinearMixedModel:
    return type(model)(design, problem, found, y, model.is_reml, model.call)


def _failed(statistics: int) -> _Replicates:
    """A replicate that could not be fitted."""
    return _Replicates(np.full((1, statistics), np.nan), np.array([False]), np.array([False]))


def _one(statistic: Statistic, fitted: LinearMixedModel, names: tuple[str, ...], place: int) -> _Replicates:
    try:
        _, values = values_of(statistic, fitted, names)
    except Exception as problem:
        problem.add_note(f"in replicate {place} of the bootstrap")
        raise
    return _Replicates(values[None], np.array([fitted.is_singular]), np.array([fitted.converged]))


def _by_column(rule: Callable[[Matrix, Matrix], Vector], influences: Matrix, replicates: Matrix) -> Vector:
    """Apply a rule to each statistic over the replicates that have it."""
    result = np.full(replicates.shape[1], np.nan)
    known = ~np.isnan(replicates)
    complete = known.all(axis=0)
    if complete.any():
        result[complete] = rule(influences, replicates[:, complete])
    for place in np.flatnonzero(~complete & known.any(axis=0)):
        rows = known[:, place]
        result[place] = rule(influences[rows], replicates[rows][:, [place]])[0]
    return result
