"""`ArrayFit.update` and `ArrayFit.downdate`: rows added to a fit from arrays, or taken out of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from henderson.array_inputs import RandomTerm
    from henderson.arrays import ArrayFit


def update(
    fit: ArrayFit,
    y: ArrayLike,
    X: ArrayLike | None,
    *,
    terms: RandomTerm | Iterable[RandomTerm],
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    forgetting: float = 1.0,
) -> ArrayFit:
    """Fit to m more rows, by their cross-products: the fit to all rows, for the price of the new ones.

    Parameters
    ----------
    y
        Their response, shape (m,).
    X
        Their fixed-effects columns, shape (m, p); None if the model has none.
    terms
        Their random terms, as many as the model has and with as many columns. Codes are those of the fit; larger ones
        are new levels.
    weights, offset
        As in `fit_arrays`, shape (m,); None for weights of one and offsets of zero.
    forgetting
        How much the rows so far count from now on, in (0, 1]: their densities given the random effects are raised to
        this power.

    Returns
    -------
    ArrayFit
        Another fit; this one does not change. The rows are copied. What needs all rows (`fitted`, `resid`, `refit`)
        puts them together when it is first asked for, and is not to be had after forgetting.

    Raises
    ------
    DataError
        The rows do not fit the model, or a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from henderson import RandomTerm, fit_arrays
    >>> rng = np.random.default_rng(1)
    >>> group, y = np.arange(60) % 6, rng.normal(size=60)
    >>> y += rng.normal(size=6)[group]
    >>> first = fit_arrays(y[:50], np.ones((50, 1)), terms=RandomTerm(group[:50]))
    >>> fit = first.update(y[50:], np.ones((10, 1)), terms=RandomTerm(group[50:]))
    >>> full = fit_arrays(y, np.ones((60, 1)), terms=RandomTerm(group))
    >>> fit.nobs, bool(abs(fit.criterion - full.criterion) < 1e-8)
    (60, True)
    """
    from henderson.streaming.array_fits import add_rows

    return add_rows(fit, (y, X, terms, weights, offset), forgetting)


def downdate(
    fit: ArrayFit,
    y: ArrayLike,
    X: ArrayLike | None,
    *,
    terms: RandomTerm | Iterable[RandomTerm],
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> ArrayFit:
    """Fit without m of the rows, the first that are equal to those given.

    Parameters
    ----------
    y, X, terms, weights, offset
        The rows, as in `update`.

    Returns
    -------
    ArrayFit
        Another fit; this one does not change. Levels without rows stay, with random effects of zero.

    Raises
    ------
    DataError
        Not all of the rows are in the fit, or too few would be left.
    """
    from henderson.streaming.array_fits import remove_rows

    return remove_rows(fit, (y, X, terms, weights, offset))
