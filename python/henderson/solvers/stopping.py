"""Rules that stop a fit by what is of interest, such as a fixed effect, instead of by the criterion."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_solvers
from henderson.compiled import Callback, CompiledProblem

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Iterate:
    """Where a fit is after an evaluation of the criterion.

    Attributes
    ----------
    theta, criterion, evaluation, decrement
        As a callback of `lmer` gets them: relative covariance parameters, criterion, number of the evaluation, expected
        further drop of the criterion.
    fixef
        Fixed effects by name; with `fit_arrays` by the number of the column of X.
    sigma
        Residual standard deviation.
    """

    theta: Vector
    criterion: float
    evaluation: int
    decrement: float
    fixef: dict[Any, float]
    sigma: float


class StoppingRule:
    """A rule of your own for when a fit may stop, for the argument ``callback`` of `lmer`.

    Parameters
    ----------
    rule
        Called after each accepted step with the list of all iterates so far, the last one at the end; a true result
        stops the fit. See `Iterate` for what they have.

    Notes
    -----
    A fit that a rule stops has the status ``"stopped by callback"``, and ``fit.converged`` is False: its optimum is
    not certified. Each evaluation solves for the fixed effects once more. With ``method="newton"`` the design is
    compiled a second time, since the optimiser is busy with the first; that method rarely takes enough steps for a rule
    to matter.

    Examples
    --------
    >>> import henderson as hd
    >>> rule = hd.StoppingRule(lambda path: path[-1].sigma < 26)
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy(), method="em", callback=rule)
    >>> fit.optimum.status
    'stopped by callback'
    """

    def __init__(self, rule: Callable[[list[Iterate]], object]) -> None:
        if not callable(rule):
            raise errors_solvers.rule_type(rule)
        self._rule = rule
        self._effects: tuple[str | int, ...] = ()

    def watching(
        self, names: Sequence[str | int], problem: CompiledProblem, y: Vector, reml: bool, is_busy: bool
    ) -> Callback:
        """The callback of a fit of `y`; `names` are those of the fixed effects that were kept."""
        for effect in self._effects:
            if effect not in names:
                raise errors_solvers.effect_unknown(effect, names)
        own = copy.copy(problem) if is_busy else problem
        path: list[Iterate] = []

        def stops(theta: Vector, criterion: float, evaluation: int, decrement: float) -> object:
            at = own.solve(y, np.array(theta), reml)
            fixef = dict(zip(names, map(float, at.beta), strict=True))
            path.append(Iterate(np.array(theta), criterion, evaluation, decrement, fixef, at.sigma))
            return self._rule(path)

        return stops


def stop_when_stable(effect: str | int | Sequence[str | int], *, by: float, over: int = 5) -> StoppingRule:
    """Stop a fit when a fixed effect has settled: a rule for the argument ``callback`` of `lmer`.

    Parameters
    ----------
    effect
        Name of a fixed effect as ``fit.fixef`` has it, or several, all of which must have settled. With `fit_arrays`,
        numbers of columns of X.
    by
        The smallest difference that would matter, such as a clinically relevant one, in the units of the effect.
    over
        The number of steps over which the effect must have stayed within `by`.

    Returns
    -------
    StoppingRule
        For one fit or many.

    Raises
    ------
    DataError
        `by` is not a positive number, or `over` not a positive integer; when a fit starts: no such effect.

    Notes
    -----
    EM takes many small steps: each may change an effect by less than `by` while all that are to come change it by more.
    Hence `over`: the range of the effect over the last `over` steps, and not the last step alone, must be less than
    `by`. If a step is r times as long as the one before, what is to come is at most ``by * r**over / (1 - r**over)``;
    with `over` = 5 that is 1.4 times `by` for r = 0.9, and 19 times for r = 0.99. Choose `by` and `over` accordingly.
    Only the fixed effects are looked at: standard errors and variances may still be on their way.

    Examples
    --------
    >>> import henderson as hd
    >>> data = hd.datasets.load_ratpup()
    >>> rule = hd.stop_when_stable("TreatmentHigh", by=0.001)
    >>> fit = hd.lmer("weight ~ Treatment + Lsize + (1 | Litter)", data, method="em", start=[3.0], callback=rule)
    >>> fit.optimum.status
    'stopped by callback'
    """
    names: Any = (effect,) if isinstance(effect, str) or _is_number(effect, int | np.integer) else effect
    if (
        not isinstance(names, Sequence)
        or not names
        or not all(isinstance(name, str) or _is_number(name, int | np.integer) for name in names)
    ):
        raise errors_solvers.effect_type(effect)
    if not _is_number(by, int | float | np.integer | np.floating) or not 0 < by < np.inf:
        raise errors_solvers.by_invalid(by)
    if not _is_number(over, int | np.integer) or over < 1:
        raise errors_solvers.over_invalid(over)
    steps = int(over)

    def has_settled(path: list[Iterate]) -> bool:
        recent = path[-steps - 1 :]
        if len(recent) <= steps:
            return False
        return all(np.ptp([at.fixef[name] for at in recent]) < by for name in names)

    rule = StoppingRule(has_settled)
    rule._effects = tuple(names)
    return rule


def _is_number(value: object, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
