"""Regression tables: several fits side by side, with their random effects and how well they fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from henderson import errors, errors_reports
from henderson.inference import coefficients as coefficient_tables
from henderson.inference.distributions import check_level
from henderson.model import LinearMixedModel
from henderson.regression.rows import (
    DEFAULT_STATISTICS,
    STATISTICS,
    Part,
    Style,
    fixed_rows,
    group_rows,
    random_rows,
    statistic_rows,
)
from henderson.significance import WIDEST

if TYPE_CHECKING:
    import pandas as pd

STARS = {"*": 0.05, "**": 0.01, "***": 0.001}
RANDOM = {"sd": "sdcor", "variance": "vcov"}


@dataclass(frozen=True, eq=False)
class RegressionTable:
    """Several fits side by side; prints as text, notebooks show it as HTML.

    Attributes
    ----------
    names
        Of the fits, the header of the table.
    responses
        Of the fits.
    parts
        Fixed effects, random effects, numbers of groups and statistics: lines of text cells.
    notes
        What the cells are and what the reader should know.
    caption
        Title, may be empty.
    estimates
        The numbers of all fits in one long table, as `tidy` gives them, with a first column "model".
    """

    names: tuple[str, ...]
    responses: tuple[str, ...]
    parts: tuple[Part, ...]
    notes: tuple[str, ...]
    caption: str
    estimates: pd.DataFrame

    def to_text(self, width: int = WIDEST) -> str:
        """Aligned text; fits that do not fit into the width follow below."""
        from henderson.regression.plain import table_text

        return table_text(self, width)

    def to_markdown(self) -> str:
        """A Markdown table (pipes)."""
        from henderson.regression.plain import table_markdown

        return table_markdown(self)

    def to_html(self) -> str:
        """An HTML table; it can be pasted into a text processor too."""
        from henderson.regression.typeset import table_html

        return table_html(self)

    def to_latex(self, *, label: str = "") -> str:
        r"""A LaTeX ``table`` (needs the package booktabs); `label` is what ``\ref`` finds it by."""
        from henderson.regression.typeset import table_latex

        return table_latex(self, label)

    def to_maketables(self) -> Any:
        """The same as a ``maketables.MTable``, for its styles and formats (needs maketables)."""
        from henderson.regression.export import as_mtable

        return as_mtable(self)

    def to_great_tables(self) -> Any:
        """The same as a ``great_tables.GT``, to be styled further (needs great_tables)."""
        from henderson.regression.export import as_great_table

        return as_great_table(self)

    def to_docx(self, path: str | PathLike[str]) -> None:
        """Write a Word file that holds the table (needs maketables)."""
        from henderson.regression.export import write_docx

        write_docx(self, path)

    def to_frame(self) -> pd.DataFrame:
        """The numbers: a row for each estimate of each fit, with the columns of `tidy` after the column "model"."""
        return self.estimates.copy()

    def to_cells(self) -> pd.DataFrame:
        """The printed cells: a column per fit, rows labelled by part and line."""
        import pandas as pd

        labels = [(part.title, row.label) for part in self.parts for row in part.rows]
        index = pd.MultiIndex.from_tuples(labels, names=["part", "row"])
        return pd.DataFrame([row.cells for part in self.parts for row in part.rows], index=index, columns=self.names)

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def _repr_latex_(self) -> str:
        return self.to_latex()


def regression_table(
    fits: LinearMixedModel | Sequence[LinearMixedModel] | Mapping[str, LinearMixedModel],
    *,
    names: Sequence[str] | None = None,
    coefficients: Sequence[str] | Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    std_error: bool = True,
    conf_int: bool = False,
    p_value: bool = False,
    stars: bool | Mapping[str, float] = False,
    level: float = 0.95,
    ddf: str | None = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    fixed: bool = True,
    random: bool | str = True,
    random_std_error: bool = False,
    statistics: Sequence[str] = DEFAULT_STATISTICS,
    digits: int = 3,
    caption: str = "",
) -> RegressionTable:
    """Several fits side by side: fixed effects, random effects, numbers of groups, measures of fit.

    Parameters
    ----------
    fits
        A fit, a list of fits, or a dict of fits by the names that head their columns.
    names
        Heads of the columns of a list of fits; by default (1), (2), ...
    coefficients
        The fixed effects to show, in this order: names, or a dict of labels by name. None: all.
    labels
        Other texts by name, for coefficients, grouping factors, responses and statistics; in an interaction for each of
        its variables.
    std_error, conf_int, p_value
        What stands below an estimate: its standard error in parentheses, its confidence limits in brackets, its
        p-value.
    stars
        Mark small p-values: True for ``*`` p < 0.05, ``**`` p < 0.01, ``***`` p < 0.001, or a dict of limits by mark.
    level
        Of the confidence intervals.
    ddf
        Degrees of freedom of tests and intervals, as in `summary`; None: no tests.
    vcov, cluster
        Covariance matrix of the fixed effects, as in `summary`.
    fixed
        Show the fixed effects.
    random
        Show the random effects: True or "sd" for standard deviations and correlations, "variance" for variances and
        covariances, False for neither these nor the numbers of groups.
    random_std_error
        Standard errors below those, by the delta method.
    statistics
        Measures below: "icc", "r2_marginal", "r2_conditional", "nobs", "loglik", "aic", "bic", "reml_criterion",
        "deviance", "sigma", "df_residual", "method", "singular", "converged".
    digits
        Significant digits of the smallest standard error of a line, which its estimates and limits go by.
    caption
        A title.

    Returns
    -------
    RegressionTable
        Print it, or use `.to_html()`, `.to_latex()`, `.to_markdown()`, `.to_docx(path)`, `.to_frame()`.

    Raises
    ------
    DataError
        There is no fit, something is not a fit, a coefficient or statistic is unknown.

    Examples
    --------
    >>> import henderson as hd
    >>> sleep = hd.datasets.load_sleepstudy()
    >>> fits = [hd.lmer(f"Reaction ~ Days + {term}", sleep) for term in ("(1 | Subject)", "(Days | Subject)")]
    >>> hd.regression_table(fits, statistics=["icc", "nobs", "aic"], digits=2)
    ====================================================
                                           (1)       (2)
                                      Reaction  Reaction
    ----------------------------------------------------
    Fixed effects
      (Intercept)                       251.4     251.4
                                         (9.7)     (6.8)
      Days                              10.47     10.47
                                        (0.80)    (1.55)
    ----------------------------------------------------
    Random effects
      Subject: SD (Intercept)            37.1      24.7
      Subject: SD Days                              5.9
      Subject: Cor (Intercept), Days               0.07
      Residual: SD                       31.0      25.6
    ----------------------------------------------------
    Number of groups
      Subject                              18        18
    ----------------------------------------------------
    Fit
      ICC                                0.59      0.72
      Observations                        180       180
      AIC                              1794.5    1755.6
    ====================================================
    Standard errors in parentheses.
    """
    models, heads = _fits(fits, names)
    style, scale = _style(std_error, conf_int, p_value, stars, digits), _scale(random)
    check_level(level)
    chosen = _statistics(statistics)
    found = [coefficient_tables.coefficient_table(model, ddf, vcov, cluster) for model in models]
    tables = [
        model.tidy(conf_int=True, level=level, ddf=ddf, vcov=vcov, cluster=cluster, scales=RANDOM[scale or "sd"])
        for model in models
    ]
    relabel = _relabeller(labels, coefficients)
    parts = []
    if fixed:
        shown = _coefficients(coefficients, tables)
        parts.append(Part("Fixed effects", fixed_rows(tables, shown, relabel, style)))
    if scale:
        below = replace(style, std_error=random_std_error, conf_int=False, p_value=False)
        parts.append(Part("Random effects", random_rows(models, relabel, below, RANDOM[scale])))
        parts.append(Part("Number of groups", group_rows(models, relabel)))
    parts.append(Part("Fit", statistic_rows(models, chosen, relabel, digits)))
    method = list(dict.fromkeys(table.method for table in found if table.method))
    own = [(name, note) for name, table in zip(heads, found, strict=True) for note in table.notes]
    return RegressionTable(
        names=heads,
        responses=tuple(relabel(model.design.response_name) for model in models),
        parts=tuple(part for part in parts if part.rows),
        notes=(*_legend(style, level, method, bool(scale) and random_std_error), *_notes(models, heads, chosen, own)),
        caption=caption,
        estimates=_stacked(heads, tables),
    )


# ---------------------------------------------------------------------------------------------------------- the choices


def _fits(fits: Any, names: Sequence[str] | None) -> tuple[list[LinearMixedModel], tuple[str, ...]]:
    if isinstance(fits, Mapping):
        models, heads = list(fits.values()), [str(name) for name in fits]
    else:
        listed = isinstance(fits, Iterable) and not isinstance(fits, str | LinearMixedModel)
        models = list(fits) if listed else [fits]
        heads = [f"({place + 1})" for place in range(len(models))]
    if names is not None:
        heads = [str(name) for name in names]
        if len(heads) != len(models):
            raise errors_reports.names_length(len(heads), len(models))
    if not models:
        raise errors_reports.no_fits()
    for name, model in zip(heads, models, strict=True):
        if not isinstance(model, LinearMixedModel):
            raise errors_reports.not_a_fit(f"Fit {name}", model)
    return models, tuple(heads)


def _style(std_error: bool, conf_int: bool, p_value: bool, stars: Any, digits: Any) -> Style:
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= 15:
        raise errors_reports.digits_invalid(digits)
    limits = STARS if stars is True else {} if stars in (False, None) else stars
    is_mapping = isinstance(limits, Mapping)
    if not is_mapping or not all(isinstance(v, int | float) and 0 < v <= 1 for v in limits.values()):
        raise errors_reports.stars_invalid(stars)
    marks = sorted(((str(mark), float(limit)) for mark, limit in limits.items()), key=lambda pair: pair[1])
    return Style(digits, bool(std_error), bool(conf_int), bool(p_value), tuple(marks))


def _scale(random: Any) -> str:
    if random is False or random is None:
        return ""
    if random is True:
        return "sd"
    if not isinstance(random, str) or random not in RANDOM:
        raise errors.choice("random", random, (*RANDOM,))
    return random


def _statistics(statistics: Any) -> list[str]:
    listed = [statistics] if isinstance(statistics, str) else list(statistics or ())
    for name in listed:
        if not isinstance(name, str) or name not in STATISTICS:
            raise errors.choice("statistics", name, (*STATISTICS,))
    return listed


def _coefficients(coefficients: Any, tables: Sequence[pd.DataFrame]) -> list[str] | None:
    if coefficients is None:
        return None
    listed = [coefficients] if isinstance(coefficients, str) else list(coefficients)
    known = {name: None for table in tables for name in table.loc[table["effect"] == "fixed", "term"]}
    for name in listed:
        if name not in known:
            raise errors_reports.coefficient_unknown(name, list(known))
    return listed


def _relabeller(labels: Mapping[str, str] | None, coefficients: Any) -> Callable[[str], str]:
    own = dict(labels or {}) | (dict(coefficients) if isinstance(coefficients, Mapping) else {})

    def relabel(name: str) -> str:
        if name in own:
            return str(own[name])
        pieces = name.split(":")
        return ":".join(str(own.get(piece, piece)) for piece in pieces)

    return relabel


# ------------------------------------------------------------------------------------------------------- what is around


def _legend(style: Style, level: float, method: Sequence[str], random_std_error: bool) -> list[str]:
    """What the cells are."""
    said = []
    if style.std_error or random_std_error:
        said.append("standard errors in parentheses")
    if style.conf_int:
        said.append(f"{100 * level:.4g} % confidence limits in brackets")
    if style.stars:
        said.append(", ".join(f"{mark} p < {limit:g}" for mark, limit in reversed(style.stars)))
    lines = [f"{text[0].upper()}{text[1:]}" for text in ["; ".join(said)] if text]
    if method and (style.conf_int or style.p_value or style.stars):
        lines.append(f"Tests and intervals use {' or '.join(method)}")
    return [f"{line}." for line in lines]


def _notes(
    models: Sequence[LinearMixedModel], heads: Sequence[str], chosen: Sequence[str], own: Sequence[tuple[str, str]]
) -> list[str]:
    notes = []
    if len(models) > 1 and {"loglik", "aic", "bic"} & set(chosen):
        if len({model.design.response_name for model in models}) > 1:
            notes.append(errors_reports.different_responses_note())
        elif len({model.nobs for model in models}) > 1:
            notes.append(errors_reports.different_rows_note())
        elif len({model.is_reml for model in models}) > 1:
            notes.append(errors_reports.mixed_criteria_note())
        elif models[0].is_reml and len({tuple(model.fixef.index) for model in models}) > 1:
            notes.append(errors_reports.restricted_likelihood_note())
    singular = [name for name, model in zip(heads, models, strict=True) if model.is_singular]
    if singular:
        notes.append(errors_reports.singular_columns_note(singular))
    stopped = [name for name, model in zip(heads, models, strict=True) if not model.converged]
    if stopped:
        notes.append(errors_reports.stopped_columns_note(stopped))
    return notes + [errors_reports.model_note(name, note) for name, note in own]


def _stacked(heads: Sequence[str], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    parts = [table.assign(model=name) for name, table in zip(heads, tables, strict=True)]
    result = pd.concat(parts, ignore_index=True)
    return result[["model", *(name for name in result.columns if name != "model")]]
