"""A fit as the package marginaleffects sees models: its coefficients, data, design matrix and predictions.

The predictions are those of the population: the fixed effects, and the offset if there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
from marginaleffects.classes import ModelAbstract, ModelVault
from numpy.typing import NDArray

from henderson import errors
from henderson.absent import require_rows
from henderson.expression import columns_of
from henderson.inference.degrees import KINDS, FixedEffectTests, fixed_effect_tests
from henderson.inference.estimability import estimability
from henderson.inference.grid_columns import kind_of, levels_of, numbers
from henderson.inference.reference_grid import grid_names, rows_at
from henderson.levels import level_text

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]

OFFSET = "(offset)"
"""The column of the model's data that holds an offset given as an array."""
RESERVED = frozenset(
    {"rowid", "type", "group", "estimate", "std_error", "p_value", "s_value", "conf_low", "conf_high", "term"}
    | {"contrast", "statistic"}
)
"""Names that the package uses for its own columns: it refuses data that have them."""


class MarginalEffectsModel(ModelAbstract):  # type: ignore[misc]
    """A fitted model for marginaleffects.

    Parameters
    ----------
    fit
        The model.
    tests
        Its fixed effects with their covariance matrix and degrees of freedom.
    """

    def __init__(self, fit: LinearMixedModel, tests: FixedEffectTests) -> None:
        self.fit = fit
        self.tests = tests
        self.design = tests.model.design
        self.estimability = estimability(tests.model)
        predictors, self.coerced = grid_names(self.design)
        vault = ModelVault(
            coef=np.array(tests.beta, dtype=np.float64),
            coefnames=np.array([self.design.x_names[i] for i in tests.model.kept]),
            formula="~ " + (" + ".join(map(_quoted, predictors)) or "1"),
            modeldata=model_data(self.design, dict(fit.call).get("Weights")),
            package="henderson",
            variable_names=[self.design.response_name, *predictors],
        )
        super().__init__(fit, vault)

    def validation(self) -> None:
        """Set what the package's own validation sets; the data and the formula have been checked by the fit."""
        self.coef = self.vault.coef
        self.response_name = self.design.response_name
        self.formula = self.vault.formula
        self.vault.variables_type = {name: self._type(name) for name in self.vault.variable_names[1:]}

    def _type(self, name: str) -> str:
        """How the package varies a variable: by levels, as True and False, as 0 and 1, or as a number."""
        kind = kind_of(self.design, name)
        if kind == "category" or name in self.coerced:
            return "character"
        if kind == "boolean":
            return "boolean"
        return "binary" if np.isin(numbers(self.design, name), (0.0, 1.0)).all() else "numeric"

    def difference(self, variables: Any = None) -> float:
        """A step for slopes: 1e-4 of the smallest range of the variables (all numeric ones for None)."""
        names = [variables] if isinstance(variables, str) else variables or self.vault.variable_names[1:]
        ranges = [np.ptp(numbers(self.design, n)) for n in names if self.get_variable_type(n) in ("numeric", "binary")]
        return 1e-4 * float(min((size for size in ranges if size > 0), default=1.0))

    @property
    def df_resid(self) -> float:
        """The smallest degrees of freedom of any coefficient: the package uses one number for all its rows."""
        df = self.tests.df(np.eye(len(self.vault.coef)))
        return float(np.min(df, initial=np.inf))

    def get_df(self) -> float:
        """As `df_resid`, for joint tests."""
        return self.df_resid

    def get_vcov(self, vcov: Any = True) -> Matrix | None:
        """The covariance matrix of the coefficients, or one of another kind by its name."""
        if vcov is None or vcov is False:
            return None
        if vcov is True:
            return np.asarray(self.tests.covariance)
        if isinstance(vcov, str):
            return np.asarray(fixed_effect_tests(self.fit, _rule(vcov), vcov).covariance)
        raise errors.choice("vcov", vcov, KINDS)

    def get_exog(self, newdata: pl.DataFrame) -> Matrix:
        """The columns of X that were kept, and the offset if the model has one; NaN rows are not estimable."""
        design = self.design
        wanted = {
            *self.vault.variable_names[1:],
            *(n.name for node in design.formula.offsets for n in columns_of(node)),
        }
        names = [name for name in newdata.columns if name in wanted and kind_of(design, name)]
        table = {name: self._column(name, newdata[name]) for name in names}
        if design.recipe.offset_column in newdata.columns:
            table[design.recipe.offset_column] = newdata[design.recipe.offset_column].cast(pl.Float64).to_numpy()
        rows = rows_at(design, table, newdata.height)
        x = rows.x_matrix()
        kept = self.estimability.on_kept(x)
        kept[~self.estimability.is_estimable(x)] = np.nan
        if design.offset is None:
            return kept
        offset = np.zeros(len(x)) if rows.offset is None else rows.offset
        argument = design.recipe.offset
        if argument is not None and design.recipe.offset_column is None:
            is_known = OFFSET in newdata.columns
            offset = offset + (newdata[OFFSET].to_numpy() if is_known else float(argument.mean()))
        return np.column_stack([kept, offset])

    def _column(self, name: str, values: pl.Series) -> Any:
        """A column of new data in the type that the model was fitted to."""
        if kind_of(self.design, name) == "boolean":
            return values.cast(pl.Boolean).to_numpy()
        if kind_of(self.design, name) == "number":
            return values.cast(pl.Float64).to_numpy()
        labels = levels_of(self.design, name).levels.labels
        codes = {level_text(label): code for code, label in enumerate(labels.tolist())}
        texts = values.cast(pl.String).to_list()
        for row, text in enumerate(texts):
            if text is not None and text not in codes:
                raise errors.level_unseen(name, text, row, list(codes))
        return pd.Categorical.from_codes([codes.get(text, -1) for text in texts], pd.Index(labels))

    def prepared(self, newdata: Any) -> Any:
        """A table of new rows with its factors as the package wants them; anything else as it is."""
        if isinstance(newdata, pd.DataFrame):
            varied = [name for name in newdata.columns if name in self.vault.variable_names[1:]]
            rest = newdata.drop(columns=varied)
            columns = [pl.Series(name, newdata[name].to_list(), strict=False) for name in varied]
            return self.prepared(pl.DataFrame([*columns, *pl.from_pandas(rest).get_columns()]))
        if not isinstance(newdata, pl.DataFrame):
            return newdata
        variables = self.vault.variable_names[1:]
        factors = [n for n in variables if kind_of(self.design, n) == "category" and n in newdata.columns]
        series = []
        for name in factors:
            known = levels_of(self.design, name).levels.texts()
            texts = [
                None if value is None or value != value else level_text(value) for value in newdata[name].to_list()
            ]
            unknown = [row for row, text in enumerate(texts) if text is not None and text not in known]
            if unknown:
                raise errors.level_unseen(name, texts[unknown[0]], unknown[0], known)
            series.append(pl.Series(name, texts, dtype=pl.Enum(known)))
        again: Any = newdata.with_columns(series)
        if hasattr(newdata, "datagrid_explicit"):  # what `datagrid` notes about its grid
            again.datagrid_explicit = newdata.datagrid_explicit
        return again

    def get_predict(self, params: Any, newdata: Matrix) -> pl.DataFrame:
        """Predictions at the rows of a matrix that `get_exog` made."""
        x = np.asarray(newdata)
        count = len(self.vault.coef)
        estimate = x[:, :count] @ np.asarray(params, dtype=np.float64)
        if x.shape[1] > count:
            estimate = estimate + x[:, count]
        return pl.DataFrame({"rowid": pl.Series(range(len(x)), dtype=pl.Int32), "estimate": estimate})

    def get_autodiff_args(self) -> dict[str, str] | str:
        """The package may differentiate exactly, unless there is an offset."""
        return {"model_type": "linear"} if self.design.offset is None else "models with offset or exposure"


