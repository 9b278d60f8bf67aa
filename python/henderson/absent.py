"""What stands where values at the rows would be, in a fit that was loaded without its rows.

Such a fit knows its names, levels and estimates. Whatever reaches for values at the rows gets one clear error instead,
so that no method needs to ask whether there are any.
"""

from __future__ import annotations

import hashlib
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from henderson import errors_persistence, errors_streaming

Vector = NDArray[np.float64]

FINGERPRINT = 16
"""Bytes of a fingerprint."""


class AbsentRows:
    """A vector over the rows of which only the length is known, and a fingerprint of its values.

    Parameters
    ----------
    n
        Number of rows.
    path
        The file that the fit was loaded from, for the error.
    fingerprint
        Of the values, see `fingerprint_of`; empty if not known.
    """

    def __init__(self, n: int, path: str, fingerprint: str = "") -> None:
        self.n = n
        self.path = path
        self.fingerprint = fingerprint

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        return f"<{self.n} rows that were not saved>"

    def error(self) -> Exception:
        """What to raise where the values are needed."""
        return errors_persistence.rows_absent(self.path)

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Say that the values are absent."""
        raise self.error()

    __getitem__ = __setitem__ = __iter__ = __contains__ = refuse
    __array__ = __array_ufunc__ = __array_function__ = refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __matmul__ = refuse
    __pow__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = refuse

    def __getattr__(self, name: str) -> Any:
        """Every attribute of an array is as absent as the array; protocols of Python are simply not there."""
        if name.startswith("__"):
            raise AttributeError(name)
        self.refuse()


class RowsElsewhere(AbsentRows):
    """A vector over the rows of a fit that was updated from its cross-products.

    Parameters
    ----------
    n
        Number of rows.
    are_known
        Whether the fit can put its rows together: its `stand_in`.
    """

    def __init__(self, n: int, *, are_known: bool) -> None:
        super().__init__(n, "")
        self.are_known = are_known

    def error(self) -> Exception:
        """Where the rows are, or that nobody knows."""
        return errors_streaming.rows_elsewhere() if self.are_known else errors_streaming.rows_unknown("This")


def in_one_place(model: Any) -> Any:
    """A fit whose design has its rows: of one that was updated from its cross-products, the stand-in."""
    y = model.design.y
    return model.stand_in if isinstance(y, RowsElsewhere) and y.are_known else model


class SummarisedRows(AbsentRows):
    """A column of which a summary was saved: what reference grids ask.

    Parameters
    ----------
    mean, smallest, largest
        Of the values; None for categories.
    distinct
        The values that occur, sorted, if they are few; else None.
    cells
        Position among `distinct`, or code of the category, in each combination of values that occurs; None if the
        column is not among those combined.
    counts
        Number of rows of each of these combinations.
    """

    def __init__(
        self,
        n: int,
        path: str,
        fingerprint: str = "",
        *,
        mean: float | None = None,
        smallest: float | None = None,
        largest: float | None = None,
        distinct: Vector | None = None,
        cells: NDArray[np.intp] | None = None,
        counts: Vector | None = None,
    ) -> None:
        super().__init__(n, path, fingerprint)
        self.average = mean
        self.smallest = smallest
        self.largest = largest
        self.distinct = distinct
        self.cells = cells
        self.counts = counts


def fingerprint_of(values: Any) -> str:
    """A digest of the values at the rows: equal for equal values; of absent ones, what was saved; "" for None."""
    if values is None:
        return ""
    if isinstance(values, AbsentRows):
        return values.fingerprint
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=FINGERPRINT).hexdigest()


def same_values(one: Any, other: Any) -> bool:
    """Whether two vectors over the rows are equal; by their fingerprints where the values are absent."""
    if isinstance(one, AbsentRows) or isinstance(other, AbsentRows):
        return len(one) == len(other) and fingerprint_of(one) == fingerprint_of(other)
    return bool(np.array_equal(one, other))


def groups_fingerprint(codes: Any) -> str:
    """A digest of which rows are together, whatever their codes."""
    if isinstance(codes, AbsentRows):
        return codes.fingerprint
    import pandas as pd

    return fingerprint_of(pd.factorize(codes)[0].astype(np.int32))


def first_change(one: Any, other: Any) -> int | None:
    """The first row at which two vectors differ, None where their values are absent."""
    if isinstance(one, AbsentRows) or isinstance(other, AbsentRows):
        return None
    return int(np.argmax(one != other))


def require_rows(values: Any) -> None:
    """Refuse a vector over the rows that is absent."""
    if isinstance(values, AbsentRows):
        values.refuse()


def mean_of(values: Any) -> float:
    """The mean of a column, or the one that was saved."""
    known = values.average if isinstance(values, SummarisedRows) else None
    return float(np.mean(values)) if known is None else known
