"""A fit with statsmodels' names: `MixedLMResults`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_mixedlm
from henderson.interop import mixedlm_effects, mixedlm_model
from henderson.interop.mixedlm_formula import MixedLMFormula, Structure
from henderson.interop.mixedlm_names import INTERCEPT, ColumnNames, column_names
from henderson.model import LinearMixedModel

if TYPE_CHECKING:
    import pandas as pd

    from henderson.inference.contrast import Contrasts
    from henderson.interop.mixedlm_effects import GroupEffects
    from henderson.significance import AnovaTable

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

IGNORED = (
    *(
        "method",
        "start_params",
        "niter_sa",
        "do_cg",
        "full_output",
        "use_sparse",
        "eval_env",
        "maxiter",
        "gtol",
        "ftol",
    ),
    *("eps", "maxcor", "tol", "xtol", "disp", "maxls", "maxfun", "retall", "skip_hessian"),
)
"""Arguments of statsmodels that say how to search for the optimum, or change nothing there either."""

REFUSED = ("free", "fe_pen", "cov_pen")


def check_fit_options(options: dict[str, Any], known: Sequence[str]) -> None:
    """Accept what changes nothing, and nothing else."""
    for name, value in options.items():
        if name == "na_action":
            raise errors_mixedlm.option_elsewhere(name, "missing")
        if name in REFUSED and value is not None:
            raise errors_mixedlm.option_refused(name)
        if name not in IGNORED and name not in REFUSED:
            raise errors_mixedlm.option_unknown(name, known)


class MixedLMResults(LinearMixedModel):
    """A fitted linear mixed model as `mixedlm` returns it: statsmodels' names, with patsy's labels, besides all others.

    Names that `LinearMixedModel` has mean the same here and have lme4's labels (``fit.fixef["(Intercept)"]``); those of
    statsmodels have patsy's (``fit.fe_params["Intercept"]``), in patsy's order. Tests are t tests with Satterthwaite's
    degrees of freedom.
    """

    @property
    def _structure(self) -> Structure:
        formula = self.design.formula
        if not isinstance(formula, MixedLMFormula):
            raise errors_mixedlm.other_formula(self.formula)
        return formula.structure

    def fit(self, *, reml: bool | None = None, **ignored: Any) -> MixedLMResults:
        """The fit itself: the second step of statsmodels' ``mixedlm(...).fit()``.

        Parameters
        ----------
        reml
            Restricted maximum likelihood or, False, maximum likelihood; the model is fitted again if it was fitted by
            the other one. None: as it was fitted.
        **ignored
            Arguments that say how to search, such as method and maxiter; they change nothing.

        Examples
        --------
        >>> import henderson as hd
        >>> model = hd.mixedlm("Yield ~ 1", hd.datasets.load_dyestuff(), groups="Batch")
        >>> model.fit(reml=False, method="lbfgs").cov_re.round(1)
                Batch
        Batch  1388.3
        """
        check_fit_options(ignored, ("reml", *IGNORED))
        if reml is None or reml == self.is_reml:
            return self
        from henderson.options import check_reml

        check_reml(reml)
        found = self._problem.fit(self._y, reml)
        return MixedLMResults(self.design, self._problem, found, self._y, reml, self.call)

    # --------------------------------------------------------------------------------------------------- fixed effects

    @cached_property
    def _columns(self) -> ColumnNames:
        """All columns of X."""
        formula = self.design.formula
        original = formula.structure.original if isinstance(formula, MixedLMFormula) else {}
        return column_names(formula.fixed, self.design.recipe.variables, original)

    @cached_property
    def _places(self) -> list[int]:
        """Place among those kept of each column of X that was kept, in patsy's order."""
        places = {column: place for place, column in enumerate(self.kept)}
        return [places[column] for column in self._columns.order if column in places]

    @cached_property
    def _labels(self) -> list[str]:
        return [self._columns.names[self.kept[place]] for place in self._places]

    def _series(self, values: Any) -> pd.Series[float]:
        """One value for each fixed effect kept, with patsy's names and in patsy's order."""
        import pandas as pd

        return pd.Series(np.asarray(values, dtype=np.float64)[self._places], index=self._labels)

    @property
    def fe_params(self) -> pd.Series[float]:
        """Fixed effects."""
        return self._series(self.solution.beta)

    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects, and nothing else: variances are in `cov_re` and `vcomp`."""
        return self.fe_params

    @property
    def bse_fe(self) -> pd.Series[float]:
        """Standard errors of the fixed effects."""
        return self._series(self.stderror)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the fixed effects; those of variances are in `bse_re`."""
        return self.bse_fe

    @property
    def tvalues(self) -> pd.Series[float]:
        """Fixed effects over their standard errors."""
        return self.fe_params / self.bse_fe

    @property
    def pvalues(self) -> pd.Series[float]:
        """P-values of t tests of the fixed effects, with Satterthwaite's degrees of freedom."""
        return self._series(self.p_values)

    def cov_params(self) -> pd.DataFrame:
        """Covariance matrix of the fixed effects."""
        import pandas as pd

        matrix = np.asarray(self.solution.unscaled_vcov)[np.ix_(self._places, self._places)] * self.scale
        return pd.DataFrame(matrix, index=self._labels, columns=self._labels)

    @property
    def normalized_cov_params(self) -> Matrix:
        """Covariance matrix of the fixed effects, over the residual variance."""
        return np.asarray(self.solution.unscaled_vcov)[np.ix_(self._places, self._places)]

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Intervals of the fixed effects from t quantiles with Satterthwaite's degrees of freedom, columns 0 and 1."""
        limits = self.confint(1.0 - alpha, ddf="satterthwaite").iloc[self._places]
        return limits.set_axis(self._labels, axis=0).set_axis([0, 1], axis=1)

    def t_test(self, r_matrix: Any, use_t: bool | None = None) -> Contrasts:
        """Test linear functions of the fixed effects one by one.

        Parameters
        ----------
        r_matrix
            A row for each, a column for each fixed effect in the order of `fe_params`; or text as in `contrast`.
        use_t
            False for z tests.
        """
        found: Any = self.contrast(self._restrictions(r_matrix), ddf="normal" if use_t is False else "satterthwaite")
        return found  # type: ignore[no-any-return]

    def f_test(self, r_matrix: Any) -> AnovaTable:
        """Test linear functions of the fixed effects jointly; see `t_test` and, for more, `contrast`."""
        found: Any = self.contrast(self._restrictions(r_matrix), joint=True)
        return found  # type: ignore[no-any-return]

    wald_test = f_test

    def _restrictions(self, r_matrix: Any) -> Any:
        if isinstance(r_matrix, str | dict) or (isinstance(r_matrix, list) and isinstance(r_matrix[0], str)):
            return r_matrix
        rows = np.atleast_2d(np.asarray(r_matrix, dtype=np.float64))
        if rows.ndim != 2 or rows.shape[1] != len(self._labels):
            raise errors_mixedlm.restriction_shape(np.shape(r_matrix), self._labels)
        own = np.zeros_like(rows)
        own[:, self._places] = rows
        return own

    # ------------------------------------------------------------------------------------------------------- variances

    @property
    def scale(self) -> float:
        """Residual variance."""
        return self.sigma**2

    def _term(self, part: int) -> int:
        """The random term of a part of the formula."""
        return next(t for t, term in enumerate(self.design.terms) if term.part == part)

    @cached_property
    def _re(self) -> tuple[int, tuple[int, ...], tuple[str, ...]] | None:
        """Of the effects of ``re_formula``: their term, patsy's order, and patsy's names in that order."""
        structure = self._structure
        if structure.re is None:
            return None
        side = self.design.formula.random_terms[structure.re].effects
        columns = column_names(side, self.design.recipe.variables, structure.original)
        names = [columns.names[place].replace(INTERCEPT, structure.label) for place in columns.order]
        return self._term(structure.re), columns.order, tuple(names)

    @property
    def cov_re(self) -> pd.DataFrame:
        """Covariance matrix of the effects of ``re_formula``; empty if there are none."""
        import pandas as pd

        if self._re is None:
            return pd.DataFrame(np.empty((0, 0)))
        term, order, names = self._re
        matrix = self.varcorr.terms[term].covariance[np.ix_(order, order)]
        return pd.DataFrame(matrix, index=list(names), columns=list(names))

    @property
    def cov_re_unscaled(self) -> pd.DataFrame:
        """`cov_re` over the residual variance."""
        return self.cov_re / self.scale

    @property
    def vcomp(self) -> Vector:
        """Variances of the components of ``vc_formula``, sorted by name."""
        terms = self.varcorr.terms
        return np.array([terms[self._term(one.part)].covariance[0, 0] for one in self._structure.components])

    @property
    def vcomp_names(self) -> tuple[str, ...]:
        """Names of the components, in the order of `vcomp`."""
        return tuple(one.name for one in self._structure.components)

    def variance_frame(self) -> pd.DataFrame:
        """Variances and covariances by statsmodels' names, with their standard errors.

        Returns
        -------
        DataFrame
            Columns estimate and std_error; rows "g Var", "g x x Cov", "x Var", then the components.

        Notes
        -----
        From the observed information, as in `variance_parameters`; NaN at the boundary.
        """
        import pandas as pd

        found = self.variance_parameters()
        at = {label: place for place, label in enumerate(found.labels)}
        rows: dict[str, int] = {}
        if self._re is not None:
            term, order, names = self._re
            own = self.design.terms[term]
            for i, row in enumerate(order):
                for j, column in enumerate(order[: i + 1]):
                    first, second = sorted((row, column))
                    pair = (own.label, own.names[first], None if i == j else own.names[second])
                    rows[f"{names[i]} Var" if i == j else f"{names[j]} x {names[i]} Cov"] = at[pair]
        for one in self._structure.components:
            own = self.design.terms[self._term(one.part)]
            rows[f"{one.name} Var"] = at[own.label, own.names[0], None]
        places = list(rows.values())
        columns = {"estimate": found.estimates[places], "std_error": found.std_errors[places]}
        return pd.DataFrame(columns, index=list(rows))

    @property
    def bse_re(self) -> pd.Series[float]:
        """Standard errors of `cov_re`, lower triangle row by row, and of `vcomp`; NaN at the boundary."""
        return self.variance_frame()["std_error"]

    # -------------------------------------------------------------------------------------------------- random effects

    @cached_property
    def _group_effects(self) -> GroupEffects:
        re = None if self._re is None else (self._re[1], self._re[2])
        return mixedlm_effects.group_effects(self, self._structure, re)

    @cached_property
    def random_effects(self) -> dict[Any, pd.Series[float]]:
        """Conditional means of the random effects of each group, with statsmodels' labels."""
        return self._group_effects.means(self)

    @cached_property
    def random_effects_cov(self) -> dict[Any, pd.DataFrame]:
        """Conditional covariance matrix of the random effects of each group, given the data, beta and the variances."""
        return self._group_effects.covariances(self)

    def predict(self, newdata: Any = None, *, exog: Any = None, **options: Any) -> pd.Series[float] | pd.DataFrame:
        """Predictions with the random effects of the groups, ``re=None`` for those of the population.

        Parameters
        ----------
        newdata
            A table with the columns of the formulas; None for the rows of the fit.
        exog
            statsmodels' name for it.
        **options
            As in `LinearMixedModel.predict`: re, new_groups, interval, level, ddf, weights, offset, std_error.
        """
        if exog is not None and newdata is not None:
            raise errors_mixedlm.rows_twice("exog")
        return LinearMixedModel.predict(self, newdata if exog is None else exog, **options)

    # ------------------------------------------------------------------------------------------------- words and sizes

    model = cached_property(mixedlm_model.model_of)

    @property
    def reml(self) -> bool:
        """Whether the fit is by REML."""
        return self.is_reml

    @property
    def method(self) -> str:
        """The criterion: "REML" or "ML"."""
        return "REML" if self.is_reml else "ML"

    @property
    def use_t(self) -> bool:
        """True: tests are t tests."""
        return True

    @property
    def k_fe(self) -> int:
        """Number of fixed effects."""
        return len(self.kept)

    @property
    def k_re(self) -> int:
        """Number of effects of ``re_formula``."""
        return 0 if self._re is None else len(self._re[1])

    @property
    def k_re2(self) -> int:
        """Number of elements of one triangle of `cov_re`."""
        return self.k_re * (self.k_re + 1) // 2

    @property
    def k_vc(self) -> int:
        """Number of variance components."""
        return len(self._structure.components)
