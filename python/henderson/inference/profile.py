"""Profile likelihood: how far the deviance rises when one parameter is held and all others are fitted again.

The signed root of the rise,

    zeta(c) = sign(c - estimate) sqrt(d(c) - d(estimate))        d(c) = min of the deviance with the parameter at c

is nearly normal where the estimate itself is far from it, so that {c: |zeta(c)| <= z} is a better interval than
estimate +- z standard errors.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import errors_intervals
from henderson.formatting import format_column, matrix
from henderson.inference import parameters as params
from henderson.inference.deviance_surface import lower_triangle
from henderson.inference.distributions import check_level, limit_names
from henderson.inference.parameters import Parameter
from henderson.inference.profile_curve import ParameterProfile, curve, to_value, trivial
from henderson.inference.profile_traces import trace_of
from henderson.inference.profile_walk import BetterOptimum, walk
from henderson.optimum import CONVERGED
from henderson.progress import Report, StepLine

if TYPE_CHECKING:
    import pandas as pd

    from henderson.inference.profile_traces import TracePoint
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Callback = Callable[[str, float, float], object]

CUTOFF = 3.3
"""Default reach of a profile in the signed root: enough for intervals of 99.9 %."""
MOST_RESTARTS = 5


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """Profiles of parameters of one model.

    Prints the 95 % intervals; `to_frame` gives the points, ``profile["sigma"]`` one `ParameterProfile`, iteration the
    names.

    Attributes
    ----------
    formula
        Of the model.
    deviance
        At the maximum-likelihood estimates.
    cutoff
        The signed root up to which the profiles go.
    curves
        By name of the parameter.
    names
        All parameters of the model, in order.
    sizes
        Effects per random term.
    notes
        What the user should know.
    """

    formula: str
    deviance: float
    cutoff: float
    curves: dict[str, ParameterProfile]
    names: tuple[str, ...]
    sizes: tuple[int, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> ParameterProfile:
        """The profile of one parameter."""
        if name not in self.curves:
            raise errors_intervals.parameter_unknown(name, list(self.curves))
        return self.curves[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.curves)

    def __len__(self) -> int:
        return len(self.curves)

    def confint(self, level: float = 0.95, *, parameters: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Confidence intervals, a row per parameter, columns named by their percentages as in R.

        A limit is the boundary of the parameter (0 for a standard deviation, -1 or 1 for a correlation) where the
        profile meets it before it reaches the level, and NaN where the profile was not followed far enough.

        Parameters
        ----------
        level
            Confidence level.
        parameters
            Names, ``"theta_"`` or ``"beta_"``; None for all that were profiled.
        """
        import pandas as pd

        check_level(level)
        curves = list(self.curves.values())
        chosen = [curves[i] for i in params.selected([each.parameter for each in curves], parameters)]
        limits = np.array([each.interval(level) for each in chosen]).reshape(len(chosen), 2)
        return pd.DataFrame(limits, index=[each.parameter.name for each in chosen], columns=limit_names(level))

    def to_frame(self) -> pd.DataFrame:
        """All points of all profiles.

        Returns
        -------
        DataFrame
            Columns ``parameter`` (which one is held), ``value`` (where), ``zeta``, ``deviance``, then a column for
            every parameter of the model: its value in the constrained fit.
        """
        import pandas as pd

        profiled = [each for each in self.curves.values() if each.points]
        points = [point for each in profiled for point in each.points]
        table = pd.DataFrame(
            {
                "parameter": [each.parameter.name for each in profiled for _ in each.points],
                "value": np.concatenate([each.value for each in profiled]) if profiled else [],
                "zeta": [zeta for each in profiled for zeta in each.zeta],
                "deviance": [point.deviance for point in points],
            }
        )
        fits = pd.DataFrame(self._values(points), columns=self._columns(table.columns))
        return pd.concat([table, fits], axis=1)

    def _columns(self, taken: Iterable[str]) -> list[str]:
        return [f"fixed_{name}" if name in set(taken) else name for name in self.names]

    def _values(self, points: list[TracePoint]) -> NDArray[np.float64]:
        """All parameters at constrained fits, shape (points, k)."""
        if not points:
            return np.empty((0, len(self.names)))
        sigma = np.array([point.sigma for point in points])
        flat = np.array([point.factors for point in points]) * sigma[:, None]
        covariances, start = [], 0
        for size in self.sizes:
            lam = flat[:, start : start + size * size].reshape(-1, size, size)
            covariances.append(lam @ lam.transpose(0, 2, 1))
            start += size * size
        return params.values(covariances, sigma, np.array([point.beta for point in points]))

    def __str__(self) -> str:
        curves = list(self.curves.values())
        limits = np.array([each.interval(0.95) for each in curves]).reshape(len(curves), 2)
        columns = [format_column([each.estimate for each in curves], 5)]
        columns += [format_column(limits[:, side], 5) for side in (0, 1)]
        lines = [f"Profile likelihood of {self.formula}", f"Deviance {self.deviance:.4f} at the optimum (ML)", ""]
        lines += matrix([each.parameter.name for each in curves], ["Estimate", *limit_names(0.95)], columns)
        for note in self.notes:
            lines += ["", note]
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = self.confint()
        table.insert(0, "estimate", [each.estimate for each in self.curves.values()])
        notes = "".join(f"<p>{note}</p>" for note in self.notes)
        return f"<div class='henderson'>{table.to_html()}{notes}</div>"


