"""Levels of a factor and the integer codes of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson.expression import number_text

Codes = NDArray[np.int32]


def level_text(level: Any) -> str:
    """A level as R prints it: ``TRUE`` for True, ``1`` for 1.0."""
    if isinstance(level, str):
        return str(level)
    if isinstance(level, bool | np.bool_):
        return "TRUE" if level else "FALSE"
    if isinstance(level, int | np.integer):
        return str(int(level))
    if isinstance(level, float | np.floating):
        return number_text(float(level))
    return str(level)


@dataclass(frozen=True, eq=False)
class Levels:
    """The labels of a factor, in the order of its codes.

    Hashing finds levels in order of appearance; sorting them is left until somebody looks (`order`).

    Attributes
    ----------
    source
        The labels: a numpy array or anything that converts to one.
    has_own_order
        The order of the codes means something (a categorical's own order): do not sort.
    is_ordered
        An ordered categorical.
    """

    source: Any
    has_own_order: bool = False
    is_ordered: bool = False

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def labels(self) -> NDArray[Any]:
        """Labels by code."""
        if isinstance(self.source, np.ndarray):
            return self.source
        if hasattr(self.source, "to_numpy"):
            try:
                return np.asarray(self.source.to_numpy(zero_copy_only=False))  # pyarrow
            except TypeError:
                return np.asarray(self.source.to_numpy())
        labels = np.empty(len(self.source), dtype=object)
        labels[:] = list(self.source)
        return labels

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """Codes in the order in which the levels are presented: sorted labels, or the categorical's own order."""
        if self.has_own_order:
            return np.arange(len(self))
        try:
            return np.argsort(self.labels, kind="stable")
        except TypeError:  # labels that do not compare with each other
            return np.argsort(np.array([level_text(label) for label in self.labels.tolist()]), kind="stable")

    @cached_property
    def rank(self) -> NDArray[np.int32]:
        """Position of each code in that order."""
        rank = np.empty(len(self), dtype=np.int32)
        rank[self.order] = np.arange(len(self), dtype=np.int32)
        return rank

    def texts(self) -> list[str]:
        """Labels by code, as text."""
        return [level_text(label) for label in self.labels.tolist()]

    @cached_property
    def _index(self) -> Any:
        """Where labels are found: by text, a dict; else a pandas Index."""
        import pandas

        if pandas.api.types.infer_dtype(self.labels, skipna=False) == "string":
            return dict(zip(self.labels.tolist(), range(len(self)), strict=True))
        return pandas.Index(self.labels)

    def find(self, labels: NDArray[Any]) -> Codes:
        """Codes of some labels, -1 for those that are not levels."""
        index = self._index
        if isinstance(index, dict):
            return np.array([index.get(label, -1) for label in labels.tolist()], dtype=np.int32)
        import pandas

        return np.asarray(index.get_indexer(pandas.Index(labels)), dtype=np.int32)

    def find_all(self, labels: NDArray[Any]) -> Codes | None:
        """Codes of some labels, None unless all are levels."""
        codes = self.find(labels)
        return codes if codes.min() >= 0 else None

    def extended(self, labels: NDArray[Any]) -> tuple[Codes, Levels]:
        """Codes of different labels, and the levels that these are codes of: the same, then those that are new."""
        codes = self.find(labels)
        is_new = codes < 0
        count = int(np.count_nonzero(is_new))
        if count == 0:
            return codes, self
        codes[is_new] = np.arange(len(self), len(self) + count, dtype=np.int32)
        new = labels[is_new]
        is_plain = self.labels.dtype.kind == new.dtype.kind
        kinds = (self.labels, new) if is_plain else (self.labels.astype(object), new.astype(object))
        return codes, Levels(np.concatenate(kinds), self.has_own_order, self.is_ordered)

    def only(self, codes: NDArray[np.intp]) -> Levels:
        """The levels of some codes, in the order given."""
        few = self.source.take(codes) if hasattr(self.source, "take") else self.labels[codes]
        return Levels(few, self.has_own_order, self.is_ordered)

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.labels, "has_own_order": self.has_own_order, "is_ordered": self.is_ordered}


@dataclass(frozen=True, eq=False)
class Categories:
    """A categorical column: one code per row (-1 where missing) and the levels."""

    codes: Codes
    levels: Levels
    all_used: bool = False  # every level occurs

    def take(self, rows: NDArray[np.intp] | None) -> Categories:
        """Some rows (None: all), without the levels that do not occur in them."""
        if rows is not None:
            return Categories(self.codes[rows], self.levels).without_unused()
        return self if self.all_used else self.without_unused()

    def without_unused(self) -> Categories:
        """The same rows, without the levels that do not occur."""
        used = np.zeros(len(self.levels) + 1, dtype=bool)  # the last one is for code -1
        used[self.codes] = True
        used = used[:-1]
        if used.all():
            return Categories(self.codes, self.levels, all_used=True)
        renumbered = np.append(np.cumsum(used, dtype=np.int32) - 1, np.int32(-1)).astype(np.int32)
        return Categories(renumbered[self.codes], self.levels.only(np.flatnonzero(used)), all_used=True)

    def in_order(self) -> Categories:
        """The same rows, with codes in the order in which the levels are presented."""
        if self.levels.has_own_order:
            return self
        order = self.levels.order
        rank = np.append(self.levels.rank, np.int32(-1)).astype(np.int32)
        levels = Levels(self.levels.labels[order], has_own_order=True, is_ordered=self.levels.is_ordered)
        return Categories(rank[self.codes], levels, self.all_used)


def boolean_categories(values: NDArray[np.bool_], missing: NDArray[np.bool_] | None = None) -> Categories:
    """FALSE and TRUE as a factor."""
    codes = values.astype(np.int32)
    if missing is not None:
        codes[missing] = -1
    return Categories(codes, Levels(np.array([False, True]), has_own_order=True))


def factorize(values: Any, *, has_own_order: bool = False) -> Categories:
    """Codes of arbitrary values by hashing, levels in order of appearance."""
    import pandas

    codes, uniques = pandas.factorize(values)
    return Categories(codes.astype(np.int32), Levels(uniques, has_own_order), all_used=True)
