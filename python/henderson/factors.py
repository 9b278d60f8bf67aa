"""Grouping factors: one integer code per row, and the levels behind the codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors
from henderson.expression import Expression
from henderson.formula import Grouping
from henderson.levels import Categories, Codes, Levels, factorize
from henderson.transforms import Evaluator


@dataclass(frozen=True, eq=False)
class Factor:
    """A grouping factor: a variable, or the observed combinations of several.

    Attributes
    ----------
    name
        As lme4 prints it: ``Subject``, ``cask:batch``.
    codes
        (n,) int32; codes are in order of appearance or any other order, `order` sorts them.
    parts
        Levels of each variable of the combination.
    combinations
        (n_levels, variables) int32: the level of each variable, for each code. None for a single variable.
    variables
        What the factor is computed from.
    """

    name: str
    codes: Codes
    parts: tuple[Levels, ...]
    combinations: NDArray[np.int32] | None
    variables: tuple[Expression, ...]

    @property
    def n_levels(self) -> int:
        """Number of levels that occur."""
        return len(self.parts[0]) if self.combinations is None else len(self.combinations)

    @cached_property
    def labels(self) -> NDArray[Any]:
        """(n_levels,) labels by code: the values of a single variable, ``"a:b"`` for combinations."""
        if self.combinations is None:
            return self.parts[0].labels
        texts = [np.array(part.texts(), dtype=object) for part in self.parts]
        labels = texts[0][self.combinations[:, 0]]
        for column, text in enumerate(texts[1:], start=1):
            labels = labels + ":" + text[self.combinations[:, column]]
        return np.asarray(labels)

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """(n_levels,) codes in the order in which levels are presented: sorted, or the categorical's own order."""
        if self.combinations is None:
            return self.parts[0].order
        ranks = [part.rank[self.combinations[:, column]] for column, part in enumerate(self.parts)]
        return np.lexsort(ranks[::-1])

    @cached_property
    def levels(self) -> NDArray[Any]:
        """(n_levels,) labels as presented; row i belongs to code ``order[i]``."""
        return self.labels[self.order]

    @cached_property
    def _places(self) -> Any:
        """The keys of the combinations, a pandas Index."""
        return _index_of(self.combinations, self.parts)

    def at(self, codes: Any) -> Factor:
        """The same levels at other rows."""
        other = replace(self, codes=codes)
        other.__dict__.update({name: self.__dict__[name] for name in OF_LEVELS if name in self.__dict__})
        return other

    def extended(self, parts: list[Categories]) -> Factor:
        """The factor at new rows without missing levels: its levels, with the same codes, and then the new ones."""
        found = [own.extended(new.levels.labels) for own, new in zip(self.parts, parts, strict=True)]
        codes = [own[new.codes] for (own, _), new in zip(found, parts, strict=True)]
        levels = tuple(own for _, own in found)
        is_known = all(own is new for own, new in zip(self.parts, levels, strict=True))
        if self.combinations is None:
            return self.at(codes[0]) if is_known else Factor(self.name, codes[0], levels, None, self.variables)
        keys = _keys(codes, levels)
        places = self._places if is_known else _index_of(self.combinations, levels)
        combined = _places_of(keys, places)
        fresh = np.flatnonzero(combined < 0)
        if not len(fresh):
            return self.at(combined)
        new = factorize(keys[fresh]).codes
        combined[fresh] = len(self.combinations) + new
        first = fresh[np.unique(new, return_index=True)[1]]
        combinations = np.vstack([self.combinations, np.column_stack([code[first] for code in codes])])
        return Factor(self.name, combined, levels, np.ascontiguousarray(combinations), self.variables)

    def find(self, parts: list[Categories]) -> Codes:
        """Codes of new rows, -1 where a level or a combination is new or missing."""
        codes = [
            np.append(own.find(new.levels.labels), np.int32(-1))[new.codes]
            for own, new in zip(self.parts, parts, strict=True)
        ]
        if self.combinations is None:
            return codes[0]
        keys = _keys(codes, self.parts)
        keys[np.any([code < 0 for code in codes], axis=0)] = -1
        return _places_of(keys, self._places)


OF_LEVELS = ("labels", "order", "levels", "_places")
"""What is known about the levels of a factor once somebody has asked."""


def _index_of(combinations: Any, parts: tuple[Levels, ...]) -> Any:
    import pandas

    return pandas.Index(_keys([combinations[:, column] for column in range(len(parts))], parts))


def _places_of(keys: NDArray[np.int64], index: Any) -> Codes:
    import pandas

    return np.asarray(index.get_indexer(pandas.Index(keys)), dtype=np.int32)


def _keys(codes: list[Codes], parts: tuple[Levels, ...]) -> NDArray[np.int64]:
    """One number per combination of codes."""
    keys = codes[0].astype(np.int64)
    for code, part in zip(codes[1:], parts[1:], strict=True):
        keys *= len(part)
        keys += code
    return keys


def grouping_parts(grouping: Grouping, evaluator: Evaluator) -> list[Categories]:
    """The variables of a grouping factor as categories."""
    return [evaluator.factorized(variable).categories for variable in grouping.variables]


def make_factor(grouping: Grouping, evaluator: Evaluator) -> Factor:
    """The grouping factor of the rows used.

    Raises
    ------
    DataError
        It has one level only.
    """
    parts = grouping_parts(grouping, evaluator)
    if len(parts) == 1:
        levels = (parts[0].levels,)
        factor = Factor(grouping.label, parts[0].codes, levels, None, grouping.variables)
    else:
        factor = _combine(grouping, parts)
    if factor.n_levels < 2:
        raise errors.grouping_one_level(factor.name, factor.labels[0])
    return factor


def _combine(grouping: Grouping, parts: list[Categories]) -> Factor:
    """The observed combinations of several variables."""
    combined = parts[0].codes
    combinations = np.arange(len(parts[0].levels), dtype=np.int32)[:, None]
    for part in parts[1:]:
        # one step at a time, so that keys stay far below 2^63
        key = combined * np.int64(len(part.levels)) + part.codes
        found = factorize(key)
        combined = found.codes
        before, code = np.divmod(found.levels.labels, len(part.levels))
        combinations = np.column_stack([combinations[before], code.astype(np.int32)])
    levels = tuple(part.levels for part in parts)
    return Factor(grouping.label, combined, levels, np.ascontiguousarray(combinations), grouping.variables)
