"""Texts about learners with random effects. As in `errors`."""

from __future__ import annotations

from typing import Any

from henderson.errors import ConvergenceWarning, DataError, _quoted, _rows


def random_effects_type(value: Any) -> DataError:
    return DataError(
        f"random_effects is {_quoted(value)}; pass the random part of a formula such as '(1 + x | group)', or None and "
        "the levels of each row in fit(X, y, groups=...)."
    )


def random_effects_fixed(text: str, label: str) -> DataError:
    return DataError(
        f"random_effects is {text!r}: '{label}' is no random term. Write random terms only, such as '(1 + x | group)'; "
        "the fixed part is what fixed_effects_model learns from X."
    )


def groups_needed() -> DataError:
    return DataError("Z holds columns with an effect for each group: pass groups= too, the group of each row.")


def z_with_formula() -> DataError:
    return DataError("Z is only for models without a formula: name its columns in random_effects instead.")


def groups_shape(shape: tuple[int, ...], rows: int) -> DataError:
    return DataError(
        f"groups has shape {shape}; it must have one label per row, shape ({rows},), or a column for each grouping "
        "factor."
    )


def groups_count(count: int, expected: int) -> DataError:
    return DataError(f"groups has {count} columns; the estimator was fitted with {expected}.")


def z_shape(shape: tuple[int, ...], rows: int) -> DataError:
    return DataError(f"Z has shape {shape}; it must hold numbers, one row per row of X: shape ({rows}, effects).")


def z_count(count: int, expected: int) -> DataError:
    return DataError(f"Z has {count} columns; the estimator was fitted with {expected}.")


def z_needed(count: int) -> DataError:
    return DataError(f"The estimator was fitted with Z ({count} columns): pass Z= to predict() with the groups.")


def z_unfitted() -> DataError:
    return DataError("predict() was given Z, but the estimator was fitted without: pass Z= to fit() too.")


def groups_unfitted() -> DataError:
    return DataError("predict() was given groups, but the estimator was fitted without: pass groups= to fit() too.")


def no_features() -> DataError:
    return DataError("No columns of X are left for the learner: the others name the groups. Add some, or use lmer().")


def out_of_bag_type(value: Any) -> DataError:
    return DataError(f"out_of_bag is {_quoted(value)}; it must be True or False.")


def response_not_finite(row: int, value: float) -> DataError:
    return DataError(f"y contains NaN or infinity: the value of row {row} is {value}. Remove such rows.")


def re_invalid(value: Any) -> DataError:
    return DataError(f"re is {_quoted(value)}; pass 'all' for all random effects, or None for the learner alone.")


def basis_shape(shape: tuple[int, ...], rows: int) -> DataError:
    return DataError(
        f"basis(X) has shape {shape}; it must give finite numbers of shape ({rows}, columns): columns whose linear "
        "combinations the learner can fit."
    )


def regressor_type(value: Any) -> DataError:
    return DataError(
        f"fixed_effects_model is {_quoted(value)}; it must be a regressor with fit(X, y) and predict(X), as those of "
        "scikit-learn."
    )


def prediction_invalid(name: str, shape: tuple[int, ...], rows: int) -> DataError:
    return DataError(
        f"{name} predicts values of shape {shape} that are not all finite numbers; it must give one finite number for "
        f"each of {_rows(rows)}."
    )


def no_residuals(name: str) -> DataError:
    return DataError(
        f"{name} reproduces the response: no residuals are left for the random effects. Use a regressor with "
        "out-of-bag predictions, or one that fits less closely (larger leaves, fewer iterations)."
    )


def not_settled(iterations: int, change: float, tolerance: float) -> ConvergenceWarning:
    return ConvergenceWarning(
        f"Not converged in {iterations} iterations: the deviance still changes by {change:.2g}, tol is {tolerance:g}. "
        "What to do: raise max_iter, or tol where the learner is noisy (a forest of more trees is less so)."
    )
