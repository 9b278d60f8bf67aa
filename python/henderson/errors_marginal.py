"""Texts about the marginal distribution: rows to choose, parameters of a density. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, _listing, _nearest, _quoted, _rows

# --------------------------------------------------------------------------------------------------------------- rows


def rows_type(value: Any) -> DataError:
    return DataError(
        f"rows is {_quoted(value)} ({type(value).__name__}); it must be labels of rows, a boolean mask, a slice of "
        "positions, or a level such as {'Subject': 308}."
    )


def by_unknown(value: Any) -> DataError:
    return DataError(f"by is {_quoted(value)}; it must be 'label' (of the table's index) or 'position' (0, 1, ...).")


def mask_length(length: int, expected: int) -> DataError:
    return DataError(f"rows is a mask of {length} values; this fit used {_rows(expected)}: pass one value for each.")


def mask_missing() -> DataError:
    return DataError(
        "rows is a mask with values other than True and False: fill in what is missing, as with fillna(False)."
    )


def mask_index() -> DataError:
    return DataError(
        "rows is a mask whose index lacks rows that this fit used, or has labels twice: take it from the table that "
        "was fitted, or pass .to_numpy() with one value for each row used."
    )


def label_unknown(label: Any) -> DataError:
    return DataError(
        f"rows has the label {_quoted(label)}, which is not in the index of the rows used: see fit.index. For row "
        "numbers use by='position'."
    )


def position_invalid(value: Any, n: int) -> DataError:
    return DataError(f"rows has the position {_quoted(value)}; positions are integers from 0 to {n - 1}.")


def factor_unknown(name: Any, factors: Sequence[str]) -> DataError:
    return DataError(
        f"rows names '{name}', which is no grouping factor of this model.{_nearest(str(name), factors)} "
        f"It has: {_listing(factors)}."
    )


def level_unknown(factor: str, level: Any, levels: Sequence[str]) -> DataError:
    return DataError(
        f"'{factor}' has no level {_quoted(level)}.{_nearest(str(level), levels)} Its levels: {_listing(levels)}."
    )


def no_factor(factors: Sequence[str]) -> DataError:
    return DataError(f"rows names no grouping factor: give levels, such as {{'{factors[0]}': ...}}.")


def no_rows() -> DataError:
    return DataError("rows chooses no rows: there is no covariance matrix to give.")


def too_many_rows(count: int, limit: int) -> DataError:
    return DataError(
        f"rows chooses {count} rows; their covariance matrix would have {count}² entries. Choose at most {limit}, such "
        "as those of one group."
    )


# ------------------------------------------------------------------------------------------------------------ density


def random_part(value: Any) -> DataError:
    return DataError(
        f"Z is a {type(value).__name__}; it must be a RandomTerm, a list of them, or a matrix with a column for each "
        "random effect."
    )


def factor_shape(shape: tuple[int, ...], q: int) -> DataError:
    return DataError(
        f"theta has shape {shape}; with a matrix Z of {q} columns it must be a number, {q} numbers, or a matrix "
        f"({q}, {q}): the relative covariance factor Lambda, Cov(b) = sigma² Lambda Lambda'."
    )


def sigma_invalid(value: Any) -> DataError:
    return DataError(
        f"sigma is {_quoted(value)}; it must be a positive number, from 1e-150 to 1e150: the residual standard "
        "deviation."
    )


def beta_without_x() -> DataError:
    return DataError("beta is given, but X is None: there are no fixed effects.")


def beta_and_reml() -> DataError:
    return DataError("beta is given with reml=True: the restricted likelihood does not depend on beta.")


def dependent_columns(rank: int, p: int) -> DataError:
    return DataError(f"X has {p} columns of which only {rank} are independent: leave out the others, or pass beta.")


def no_density() -> DataError:
    return DataError("The covariance matrix cannot be factored in double precision: theta is too large for these data.")
