"""Fits by moments: from arrays, from batches of rows, from the design of a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from henderson import errors, errors_moments
from henderson.conversion import minus
from henderson.design import DesignMatrices
from henderson.moments.estimate import Job, estimate
from henderson.moments.result import METHODS, MomentFit
from henderson.moments.rows import Batch, Batches, checked_batch


def fit_moments(
    y: ArrayLike,
    X: ArrayLike | None = None,
    codes: Any = None,
    *,
    weights: ArrayLike | None = None,
    intercept: bool = True,
    names: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    group_size_effect: bool | str | Sequence[str] = False,
    estimator: str = "henderson",
) -> MomentFit:
    """Fit a mixed model with random intercepts by moments, from arrays.

    Parameters
    ----------
    y
        Response, shape (n,); 32-bit numbers are not copied as a whole.
    X
        Columns of the fixed effects without the constant, shape (n,) or (n, p); None for none.
    codes
        Levels of the rows, integers 0, 1, ...: an (n,) vector for one grouping factor, a list of such vectors or an
        (n, K) matrix or table for several.
    weights
        Precision weights, shape (n,): row i has the variance sigma² / weights[i].
    intercept
        Whether there is a constant.
    names, groups
        Of the columns of X and of the grouping factors, for print; by default those of tables.
    group_size_effect
        Add the number of rows of a row's group to the fixed effects: True for every factor, or the names of some.
    estimator
        "henderson"; or "pairs", the pair estimator, for a single factor.

    Returns
    -------
    MomentFit
        Print it.

    Raises
    ------
    DataError
        The arrays do not fit together, or the variances cannot be told apart.

    Notes
    -----
    Sums of squares of residuals, within the levels of each factor and over all, equal their expectations, which are
    linear in the variances: Henderson's method III for one factor, method I (Gao and Owen's for two crossed factors)
    for several, each adjusted exactly for the columns of X. The estimates are unbiased whatever the distributions;
    their standard errors use estimated fourth moments. Fixed effects: generalized least squares at these variances.

    References
    ----------
    Henderson, C. R. (1953). Estimation of variance and covariance components. Biometrics 9, 226-252.
    Gao, K. and Owen, A. B. (2017). Efficient moment calculations for variance components in large unbalanced crossed
    random effects models. Electronic Journal of Statistics 11, 1235-1296.
    Gao, K. and Owen, A. B. (2020). Estimation and inference for very large linear mixed effects models. Statistica
    Sinica 30, 1741-1771.

    Examples
    --------
    >>> import henderson as hd
    >>> dyestuff = hd.datasets.load_dyestuff()
    >>> batches = dyestuff["Batch"].astype("category").cat.codes.to_numpy()
    >>> fit = hd.fit_moments(dyestuff["Yield"].to_numpy(), codes=batches, groups=["Batch"])
    >>> fit.variance_components.to_frame().round(1)
          group  variance  std_error  std_dev     raw
    0     Batch    1764.0     1432.8     42.0  1764.0
    1  Residual    2451.2      707.6     49.5  2451.2
    """
    if codes is None:
        raise errors.argument_type("codes", codes, "the level of each row, integers 0, 1, ...")
    batch = checked_batch(y, X, codes, weights, intercept=_flag("intercept", intercept))
    names = getattr(X, "columns", None) if names is None else names
    groups = getattr(codes, "columns", None) if groups is None else groups
    return estimate(_job(lambda: (batch,), True, names, groups, group_size_effect, estimator, intercept))


def fit_moments_batches(
    batches: Iterable[Any] | Callable[[], Iterable[Any]],
    *,
    intercept: bool = True,
    names: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    group_size_effect: bool | str | Sequence[str] = False,
    estimator: str = "henderson",
) -> MomentFit:
    """Fit a mixed model with random intercepts by moments, from batches of rows that need not fit into memory together.

    Parameters
    ----------
    batches
        Of tuples (y, X, codes) or (y, X, codes, weights), as `fit_moments` takes them, X None without columns. A list,
        or a function that returns a new iterator of batches each time it is called, is read twice; an iterator once.
    intercept, names, groups, group_size_effect, estimator
        As in `fit_moments`.

    Returns
    -------
    MomentFit
        The same as from all rows at once.

    Raises
    ------
    DataError
        As `fit_moments`; also when the batches differ in their columns, or are not the same the second time.

    Notes
    -----
    The first pass gives the estimates and their covariances under normality. The second gives fourth moments, so that
    the standard errors of the variances need no normality, and the cluster-robust covariance. Kept in memory are sums
    by level, and for several factors the codes, 4 bytes a row and factor, with their cross-tables.

    Examples
    --------
    >>> import numpy as np
    >>> import henderson as hd
    >>> def batches():
    ...     generator = np.random.default_rng(1)
    ...     user, item = generator.normal(size=200), generator.normal(size=100)
    ...     for _ in range(10):
    ...         i, j = generator.integers(0, 200, 1000), generator.integers(0, 100, 1000)
    ...         yield 3.0 + user[i] + item[j] + generator.normal(size=1000), None, (i, j)
    >>> fit = hd.fit_moments_batches(batches, groups=["user", "item"])
    >>> fit.nobs, fit.levels
    (10000, {'user': 200, 'item': 100})
    """
    constant = _flag("intercept", intercept)
    if callable(batches):
        source, is_twice = batches, True
    else:
        given: Any = batches
        if not isinstance(given, Iterable) or isinstance(given, str | bytes | dict | np.ndarray):
            raise errors_moments.batches_type(given)
        source, is_twice = (lambda: given), not isinstance(given, Iterator)

    def read() -> Iterator[Batch]:
        row = 0
        for number, each in enumerate(source()):
            if not isinstance(each, tuple | list) or len(each) not in (3, 4):
                raise errors_moments.bad_batch(number, each)
            weights = each[3] if len(each) == 4 else None
            batch = checked_batch(each[0], each[1], each[2], weights, intercept=constant, row=row)
            row += len(batch)
            yield batch

    return estimate(_job(read, is_twice, names, groups, group_size_effect, estimator, intercept))


def fit_design(
    design: DesignMatrices, group_size_effect: bool | str | Sequence[str], call: tuple[tuple[str, str], ...]
) -> MomentFit:
    """Fit the model of a formula: every random term is an intercept."""
    for term in design.terms:
        if len(term.columns) != 1 or term.columns[0] is not None:
            raise errors_moments.only_intercepts(design.formula.random_terms[term.part].text)
    y = design.y if design.offset is None else minus(design.y, design.offset)
    codes = tuple(design.factors[term.factor].codes for term in design.terms)
    batch = Batch(y, tuple(design.x), codes, design.weights)
    labels = [term.label for term in design.terms]
    job = Job(lambda: (batch,), True, list(design.x_names), labels, group_size_effect)
    call = (("Formula", str(design.formula)), *call)
    return replace(estimate(job), call=call, n_dropped=design.n_dropped)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise errors.argument_type(name, value, "True or False")
    return bool(value)


def _job(
    batches: Batches,
    is_twice: bool,
    names: Sequence[str] | None,
    groups: Sequence[str] | None,
    size_effect: bool | str | Sequence[str],
    estimator: str,
    intercept: bool,
) -> Job:
    if estimator not in METHODS:
        raise errors.choice("estimator", estimator, list(METHODS))
    for what, value in (("names", names), ("groups", groups)):
        if value is not None and (isinstance(value, str) or not isinstance(value, Iterable)):
            raise errors.argument_type(what, value, "a list of names")
    columns, factors = (None if each is None else [str(name) for name in each] for each in (names, groups))
    if columns is not None and intercept:
        columns = ["(Intercept)", *columns]
    return Job(batches, is_twice, columns, factors, size_effect, estimator)
