"""Jobs one after the other, or at the same time: concurrent.futures, joblib."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from henderson import errors_chunks, errors_fit

Job = TypeVar("Job")
Result = TypeVar("Result")
NAMES = ("threads", "processes", "joblib")


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], executor: Any, workers: int | None
) -> Iterator[tuple[int, Result]]:
    """Position and result of each job, in any order."""
    if executor is None:
        yield from ((i, function(job)) for i, job in enumerate(jobs))
    elif executor == "threads":
        with ThreadPoolExecutor(workers) as pool:
            yield from _submitted(pool, function, jobs)
    elif executor == "processes":
        from multiprocessing import get_context

        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield from _submitted(pool, function, jobs)
    elif isinstance(executor, Executor) or hasattr(executor, "submit"):
        yield from _submitted(executor, function, jobs)
    else:
        yield from _by_joblib(function, jobs, executor, workers)


def check_executor(executor: Any) -> None:
    """Refuse what cannot run jobs."""
    known = executor is None or (isinstance(executor, str) and executor in NAMES)
    is_pool = hasattr(executor, "submit") or (callable(executor) and hasattr(executor, "n_jobs"))
    if not known and (not is_pool or isinstance(executor, type)):
        raise errors_chunks.executor_type(executor)


def check_importable(function: Any, executor: Any) -> None:
    """Refuse what other processes of the standard library cannot run."""
    if executor == "processes" or isinstance(executor, ProcessPoolExecutor):
        try:
            pickle.dumps(function)
        except (pickle.PicklingError, AttributeError, TypeError) as reason:
            raise errors_chunks.not_importable(reason) from None


def _submitted(pool: Executor, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[tuple[int, Result]]:
    futures: dict[Future[Result], int] = {pool.submit(function, job): i for i, job in enumerate(jobs)}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


def _by_joblib(
    function: Callable[[Job], Result], jobs: Sequence[Job], executor: Any, workers: int | None
) -> Iterator[tuple[int, Result]]:
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise errors_fit.dependency_missing("joblib", "executor='joblib'", "learn") from None
    pool = Parallel(n_jobs=-1 if workers is None else workers) if executor == "joblib" else executor
    yield from enumerate(pool(delayed(function)(job) for job in jobs))
