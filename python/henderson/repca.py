"""Principal components of the random effects: how many dimensions each covariance matrix really has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from henderson import theta
from henderson.formatting import format_column, matrix

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel


@dataclass(frozen=True, eq=False)
class RandomEffectsPCA:
    """Principal components of the random effects of one grouping factor.

    Attributes
    ----------
    importance
        Columns PC1, PC2, ...; rows std_dev (in units of sigma, as lme4's rePCA), proportion of variance, cumulative.
    rotation
        Loadings: a row per effect, a column per component.
    """

    importance: pd.DataFrame
    rotation: pd.DataFrame

    @property
    def std_dev(self) -> pd.Series[float]:
        """Standard deviations of the components, in units of sigma, decreasing."""
        return self.importance.T["std_dev"]

    def __str__(self) -> str:
        rows = ["Standard deviation", "Proportion of variance", "Cumulative proportion"]
        values = self.importance.to_numpy()
        cells = [format_column(values[0], 4), *([f"{value:.4f}" for value in row] for row in values[1:])]
        return "\n".join(
            matrix(rows, list(self.importance.columns), [list(column) for column in zip(*cells, strict=True)])
        )

    __repr__ = __str__


def random_effects_pca(model: LinearMixedModel) -> dict[str, RandomEffectsPCA]:
    """Principal components of the random effects, by grouping factor (all its terms together)."""
    import pandas as pd

    design = model.design
    factors = theta.relative_factors(np.asarray(model.optimum.theta), [len(term.names) for term in design.terms])
    result = {}
    for factor in dict.fromkeys(term.factor for term in design.terms):
        mine = [i for i, term in enumerate(design.terms) if term.factor == factor]
        names = [name for i in mine for name in design.terms[i].names]
        joint = np.zeros((len(names), len(names)))
        place = 0
        for i in mine:
            size = len(factors[i])
            joint[place : place + size, place : place + size] = factors[i]
            place += size
        rotation, std_dev, _ = np.linalg.svd(joint)
        share = std_dev**2 / max(float(np.sum(std_dev**2)), np.finfo(float).tiny)
        components = [f"PC{i + 1}" for i in range(len(names))]
        importance = pd.DataFrame(
            [std_dev, share, np.cumsum(share)], index=["std_dev", "proportion", "cumulative"], columns=components
        )
        result[design.factors[factor].name] = RandomEffectsPCA(
            importance, pd.DataFrame(rotation, index=names, columns=components)
        )
    return result