def profile(
    model: LinearMixedModel,
    parameters: str | Iterable[str] | None = None,
    *,
    cutoff: float = CUTOFF,
    step: float = 0.5,
    callback: Callback | None = None,
    progress: bool = False,
) -> Profile:
    """Profile the likelihood over each parameter: standard deviations, correlations, sigma, fixed effects.

    A fit by REML is profiled by maximum likelihood, as in lme4: restricted likelihoods of models with different fixed
    effects cannot be compared.

    Parameters
    ----------
    parameters
        Names as lme4 gives them (``"sd_(Intercept)|Subject"``, ``"cor_Days.(Intercept)|Subject"``, ``"sigma"``,
        ``"Days"``), ``"theta_"`` for all of the covariance, ``"beta_"`` for all fixed effects; None for everything.
    cutoff
        Follow each profile until its signed root has this size: 3.3 allows for intervals of 99.9 %.
    step
        Distance of the points in the signed root. Between them the profile is a cubic with the exact slopes.
    callback
        Called as ``callback(parameter, value, zeta)`` at each point; a true result stops the profile, which then holds
        the parameters that are complete.
    progress
        Show a line on stderr.

    Returns
    -------
    Profile
        Print it, or use `confint`, `to_frame`, ``profile["sigma"].zeta_at(30)``.

    Raises
    ------
    DataError
        An unknown parameter, or a cutoff or step that is not positive.

    Warns
    -----
    ConvergenceWarning
        Some constrained fit was better than the fit itself: it was no optimum. The profile starts from the better one.

    Notes
    -----
    With L = sigma lam and all variances free but the one held, the fixed effects profiled out,

        d(L, sigma) = log|V| + n log(2 pi sigma²) + r² / sigma²

    is minimised by Newton steps from where the neighbouring fits point to; gradients are exact. A fixed effect is held
    by fitting y - beta_j x_j to the other columns. A standard deviation ends at 0 and a correlation at -1 and 1: a
    limit beyond is that boundary.

    References
    ----------
    Bates, D. and Watts, D. (1988). Nonlinear Regression Analysis and Its Applications. Wiley, chapter 6.
    Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4. Journal
    of Statistical Software 67(1), section 5.1.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.profile().confint().round(2)
                                   2.5 %  97.5 %
    sd_(Intercept)|Subject         14.38   37.72
    cor_Days.(Intercept)|Subject   -0.48    0.69
    sd_Days|Subject                 3.80    8.75
    sigma                          22.90   28.86
    (Intercept)                   237.68  265.13
    Days                            7.36   13.58
    """
    _check_positive("cutoff", cutoff)
    _check_positive("step", step)
    available = params.parameters(model)
    chosen = [available[i] for i in params.selected(available, parameters)]
    sizes = tuple(len(term.columns) for term in model.design.terms)
    fitted = _by_maximum_likelihood(model.stand_in)
    notes: list[str] = []
    line = StepLine("profile", len(chosen)) if progress else None
    try:
        for _ in range(MOST_RESTARTS):
            try:
                curves = _curves(fitted, chosen, float(cutoff), min(float(step), float(cutoff)), callback, line)
                break
            except BetterOptimum as better:
                before = fitted.criterion
                fitted = _fitted_from(fitted, _theta(better.point, sizes))
                notes = [errors_intervals.better_optimum_note(before, fitted.criterion)]
        else:
            raise errors_intervals.no_optimum(MOST_RESTARTS)
    finally:
        if line is not None:
            line.close()
    if notes:
        warnings.warn(errors_intervals.better_optimum(notes[0]), stacklevel=2)
    names = tuple(parameter.name for parameter in available)
    return Profile(model.formula, fitted.criterion, float(cutoff), curves, names, sizes, tuple(notes))


def _check_positive(name: str, value: object) -> None:
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:  # type: ignore[operator]
        raise errors_intervals.not_positive(name, value)


def _by_maximum_likelihood(model: LinearMixedModel) -> LinearMixedModel:
    """The fit itself, or one by maximum likelihood that starts where it ended."""
    if not model.is_reml and model.optimum.status == CONVERGED:
        return model
    return _fitted_from(model, np.asarray(model.optimum.theta))


def _fitted_from(model: LinearMixedModel, theta: Vector) -> LinearMixedModel:
    found = model._problem.fit(model._y, False, theta)
    return type(model)(model.design, model._problem, found, model._y, False, model.call)


def _theta(point: TracePoint, sizes: tuple[int, ...]) -> Vector:
    parts, start = [], 0
    for size in sizes:
        lower = lower_triangle(point.factors[start : start + size * size].reshape(size, size))
        parts.append(lower.T[np.triu_indices(size)])
        start += size * size
    return np.concatenate(parts)


def _curves(
    model: LinearMixedModel,
    chosen: list[Parameter],
    cutoff: float,
    step: float,
    callback: Callback | None,
    report: Report | None,
) -> dict[str, ParameterProfile]:
    """Profile each parameter from an ML fit; those complete when the callback says stop."""
    estimates = params.estimates(model)
    names = [parameter.name for parameter in params.parameters(model)]
    curves: dict[str, ParameterProfile] = {}

    for done, parameter in enumerate(chosen):
        estimate = float(estimates[names.index(parameter.name)])
        if math.isnan(estimate):
            curves[parameter.name] = trivial(parameter)
            continue

        def visit(coordinate: float, zeta: float, parameter: Parameter = parameter, done: int = done) -> None:
            value = float(to_value(parameter, np.array(coordinate)))
            if report is not None:
                report(done, f"{parameter.name} = {value:.5g}, zeta = {zeta:.2f}")
            if callback is not None and callback(parameter.name, value, zeta):
                raise _Stopped

        try:
            trace = trace_of(model, parameter)
            sides = [walk(trace, direction, cutoff, step, visit) for direction in (-1, 1)]
        except _Stopped:
            break
        curves[parameter.name] = curve(trace, sides[0], sides[1], estimate)
    return curves


class _Stopped(Exception):
    """The user's callback said stop."""
