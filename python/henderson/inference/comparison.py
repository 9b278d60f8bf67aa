"""Likelihood-ratio tests between fitted models, in the layout of lme4's ``anova``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson import errors_models
from henderson.absent import first_change, in_one_place, same_values
from henderson.inference import nesting
from henderson.inference.mixtures import Mixture, chi_square_tail
from henderson.significance import AnovaTable, TableColumn
from henderson.submodel import by_criterion

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

REFITTED = "refitting model(s) with ML (instead of REML)"
BY_REML = "comparing restricted likelihoods: the fixed effects are the same"
SAME = 1e-6
"""Deviances that differ by less than this are those of the same optimum."""


def compare(
    models: Sequence[LinearMixedModel], refit: bool = True, *, names: Sequence[str] | None = None
) -> AnovaTable:
    """Compare models of the same response by likelihood-ratio tests, each with the one before it.

    Parameters
    ----------
    models
        Two or more fits, in any order; the table is sorted by the number of parameters.
    refit
        Fit REML fits again by maximum likelihood. False compares them as they are, which needs the same fixed effects.
    names
        What to call the models; by default m1, m2, ... in the order given.

    Returns
    -------
    AnovaTable
        Prints as lme4's ``anova``. ``.to_frame()`` has the columns npar, aic, bic, loglik, deviance (minus twice the
        log likelihood), statistic, df, p_value and p_value_mixture; the latter is given where variances are tested.

    Raises
    ------
    DataError
        The models are not of the same response, rows and weights; or they are REML fits with different fixed effects
        and `refit` is False.

    Notes
    -----
    The statistic is the difference of the deviances, referred to chi-square with the difference in the number of
    parameters. A variance cannot be negative: where the smaller model sets one to zero, the right distribution is a
    mixture, and the p-value of the mixture is given beside the conservative one [1].

    References
    ----------
    1. Stram, D. O. and Lee, J. W. (1994). Variance components testing in the longitudinal mixed effects model.
       Biometrics 50, 1171-1177.

    Examples
    --------
    >>> import henderson as hd
    >>> sleepstudy = hd.datasets.load_sleepstudy()
    >>> m0 = hd.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy)
    >>> m1 = hd.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    >>> found = compare([m1, m0], names=["m1", "m0"]).to_frame()
    >>> found[["npar", "deviance", "statistic"]].round(2).reset_index()
      model  npar  deviance  statistic
    0    m0     4   1794.08        NaN
    1    m1     6   1751.94      42.14
    """
    if not models:
        raise errors_models.no_models()
    named = _named(models, names)
    _require_same_data(named)
    fits, message = _by_one_criterion(named, refit)
    order = sorted(range(len(fits)), key=lambda i: fits[i].n_parameters)
    labels, fits = [named[i][0] for i in order], [fits[i] for i in order]
    tests = [_NONE, *(_test(small, large) for small, large in pairwise(fits))]
    data = dict(fits[0].call).get("Data")
    heading = [*([message] if message else []), *([f"Data: {data}"] if data else []), "Models:"]
    heading += [f"{label}: {fit.formula}" for label, fit in zip(labels, fits, strict=True)]
    return AnovaTable(
        (*heading,), tuple(labels), _columns(fits, tests), _notes(labels, fits, tests), index_name="model"
    )


@dataclass(frozen=True)
class _Test:
    """A model against the one before it."""

    statistic: float
    df: int
    mixture: Mixture | None
    is_nested: bool

    @property
    def p_value(self) -> float:
        return chi_square_tail(self.statistic, self.df) if self.df > 0 else math.nan

    @property
    def p_value_mixture(self) -> float:
        return math.nan if self.mixture is None else self.mixture.tail(self.statistic)


_NONE = _Test(math.nan, 0, None, True)


def _test(small: LinearMixedModel, large: LinearMixedModel) -> _Test:
    df = large.n_parameters - small.n_parameters
    variances = nesting.variances_added(small.design, large.design)
    is_nested = variances is not None and df > 0 and nesting.fixed_effects_nested(small.design, large.design)
    mixture = Mixture(df, variances) if is_nested and variances else None
    return _Test(max(0.0, small.criterion - large.criterion), df, mixture, is_nested)


def _named(models: Sequence[Any], names: Sequence[str] | None) -> list[tuple[str, LinearMixedModel]]:
    for place, model in enumerate(models, 1):
        if not (hasattr(model, "design") and hasattr(model, "criterion")):
            raise errors_models.not_a_model(place, model)
    if names is None:
        names = [f"m{place}" for place in range(1, len(models) + 1)]
    elif isinstance(names, str) or len(names) != len(models) or len(set(map(str, names))) != len(models):
        raise errors_models.names_mismatch(names, len(models))
    return list(zip(map(str, names), map(in_one_place, models), strict=True))


def _require_same_data(named: Sequence[tuple[str, LinearMixedModel]]) -> None:
    first, one = named[0]
    for name, other in named[1:]:
        a, b = one.design, other.design
        if a.n != b.n:
            raise errors_models.rows_differ(first, a.n, name, b.n)
        if not same_values(a.y, b.y):
            raise errors_models.responses_differ(first, a.response_name, name, b.response_name, first_change(a.y, b.y))
        if not same_values(_weights(one), _weights(other)):
            raise errors_models.weights_differ(first, name)


def _weights(model: LinearMixedModel) -> Any:
    weights = model.design.weights
    return np.ones(model.design.n) if weights is None else weights


def _by_one_criterion(
    named: Sequence[tuple[str, LinearMixedModel]], refit: bool
) -> tuple[list[LinearMixedModel], str | None]:
    """The fits to compare, and what to say about them."""
    models = [model for _, model in named]
    if not any(model.is_reml for model in models):
        return models, None
    if refit:
        return [by_criterion(model, reml=False) for model in models], REFITTED
    first, one = named[0]
    for name, other in named[1:]:
        if one.is_reml != other.is_reml:
            raise errors_models.criteria_differ(*((first, name) if one.is_reml else (name, first)))
        if not nesting.same_fixed_effects(one.design, other.design):
            raise errors_models.restricted_likelihoods(first, name)
    return models, BY_REML


def _columns(fits: Sequence[LinearMixedModel], tests: Sequence[_Test]) -> tuple[TableColumn, ...]:
    mixtures = [test.p_value_mixture for test in tests]
    has_mixture = not all(map(math.isnan, mixtures))
    df = [test.df if i else math.nan for i, test in enumerate(tests)]
    return (
        TableColumn("npar", "npar", [fit.n_parameters for fit in fits]),
        TableColumn("aic", "AIC", [fit.aic for fit in fits]),
        TableColumn("bic", "BIC", [fit.bic for fit in fits]),
        TableColumn("loglik", "logLik", [fit.loglik for fit in fits]),
        TableColumn("deviance", "deviance", [fit.criterion for fit in fits]),
        TableColumn("statistic", "Chisq", [test.statistic for test in tests], "statistic"),
        TableColumn("df", "Df", df, "df"),
        TableColumn("p_value_mixture", "Pr(>Chibar)" if has_mixture else "", mixtures, "p_value"),
        TableColumn("p_value", "Pr(>Chisq)", [test.p_value for test in tests], "p_value"),
    )


def _notes(labels: Sequence[str], fits: Sequence[LinearMixedModel], tests: Sequence[_Test]) -> tuple[str, ...]:
    notes = []
    mixed = [(label, test, test.mixture) for label, test in zip(labels, tests, strict=True) if test.mixture is not None]
    if mixed:
        notes.append(errors_models.boundary_note([(f"'{n}'", str(mix), mix.variances) for n, _, mix in mixed]))
    flat = [f"'{label}'" for label, test, _ in mixed if test.statistic < SAME]
    if flat:
        notes.append(errors_models.estimated_at_boundary_note(flat))
    for (small, large), test in zip(pairwise(labels), tests[1:], strict=True):
        if not test.is_nested:
            notes.append(errors_models.not_nested_note(small, large))
    unconverged = [f"'{label}'" for label, fit in zip(labels, fits, strict=True) if not fit.converged]
    if unconverged:
        notes.append(errors_models.unconverged_note(unconverged))
    return tuple(notes)


def anova(
    *models: LinearMixedModel, refit: bool = True, names: Sequence[str] | None = None, **options: Any
) -> AnovaTable | Any:
    """Compare fitted models by likelihood-ratio tests; for a single one, test its fixed effects.

    Parameters
    ----------
    models
        Fits of the same response.
    refit, names
        See `compare`.
    options
        For a single model: those of its ``anova()``.

    Returns
    -------
    AnovaTable
        Or, for a single model, what its ``anova()`` gives.

    Examples
    --------
    >>> import henderson as hd
    >>> sleepstudy = hd.datasets.load_sleepstudy()
    >>> m0 = hd.lmer("Reaction ~ 1 + (Days | Subject)", sleepstudy)
    >>> m1 = hd.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    >>> print(anova(m0, m1))
    refitting model(s) with ML (instead of REML)
    Models:
    m1: Reaction ~ 1 + (Days | Subject)
    m2: Reaction ~ Days + (Days | Subject)
       npar    AIC    BIC  logLik deviance  Chisq Df Pr(>Chisq)
    m1    5 1785.5 1801.4 -887.74   1775.5
    m2    6 1763.9 1783.1 -875.97   1751.9 23.537  1  1.226e-06 ***
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    """
    if len(models) == 1:
        return models[0].anova(**options)
    if options:
        raise errors_models.options_of_one_model(options)
    return compare(models, refit, names=names)
