"""What rows a streamed fit stands on: pieces, put together when something needs them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_streaming
from henderson.columns import Numbers
from henderson.conversion import minus
from henderson.design import DesignMatrices
from henderson.expression import Expression
from henderson.levels import Categories

Vector = NDArray[np.float64]
is_close = partial(math.isclose, rel_tol=1e-9)
NONE: NDArray[np.intp] = np.empty(0, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows that came together.

    Attributes
    ----------
    rows
        Their columns; of a fit without its rows, those that stand for them.
    gone
        Positions of the rows that have been taken out.
    power
        How much each counts, forgotten in part.
    """

    rows: DesignMatrices
    gone: NDArray[np.intp]
    power: float = 1.0

    @property
    def nobs(self) -> float:
        """Number of observations, forgotten ones in part."""
        return self.power * (self.rows.nobs - len(self.gone))

    @property
    def y(self) -> Vector:
        """The response, offset subtracted."""
        return self.rows.y if self.rows.offset is None else minus(self.rows.y, self.rows.offset)


@dataclass(frozen=True, eq=False)
class Ledger:
    """The rows of a streamed fit: the last piece, and what was there before, which is shared with earlier fits.

    Codes of factors and their levels are those of the last piece, and of earlier ones the beginning.

    Attributes
    ----------
    piece
        The rows that came last.
    earlier
        The rows before, None for the first.
    power
        How much each of the rows before counts now.
    subtracted
        Number of rows that were taken out of cross-products only, as nobody knows where they are.
    nobs
        Number of observations, forgotten ones in part.
    is_real
        Whether all rows are there as they were observed.
    is_weighted, has_offset, has_argument
        Whether some rows have weights, an offset, and an ``offset=`` argument.
    """

    piece: Piece
    earlier: Ledger | None
    power: float
    subtracted: float
    nobs: float
    is_real: bool
    is_weighted: bool
    has_offset: bool
    has_argument: bool

    def plus(self, rows: DesignMatrices, power: float = 1.0) -> Ledger:
        """With more rows; those that are there count less, by a factor of `power`."""
        return _with(self, Piece(rows, NONE), power)

    def pieces(self) -> list[Piece]:
        """All rows, in the order in which they came."""
        found, at, power = [], self, 1.0
        while True:
            found.append(at.piece if power == 1 else replace(at.piece, power=power * at.piece.power))
            if at.earlier is None:
                return found[::-1]
            power, at = power * at.power, at.earlier

    def less(self, rows: DesignMatrices) -> Ledger:
        """Without some rows, the first that are equal to them.

        Raises
        ------
        DataError
            They are not there, or some rows have been forgotten in part.
        """
        own = self.pieces()
        if any(piece.power != 1 for piece in own):
            raise errors_streaming.downdate_after_forgetting()
        wanted = list(range(rows.n))
        pieces = []
        for piece in own:
            if not wanted or piece.rows.represented is not None:
                pieces.append(piece)
                continue
            found, wanted = _matches(piece, rows, wanted)
            gone = np.concatenate([piece.gone, np.array(found, dtype=np.intp)]) if found else piece.gone
            pieces.append(replace(piece, gone=gone))
        if wanted and all(piece.rows.represented is None for piece in pieces):
            raise errors_streaming.rows_not_there(f"row {wanted[0]} of the table is equal to none of its rows")
        left = [piece for piece in pieces if len(piece.gone) < piece.rows.n or piece is pieces[-1]]
        return _of_pieces(left, self.subtracted + len(wanted))

    def stacked(self) -> DesignMatrices:
        """All rows as one design: as they were observed, or rows that stand for them in all cross-products."""
        if self.subtracted:
            raise errors_streaming.removed_unknown()
        last, pieces = self.piece.rows, self.pieces()
        join = _Join(pieces, self.is_real)
        x = [join.column(_fixed(j)) for j in range(len(last.x))]
        terms = tuple(
            replace(
                term,
                columns=tuple(join.column(_random(t, k)) for k in range(len(term.columns))),
            )
            for t, term in enumerate(last.terms)
        )
        factors = tuple(replace(factor, codes=join.plain(_coded(f))) for f, factor in enumerate(last.factors))
        own = replace(last, x=x, terms=terms, factors=factors, rows=None)
        if not self.is_real:
            y = join.scaled([piece.y for piece in pieces])
            represented = (whole_number(self.nobs), sum(_log_weights(piece) for piece in pieces))
            return replace(own, y=y, weights=None, offset=None, values={}, table_index=None, represented=represented)
        return replace(own, **join.observed())

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_pieces, (self.pieces(), self.subtracted)  # a long chain is too deep for pickle


