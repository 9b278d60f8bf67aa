"""Which levels of different factors meet, how often and with what weight: sparse tables Z_k'WZ_m of two factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_moments
from henderson.moments.rows import Codes, Vector

LARGEST_KEY = 2**62

Keys = NDArray[np.int64]


class CrossTabs:
    """Tables of pairs of factors, each made when it is asked for first.

    Parameters
    ----------
    codes
        Per factor (n,).
    levels
        Number of levels of each factor.
    names
        Of the factors, for messages.
    weights
        (n,), None for ones.
    """

    def __init__(
        self, codes: Sequence[Codes], levels: Sequence[int], names: Sequence[str], weights: Vector | None
    ) -> None:
        self._codes = codes
        self._levels = levels
        self._names = names
        self._weights = weights
        self._tables: dict[tuple[int, int], Any] = {}
        self._squares: dict[tuple[int, int], Any] = {}
        self._keys: dict[tuple[int, ...], tuple[Keys, NDArray[np.intp]]] = {}

    def table(self, k: int, m: int) -> Any:
        """Z_k'WZ_m, a sparse matrix (J_k, J_m)."""
        if k > m:
            return self.table(m, k).T
        if (k, m) not in self._tables:
            self._tables[k, m] = self._make(k, m)
        return self._tables[k, m]

    def times(self, k: int, m: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Z_k'WZ_m times (J_m,) or (J_m, r)."""
        return np.asarray(self.table(k, m) @ values)

    def squares(self, k: int, m: int) -> Any:
        """The table with each cell squared."""
        if k > m:
            return self.squares(m, k).T
        if (k, m) not in self._squares:
            table = self.table(k, m)
            squared = table
            if np.any(table.data != 1.0):
                squared = table.copy()
                squared.data **= 2
            self._squares[k, m] = squared
        return self._squares[k, m]

    def count(self, subset: Sequence[int]) -> int:
        """How many combinations of levels occur."""
        return int(self.table(*subset).nnz) if len(subset) == 2 else len(self.cells(subset)[0])

    def cells(self, subset: Sequence[int]) -> tuple[Keys, NDArray[np.intp]]:
        """The combinations of levels of several factors that occur: sorted keys, and how many rows each has."""
        chosen = tuple(subset)
        if chosen not in self._keys:
            keys = np.sort(self.keys(chosen, [self._codes[k] for k in chosen]))
            is_new = keys[1:] != keys[:-1]
            counts = np.ones(len(keys), dtype=np.intp)
            if not is_new.all():
                starts = np.append(0, np.flatnonzero(is_new) + 1)
                counts = np.diff(starts, append=len(keys))
                keys = keys[starts]
            self._keys[chosen] = (keys, counts)
        return self._keys[chosen]

    def keys(self, subset: Sequence[int], codes: Sequence[NDArray[Any]]) -> Keys:
        """A number for each row's combination of levels."""
        size = 1
        for k in subset:
            size *= self._levels[k]
        if size > LARGEST_KEY:
            raise errors_moments.too_many_combinations([self._names[k] for k in subset])
        keys = codes[0].astype(np.int64)
        for k, more in zip(subset[1:], codes[1:], strict=True):
            keys *= self._levels[k]
            keys += more
        return keys

    def level_of(self, subset: Sequence[int], keys: Keys, k: int) -> NDArray[np.int64]:
        """The level of factor k in each combination."""
        rest = keys
        for m in reversed(subset):
            rest, level = np.divmod(rest, self._levels[m])
            if m == k:
                return level
        raise AssertionError(k)

    def _make(self, k: int, m: int) -> Any:
        from scipy import sparse

        shape = (self._levels[k], self._levels[m])
        if self._weights is not None:
            table = sparse.csr_array((self._weights, (self._codes[k], self._codes[m])), shape=shape)
            table.sum_duplicates()
            return table
        keys, counts = self.cells((k, m))
        if len(keys) == len(self._codes[k]):
            del self._keys[k, m]  # as many as rows, and of no further use
        first = keys // shape[1]
        second = keys - first * shape[1]
        index = np.int32 if len(keys) < 2**31 else np.int64
        starts = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=shape[0]))]).astype(index)
        return sparse.csr_array((counts.astype(np.float64), second.astype(index), starts), shape=shape)
