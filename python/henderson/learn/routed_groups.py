"""The groups that are passed to `fit` and `predict` beside X: what they are called in formulas, and their columns."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from henderson import errors, errors_learn
from henderson.columns import Column, as_column
from henderson.factors import Factor
from henderson.learn.inputs import array_column, frame_names, is_frame, raw_column
from henderson.learn.model_text import ROUTED
from henderson.levels import level_text


@dataclass(frozen=True)
class RoutedGroups:
    """What the groups passed to `fit` are called.

    Attributes
    ----------
    names
        In formulas; none if no groups were passed.
    own
        In their own table, by which those passed to `predict` are told apart; None if they had no names.
    """

    names: tuple[str, ...] = ()
    own: tuple[str, ...] | None = None

    def columns(self, groups: Any, n: int) -> dict[str, Column]:
        """The columns under their names in formulas: by their own names where they have them, else in order.

        Parameters
        ----------
        groups
            As passed to `fit` or `predict`.
        n
            Number of rows.

        Raises
        ------
        DataError
            Another shape than that of the fit.
        """
        given, own = _raw_columns(groups, n), _own_names(groups)
        if self.own is not None and own is not None and set(self.own) <= set(own):
            given = [given[own.index(name)] for name in self.own]
        if len(given) != len(self.names):
            raise errors_learn.groups_count(len(given), len(self.names))
        return {name: _column(name, values) for name, values in zip(self.names, given, strict=True)}


def routed_groups(groups: Any, used: Sequence[str], known: Sequence[Any], n: int) -> RoutedGroups:
    """Name the groups passed to `fit`.

    Parameters
    ----------
    groups
        Labels (n,), or a column for each grouping factor; None for none.
    used
        The columns that grouping factors of the formula are made of.
    known
        The columns of X.
    n
        Number of rows.

    Notes
    -----
    They keep their own names if the formula uses these. Otherwise they are the grouping columns that X lacks, if as
    many, else ``groups``, or ``groups_0``, ``groups_1``, ...
    """
    if groups is None:
        return RoutedGroups()
    count, own = len(_raw_columns(groups, n)), _own_names(groups)
    missing = [name for name in used if name not in known]
    if own is not None and set(own) <= set(used):
        names = tuple(own)
    elif len(missing) == count:
        names = tuple(missing)
    else:
        names = (ROUTED,) if count == 1 else tuple(f"{ROUTED}_{k}" for k in range(count))
    for name in names:
        if name in known:
            raise errors_learn.groups_clash(name)
    return RoutedGroups(names, None if own is None else tuple(own))


def warn_of_types(factors: Sequence[Factor], unseen: Mapping[str, Sequence[str]]) -> None:
    """New groups pass without a warning, unless they are old ones with another type."""
    for factor in factors:
        known = set(map(level_text, factor.labels.tolist())) if factor.name in unseen else set()
        alike = [text for text in unseen.get(factor.name, ()) if text in known]
        if alike:
            warnings.warn(errors_learn.groups_alike(factor.name, alike[0]), stacklevel=4)


def _raw_columns(groups: Any, n: int) -> list[Any]:
    """The grouping factors, (n,) each."""
    if is_frame(groups):
        columns = [raw_column(groups, k) for k in range(len(frame_names(groups) or []))]
    else:
        is_column = getattr(groups, "ndim", None) == 1 or hasattr(groups, "to_numpy")
        given = groups if is_column or hasattr(groups, "dtype") else np.asarray(groups, dtype=object)
        columns = [given] if getattr(given, "ndim", 1) == 1 else list(given.T) if given.ndim == 2 else []
    if not columns or any(len(column) != n for column in columns):
        shape = (len(columns[0]), *([len(columns)] if len(columns) > 1 else [])) if columns else np.shape(groups)
        raise errors_learn.groups_shape(shape, n)
    return columns


def _column(name: str, values: Any) -> Column:
    return array_column(name, values) if isinstance(values, np.ndarray) else as_column(name, values)


def _own_names(groups: Any) -> list[str] | None:
    """Names of columns that have them, as text and once each."""
    names = frame_names(groups)
    if names is None:
        names = [getattr(groups, "name", None)]
    if not names or not all(isinstance(name, str) for name in names):
        return None
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise errors.column_repeated(repeated[0])
    return names