def model_data(design: DesignMatrices, weights: str | None) -> pl.DataFrame:
    """Response, variables of the fixed effects, offset and weights at the rows used; factors as Enum."""
    require_rows(design.y)
    columns = {design.response_name: pl.Series(design.response_name, design.y)}
    predictors = grid_names(design)[0]
    for name in (*predictors, *(found.name for node in design.formula.offsets for found in columns_of(node))):
        kind = kind_of(design, name)
        if kind in ("number", "boolean"):
            values = numbers(design, name)
            columns[name] = pl.Series(name, values.astype(bool) if kind == "boolean" else values)
        elif kind == "category":
            categories = levels_of(design, name)
            texts = categories.levels.texts()
            labels = np.array(texts, dtype=object)[categories.codes]
            columns[name] = pl.Series(name, labels.tolist(), dtype=pl.Enum(texts))
    extra = {weights: design.weights, design.recipe.offset_column or OFFSET: design.recipe.offset}
    for label, given in extra.items():
        if label is not None and given is not None:
            columns.setdefault(label, pl.Series(label, given))
    return pl.DataFrame([column for name, column in columns.items() if name not in RESERVED or name in predictors])


def _rule(vcov: str) -> str:
    return "kenward-roger" if vcov == "kenward-roger" else "satterthwaite"


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f"`{name}`"
