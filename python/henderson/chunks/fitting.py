"""`chunked_fit`: any estimator on random chunks of groups, averaged (software alchemy)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from henderson import errors, errors_chunks
from henderson.chunks.estimates import ChunkEstimates, read_estimates
from henderson.chunks.result import ChunkedFit
from henderson.chunks.running import check_executor, check_importable, run_jobs
from henderson.chunks.splitting import Codes, Rows, deal, group_codes, split_factors, split_target, take
from henderson.errors import MixedModelError
from henderson.fitting import lmer
from henderson.formula import Formula, parse_formula
from henderson.progress import StepLine


@dataclass(frozen=True, eq=False)
class ChunkFitter:
    """Fits one chunk; it can be sent to other processes if its parts can.

    Attributes
    ----------
    estimator
        A formula, an estimator with fit(X, y), or a function of the data.
    target
        The column of y, for an estimator.
    options
        Of `lmer`, for a formula.
    estimates, keep_fit
        As in `chunked_fit`.
    """

    estimator: Any
    target: str | None
    options: dict[str, Any]
    estimates: Callable[[Any], Any] | None
    keep_fit: bool

    def __call__(self, job: tuple[str, Any]) -> ChunkEstimates | MixedModelError:
        """Give the estimates of a chunk, which has a name, or say why there are none."""
        name, chunk = job
        try:
            return read_estimates(self._fit(chunk), self.estimates, keep_fit=self.keep_fit)
        except MixedModelError as reason:
            return reason
        except Exception as reason:
            reason.add_note(f"This happened in {name}.")
            raise

    def _fit(self, chunk: Any) -> Any:
        if isinstance(self.estimator, str | Formula):
            return lmer(self.estimator, chunk, **self.options)
        if self.target is None:
            return self.estimator(chunk)
        X, y = split_target(chunk, self.target)
        return copy.deepcopy(self.estimator).fit(X, y)


def chunked_fit(
    estimator: Any,
    data: Any,
    n_chunks: int,
    *,
    by: Any,
    target: str | None = None,
    estimates: Callable[[Any], Any] | None = None,
    executor: Any = None,
    workers: int | None = None,
    random_state: Any = None,
    progress: bool = False,
    keep_fits: bool = False,
    allow_crossed: bool = False,
    **options: Any,
) -> ChunkedFit:
    """Fit random chunks of groups, at the same time if wanted, and average the estimates.

    Parameters
    ----------
    estimator
        A formula for `lmer`; or a function of a chunk of `data` that gives a fit, such as one that calls `fit_arrays`
        or `fit_moments`; or an estimator with fit(X, y), such as those of `henderson.learn`.
    data
        A pandas, polars or pyarrow table, or a dict of arrays with one row per observation. Chunks are of its type.
    n_chunks
        Number of chunks r, 2 at least. Leave 30 groups or more to each.
    by
        The groups that stay together: a column, a list of columns, or one label per row. All random effects must be of
        this factor or nested in it.
    target
        For an estimator with fit(X, y): the column that is y; all others are X.
    estimates
        A function of a fit that gives numbers by name, to average these instead of fixed effects and variances.
    executor
        None: one chunk after the other. "threads", "processes" or "joblib"; an executor of concurrent.futures; a
        ``joblib.Parallel``. In other processes the estimator must be importable.
    workers
        Number of threads or processes; None: as many as there are processors.
    random_state
        Seed, or numpy Generator, of the random chunks.
    progress
        Show a line on stderr while fitting.
    keep_fits
        Keep the fits, for ``predict``.
    allow_crossed
        Go on, with a warning, where a random effect is in several chunks.
    options
        Of `lmer`, for a formula.

    Returns
    -------
    ChunkedFit
        Averages with standard errors; print it.

    Raises
    ------
    DataError
        A grouping factor is crossed with `by`; a chunk cannot be fitted.

    Warns
    -----
    ChunkWarning
        A grouping factor is crossed with `by`, and `allow_crossed`.

    Notes
    -----
    Groups are dealt out at random, so that the r estimates are independent and identically distributed. Their mean has
    covariance matrix S / r, S that of the estimates. As the number of groups J grows with r fixed, the mean is as
    efficient as the fit of all rows; its bias is that of a fit to J / r groups.

    References
    ----------
    Matloff, N. (2016). Software alchemy: turning complex statistical computations into embarrassingly-parallel ones.
    Journal of Statistical Software 71(4).

    Examples
    --------
    >>> import numpy as np, pandas as pd, henderson as hd
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"g": np.repeat(np.arange(300), 10), "x": rng.normal(size=3000)})
    >>> data["y"] = 1 + 2 * data.x + rng.normal(size=300)[data.g] + rng.normal(size=3000)
    >>> hd.chunked_fit("y ~ x + (1 | g)", data, 6, by="g", random_state=1).fixef.round(1).to_dict()
    {'(Intercept)': 1.0, 'x': 2.0}
    """
    _check_count("n_chunks", n_chunks, 2)
    if workers is not None:
        _check_count("workers", workers, 1)
    check_executor(executor)
    fitter = ChunkFitter(estimator, _checked_target(estimator, target, options), options, estimates, keep_fits)
    check_importable(fitter, executor)
    if fitter.target is not None:
        split_target(data, fitter.target)  # refuses what no chunk could take
    name, codes = group_codes(data, by)
    _check_options(options, len(codes))
    for formula in _formulas(estimator):
        for factor, levels in split_factors(formula, data, codes):
            _refuse_crossed(factor, name, levels, allow_crossed)
    chunks = deal(codes, int(n_chunks), name, _generator(random_state))
    found = _fit_all(fitter, data, chunks, executor, workers, progress)
    if not _formulas(estimator):
        for factor, levels in _shared_levels(found):
            _refuse_crossed(factor, name, levels, allow_crossed)
    return _averaged(found, chunks, codes, _call(estimator), name)


def _check_count(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < lowest:
        raise errors.argument_type(name, value, f"an integer >= {lowest}")


def _generator(random_state: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError):
        raise errors.argument_type("random_state", random_state, "an integer, a numpy Generator, or None") from None


def _check_options(options: dict[str, Any], rows: int) -> None:
    """Refuse values by row: they cannot be cut into chunks."""
    for name, value in options.items():
        if not isinstance(value, str | dict) and hasattr(value, "__len__") and len(value) == rows:
            raise errors_chunks.option_by_row(name)


def _checked_target(estimator: Any, target: Any, options: dict[str, Any]) -> str | None:
    """The target, for an estimator that needs one."""
    is_formula, is_estimator = isinstance(estimator, str | Formula), hasattr(estimator, "fit")
    if not (is_formula or is_estimator or callable(estimator)) or isinstance(estimator, type):
        raise errors_chunks.estimator_type(estimator)
    if options and not is_formula:
        raise errors_chunks.options_unused(list(options), estimator)
    if is_estimator and target is None:
        raise errors_chunks.target_needed()
    return target if is_estimator else None


def _formulas(estimator: Any) -> list[Formula]:
    """What is known about the random effects before anything is fitted."""
    if isinstance(estimator, Formula):
        return [estimator.require_mixed()]
    if isinstance(estimator, str):
        return [parse_formula(estimator).require_mixed()]
    return []


def _fit_all(
    fitter: ChunkFitter, data: Any, chunks: Sequence[Rows], executor: Any, workers: int | None, progress: bool
) -> list[ChunkEstimates]:
    found: list[ChunkEstimates | None] = [None] * len(chunks)
    line = StepLine("chunk", len(chunks)) if progress else None
    try:
        names = [errors_chunks.chunk_name(i + 1, len(chunks), len(rows)) for i, rows in enumerate(chunks)]
        jobs = [(name, take(data, rows)) for name, rows in zip(names, chunks, strict=True)]
        for done, (i, result) in enumerate(run_jobs(fitter, jobs, executor, workers), start=1):
            if isinstance(result, MixedModelError):
                raise errors_chunks.chunk_failed(names[i], result) from result
            found[i] = result
            if line is not None:
                line(done)
    finally:
        if line is not None:
            line.close()
    return [each for each in found if each is not None]


def _shared_levels(found: Sequence[ChunkEstimates]) -> list[tuple[str, int]]:
    """Grouping factors with levels that several chunks have, and the number of these."""
    shared = []
    for factor in found[0].levels:
        every = [str(label) for each in found for label in set(each.levels.get(factor, np.empty(0)).tolist())]
        count = len(every) - len(set(every))
        if count:
            _, times = np.unique(every, return_counts=True)
            shared.append((factor, int(np.count_nonzero(times > 1))))
    return shared


def _refuse_crossed(factor: str, by: str, levels: int, allow: bool) -> None:
    if not allow:
        raise errors_chunks.crossed(factor, by, levels)
    errors_chunks.warn_crossed(factor, by, levels, stacklevel=3)


def _averaged(
    found: Sequence[ChunkEstimates], chunks: Sequence[Rows], codes: Codes, call: str, name: str
) -> ChunkedFit:
    first = found[0].parameters
    for i, each in enumerate(found):
        if each.parameters != first:
            lacking = next((p for p in first if p not in each.parameters), None)
            other = lacking or next((p for p in each.parameters if p not in first), first[0])
            raise errors_chunks.chunks_differ(i + 1, other.term, "lacks" if lacking else "has")
        for text, own in each.learned.items():
            if own != found[0].learned.get(text):
                raise errors_chunks.learned_by_chunk(text)
    return ChunkedFit(
        call,
        name,
        first,
        np.array([each.values for each in found]),
        np.array([each.variances for each in found]),
        np.array([len(rows) for rows in chunks], dtype=np.int64),
        np.array([len(np.unique(codes[rows])) for rows in chunks], dtype=np.int64),
        np.array([each.is_singular for each in found]),
        np.array([each.has_converged for each in found]),
        tuple(each.fit for each in found if each.fit is not None),
    )


def _call(estimator: Any) -> str:
    if isinstance(estimator, str | Formula):
        return f"Formula: {estimator}"
    named = getattr(estimator, "__name__", None)
    return f"Function: {named}" if isinstance(named, str) else f"Estimator: {type(estimator).__name__}"