def ledger_of(rows: DesignMatrices) -> Ledger:
    """The rows of a fit that has not been updated."""
    return _with(None, Piece(rows, NONE))


def _of_pieces(pieces: Sequence[Piece], subtracted: float) -> Ledger:
    found = None
    for piece in pieces:
        found = _with(found, piece)
    assert found is not None
    return replace(found, subtracted=subtracted, nobs=found.nobs - subtracted, is_real=found.is_real and not subtracted)


def _with(earlier: Ledger | None, piece: Piece, power: float = 1.0) -> Ledger:
    rows = piece.rows
    is_real = piece.power == 1 and rows.represented is None
    has = (rows.weights is not None, rows.offset is not None, rows.recipe.offset is not None)
    if earlier is None:
        return Ledger(piece, None, 1.0, 0.0, piece.nobs, is_real, *has)
    return Ledger(
        piece,
        earlier,
        power,
        power * earlier.subtracted,
        power * earlier.nobs + piece.nobs,
        is_real and earlier.is_real and power == 1,
        has[0] or earlier.is_weighted,
        has[1] or earlier.has_offset,
        has[2] or earlier.has_argument,
    )


class _Join:
    """Pieces side by side, equal columns once."""

    def __init__(self, pieces: Sequence[Piece], is_real: bool) -> None:
        self.pieces = pieces
        self.is_real = is_real
        self._known: dict[tuple[int, ...], Numbers] = {}
        self._kept = [np.delete(np.arange(piece.rows.n), piece.gone) for piece in pieces]

    def plain(self, get: Callable[[DesignMatrices], Any]) -> Any:
        """One vector of each piece, joined."""
        return self.vectors([get(piece.rows) for piece in self.pieces])

    def vectors(self, own: Sequence[Any]) -> Any:
        """Vectors over the rows of each piece, joined."""
        return np.concatenate(
            [values if len(kept) == len(values) else values[kept] for values, kept in zip(own, self._kept, strict=True)]
        )

    def column(self, get: Callable[[DesignMatrices], Numbers | None]) -> Numbers | None:
        """A column of X or Z; None for ones."""
        own = [get(piece.rows) for piece in self.pieces]
        if self.is_real and own[0] is None:
            return None
        key = tuple(map(id, own))
        if key not in self._known:
            full = [
                np.ones(piece.rows.n) if column is None else column
                for piece, column in zip(self.pieces, own, strict=True)
            ]
            self._known[key] = self.vectors(full) if self.is_real else self.scaled(full)
        return self._known[key]

    def scaled(self, own: Sequence[Numbers]) -> Numbers:
        """A column times the square roots of weights and powers."""
        found = []
        for values, piece in zip(own, self.pieces, strict=True):
            weights = piece.power if piece.rows.weights is None else piece.power * piece.rows.weights
            found.append(values * np.sqrt(weights))
        return np.ascontiguousarray(self.vectors(found))

    def either(self, get: Callable[[DesignMatrices], Numbers | None], neutral: float) -> Numbers | None:
        """Weights or offsets, None if no piece has any."""
        own = [get(piece.rows) for piece in self.pieces]
        if all(values is None for values in own):
            return None
        pairs = zip(own, self.pieces, strict=True)
        found: Numbers = self.vectors([np.full(p.rows.n, neutral) if v is None else v for v, p in pairs])
        return found

    def values(self, get: Callable[[DesignMatrices], Any]) -> Any:
        """The values of a variable: numbers or categories."""
        own = [get(piece.rows) for piece in self.pieces]
        if isinstance(own[0], Categories):
            return Categories(self.vectors([value.codes for value in own]), own[0].levels, own[0].all_used)
        return self.vectors(own)

    def observed(self) -> dict[str, Any]:
        """What a design of observed rows has besides its columns."""
        first = self.pieces[0].rows
        recipe = replace(
            first.recipe,
            columns={name: self.values(_named(name)) for name in first.recipe.columns},
            offset=self.either(lambda rows: rows.recipe.offset, 0.0),
        )
        index = None
        if any(piece.rows.table_index is not None or piece.rows.rows is not None for piece in self.pieces):
            own = [piece.rows.index[kept] for piece, kept in zip(self.pieces, self._kept, strict=True)]
            index = own[0].append(own[1:])
        return {
            "y": self.plain(lambda rows: rows.y),
            "weights": self.either(lambda rows: rows.weights, 1.0),
            "offset": self.either(lambda rows: rows.offset, 0.0),
            "recipe": recipe,
            "values": {node: self.values(_valued(node)) for node in first.values},
            "table_index": index,
        }


