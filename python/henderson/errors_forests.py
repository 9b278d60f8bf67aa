"""Texts about learners with random effects. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import ConvergenceWarning, DataError, _listing, _quoted, _rows


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


def z_shape(shape: tuple[int, ...], rows: int) -> DataError:
    return DataError(f"Z has shape {shape}; it must hold numbers, one row per row of X: shape ({rows}, effects).")


def z_count(count: int, expected: int) -> DataError:
    return DataError(f"Z has {count} columns; the estimator was fitted with {expected}.")


def z_needed(count: int) -> DataError:
    return DataError(f"The estimator was fitted with Z ({count} columns): pass Z= to predict() with the groups.")


def z_unfitted() -> DataError:
    return DataError("predict() was given Z, but the estimator was fitted without: pass Z= to fit() too.")


def no_features() -> DataError:
    return DataError(
        "No columns of X are left for the learner: name some in features=, or add some (those that name groups do not "
        "count). For random effects alone use lmer()."
    )


def one_row() -> DataError:
    return DataError("X has 1 sample (row): random effects need several rows of several groups.")


def weights_refused(name: str) -> DataError:
    return DataError(
        f"{name} takes no sample_weight in fit(): use a regressor that does (of a pipeline, the last step), or leave "
        "the weights out."
    )


def learner_text(name: str, columns: Sequence[str], problem: Exception) -> DataError:
    return DataError(
        f"{name} cannot be fitted to columns that are not numbers ({_listing(columns)}): {problem}. Encode them in a "
        "pipeline, as make_pipeline(make_column_transformer((OneHotEncoder(), [...]), remainder='passthrough'), "
        "regressor), or leave them out by features=."
    )


def out_of_bag_type(value: Any) -> DataError:
    return DataError(f"out_of_bag is {_quoted(value)}; it must be True or False.")


def response_not_finite(row: int, value: float) -> DataError:
    return DataError(f"y contains NaN or infinity: the value of row {row} is {value}. Remove such rows.")


def re_invalid(value: Any) -> DataError:
    return DataError(f"re is {_quoted(value)}; pass 'all' for all random effects, or None for the learner alone.")


def basis_values(problem: Exception) -> DataError:
    return DataError(f"basis(X) cannot be read as a matrix of numbers: {problem}.")


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


def not_settled(iterations: int, criterion: str, change: float, tolerance: float) -> ConvergenceWarning:
    return ConvergenceWarning(
        f"Not converged in {iterations} iterations: the {criterion} still changes by {change:.2g}, more than the "
        f"{tolerance:g} that tol allows. "
        "What to do: raise max_iter, or tol where the learner is noisy (a forest of more trees is less so)."
    )
