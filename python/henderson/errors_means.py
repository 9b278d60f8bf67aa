"""Texts about marginal means: reference grids, specifications, families of contrasts. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, _listing, _nearest, _quoted

# ------------------------------------------------------------------------------------------------------ reference grid


def no_fixed_effects() -> DataError:
    return DataError("The model has no fixed effects: there is nothing to average.")


def variable_unknown(role: str, name: Any, variables: Sequence[str]) -> DataError:
    known = f"Variables: {_listing(variables)}." if variables else "There are none."
    return DataError(
        f"{role} names {_quoted(name)}, which is not a variable of the fixed effects.{_nearest(str(name), variables)} "
        f"{known}"
    )


def specs_empty() -> DataError:
    return DataError('specs names no variable: pass a name such as "treatment", a list of names, or "1" for the mean.')


def specs_contrast(text: str) -> DataError:
    return DataError(
        f"specs is {_quoted(text)}: what stands left of '~' in R is a method here: "
        'emmeans("treatment").contrasts("pairwise").'
    )


def specs_invalid(text: str) -> DataError:
    return DataError(
        f"specs is {_quoted(text)}: name variables, as in 'treatment', 'treatment * sex' or 'treatment | sex'."
    )


def variable_repeated(name: str) -> DataError:
    return DataError(f"'{name}' stands in specs or by more than once.")


def at_empty(name: str) -> DataError:
    return DataError(f"at has no values for '{name}': give at least one.")


def at_level(name: str, value: Any, levels: Sequence[str]) -> DataError:
    return DataError(
        f"at has the value {_quoted(value)} for '{name}', which is not one of its levels: {_listing(levels)}."
    )


def at_not_numeric(name: str, value: Any) -> DataError:
    return DataError(f"at has the value {_quoted(value)} for '{name}'; it must be one or more finite numbers.")


def reduction_invalid(name: str, value: Any) -> DataError:
    return DataError(f"cov_reduce gave {_quoted(value)} for '{name}'; it must give one or more finite numbers.")


def reduction_type(value: Any) -> DataError:
    return DataError(
        f"cov_reduce is {_quoted(value)}; it must be a function such as numpy.mean, a dict of functions by covariate, "
        "or False to keep all values of all covariates."
    )


def grid_too_large(sizes: Sequence[tuple[str, int]], rows: int, limit: int) -> DataError:
    listed = _listing(f"{name} {size}" for name, size in sizes)
    return DataError(
        f"The reference grid has {rows} rows, more than {limit} (levels: {listed}): hold some variables at fewer "
        "values with at=."
    )


def trend_not_numeric(name: str) -> DataError:
    return DataError(f"'{name}' is categorical: a slope needs a numeric variable; compare its levels with emmeans().")


def trend_constant(name: str) -> DataError:
    return DataError(f"'{name}' has the same value in all rows: it has no slope.")


def empty_cells_note() -> str:
    return (
        'NOTE: nonEst: some cells being averaged do not occur in the data; weights="cells" averages over those that do.'
    )


def interaction_note() -> str:
    return "NOTE: Results may be misleading due to involvement in interactions"


# ----------------------------------------------------------------------------------------------------------- contrasts


def contrast_length(name: str, length: int, levels: Sequence[str]) -> DataError:
    return DataError(
        f"The contrast '{name}' has {length} coefficients; there are {len(levels)} estimates: {_listing(levels)}."
    )


def contrast_invalid(name: str, value: Any) -> DataError:
    return DataError(
        f"The contrast '{name}' is {_quoted(value)}; it must be a list of finite numbers, one per estimate, or a dict "
        "of numbers by level."
    )


def contrast_level(name: str, level: Any, levels: Sequence[str]) -> DataError:
    return DataError(
        f"The contrast '{name}' names {_quoted(level)}, which is not one of the levels: {_listing(levels)}."
        f"{_nearest(str(level), levels)}"
    )


def reference_unknown(value: Any, levels: Sequence[str]) -> DataError:
    return DataError(f"ref is {_quoted(value)}, which is not one of the levels: {_listing(levels)}.")


def too_few_levels(method: str, count: int) -> DataError:
    estimates = "1 estimate" if count == 1 else f"{count} estimates"
    return DataError(f"'{method}' contrasts need at least two estimates in each group; there is {estimates}.")


def tukey_not_pairwise_note() -> str:
    return "Note: sidak instead of tukey, which is for one set of all pairwise comparisons."


def scale_note(scale: str) -> str:
    return f"Results are given on the {scale} (not the response) scale."


def contrast_scale_note(scale: str) -> str:
    return scale_note(scale) if scale.startswith("log") else f"Note: contrasts are still on the {scale} scale"


# ----------------------------------------------------------------------------------------------------- marginaleffects


def adapter_options() -> DataError:
    return DataError(
        "ddf, vcov and cluster are chosen when the adapter is made: fit.to_marginaleffects(ddf=..., vcov=...); "
        "or pass the fit itself."
    )


def polars_too_new(reason: Exception) -> RuntimeError:
    return RuntimeError(
        f"This version of marginaleffects cannot compare levels of factors with this version of polars ({reason}): "
        "pip install 'polars<2'."
    )


def coefficient_unknown(value: Any, names: Sequence[str]) -> DataError:
    return DataError(f"joint is {_quoted(value)}, which matches no coefficient: {_listing(names)}.")
