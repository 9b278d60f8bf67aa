"""The matrices of the model, on request: X as a table, Z and Lambda as sparse matrices.

Columns of Z and rows of Lambda are ordered term after term, level after level (sorted), the effects of a level side by
side. With one term a factor: ``numpy.concatenate([table.to_numpy().ravel() for table in fit.ranef.values()])``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from henderson import theta

if TYPE_CHECKING:
    import pandas as pd
    from scipy import sparse

    from henderson.model import LinearMixedModel


def model_matrix(model: LinearMixedModel) -> pd.DataFrame:
    """X as a table, aliased columns included, shape (n, p)."""
    import pandas as pd

    names = list(model.design.x_names)
    return pd.DataFrame(model.design.x_matrix(), index=model.index, columns=names)


def random_effects_matrix(model: LinearMixedModel) -> sparse.csc_array:
    """Random-effects matrix (n, q): term after term, level after level, the effects of a level side by side."""
    from scipy import sparse

    design = model.design
    n = len(design.y)
    blocks = []
    for term in design.terms:
        factor = design.factors[term.factor]
        size = len(term.columns)
        position = np.empty(factor.n_levels, dtype=np.int64)
        position[np.asarray(factor.order)] = np.arange(factor.n_levels)
        values = np.column_stack([np.ones(n) if column is None else column for column in term.columns])
        columns = position[factor.codes][:, None] * size + np.arange(size)
        pointers = np.arange(n + 1) * size
        shape = (n, factor.n_levels * size)
        blocks.append(sparse.csr_array((values.ravel(), columns.ravel(), pointers), shape=shape))
    return sparse.csc_array(sparse.hstack(blocks, format="csc"))


def relative_factor(model: LinearMixedModel) -> sparse.csc_array:
    """Relative covariance factor (q, q) in the order of the columns of `Z`: Cov(b) = sigma² Lambda Lambda'."""
    from scipy import sparse

    design = model.design
    sizes = [len(term.columns) for term in design.terms]
    factors = theta.relative_factors(np.asarray(model.optimum.theta), sizes)
    blocks = [
        sparse.kron(sparse.eye_array(design.factors[term.factor].n_levels), lam, format="csc")
        for term, lam in zip(design.terms, factors, strict=True)
    ]
    result = sparse.csc_array(sparse.block_diag(blocks, format="csc"))
    result.eliminate_zeros()
    return result
