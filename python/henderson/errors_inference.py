"""Texts about inference: tests, contrasts, clusters, deletions. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, _listing, _nearest, _quoted, _rows

# ---------------------------------------------------------------------------------------------- clusters and deletions


def groups_unknown(what: str, value: str, factors: Sequence[str]) -> DataError:
    return DataError(
        f"{what} is {_quoted(value)}, which is neither a grouping factor nor a predictor of this model "
        f"({_listing(factors)})."
        f"{_nearest(value, factors)} For another column pass its values, one per row: {what}=data[...]."
    )


def groups_type(what: str, value: Any) -> DataError:
    return DataError(
        f"{what} is {_quoted(value)} ({type(value).__name__}); it must be the name of a grouping factor, a list of "
        "such names, or an array with one label per row."
    )


def groups_length(what: str, length: int, rows: int, table_rows: int) -> DataError:
    of_table = "" if table_rows == rows else f" (or {table_rows}, one per row of the table)"
    return DataError(f"{what} has {length} values; it must have one for each of the {_rows(rows)} used{of_table}.")


def groups_missing(what: str, row: int, count: int) -> DataError:
    rest = "" if count == 1 else f" ({count} missing values in all)"
    return DataError(f"{what} is missing in row {row}{rest}: give every row used in the fit a label.")


def groups_single(what: str) -> DataError:
    return DataError(f"{what} puts all rows into one group: at least two are needed.")


def cluster_crossed(factors: Sequence[str]) -> DataError:
    names = ", ".join(repr(name) for name in factors)
    return DataError(
        f"The grouping factors {_listing(factors)} are crossed: no one of them contains the others, so there are no "
        f"independent clusters to find. Choose with cluster=: one of {names} (rows of different clusters then count as "
        f"independent), several of them, cluster=[{names}] (rows that share any level count as dependent), or an array "
        "with one label per row."
    )


def cluster_too_large(label: str, rows: int, size: int) -> DataError:
    return DataError(
        f"CR2 needs the square root of a {size} x {size} matrix for cluster {_quoted(label)} ({_rows(rows)}), which is "
        "too large. Use 'CR1' or 'CR3', which need no such matrix, or smaller clusters."
    )


def clusters_too_few(kind: str, clusters: int, columns: int) -> DataError:
    return DataError(
        f"'{kind}' needs more clusters than fixed effects; there are {clusters} clusters and {columns} fixed effects. "
        "Use 'CR2'."
    )


def cluster_determines(label: str) -> DataError:
    return DataError(
        f"'CR3' leaves out one cluster at a time, but without cluster {_quoted(label)} some fixed effect cannot be "
        "estimated. Use 'CR2'."
    )


def kind_for_several(kind: str, allowed: Sequence[str]) -> DataError:
    options = " or ".join(repr(option) for option in allowed)
    return DataError(f"With several cluster factors the covariance is {options}; '{kind}' has no accepted definition.")


def cluster_crossing_note(cluster: str, crossing: Sequence[str]) -> str:
    return (
        f"Clusters by {cluster} count as independent, although they share the random effects of {_listing(crossing)}: "
        "what these contribute to the covariance of different clusters is left out."
    )


def not_positive_note(clusters: str) -> str:
    return (
        f"The covariance clustered by {clusters} was not positive semidefinite: its negative eigenvalues were set to 0."
    )


# ------------------------------------------------------------------------------------------------- degrees of freedom


def cluster_without_robust(kind: str, robust: Sequence[str]) -> DataError:
    return DataError(
        f"cluster= is for the robust kinds of covariance ({_listing(robust)}); with '{kind}' leave it out, or pass "
        "vcov='CR2' (kind='CR2' in vcov)."
    )


def kenward_roger_not_robust(kind: str) -> DataError:
    return DataError(
        f"ddf='kenward-roger' adjusts the covariance matrix of the model and cannot be combined with vcov='{kind}': "
        "pass ddf='satterthwaite', which means the degrees of freedom that belong to the robust matrix."
    )


def kenward_roger_needs_its_ddf(ddf: str) -> DataError:
    return DataError(
        f"vcov='kenward-roger' has degrees of freedom of its own and cannot be combined with ddf='{ddf}': pass "
        "ddf='kenward-roger'."
    )


def reml_refit_note() -> str:
    return (
        "Kenward-Roger's method needs REML: the model was fitted again by REML, and the fixed effects, their standard "
        "errors and their tests are those of that fit."
    )


def information_singular_note(missing: int) -> str:
    parameters = "1 combination" if missing == 1 else f"{missing} combinations"
    return f"The data say nothing about {parameters} of the variance parameters; the degrees of freedom leave them out."


def no_degrees_of_freedom_note(ddf: str, reason: object) -> str:
    return (
        f"Degrees of freedom (ddf='{ddf}') cannot be computed for this fit ({reason}), and there are no p-values. "
        "What to do: ddf='normal' gives z tests."
    )


# -------------------------------------------------------------------------------------------------------- contrasts


def contrast_type(value: Any) -> DataError:
    return DataError(
        f"The contrast is {_quoted(value)} ({type(value).__name__}); pass text such as 'a - b', a dict of weights by "
        "name, an array with a column per fixed effect, or a list of these."
    )


def contrast_shape(shape: tuple[int, ...], columns: int, kept: int) -> DataError:
    widths = f"{columns}" if columns == kept else f"{columns} ({kept} without the aliased ones)"
    return DataError(
        f"The contrast has shape {shape}; it must have one column for each of the {widths} fixed effects and at least "
        "one row."
    )


def contrast_not_finite(label: str) -> DataError:
    return DataError(f"The contrast '{label}' has weights that are not finite numbers.")


def contrast_zero(label: str) -> DataError:
    what = f"The contrast '{label}'" if label else "A contrast"
    return DataError(f"{what} gives all coefficients the weight zero: there is nothing to test.")


def contrast_label_rows(label: Any, rows: int) -> DataError:
    return DataError(f"The contrast labelled {_quoted(label)} has {rows} rows; a label is for one row.")


def contrast_not_linear(text: str) -> DataError:
    return DataError(f"The contrast '{text}' is not linear in the coefficients: multiply and divide by numbers only.")


def contrast_constant(text: str, constant: float) -> DataError:
    return DataError(
        f"The contrast '{text}' holds the constant {constant:g}: write '= {-constant:g}' at the end for the value that "
        "the coefficients are compared with."
    )


def contrast_syntax(text: str, position: int) -> DataError:
    return DataError(
        f"The contrast cannot be read here:\n    {text}\n    {' ' * position}^\nWrite a sum of coefficients with "
        "weights, such as 'Days - 2 * x = 0'."
    )


def coefficient_unknown(name: str, names: Sequence[str]) -> DataError:
    return DataError(f"There is no fixed effect '{name}'.{_nearest(name, names)} Fixed effects: {_listing(names)}.")


def contrast_not_estimable(label: str, aliased: Sequence[str]) -> DataError:
    return DataError(
        f"The contrast '{label}' cannot be estimated: it involves {_listing(aliased)}, dropped because other columns "
        "determine them, in a way that the data leave open."
    )


def rhs_shape(shape: tuple[int, ...], rows: int) -> DataError:
    return DataError(f"rhs has shape {shape}; pass one number, or one for each contrast ({rows}).")


def anova_type(value: Any) -> DataError:
    return DataError(f"type is {_quoted(value)}; choose 1, 2 or 3 (or 'I', 'II', 'III').")


def term_contrasts_undetermined() -> DataError:
    return DataError(
        "The fixed effects are so nearly collinear that the hypotheses of type III cannot be told apart: centre "
        "numeric variables (their distance from zero dwarfs their spread), or use type=1."
    )


def rhs_inconsistent() -> DataError:
    return DataError(
        "The contrasts are linearly dependent and their right-hand sides contradict each other: leave out the rows "
        "that follow from others."
    )


def inestimable_note(labels: Sequence[str]) -> str:
    return f"Without {_listing(labels)} some fixed effect cannot be estimated: NaN."


def variances_not_updated_note() -> str:
    return (
        "The model has too many random effects to update the variances: theta stays as it is, sigma is that at this "
        "theta."
    )
