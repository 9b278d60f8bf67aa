"""Models with given parameters, before there are data: responses to a planned design, and a model of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from henderson import draws, truth
from henderson.compiling import compile_design
from henderson.design import DesignMatrices, build_design
from henderson.errors import argument_type, random_term_missing
from henderson.formula import Formula, parse_formula
from henderson.model import LinearMixedModel
from henderson.optimum import GIVEN, Optimum
from henderson.options import check_reml
from henderson.simulation import drawn
from henderson.tables import open_table

if TYPE_CHECKING:
    import pandas as pd

    from henderson.draws import NormalDraws
    from henderson.truth import Truth


def simulate(
    formula: str | Formula,
    data: Any,
    *,
    fixef: Any,
    sigma: float,
    varcorr: Any = None,
    theta: ArrayLike | None = None,
    n: int = 1,
    seed: int | None = None,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Draw responses to a design from given parameters, without fitting anything.

    Parameters
    ----------
    formula
        As for `lmer`; the response may be left out.
    data
        A table with the columns of the right side; the response is not looked at.
    fixef
        The fixed effects, by name as `lmer` names them (``{"(Intercept)": 250, "Days": 10}``) or in their order.
    sigma
        Residual standard deviation.
    varcorr
        Covariances of the random effects: standard deviations and correlations by name
        (``{"sd_(Intercept)|Subject": 25, "sd_Days|Subject": 6, "cor_Days.(Intercept)|Subject": 0.1}``; correlations
        left out are zero), covariance matrices or the variance of a single effect by random term
        (``{"Subject": 600}``), or the varcorr of a fit.
    theta
        The same in lme4's coordinates, relative to sigma.
    n
        Number of responses.
    seed
        The same seed gives the same responses to the last bit; None draws one, see ``result.attrs["seed"]``.
    weights, offset, contrasts, context
        As for `lmer`.

    Returns
    -------
    DataFrame
        One row per row of the data without missing values, columns sim_1, sim_2, ...

    Raises
    ------
    DataError
        A parameter is missing, unknown or impossible.

    Examples
    --------
    >>> import henderson as hd
    >>> plan = {"x": [0, 1] * 20, "subject": [i // 4 for i in range(40)]}
    >>> y = hd.simulate(
    ...     "~ x + (1 | subject)", plan, fixef={"(Intercept)": 1, "x": 0.5}, varcorr={"subject": 0.25}, sigma=1
    ... )
    >>> y.shape
    (40, 1)
    """
    import pandas as pd

    count, seed = draws.checked_count(n), draws.checked_seed(seed)
    options = {"weights": weights, "offset": offset, "contrasts": contrasts, "context": context}
    design = planned_design(formula, data, options)
    parameters = truth.given(design, fixef=fixef, theta=theta, varcorr=varcorr, sigma=sigma)
    source = with_offset(parameters.draws(design, range(len(design.x))), design)
    columns = [f"sim_{i + 1}" for i in range(count)]
    table = pd.DataFrame(drawn(source, seed, count).T, index=design.index, columns=columns, copy=False)
    table.attrs["seed"] = seed
    return table


def model_from_parameters(
    formula: str | Formula,
    data: Any,
    *,
    fixef: Any,
    sigma: float,
    varcorr: Any = None,
    theta: ArrayLike | None = None,
    reml: bool = True,
    seed: int = 0,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> LinearMixedModel:
    """Make a model of a planned design with given parameters, for `power`, `simulate` and `refit`.

    Parameters
    ----------
    formula, data, fixef, sigma, varcorr, theta, weights, offset, contrasts, context
        As for `simulate`.
    reml
        The criterion that responses will be fitted by.
    seed
        Of the response that the model holds.

    Returns
    -------
    LinearMixedModel
        Its parameters are those given, its standard errors what they imply for the design. Its response is one draw,
        moved and scaled so that theta gives just these fixed effects and sigma.

    Notes
    -----
    theta is not the optimum for that response: degrees of freedom, tests and intervals that need an optimum mean
    nothing. `power` fits to responses of its own.

    Examples
    --------
    >>> import henderson as hd
    >>> plan = {"x": [0, 1] * 20, "subject": [i // 4 for i in range(40)]}
    >>> model = hd.model_from_parameters(
    ...     "y ~ x + (1 | subject)", plan, fixef={"(Intercept)": 1, "x": 0.5}, varcorr={"subject": 0.25}, sigma=1
    ... )
    >>> model.fixef.round(6).to_dict(), round(model.sigma, 6)
    ({'(Intercept)': 1.0, 'x': 0.5}, 1.0)
    """
    check_reml(reml)
    options = {"weights": weights, "offset": offset, "contrasts": contrasts, "context": context}
    design = planned_design(formula, data, options)
    parameters = truth.given(design, fixef=fixef, theta=theta, varcorr=varcorr, sigma=sigma)
    design.formula.require_mixed()
    return _with_parameters(design, parameters, bool(reml), draws.checked_seed(seed))


def planned_design(formula: str | Formula, data: Any, options: Mapping[str, Any]) -> DesignMatrices:
    """The design of a formula whose response is not in the data; y is zero."""
    context = options["context"]
    if context is not None and not isinstance(context, Mapping):
        raise argument_type("context", context, "a dict of functions and constants by name")
    table = open_table(data)
    parsed = formula if isinstance(formula, Formula) else parse_formula(formula)
    if not parsed.random_terms:
        raise random_term_missing(parsed.text)
    used = [options[name] for name in ("weights", "offset")]
    parsed = parsed.expand_dot(name for name in table.names if name not in used)
    right = Formula.of(parsed.text, None, parsed.fixed, parsed.random_terms, parsed.offsets)
    design = build_design(right, table, needs_response=False, **options)
    return replace(design, formula=parsed, response_name=parsed.response_label)


def with_offset(source: NormalDraws, design: DesignMatrices) -> NormalDraws:
    """Draws with the offset of a design added to their mean."""
    return source if design.offset is None else replace(source, mean=source.mean + design.offset)


def _with_parameters(design: DesignMatrices, parameters: Truth, reml: bool, seed: int) -> LinearMixedModel:
    """A model at given parameters, with a response whose estimates at their theta are the others.

    With beta* and sigma* the estimates from a draw y at theta, those from X beta + (y - X beta*) sigma / sigma* are
    beta and sigma.
    """
    source = parameters.draws(design, range(len(design.x)))
    response = drawn(source, seed, 1)[0]
    problem = compile_design(design, response, 0)
    at = problem.solve(response, parameters.theta, reml)
    for j, coefficient in zip(problem.kept, at.beta, strict=True):
        column = design.x[j]
        response -= coefficient if column is None else coefficient * column
    y = source.mean + response * (parameters.sigma / at.sigma)
    sizes = tuple(len(term.columns) for term in design.terms)
    optimum = Optimum(
        parameters.theta,
        problem.criterion(y, parameters.theta, reml),
        0,
        0,
        GIVEN,
        math.nan,
        math.nan,
        math.nan,
        parameters.ranks,
        sizes,
        (),
    )
    whole = replace(design, y=y if design.offset is None else y + design.offset)
    model = LinearMixedModel(whole, problem, None, y, reml, ())
    model.optimum = optimum
    return model
