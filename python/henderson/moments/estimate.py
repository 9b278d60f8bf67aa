"""From rows to a fit by moments, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from henderson import errors_moments
from henderson.moments.crosstabs import CrossTabs
from henderson.moments.cumulants import FEWEST, fourth_cumulants, pair_estimator
from henderson.moments.fixed import ITERATIONS, FixedEffects, back_to_columns, least_squares, multiway
from henderson.moments.forms import forms, independent_columns, solve
from henderson.moments.group_size import GroupSizeEffect, describe, with_sizes
from henderson.moments.precision import covariance_of_forms
from henderson.moments.result import MomentFit, VarianceComponents, z_tests
from henderson.moments.rows import Batches, Matrix, Vector
from henderson.moments.second_pass import Residuals, read_again
from henderson.moments.sums import Sums, collect, keep_columns, trimmed
from henderson.varcorr import RESIDUAL

NO_VARIANCE = 1e-14
"""A residual variance below this part of the mean square of y is none."""
LARGEST = 1e70
"""The fourth powers of larger numbers overflow when they are added."""


@dataclass(frozen=True, eq=False)
class Job:
    """What to fit.

    Attributes
    ----------
    batches, is_twice
        The rows, and whether they can be read a second time.
    names, groups
        Of the columns, the constant among them, and of the factors; None: to be made up.
    size_effect
        Which factors' group sizes are columns too.
    estimator
        "henderson" or "pairs".
    """

    batches: Batches
    is_twice: bool
    names: list[str] | None
    groups: list[str] | None
    size_effect: bool | str | Sequence[str] = False
    estimator: str = "henderson"


@dataclass(frozen=True, eq=False)
class _State:
    """What the first pass gave: sums with the columns that were kept, tables, names, columns of sizes."""

    sums: Sums
    tabs: CrossTabs
    groups: list[str]
    names: list[str]
    kept: list[int]
    sizes: list[int]
    job: Job

    @property
    def size_columns(self) -> list[tuple[int, Vector]]:
        return [(k, self.sums.factors[k].rows) for k in self.sizes]


@dataclass(frozen=True, eq=False)
class _Second:
    """What the second pass gave: estimates, residuals, cumulants and what has none, the pair estimates."""

    raw: Vector
    fixed: FixedEffects
    found: Residuals | None
    cumulants: Vector
    normal: list[str]
    pairs: VarianceComponents | None


def estimate(job: Job) -> MomentFit:
    """Read the rows, once or twice, and estimate."""
    with np.errstate(over="ignore", invalid="ignore"):
        state = _first_pass(job)
    sums, tabs = state.sums, state.tabs
    parts = forms(sums, tabs)
    raw, inverse = solve(parts, state.groups)
    second = _second_pass(state, raw)
    variances = np.maximum(second.raw, 0.0)
    if job.estimator == "pairs" and second.pairs is not None:
        components = second.pairs
    else:
        spread = covariance_of_forms(sums, tabs, parts, variances, second.cumulants)
        components = VarianceComponents((*state.groups, RESIDUAL), second.raw, inverse @ spread @ inverse.T)
    return _result(state, second, components)


def _first_pass(job: Job) -> _State:
    sums = trimmed(collect(job.batches()))
    if not np.max([sums.yy, *np.diag(sums.xx)]) < LARGEST**2:
        raise errors_moments.out_of_scale()
    groups = _names("groups", job.groups, len(sums.factors), "group")
    for name, factor in zip(groups, sums.factors, strict=True):
        if factor.used == 1:
            raise errors_moments.one_level(name)
    if job.estimator == "pairs" and (len(groups) > 1 or sums.is_weighted or not job.is_twice):
        reasons = ("is for a single grouping factor", "takes no weights", "needs rows that can be read twice")
        raise errors_moments.cannot_estimate_pairs(reasons[0 if len(groups) > 1 else 1 if sums.is_weighted else 2])
    tabs = CrossTabs(sums.codes, [len(factor) for factor in sums.factors], groups, sums.row_weights)
    sizes = _chosen(job.size_effect, groups)
    names = _column_names(job.names, len(sums.xy), sums.intercept)
    sums = with_sizes(sums, tabs, sizes, is_centred=sums.intercept is not None)
    kept = independent_columns(sums)
    if sums.n <= len(kept):
        raise errors_moments.too_few_rows(sums.n, len(kept))
    names += [size_name(groups[k]) for k in sizes]
    return _State(keep_columns(sums, np.array(kept, dtype=np.intp)), tabs, groups, names, kept, sizes, job)


def size_name(group: str) -> str:
    """Name of the column of group sizes."""
    return f"N({group})"


def _second_pass(state: _State, raw: Vector) -> _Second:
    """Fixed effects and, where the rows can be read again, fourth cumulants, the pair estimates and scores."""
    sums, tabs, job = state.sums, state.tabs, state.job
    least = NO_VARIANCE * (sums.yy / sums.weight)
    if not raw[-1] > least:
        raise errors_moments.no_residual_variance(float(raw[-1]))
    fixed = least_squares(sums, tabs, np.maximum(raw, 0.0))
    cumulants = np.zeros(len(raw))
    if not job.is_twice:
        return _Second(raw, fixed, None, cumulants, [], None)
    found = read_again(job.batches, sums, tabs, fixed, state.kept, state.size_columns)
    pairs, normal = None, []
    if not sums.is_weighted:
        cumulants, is_known = fourth_cumulants(sums, tabs, found, np.maximum(raw, 0.0))
        normal = [name for name, known in zip((*state.groups, RESIDUAL), is_known, strict=True) if not known]
        if len(sums.factors) == 1:
            pairs = VarianceComponents((*state.groups, RESIDUAL), *pair_estimator(sums, found))
    if job.estimator == "pairs" and pairs is not None:
        if not pairs.raw[-1] > least:
            raise errors_moments.no_residual_variance(float(pairs.raw[-1]))
        fixed = least_squares(sums, tabs, pairs.variance)
        found = read_again(job.batches, sums, tabs, fixed, state.kept, state.size_columns)
        raw = pairs.raw
    return _Second(raw, fixed, found, cumulants, normal, pairs)


def _result(state: _State, second: _Second, components: VarianceComponents) -> MomentFit:
    sums, fixed = state.sums, second.fixed
    beta, transform = back_to_columns(fixed.beta, sums.y_shift, sums.x_shift, sums.intercept)
    covariances = {"model": transform @ fixed.covariance @ transform.T}
    if second.found is not None:
        robust, _ = multiway(second.found.scores, fixed.solver)
        covariances["cluster"] = transform @ robust @ transform.T
    p = len(state.names)
    spread = {kind: np.full((p, p), np.nan) for kind in covariances}
    for kind, values in covariances.items():
        spread[kind][np.ix_(state.kept, state.kept)] = values
    whole = np.full(p, np.nan)
    whole[state.kept] = beta
    effects = {state.groups[k]: _size_effect(state, k, whole, spread) for k in state.sizes}
    return MomentFit(
        names=tuple(state.names),
        beta=whole,
        covariances=spread,
        variance_components=components,
        pair_estimates=second.pairs,
        cumulants=second.cumulants,
        group_size_effect=effects,
        levels={name: factor.used for name, factor in zip(state.groups, sums.factors, strict=True)},
        nobs=sums.n,
        n_dropped=0,
        estimator=state.job.estimator,
        iterations=fixed.iterations,
        call=(),
        notes=tuple(_notes(state, second, components)),
    )


def _size_effect(state: _State, k: int, beta: Vector, covariances: dict[str, Matrix]) -> GroupSizeEffect:
    name = size_name(state.groups[k])
    j = state.names.index(name)
    model, cluster = (
        float(np.sqrt(covariances[kind][j, j])) if kind in covariances else np.nan for kind in ("model", "cluster")
    )
    statistic, p_value = z_tests(beta[[j]], np.array([cluster if np.isfinite(cluster) else model]))
    numbers = (float(beta[j]), model, cluster, float(statistic[0]), float(p_value[0]))
    return describe(state.sums, k, state.groups[k], name, numbers)


def _notes(state: _State, second: _Second, components: VarianceComponents) -> list[str]:
    sums, notes = state.sums, []
    negative = np.flatnonzero(components.raw < 0)
    if len(negative):
        names = [components.groups[i] for i in negative]
        notes.append(errors_moments.negative_note(names, components.raw[negative].tolist()))
    constant = [k for k in state.sizes if len(np.unique(sums.factors[k].rows[sums.factors[k].rows > 0])) == 1]
    notes += [errors_moments.size_constant(state.groups[k]) for k in constant]
    known = {size_name(state.groups[k]) for k in constant}
    aliased = [name for j, name in enumerate(state.names) if j not in state.kept and name not in known]
    notes += [errors_moments.aliased_note(aliased)] if aliased else []
    if state.job.estimator == "henderson":
        if sums.is_weighted:
            notes.append(errors_moments.normal_note("with weights fourth moments are not estimated"))
        elif second.found is None:
            notes.append(errors_moments.normal_note("fourth moments need the rows a second time"))
        elif second.normal:
            notes.append(errors_moments.few_levels_note(second.normal, FEWEST))
    notes += [errors_moments.once_note()] if second.found is None else []
    notes += [] if second.fixed.converged else [errors_moments.iterations_note(ITERATIONS)]
    return notes


def _names(what: str, given: list[str] | None, count: int, stem: str) -> list[str]:
    """Names as given, or made up: x0, x1, ...; group0, ..."""
    if given is None:
        return [f"{stem}{i}" for i in range(count)]
    if len(given) != count:
        raise errors_moments.names_length(what, len(given), count)
    return list(given)


def _column_names(given: list[str] | None, count: int, intercept: int | None) -> list[str]:
    """Names of the columns; those that are given, and an error about them, leave the constant out."""
    if intercept is None:
        return _names("names", given, count, "x")
    others = None if given is None else given[:intercept] + given[intercept + 1 :]
    names = _names("names", others, count - 1, "x")
    return [*names[:intercept], "(Intercept)", *names[intercept:]]


def _chosen(value: bool | str | Sequence[str], groups: Sequence[str]) -> list[int]:
    """Indices of the factors whose sizes are asked for."""
    if isinstance(value, bool | np.bool_):
        return list(range(len(groups))) if value else []
    wanted = [value] if isinstance(value, str) else value
    if not isinstance(wanted, list | tuple) or not all(isinstance(w, str) and w in groups for w in wanted):
        raise errors_moments.size_factor_unknown(value, groups)
    return sorted({groups.index(name) for name in wanted})