def _named(name: str) -> Callable[[DesignMatrices], Any]:
    return lambda rows: rows.recipe.columns[name]


def _valued(node: Expression) -> Callable[[DesignMatrices], Any]:
    return lambda rows: rows.values[node]


def _fixed(j: int) -> Callable[[DesignMatrices], Numbers | None]:
    return lambda rows: rows.x[j]


def _random(t: int, k: int) -> Callable[[DesignMatrices], Numbers | None]:
    return lambda rows: rows.terms[t].columns[k]


def _coded(f: int) -> Callable[[DesignMatrices], Any]:
    return lambda rows: rows.factors[f].codes


def checked_forgetting(value: Any) -> float:
    """How much the rows so far count from now on."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not 0 < value <= 1:
        raise errors_streaming.forgetting_invalid(value)
    return float(value)


def whole_number(count: float) -> Any:
    """An int where it is one."""
    return int(count) if float(count).is_integer() else count


def _log_weights(piece: Piece) -> float:
    rows = piece.rows
    own = 0.0 if rows.represented is None else rows.represented[1]
    if rows.weights is not None:
        own += float(np.log(np.delete(rows.weights, piece.gone)).sum())
    return piece.power * own


def _matches(piece: Piece, rows: DesignMatrices, wanted: Sequence[int]) -> tuple[list[int], list[int]]:
    """Positions in the piece of rows equal to those wanted, and which of these are left."""
    own = piece.rows
    factor = max(range(len(own.factors)), key=lambda f: own.factors[f].n_levels)
    mine, codes = own.factors[factor].codes, rows.factors[factor].codes
    near = np.zeros(max(own.factors[factor].n_levels, rows.factors[factor].n_levels), dtype=bool)
    near[codes[np.asarray(wanted, dtype=np.intp)]] = True
    is_candidate = near[mine]
    is_candidate[piece.gone] = False
    places: dict[tuple[Any, ...], list[int]] = {}
    candidates_at = np.flatnonzero(is_candidate)
    candidates_at = candidates_at[np.isin(own.y[candidates_at], rows.y)]
    if not len(candidates_at):
        return [], list(wanted)
    for place in candidates_at.tolist():
        places.setdefault(_key(own, place), []).append(place)
    found, left = [], []
    for row in wanted:
        candidates = places.get(_key(rows, row), [])
        wanted_row = _row(rows, row)
        at_place = next((at for at in candidates if all(map(is_close, _row(own, at), wanted_row))), None)
        if at_place is None:
            left.append(row)
        else:
            candidates.remove(at_place)
            found.append(at_place)
    return found, left


def _key(rows: DesignMatrices, row: int) -> tuple[Any, ...]:
    weight = 1.0 if rows.weights is None else float(rows.weights[row])
    return (float(rows.y[row]), weight, *(int(factor.codes[row]) for factor in rows.factors))


def _row(rows: DesignMatrices, row: int) -> list[float]:
    columns = [*rows.x, *(column for term in rows.terms for column in term.columns)]
    shift = 0.0 if rows.offset is None else float(rows.offset[row])
    return [shift, *(1.0 if column is None else float(column[row]) for column in columns)]
