"""The boundary: variances that go to zero are set to zero, once that is certain to be right; and those that are not.

Steps of EM and its kin multiply variances, so that they reach zero in the limit only, and where they have reached it
they stay. Both are put right by looking, now and then:

    onto it    Is the criterion no larger without the smallest direction of Psi, and does it not fall into any direction
               without variance there? Then the direction is dropped.
    off it     Does the criterion fall into a direction n without variance, n'G n < 0? Then Psi <- Psi + w n n', with
               a w at which it is lower.

Neither can make the criterion rise. The second question is that of `Optimum.curvature`: docs/theory.md, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from henderson.optimum import EXPECTED_DROP
from henderson.solvers.path import Path
from henderson.solvers.point import Matrix, Point, Vector, theta_of, triangular

SMALL, TINY = 1.0, 1e-6
"""Variances below this part of the sampling variance of an average level may be zero; on the way, and at the end."""
LEVEL = 1e-9
"""Slopes below this part of the number of levels are none."""
FIRST = 4
"""Steps before the first look; the time until the next one doubles when a look was in vain."""
PROBE = 1e-6
"""Variances, in the same unit, at which slopes into the interior are taken."""
OFF = 10.0 ** -np.arange(7)
"""Variances that are tried where the criterion falls into the interior."""


class Boundary:
    """Looks at the boundary, and remembers when to look again."""

    def __init__(self) -> None:
        self._wait = self._due = FIRST

    def move(self, at: Point, path: Path, is_last: bool = False) -> Point | None:
        """A point on the boundary, or off it, that is no worse than this one."""
        step = len(path.steps)
        if step < self._due and not is_last:
            return None
        before = path.evaluations
        if at.proof.curvature < -EXPECTED_DROP and not all(own.is_full for own in at.spectra):
            found = path.first(_inwards(at, path), lambda other: other.criterion < at.criterion)
            if found is not None:
                self._wait *= 2
                self._due = step + self._wait
                return found
        found = path.first(
            _outwards(at, is_last),
            lambda other: at.is_no_better_than(other) and not other.proof.curvature < -EXPECTED_DROP,
        )
        if found is None and path.evaluations > before:
            self._wait *= 2
            self._due = step + self._wait
        return found


def _outwards(at: Point, is_last: bool) -> Iterator[Vector]:
    """Theta without one direction of a term, the smallest first, where the criterion falls towards that or is level."""
    order = []
    for t, (own, slope, m) in enumerate(zip(at.spectra, at.slopes, at.model.levels, strict=True)):
        small = TINY if is_last and at.proof.ranks[t] >= own.rank else SMALL
        falls = np.diag(slope) > -LEVEL * m
        order += [(own.lengths[i], t, i) for i in range(own.rank) if falls[i] and own.lengths[i] ** 2 < small]
    for _, t, i in sorted(order):
        yield _with(at, t, np.delete(at.spectra[t].loadings, i, axis=1))


def _inwards(at: Point, path: Path) -> Iterator[Vector]:
    """Theta with more variance in the direction into which the criterion falls the fastest."""
    raised = [triangular(own.directions * np.maximum(own.lengths, np.sqrt(PROBE))) for own in at.spectra]
    probe = path.first([theta_of(raised)], lambda _: True)
    if probe is None:
        return
    lowest, steepest, direction = 0.0, 0, np.zeros(0)
    for t, (own, inside, slope) in enumerate(zip(at.spectra, probe.spectra, probe.slopes, strict=True)):
        null = own.directions[:, own.rank :]
        if inside.is_full and null.size:
            to_u = inside.to_factors @ null
            values, vectors = np.linalg.eigh(to_u.T @ slope @ to_u)
            if values[0] < lowest:
                lowest, steepest, direction = values[0], t, null @ vectors[:, 0]
    if lowest < 0:
        for variance in OFF:
            longer = np.column_stack([at.spectra[steepest].loadings, np.sqrt(variance) * direction])
            yield _with(at, steepest, longer)


def _with(at: Point, t: int, loadings: Matrix) -> Vector:
    """Theta with other loadings of a term."""
    return theta_of([triangular(loadings if u == t else own.loadings) for u, own in enumerate(at.spectra)])
