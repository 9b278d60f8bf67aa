"""Texts about plots. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, _listing, _nearest, _quoted


def not_a_fit(value: Any) -> DataError:
    return DataError(f"A plot needs a fitted model, as hd.lmer(formula, data) returns it; got {type(value).__name__}.")


def not_axes(value: Any) -> DataError:
    hint = ""
    if type(value).__name__ == "Figure":
        hint = " A figure's are in fig.axes; a new one is fig.add_subplot()."
    elif hasattr(value, "__len__"):
        hint = " This plot has one panel: pass a single Axes, such as axes[0]."
    return DataError(f"ax must be a matplotlib Axes (or None for a new figure); got {type(value).__name__}.{hint}")


def axes_count(given: int, needed: int) -> DataError:
    return DataError(
        f"ax has {given} Axes, but this plot has {needed} panels: pass a sequence of {needed} "
        f"(fig, ax = plt.subplots(1, {needed})), or leave it out for a new figure."
    )


def axes_repeated() -> DataError:
    return DataError("ax has the same Axes twice: each panel needs its own.")


def panels_too_many(count: int, limit: int, how: str) -> DataError:
    return DataError(f"This would be a figure of {count} panels (at most {limit}). Choose some of them with {how}.")


def name_unknown(what: str, value: Any, allowed: Sequence[str]) -> DataError:
    names = [str(name) for name in allowed]
    hint = _nearest(value, names) if isinstance(value, str) else ""
    return DataError(f"{what} {_quoted(value)} is not in this plot; there are: {_listing(names)}.{hint}")


def label_count(value: Any) -> DataError:
    return DataError(f"label is {_quoted(value)}; it must be the number of points to label, 0 or more.")


def names_empty(what: str) -> DataError:
    return DataError(f"{what} is empty: name at least one, or leave it out.")


def effects_too_many(names: Sequence[str]) -> DataError:
    return DataError(f"effects names {_listing(names)}: this plot shows one effect, or a plane of two.")


def no_pairs(group: str | None) -> DataError:
    where = "No random term of this model" if group is None else f"No random term of {_quoted(group)}"
    return DataError(
        f"{where} has several correlated effects, so there is no covariance to draw: the plot is for terms such as "
        "(x | g)."
    )


def not_a_number(what: str, value: Any) -> DataError:
    return DataError(f"{what} is {_quoted(value)}; it must be a finite number.")


def not_positive(what: str, value: Any) -> DataError:
    return DataError(f"{what} has {_quoted(value)}; it must be one or several positive numbers.")


def no_predictor() -> DataError:
    return DataError(
        "The model has no variable to draw lines over: neither its fixed effects nor the effects of this grouping "
        "factor use a column of the data as it is. See hd.plots.caterpillar and hd.plots.shrinkage."
    )


def levels_invalid(value: Any) -> DataError:
    return DataError(f"levels is {_quoted(value)}; it must be the names of some levels, or how many (>= 1).")


def no_panels(allowed: Sequence[str]) -> DataError:
    return DataError(f"panels is empty: name at least one of {_listing(allowed)}.")


def no_coefficients() -> DataError:
    return DataError("The model has no fixed effects: there are no coefficients to show.")


def no_profile(names: Sequence[str]) -> DataError:
    return DataError(
        f"There is no profile to draw of {_listing(names)}: nothing depends on the correlation of an effect that does "
        "not vary, and a profile that was stopped holds no more than what was complete."
    )


def no_replicates(names: Sequence[str]) -> DataError:
    return DataError(
        f"There are fewer than two replicates of {_listing(names)} that have a value: draw more with fit.bootstrap(n)."
    )


def no_variable() -> DataError:
    return DataError("The fixed effects of the model use no variable: there is nothing to draw means over.")


def partial_residuals_by(name: str) -> DataError:
    return DataError(
        f"points='residuals' needs a categorical `by`: each row belongs to one of its lines, but '{name}' is numeric. "
        "Use points='data', or hold it at one value with at=."
    )


def not_a_power(value: Any) -> DataError:
    return DataError(f"This plot needs a result of fit.power(...); got {type(value).__name__}.")


def power_dimensions(varied: Sequence[str]) -> DataError:
    return DataError(
        f"The power is over {_listing(varied)}: this plot shows one of them on its axis and one in colour."
    )


def influence_undefined(measure: str) -> DataError:
    return DataError(
        f"{measure} has no value here: it is about the fixed effects, and the model has none that could be estimated "
        "without a part of the rows. measure='leverage' needs none."
    )
