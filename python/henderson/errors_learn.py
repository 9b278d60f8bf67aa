"""Texts about the scikit-learn estimators: their columns, groups, targets and formulas. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, FormulaError, _listing, _nearest, _quoted, _rows
from henderson.errors_predict import PredictionWarning


def sklearn_missing() -> ImportError:
    return ImportError("henderson.learn needs scikit-learn: pip install 'henderson[learn]'")


# ------------------------------------------------------------------------------------------------------ columns of X


def feature_unknown(what: str, name: str, names: Sequence[str] | None) -> DataError:
    if names is None:
        return DataError(
            f"{what} names the column {_quoted(name)}, but X has no column names: give its position (an integer), or "
            "pass a table (of a pipeline: set_output(transform='pandas'))."
        )
    return DataError(
        f"{what} names the column {_quoted(name)}, which X lacks.{_nearest(name, names)} X has: {_listing(names)}."
    )


def feature_position(what: str, position: int, count: int) -> DataError:
    columns = "1 column" if count == 1 else f"{count} columns"
    return DataError(
        f"{what} is the position {position}, but X has {columns}: use 0 .. {count - 1}, or -1 for the last."
    )


def features_invalid(what: str, value: Any) -> DataError:
    return DataError(
        f"{what} is {_quoted(value)} ({type(value).__name__}); it must be a column of X, by its name or position, or a "
        "list of these."
    )


def feature_repeated(what: str, name: str) -> DataError:
    return DataError(f"{what} has the column '{name}' twice: name each column once.")


def missing_value(what: str, row: int, count: int, advice: str) -> DataError:
    rest = "" if count == 1 else f" ({count} missing values in all)"
    return DataError(f"{what} has a missing value (NaN) in row {row}{rest}: {advice}.")


def infinite_value(what: str, row: int) -> DataError:
    return DataError(f"{what} contains infinity in row {row}: replace it, or leave out the row.")


def target_missing(estimator: str) -> DataError:
    return DataError(f"This {estimator} estimator requires y to be passed, but the target y is None.")


def target_value_missing(row: int, count: int) -> DataError:
    rest = "" if count == 1 else f" ({count} missing values in all)"
    return DataError(f"Input y contains NaN, in row {row}{rest}: leave out such rows.")


# ---------------------------------------------------------------------------------------------------------- regressor


def formula_and(other: str) -> DataError:
    return DataError(f"Both formula= and {other}= have random effects: a formula has its own, pass one of the two.")


def groups_and_effects() -> DataError:
    return DataError(
        "Both groups= and random_effects= are given: groups='g' is short for random_effects='(1 | g)', pass one."
    )


def no_random_effects(text: str) -> FormulaError:
    message = (
        "The formula has no random term and there are no groups: add a term such as (1 | subject), or pass groups=."
    )
    return FormulaError(message, text, (0, len(text)))


def response_transformed(text: str) -> FormulaError:
    return FormulaError(
        f"The left side of formula= is '{text}', but y is passed to fit(): write a name or nothing before '~', and "
        "transform y with sklearn.compose.TransformedTargetRegressor."
    )


def effects_invalid(value: Any) -> FormulaError:
    return FormulaError(
        f"random_effects is {_quoted(value)}; it must be random terms such as '(1 + x | g)' or '(1 | a) + (1 | b)'."
    )


def groups_unused(names: Sequence[str]) -> DataError:
    return DataError(
        f"groups= was passed to fit(), as {_listing(names)}, but the random effects do not use it: write for example "
        f"random_effects='(1 | {names[0]})', or leave groups out."
    )


def groups_twice() -> DataError:
    return DataError("The groups are columns of X (groups= of the estimator) and are passed to fit() too: use one.")


def groups_needed(names: Sequence[str]) -> DataError:
    return DataError(f"The random effects use {_listing(names)}, which fit() was not given: pass groups=.")


def groups_clash(name: str) -> DataError:
    return DataError(
        f"X has a column '{name}', which is what the groups= of fit() is called: rename the column, or pass "
        "one of the two."
    )


def groups_unfitted() -> DataError:
    return DataError("predict() was given groups, but the estimator was fitted without: pass groups= to fit() too.")


def groups_shape(shape: tuple[int, ...], rows: int) -> DataError:
    return DataError(
        f"groups has shape {shape}; it must have one label per row, shape ({rows},), or several columns. "
        "Groups that are columns of X are named in the arguments of the estimator."
    )


def groups_alike(factor: str, level: str) -> PredictionWarning:
    return PredictionWarning(
        f"'{level}' of {factor} is predicted as a new group: it was in the data of the fit, but with another type "
        "(text or number). Convert the column."
    )


def groups_count(count: int, expected: int) -> DataError:
    return DataError(f"groups has {count} columns; the estimator was fitted with {expected}.")


# ------------------------------------------------------------------------------------------------------------ encoder


def target_multiclass(classes: Sequence[Any]) -> DataError:
    return DataError(
        f"The target has {len(classes)} classes ({_listing(classes, 6)}): MixedEffectsEncoder encodes continuous and "
        "binary targets. Encode one indicator (y == class) at a time."
    )


def target_not_binary(count: int) -> DataError:
    return DataError(f"target_type='binary', but the target has {count} different value(s): a binary target has two.")


def target_not_numeric(example: Any) -> DataError:
    return DataError(f"target_type='continuous', but the target holds labels such as {_quoted(example)}.")


def no_columns_to_encode() -> DataError:
    return DataError("cols is empty: name at least one column to encode, or leave cols out.")


def unknown_levels(column: str, levels: Sequence[Any]) -> DataError:
    return DataError(
        f"Column '{column}' has levels that fit() did not see ({_listing(levels, 6)}), and handle_unknown='error': "
        "'value' encodes them as the mean, 'return_nan' as NaN."
    )


def levels_alike(column: str, level: str) -> PredictionWarning:
    return PredictionWarning(
        f"'{level}' of column '{column}' is encoded as a new level: it was in the data of the fit, but with another "
        "type (text or number). Convert the column."
    )


def missing_level(column: str, row: int) -> DataError:
    return DataError(
        f"Column '{column}' has a missing value in row {row}, and handle_missing='error': 'value' makes missing values "
        "a level of their own, 'return_nan' gives NaN."
    )


# ----------------------------------------------------------------------------------------------------------- features


def no_complete_rows(target: str) -> DataError:
    return DataError(f"No row has values in all of the target '{target}', the groups and the features.")


def column_twice(name: str) -> DataError:
    return DataError(f"'{name}' is used twice: the target, the groups and the features are different columns.")


def no_group() -> DataError:
    return DataError("group is empty: name the grouping column, or a list of several.")


def too_few_rows(rows: int, folds: int) -> DataError:
    return DataError(f"{_rows(rows)} cannot be split into {folds} folds: use a smaller cv, or cv=None.")


def cannot_split(splitter: Any, reason: Exception) -> DataError:
    return DataError(
        f"cv, a {type(splitter).__name__}, cannot split the rows: {reason} Groups for it are passed as groups= of "
        "fit_transform(); cv may also be its pairs, list(splitter.split(X, y, groups))."
    )


def fold_invalid(fold: int, dtype: Any, shape: tuple[int, ...]) -> DataError:
    return DataError(
        f"cv: fold {fold} has rows of dtype {dtype} and shape {shape}; rows are vectors of positions 0, 1, ..., or "
        "masks with one value per row."
    )


def fold_out_of_range(fold: int, lowest: int, highest: int, rows: int) -> DataError:
    return DataError(f"cv: fold {fold} has rows {lowest} to {highest}, but there are {_rows(rows)}: 0 .. {rows - 1}.")


def fold_empty(fold: int) -> DataError:
    return DataError(f"cv: fold {fold} has no rows to fit.")


def features_clash(name: str) -> DataError:
    return DataError(
        f"Two columns of the result would be called '{name}': a feature or a group is called count, shrinkage or "
        "intercept, or its name ends another's. Rename it."
    )


def features_dependent(name: str) -> DataError:
    return DataError(
        f"The feature '{name}' is constant, or a combination of the features before it: its slopes cannot be told from "
        "theirs. Leave it out."
    )
