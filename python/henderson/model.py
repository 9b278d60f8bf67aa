"""The fitted model: every accessor one line, the work in the file of its topic."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import (
    augment,
    equation,
    explain,
    export,
    marginal,
    matrices,
    predict,
    ranef,
    refit,
    repca,
    residuals,
    shrinkage,
    simulation,
    submodel,
    summary,
    theta,
    tidy,
    update,
    varcorr,
)
from henderson.blocks import Blocks, describe
from henderson.compiled import Callback, CompiledProblem, Solution
from henderson.diagnostics import autocorrelation, breusch_pagan, diagnose, levene, normality, quantiles, residual_kinds
from henderson.inference import (
    anova,
    check,
    coefficients,
    contrast,
    covariance,
    deletion,
    emmeans,
    influence,
    information,
    intervals,
    kenward_roger,
    leverage,
    posterior,
    power,
    prediction_variance,
    satterthwaite,
    stepwise,
    variance_parameters,
    variance_shares,
)
from henderson.interop import maketables, marginaleffects, statsmodels
from henderson.optimum import CONVERGED, Optimum
from henderson.options import check_reml, checked_theta
from henderson.persistence import saving
from henderson.plots import overview
from henderson.row_facts import RowFacts

if TYPE_CHECKING:
    import pandas as pd

    from henderson import _core
    from henderson.design import DesignMatrices
    from henderson.solvers.stopping import StoppingRule
    from henderson.varcorr import VarCorr

Vector = NDArray[np.float64]


class LinearMixedModel:
    """A fitted linear mixed model, as `lmer` returns it.

    Values are labelled with the names lme4 prints, computed when first asked for and then kept. Properties hold what
    belongs to the fit; methods take arguments. The names of statsmodels results (params, bse, tvalues, llf, ...) answer
    too; `params` are the fixed effects only.

    Attributes
    ----------
    design
        The response, the columns of X and of the random terms, and the rows used.
    is_reml
        Whether the fit maximises the restricted likelihood.
    call
        What else was given by name, as printed: ("Data", name), ("Weights", column), ...
    """

    def __init__(
        self,
        design: DesignMatrices,
        problem: CompiledProblem,
        found: _core.Optimum | Optimum | None,
        y: Vector,
        reml: bool,
        call: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.design = design
        self._y = y  # the response as the core has it: offset subtracted
        self.is_reml = reml
        self._problem = problem
        self._found = found
        self._stand_in: LinearMixedModel | None = None
        self.call = call

    # ------------------------------------------------------------------------------------------------ what was fitted

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        return str(self.design.formula)

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.design.nobs

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        factors = dict.fromkeys(term.factor for term in self.design.terms)
        return {self.design.factors[i].name: self.design.factors[i].n_levels for i in factors}

    @property
    def index(self) -> pd.Index[Any]:
        """Row labels of the rows used."""
        index: pd.Index[Any] = self.design.index
        return index

    @cached_property
    def kept(self) -> list[int]:
        """Indices of the columns of X that were kept; the others are linear combinations of earlier ones."""
        return self._problem.kept

    @property
    def aliased(self) -> tuple[str, ...]:
        """Names of the fixed-effects columns that were dropped because earlier columns determine them."""
        kept = set(self.kept)
        return tuple(name for i, name in enumerate(self.design.x_names) if i not in kept)

    stand_in = property(submodel.stand_in)

    # ---------------------------------------------------------------------------------------------------- the optimum

    @cached_property
    def optimum(self) -> Optimum:
        """Where the optimiser ended: evaluations, decrement, certificate, trace."""
        assert self._found is not None
        return Optimum.from_core(self._found, tuple(len(term.columns) for term in self.design.terms))

    @cached_property
    def solution(self) -> Solution:
        """Unlabelled arrays: fixed effects, conditional modes, log-determinants."""
        return self._problem.solve(self._y, self.optimum.theta, self.is_reml)

    @cached_property
    def blocks(self) -> Blocks:
        """How the Cholesky factor is stored and what one evaluation of the criterion costs; print it."""
        return describe(self._problem.block_description, [factor.name for factor in self.design.factors])

    @property
    def converged(self) -> bool:
        """Whether the optimiser met its tolerance."""
        return self.optimum.status == CONVERGED

    @property
    def is_singular(self) -> bool:
        """Whether the covariance matrix of some random term has less than full rank."""
        return self.optimum.is_singular

    @cached_property
    def theta(self) -> pd.Series[float]:
        """Relative covariance parameters: lme4's order and names."""
        import pandas as pd

        terms = self.design.terms
        names = theta.labels([term.group for term in terms], [term.names for term in terms])
        return pd.Series(self.optimum.theta, index=names, name="theta")

    @property
    def criterion(self) -> float:
        """What was minimised: the REML criterion, or the deviance for a maximum-likelihood fit."""
        return self.optimum.criterion

    @cached_property
    def deviance(self) -> float:
        """Minus twice the log-likelihood (not restricted) at theta, beta and sigma profiled out."""
        return self.criterion_at(reml=False)

    @cached_property
    def reml_criterion(self) -> float:
        """Minus twice the restricted log-likelihood at theta, sigma profiled out."""
        return self.criterion_at(reml=True)

    def criterion_at(self, theta: ArrayLike | None = None, *, reml: bool | None = None) -> float:
        """REML criterion or deviance at any theta (default: the estimate, and the criterion of the fit)."""
        own = self.optimum.theta
        if reml is not None:
            check_reml(reml)
        at = own if theta is None else checked_theta("theta", theta, len(own))
        return self._problem.criterion(self._y, at, self.is_reml if reml is None else reml)

    check = check.check
    solve_random = posterior.solve_random
    random_leverages = cached_property(posterior.random_leverages)
    row_facts = cached_property(RowFacts)
    leverage = cached_property(leverage.leverage)
    influence = influence.influence
    information = cached_property(information.information)
    _satterthwaite = cached_property(satterthwaite.satterthwaite)
    _kenward_roger = cached_property(kenward_roger.kenward_roger)
    _prediction_variances = cached_property(prediction_variance.Variances)

    # ------------------------------------------------------------------------------------------ likelihood and its like

    @property
    def loglik(self) -> float:
        """Log-likelihood (restricted, for a REML fit): minus half the criterion."""
        return -0.5 * self.criterion

    @property
    def n_parameters(self) -> int:
        """Number of parameters: fixed effects, thetas and sigma."""
        return len(self.kept) + len(self.optimum.theta) + 1

    @property
    def df_resid(self) -> int:
        """Rows minus parameters."""
        return self.nobs - self.n_parameters

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 loglik + 2 n_parameters (of the restricted likelihood, for a REML fit)."""
        return self.criterion + 2 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 loglik + log(nobs) n_parameters (restricted, for a REML fit)."""
        return self.criterion + math.log(self.nobs) * self.n_parameters

    # --------------------------------------------------------------------------------------------------- fixed effects

    @cached_property
    def fixef(self) -> pd.Series[float]:
        """Estimates of the fixed effects that are not aliased."""
        import pandas as pd

        names = [self.design.x_names[i] for i in self.kept]
        return pd.Series(self.solution.beta, index=names, name="fixef")

    vcov = cached_property(covariance.vcov)

    stderror = cached_property(coefficients.standard_errors)
    df = property(coefficients.degrees_of_freedom)
    p_values = property(coefficients.p_values)
    coefficients = cached_property(coefficients.coefficients)
    contrast = contrast.contrast
    anova = anova.anova
    drop1 = deletion.drop1
    ranova = deletion.ranova
    step = stepwise.step

    confint = intervals.confint
    profile = intervals.profile
    bootstrap = intervals.bootstrap
    emtrends = emmeans.emtrends
    emmeans = emmeans.emmeans
    to_marginaleffects = marginaleffects.adapter

    # -------------------------------------------------------------------------------------------------- random effects

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.solution.sigma

    @cached_property
    def varcorr(self) -> VarCorr:
        """Variances and correlations of the random effects; prints as lme4's VarCorr, `.to_frame()` for a table."""
        return varcorr.varcorr(self)

    @cached_property
    def conditional_variance_arrays(self) -> tuple[NDArray[np.float64], ...]:
        """The same unlabelled, in the order of the factor codes: per term (levels, s, s)."""
        return tuple(self._problem.conditional_variances(self._y, self.optimum.theta, self.is_reml))

    conditional_variances = cached_property(ranef.conditional_variances)
    ranef_std_error = cached_property(ranef.ranef_std_error)
    ranef_table = ranef.ranef_table
    coef = cached_property(ranef.coef)
    ranef = cached_property(ranef.ranef)

    variance_parameters = variance_parameters.variance_parameters
    icc = variance_shares.icc
    r2 = variance_shares.r2
    design_effect = variance_shares.design_effect

    shrinkage = shrinkage.shrinkage
    glance = tidy.glance
    tidy = tidy.tidy
    augment = augment.augment
    explain = explain.explain
    equation = equation.equation

    rePCA = repca.random_effects_pca  # noqa: N815 - lme4's name

    # ------------------------------------------------------------------------------------------------ rows and matrices

    @cached_property
    def fitted_values(self) -> Vector:
        """Fitted values, random effects and offset included, unlabelled, shape (n,)."""
        return residuals.conditional_mean(self)

    @cached_property
    def fitted(self) -> pd.Series[float]:
        """Fitted values, random effects and offset included, on the index of the table."""
        return self._by_row(self.fitted_values, "fitted")

    resid = property(residual_kinds.response_residuals)
    residuals = residual_kinds.residuals
    quantile_residuals = quantiles.quantile_residuals
    levene = levene.levene
    breusch_pagan = breusch_pagan.breusch_pagan
    plot = overview.diagnostics
    normality = normality.normality
    autocorrelation = autocorrelation.autocorrelation
    diagnose = diagnose.diagnose

    predict = predict.predict
    model_matrix = matrices.model_matrix
    marginal_cov = marginal.marginal_cov
    Z = cached_property(matrices.random_effects_matrix)
    Lambda = cached_property(matrices.relative_factor)

    def _by_row(self, values: Vector, name: str) -> pd.Series[float]:
        import pandas as pd

        return pd.Series(values, index=self.index, name=name)

    # ----------------------------------------------------------------------------------------------------- other fits

    simulate = simulation.simulate
    update, downdate = update.update, update.downdate
    power = power.power

    def refit(
        self,
        y: ArrayLike,
        *,
        method: str = "newton",
        start: ArrayLike | None = None,
        max_evaluations: int | None = None,
        tolerance: float = 1e-10,
        callback: Callback | StoppingRule | None = None,
    ) -> LinearMixedModel:
        """Fit another response (one value per row used) to the same design; nothing else is computed again."""
        return refit.refit(self, y, method, start, max_evaluations, tolerance, callback)

    save = saving.save
    to_dict = export.to_dict
    to_json = export.to_json

    # --------------------------------------------------------------------------------------------------------- printing

    summary = summary.summarize

    def __str__(self) -> str:
        return summary.short_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().to_html()

    def __getstate__(self) -> dict[str, Any]:
        _ = self.optimum, self.solution, self.kept  # plain values, in place of the core's objects
        return self.__dict__ | {"_found": None}

    # ------------------------------------------------------------------------------- statsmodels' and maketables' names

    params = property(statsmodels.params)
    bse = property(statsmodels.bse)
    tvalues = property(statsmodels.tvalues)
    llf = property(statsmodels.llf)
    fittedvalues = property(statsmodels.fittedvalues)
    cov_params = statsmodels.cov_params
    conf_int = statsmodels.conf_int

    __maketables_coef_table__ = property(maketables.coefficient_table)
    __maketables_depvar__ = property(maketables.response_name)
    __maketables_fixef_string__ = property(maketables.random_part)
    __maketables_vcov_info__ = property(maketables.vcov_info)
    __maketables_stat_labels__ = property(maketables.statistic_labels)
    __maketables_default_stat_keys__ = property(maketables.default_statistics)
    __maketables_stat__ = maketables.statistic
