"""Designs made of whole clusters drawn with replacement: the cases bootstrap of hierarchical data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson.factors import Factor
from henderson.inference.clusters import Clusters
from henderson.levels import Categories, Levels

if TYPE_CHECKING:
    from henderson.design import DesignMatrices

Indices = NDArray[np.intp]


class ClusterDesigns:
    """The designs of drawn clusters.

    A cluster drawn twice counts as two clusters: the levels of all grouping factors that are nested in the clusters are
    renumbered for each draw. Other grouping factors keep their levels.

    Parameters
    ----------
    design
        Of the fitted model.
    clusters
        What is drawn.
    """

    def __init__(self, design: DesignMatrices, clusters: Clusters) -> None:
        self._design, self._clusters = design, clusters
        self._nested = [_within(factor, clusters) if clusters.contain(factor) else None for factor in design.factors]

    def drawn(self, draws: Indices) -> DesignMatrices:
        """The design of the clusters `draws`, in this order."""
        design, clusters = self._design, self._clusters
        rows = np.concatenate([clusters.rows(cluster) for cluster in draws.tolist()])
        lengths = clusters.sizes[draws]
        factors = tuple(
            replace(factor, codes=factor.codes[rows])
            if nested is None
            else _renumbered(factor, nested, draws, lengths, rows)
            for factor, nested in zip(design.factors, self._nested, strict=True)
        )
        terms = tuple(
            replace(term, columns=tuple(None if z is None else z[rows] for z in term.columns)) for term in design.terms
        )
        return replace(
            design,
            y=design.y[rows],
            x=[None if column is None else column[rows] for column in design.x],
            terms=terms,
            factors=factors,
            weights=None if design.weights is None else design.weights[rows],
            offset=None if design.offset is None else design.offset[rows],
            rows=rows if design.rows is None else design.rows[rows],
            values={
                key: replace(value, codes=value.codes[rows]) if isinstance(value, Categories) else value[rows]
                for key, value in design.values.items()
            },
        )


class _Nested:
    """Where the levels of a nested factor are within their clusters: place (n_levels,), and how many of them (G,)."""

    def __init__(self, places: Indices, counts: Indices) -> None:
        self.places, self.counts = places, counts


def _within(factor: Factor, clusters: Clusters) -> _Nested:
    cluster_of = np.empty(factor.n_levels, dtype=np.intp)
    cluster_of[factor.codes] = clusters.codes
    counts = np.bincount(cluster_of, minlength=len(clusters))
    order = np.argsort(cluster_of, kind="stable")
    places = np.empty(factor.n_levels, dtype=np.intp)
    places[order] = np.arange(factor.n_levels) - (np.cumsum(counts) - counts)[cluster_of[order]]
    return _Nested(places, counts)


def _renumbered(factor: Factor, nested: _Nested, draws: Indices, lengths: Indices, rows: Indices) -> Factor:
    counts = nested.counts[draws]
    first = np.repeat(np.cumsum(counts) - counts, lengths)
    codes = (first + nested.places[factor.codes[rows]]).astype(np.int32)
    levels = Levels(np.arange(1, int(counts.sum()) + 1), has_own_order=True)
    return replace(factor, codes=codes, parts=(levels,), combinations=None)
