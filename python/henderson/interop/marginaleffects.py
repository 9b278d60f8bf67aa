"""The package marginaleffects on fits: predictions, comparisons, slopes and hypotheses of the fixed effects.

marginaleffects knows a fixed set of packages and has no registry. There are two ways to it:

    from henderson.interop import marginaleffects as me     its functions for fits, with degrees of freedom by row
    me.avg_slopes(fit)

    import marginaleffects                                  the package itself, given an adapter
    marginaleffects.avg_slopes(fit.to_marginaleffects())

The functions of this module take what those of the package take, besides `ddf`, `vcov` and `cluster`. They call the
package and then give every row its own degrees of freedom: those of the t test of the contrast that its gradient is.
The package alone uses one number for all rows, and is given the smallest of any coefficient.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_fit, errors_means
from henderson.inference.degrees import FixedEffectTests, fixed_effect_tests
from henderson.inference.distributions import t_quantile, t_tail

if TYPE_CHECKING:
    from marginaleffects import MarginaleffectsResult

    from henderson.interop.marginaleffects_model import MarginalEffectsModel
    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]

STEP = 1e-3


def adapter(
    model: LinearMixedModel, *, ddf: str = "satterthwaite", vcov: Any = "model", cluster: Any = None
) -> MarginalEffectsModel:
    """Make a fit a model that the functions of the package marginaleffects take.

    Parameters
    ----------
    ddf
        Degrees of freedom: ``"satterthwaite"``, ``"kenward-roger"``, ``"residual"`` or ``"normal"``. The package uses
        one number for all rows of a result; it gets the smallest of any coefficient. The functions in
        `henderson.interop.marginaleffects` give each row its own.
    vcov
        Covariance matrix of the fixed effects: ``"model"`` or a cluster-robust kind such as ``"CR2"``.
    cluster
        What the rows are clustered by, for a robust kind.

    Raises
    ------
    ImportError
        The package is not installed.

    Notes
    -----
    Predictions are those of the population: fixed effects, and the offset if there is one. The data are the rows that
    were used, factors as their levels in text.

    Examples
    --------
    >>> import henderson as hd
    >>> import marginaleffects
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> marginaleffects.avg_slopes(fit.to_marginaleffects())["std_error"].round(4).to_list()
    [1.5458]
    """
    try:
        from henderson.interop.marginaleffects_model import MarginalEffectsModel
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in ("marginaleffects", "polars"):
            raise
        raise errors_fit.dependency_missing(name, "to_marginaleffects()", "marginaleffects") from None
    return MarginalEffectsModel(model, fixed_effect_tests(model, ddf, vcov, cluster))


def predictions(model: Any, **options: Any) -> MarginaleffectsResult:
    """Predictions by row; see `marginaleffects.predictions`."""
    return _call("predictions", model, options)


def avg_predictions(model: Any, **options: Any) -> MarginaleffectsResult:
    """Average predictions; see `marginaleffects.avg_predictions`."""
    return _call("avg_predictions", model, options)


def comparisons(model: Any, **options: Any) -> MarginaleffectsResult:
    """Differences or ratios of predictions by row; see `marginaleffects.comparisons`."""
    return _call("comparisons", model, options)


def avg_comparisons(model: Any, **options: Any) -> MarginaleffectsResult:
    """Average differences or ratios of predictions; see `marginaleffects.avg_comparisons`."""
    return _call("avg_comparisons", model, options)


def slopes(model: Any, **options: Any) -> MarginaleffectsResult:
    """Derivatives of predictions by row; see `marginaleffects.slopes`."""
    return _call("slopes", model, options)


def avg_slopes(model: Any, **options: Any) -> MarginaleffectsResult:
    """Average derivatives of predictions; see `marginaleffects.avg_slopes`.

    Examples
    --------
    >>> import henderson as hd
    >>> from henderson.interop import marginaleffects as me
    >>> fit = hd.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", hd.datasets.load_cake())
    >>> found = me.avg_slopes(fit, variables="temp", by="recipe", ddf="kenward-roger")
    >>> found["estimate"].round(3).to_list(), found["df"].round(1).to_list()
    ([0.154, 0.165, 0.156], [222.0, 222.0, 222.0])
    """
    return _call("avg_slopes", model, options)


def hypotheses(model: Any, hypothesis: Any = None, **options: Any) -> MarginaleffectsResult:
    """Test functions of the coefficients; see `marginaleffects.hypotheses`.

    With ``joint=`` (True, a list of names or positions of coefficients, or a regular expression) one F test, with the
    denominator degrees of freedom of `ddf`.
    """
    if options.get("joint", False) is not False:
        return _joint(model, hypothesis, options)
    return _call("hypotheses", model, {"hypothesis": hypothesis, **options})


def datagrid(model: Any = None, **options: Any) -> Any:
    """Make a grid of values of the variables; see `marginaleffects.datagrid`."""
    import marginaleffects

    return marginaleffects.datagrid(model if model is None or _is_adapter(model) else adapter(model), **options)


def with_degrees_of_freedom(result: MarginaleffectsResult, tests: FixedEffectTests) -> MarginaleffectsResult:
    """The same result with degrees of freedom by row, and the p-values and intervals that go with them.

    Parameters
    ----------
    result
        Of one of the package's functions, not transformed.
    tests
        The fixed effects with their degrees of freedom.

    Notes
    -----
    A row is a function of the coefficients; its gradient g (a row of ``result.jacobian``) is the contrast whose
    variance g'Vg is that of the row, and has that contrast's degrees of freedom.
    """
    import polars as pl

    data = result.data
    if result.jacobian is None or "std_error" not in data.columns:
        return result
    df = _row_df(np.asarray(result.jacobian, dtype=np.float64), tests)
    estimate, error = data["estimate"].to_numpy(), data["std_error"].to_numpy()
    p_value = t_tail(data["statistic"].to_numpy(), df)
    reach = t_quantile(result.conf_level, df) * error
    with np.errstate(divide="ignore"):
        columns = {"df": df, "p_value": p_value, "s_value": -np.log2(p_value)}
    columns |= {"conf_low": estimate - reach, "conf_high": estimate + reach}
    return _replaced(result, data.with_columns(**{name: pl.Series(values) for name, values in columns.items()}), tests)


def _row_df(gradients: Matrix, tests: FixedEffectTests) -> NDArray[np.float64]:
    """Degrees of freedom of each row; NaN where the gradient is not known or zero."""
    known = np.isfinite(gradients).all(axis=1) & (gradients != 0).any(axis=1)
    df = np.full(len(gradients), np.nan)
    df[known] = tests.df(gradients[known])
    return df


def _replaced(result: MarginaleffectsResult, data: Any, tests: FixedEffectTests) -> MarginaleffectsResult:
    """A result with other data, which prints t in place of z, and df beside it."""
    from marginaleffects import MarginaleffectsResult

    headers: dict[str, str] = {}
    for name, header in result._meta.mapping.items():
        headers[name] = header
        if name == "statistic":
            headers["df"] = "Df"
    if not tests.is_normal:
        headers |= {"statistic": "t", "p_value": "P(>|t|)"}
    order = [name for name in data.columns if name != "df"]
    order.insert(order.index("statistic") + 1, "df")
    again = MarginaleffectsResult(
        data.select(order),
        by=result.by,
        conf_level=result.conf_level,
        jacobian=result.jacobian,
        mapping=headers,
        print_head=result._meta.print_head,
    )
    again._meta.datagrid_explicit = list(result.datagrid_explicit)
    return again


def _call(name: str, model: Any, options: dict[str, Any]) -> MarginaleffectsResult:
    """Call a function of the package and give the rows of its result their degrees of freedom."""
    import marginaleffects
    from marginaleffects.transform import get_transform

    adapted, options = _adapted(model, options)
    transform = options.pop("transform", None)
    equivalence = options.pop("equivalence", None)
    function: Callable[..., Any] = getattr(marginaleffects, name)
    options.setdefault("eps_vcov", _step(adapted.tests))
    if name in ("slopes", "avg_slopes"):
        options.setdefault("eps", adapted.difference(options.get("variables")))
    if "newdata" in options:
        options["newdata"] = adapted.prepared(options["newdata"])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*get_categories.*", DeprecationWarning)  # the package's, not the user's
            found = function(adapted, **options)
    except AttributeError as reason:
        if "get_categories" in str(reason):  # what polars 2 removed
            raise errors_means.polars_too_new(reason) from reason
        raise
    result = with_degrees_of_freedom(found, adapted.tests)
    if equivalence is not None:
        result = _replaced(result, _equivalence(result, equivalence), adapted.tests)
    if transform is not None:
        result._data = get_transform(result.data, transform)
    return result


def _step(tests: FixedEffectTests) -> float | None:
    """The step in the coefficients for numerical gradients: a small part of the smallest standard error.

    The package's own, 1e-8 of a coefficient, leaves few digits to the gradient of a slope.
    """
    errors = np.sqrt(np.diag(tests.covariance))
    return STEP * float(errors.min()) if len(errors) and errors.min() > 0 else None


def _adapted(model: Any, options: dict[str, Any]) -> tuple[MarginalEffectsModel, dict[str, Any]]:
    """The adapter of a fit, and the options that are left for the package."""
    rest = dict(options)
    ddf, cluster = rest.pop("ddf", None), rest.pop("cluster", None)
    vcov = rest.pop("vcov", True)
    if _is_adapter(model):
        if ddf is not None or cluster is not None or not isinstance(vcov, bool):
            raise errors_means.adapter_options()
        return model, {**rest, "vcov": vcov}
    chosen = vcov if isinstance(vcov, str | tuple) else "model"
    if isinstance(vcov, np.ndarray):
        ddf = "normal" if ddf is None else ddf  # nothing is known about a matrix but its numbers
    adapted = adapter(model, ddf=ddf or "satterthwaite", vcov=chosen, cluster=cluster)
    return adapted, {**rest, "vcov": vcov if isinstance(vcov, bool | np.ndarray) else True}


def _is_adapter(model: Any) -> bool:
    return hasattr(model, "get_modeldata") and hasattr(model, "tests")


def _equivalence(result: MarginaleffectsResult, bounds: Any) -> Any:
    """P-values of tests against the bounds of an interval of equivalence."""
    import polars as pl
    from scipy import stats

    data = result.data
    estimate, error, df = (data[name].to_numpy() for name in ("estimate", "std_error", "df"))
    low, high = (float(bound) for bound in bounds)
    lower, upper = (estimate - low) / error, (estimate - high) / error
    above, below = stats.t.sf(lower, df), stats.t.cdf(upper, df)
    columns = {"statistic_noninf": lower, "statistic_nonsup": upper, "p_value_noninf": above, "p_value_nonsup": below}
    columns["p_value_equiv"] = np.maximum(above, below)
    return data.with_columns(**{name: pl.Series(values) for name, values in columns.items()})


def _joint(model: Any, hypothesis: Any, options: dict[str, Any]) -> MarginaleffectsResult:
    """An F test of several coefficients."""
    import polars as pl
    from marginaleffects import MarginaleffectsResult

    which = options.pop("joint")
    kind = options.pop("joint_test", "f")
    adapted, _ = _adapted(model, options)
    names = [str(name) for name in adapted.vault.coefnames]
    chosen = _positions(which, names)
    test, p_value = adapted.tests.f_test(
        np.eye(len(names))[chosen], np.broadcast_to(0.0 if hypothesis is None else hypothesis, len(chosen))
    )
    if kind == "chisq":
        from scipy import stats

        statistic = test.statistic * test.num_df
        data = pl.DataFrame({"statistic": [statistic], "p_value": [stats.chi2.sf(statistic, test.num_df)]})
        data, headers = data.with_columns(df=pl.lit(int(test.num_df))), {"statistic": "ChiSq", "p_value": "P(>|ChiSq|)"}
    else:
        data = pl.DataFrame({"statistic": [test.statistic], "p_value": [p_value]})
        data = data.with_columns(df1=pl.lit(int(test.num_df)), df2=pl.lit(test.den_df))
        headers = {"statistic": "F", "p_value": "P(>|F|)", "df1": "Df 1", "df2": "Df 2"}
    head = "Joint hypothesis test:\n" + "".join(f"{names[i]} = {hypothesis or 0}\n" for i in chosen) + "\n"
    return MarginaleffectsResult(data, mapping=headers, print_head=head)


def _positions(which: Any, names: list[str]) -> list[int]:
    """The coefficients that a `joint` argument stands for."""
    if which is True:
        return list(range(len(names)))
    if isinstance(which, str):
        found = [i for i, name in enumerate(names) if re.search(which, name)]
        if not found:
            raise errors_means.coefficient_unknown(which, names)
        return found
    chosen = []
    for item in which if isinstance(which, list | tuple) else [which]:
        if isinstance(item, str) and item in names:
            chosen.append(names.index(item))
        elif isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(names):
            chosen.append(item)
        else:
            raise errors_means.coefficient_unknown(item, names)
    return chosen
