"""A categorical column that is encoded: its levels, and where new rows find them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_learn
from henderson.columns import Column
from henderson.learn.inputs import ColumnsTable
from henderson.learn.level_effects import Codes
from henderson.levels import Levels, level_text

UNKNOWN, MISSING = -1, -2
"""Codes of new rows: positions from the end, where the values for such rows stand."""


@dataclass(frozen=True, eq=False)
class EncodedColumn:
    """The levels of an encoded column.

    Attributes
    ----------
    name
        Of the column.
    levels
        By code; in order of appearance, or the categorical's own.
    has_missing
        Whether values are missing in the rows of the fit: the last level then.
    codes
        (n,) level of each row of the fit.
    """

    name: str
    levels: Levels
    has_missing: bool
    codes: Codes

    @property
    def size(self) -> int:
        """Number of levels, with that of missing values."""
        return len(self.levels) + self.has_missing

    @property
    def labels(self) -> NDArray[Any]:
        """(size,) labels, None for missing values."""
        own = self.levels.labels
        return np.array([*own.tolist(), None], dtype=object) if self.has_missing else own

    def without_rows(self) -> EncodedColumn:
        """The same without the codes of the rows."""
        return replace(self, codes=np.empty(0, dtype=np.int32))

    def find(self, table: ColumnsTable) -> Codes:
        """Codes of new rows, `UNKNOWN` for new levels and `MISSING` for missing values."""
        new = _column(table, self.name).categories()
        places = np.append(self.levels.find(new.levels.labels), np.int32(MISSING))
        return np.asarray(places[new.codes], dtype=np.int32)

    def unseen(self, table: ColumnsTable) -> list[Any]:
        """Levels of new rows that are not levels of this column."""
        labels = _column(table, self.name).categories().without_unused().levels.labels
        return [label for label, code in zip(labels.tolist(), self.levels.find(labels), strict=True) if code < 0]

    def alike(self, unseen: list[Any]) -> str | None:
        """The first of some levels that are not levels of this column which reads like one, None if there is none."""
        known = set(map(level_text, self.levels.labels.tolist()))
        return next((text for text in map(level_text, unseen) if text in known), None)


def encoded_column(table: ColumnsTable, name: str, handle_missing: str) -> EncodedColumn:
    """A column of the rows of the fit.

    Raises
    ------
    DataError
        Values are missing, and `handle_missing` is "error".
    """
    categories = _column(table, name).categories()
    codes = categories.codes
    missing = codes < 0
    has_missing = bool(missing.any())
    if has_missing:
        if handle_missing == "error":
            raise errors_learn.missing_level(name, int(np.argmax(missing)))
        codes = np.where(missing, np.int32(len(categories.levels)), codes)
    return EncodedColumn(name, categories.levels, has_missing, codes)


def _column(table: ColumnsTable, name: str) -> Column:
    column = table.column(name)
    assert column is not None  # the table has the columns of the fit
    return column
