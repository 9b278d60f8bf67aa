"""What a fit estimates: names, numbers, and the covariance matrix of the fixed effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_chunks
from henderson.expression import to_text

if TYPE_CHECKING:
    from henderson.varcorr import VarCorr

Vector = NDArray[np.float64]
FIXED, VARIANCE, STATISTIC = "fixed", "ran_pars", "statistic"
RESIDUAL = "Residual"


@dataclass(frozen=True)
class Parameter:
    """A parameter: what it belongs to, its grouping factor, its name.

    Attributes
    ----------
    effect
        "fixed", "ran_pars" (variances and covariances) or "statistic" (of the user's).
    group
        Grouping factor, or "Residual"; empty for fixed effects.
    term
        ``x``; ``var__(Intercept)`` and ``cov__(Intercept).x`` of variances and covariances.
    """

    effect: str
    group: str
    term: str


@dataclass(frozen=True, eq=False)
class ChunkEstimates:
    """Estimates from one chunk.

    Attributes
    ----------
    parameters, values
        Their names and numbers, (k,).
    variances
        Squared standard errors as the fit itself gives them (k,), NaN where it gives none.
    levels
        Labels of the levels of each grouping factor, where they are known.
    learned
        What the formula's functions of all rows (a mean, a basis of polynomials) learned from the chunk, by their text.
    is_singular, has_converged
        Of the fit.
    fit
        The fit itself, if it is kept.
    """

    parameters: tuple[Parameter, ...]
    values: Vector
    variances: Vector
    levels: Mapping[str, NDArray[Any]]
    learned: Mapping[str, str]
    is_singular: bool
    has_converged: bool
    fit: Any = None


def read_estimates(fit: Any, estimates: Callable[[Any], Any] | None, *, keep_fit: bool) -> ChunkEstimates:
    """Estimates of any fit of ours, or what the user's function makes of it."""
    model = getattr(fit, "fit_", None) or fit  # the model inside a scikit-learn estimator
    design = getattr(model, "design", None) or getattr(getattr(fit, "_effects", None), "design", None)
    factors = getattr(design, "factors", ())
    numbers, variances = _own(model) if estimates is None else _of_user(estimates(fit))
    names = tuple(numbers)
    return ChunkEstimates(
        names,
        np.array([numbers[name] for name in names], dtype=np.float64),
        np.array([variances.get(name, np.nan) for name in names], dtype=np.float64),
        {factor.name: factor.labels for factor in factors},
        _learned(design) if estimates is None else {},
        bool(getattr(model, "is_singular", False)),
        bool(getattr(model, "converged", True)),
        fit if keep_fit else None,
    )


def _learned(design: Any) -> dict[str, str]:
    states = {} if design is None else design.recipe.states
    return {to_text(node): repr(getattr(state, "transform_state", state)) for node, state in states.items()}


Numbers = dict[Parameter, float]


def _own(model: Any) -> tuple[Numbers, Numbers]:
    if hasattr(model, "variance_components"):
        return _of_moments(model)
    if hasattr(model, "fixef") and hasattr(model, "solution"):
        names = [Parameter(FIXED, "", name) for name in model.fixef.index]
        solution = model.solution
        variances = np.diag(solution.sigma**2 * solution.unscaled_vcov)
        return dict(zip(names, solution.beta, strict=True)) | _of_varcorr(model.varcorr), _paired(names, variances)
    if hasattr(model, "covariances") and hasattr(model, "beta"):
        return _of_arrays(model)
    if hasattr(model, "varcorr_"):
        return _of_varcorr(model.varcorr_), {}
    raise errors_chunks.result_unknown(model)


def _of_varcorr(varcorr: VarCorr) -> Numbers:
    found: Numbers = {}
    for term in varcorr.terms:
        found |= _of_covariance(term.group, term.names, term.covariance)
    return found | {Parameter(VARIANCE, RESIDUAL, "var__Observation"): varcorr.sigma**2}


def _of_covariance(group: str, names: tuple[str, ...], covariance: NDArray[np.float64]) -> Numbers:
    found = {Parameter(VARIANCE, group, f"var__{name}"): float(covariance[i, i]) for i, name in enumerate(names)}
    for i, name in enumerate(names):
        for j in range(i + 1, len(names)):
            found[Parameter(VARIANCE, group, f"cov__{name}.{names[j]}")] = float(covariance[i, j])
    return found


def _of_moments(model: Any) -> tuple[Numbers, Numbers]:
    """Raw variances: they may be negative, and so average without bias."""
    names = [Parameter(FIXED, "", name) for name in model.names]
    found: Numbers = dict(zip(names, model.beta, strict=True))
    parts = model.variance_components
    own = [
        Parameter(VARIANCE, group, "var__Observation" if group == RESIDUAL else "var__(Intercept)")
        for group in parts.groups
    ]
    found |= dict(zip(own, parts.raw.tolist(), strict=True))
    return found, _paired(names, np.diag(model.vcov())) | _paired(own, np.diag(parts.covariance))


def _of_arrays(model: Any) -> tuple[Numbers, Numbers]:
    names = [Parameter(FIXED, "", f"x{j}") for j in range(len(model.beta))]
    found: Numbers = dict(zip(names, model.beta.tolist(), strict=True))
    for t, covariance in enumerate(model.covariances):
        found |= _of_covariance(f"terms[{t}]", tuple(f"z{k}" for k in range(len(covariance))), covariance)
    found[Parameter(VARIANCE, RESIDUAL, "var__Observation")] = model.sigma**2
    return found, _paired(names, np.diag(model.vcov))


def _of_user(given: Any) -> tuple[Numbers, Numbers]:
    if not hasattr(given, "items"):
        raise errors_chunks.estimates_invalid(given)
    try:
        return {Parameter(STATISTIC, "", str(name)): float(value) for name, value in given.items()}, {}
    except (TypeError, ValueError):
        raise errors_chunks.estimates_invalid(given) from None


def _paired(names: list[Parameter], variances: Any) -> Numbers:
    return dict(zip(names, np.asarray(variances, dtype=np.float64).tolist(), strict=True))
