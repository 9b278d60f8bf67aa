"""The oracle of predictions: errors of prediction written down as linear functions of y, with n x n matrices.

Rows of the fit and new rows stand in one table, and two rows share a random effect when they have the same level. The
prediction of x'beta + z'b is l'y, and Var(l'y - x'beta - z'b) = l'Vl - 2 l'Cov(y, z'b) + Var(z'b).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from henderson.design import build_design
from oracle import relative_factors


class DensePrediction:
    """Predictions of the rows of `new` by a fit to `data`, at any (theta, sigma)."""

    def __init__(self, model, data: pd.DataFrame, new: pd.DataFrame, **options) -> None:
        self.n = len(data)
        both = pd.concat([data, new], ignore_index=True)
        response = model.design.response_name
        both[response] = np.append(data[response], np.random.default_rng(0).normal(size=len(new)))
        design = build_design(model.formula, both, **options)
        self.x = design.x_matrix()[:, model.kept]
        self.offset = np.zeros(len(both)) if design.offset is None else design.offset
        self.weights = np.ones(len(both)) if design.weights is None else design.weights
        self.y = data[response].to_numpy(dtype=float) - self.offset[: self.n]
        self.terms = []
        for term in model.design.terms:  # in the order of the fit
            (own,) = [other for other in design.terms if (other.label, other.names) == (term.label, term.names)]
            columns = [np.ones(len(both)) if column is None else column for column in own.columns]
            self.terms.append((design.factors[own.factor].codes, np.column_stack(columns)))

    def share(self, theta, chosen=None):
        """Covariances of Z b between all rows, in units of sigma²; of some effects only, {term: positions}."""
        sizes = [columns.shape[1] for _, columns in self.terms]
        total = np.zeros((len(self.x), len(self.x)))
        one_sided = np.zeros_like(total)
        for t, ((codes, columns), lam) in enumerate(zip(self.terms, relative_factors(theta, sizes), strict=True)):
            some = columns.copy()
            if chosen is not None:
                out = [k for k in range(columns.shape[1]) if k not in chosen.get(t, ())]
                some[:, out] = 0.0
            together = codes[:, None] == codes
            total += together * (some @ lam @ lam.T @ some.T)
            one_sided += together * (columns @ lam @ lam.T @ some.T)
        return total, one_sided

    def weights_of_y(self, theta, chosen):
        """l for each new row, (n, rows), and what their errors need."""
        n = self.n
        v = self.share(theta)[0][:n, :n] + np.diag(1.0 / self.weights[:n])
        own, between = self.share(theta, chosen)
        inverse = np.linalg.inv(v)
        x = self.x[:n]
        k = np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)  # beta = K y
        c = between[:n, n:]
        linear = k.T @ self.x[n:].T + inverse @ (c - x @ (k @ c))
        return linear, v, c, own[n:, n:]

    def estimate(self, theta, chosen):
        return self.weights_of_y(theta, chosen)[0].T @ self.y + self.offset[self.n :]

    def variance(self, theta, sigma, chosen, *, of_observations=False, left_out=None):
        """Of the error of each new row; `left_out` effects are those of groups of their own."""
        linear, v, c, own = self.weights_of_y(theta, chosen)
        found = np.einsum("nm,nk,km->m", linear, v, linear) - 2 * np.einsum("nm,nm->m", linear, c) + np.diag(own)
        if of_observations:
            found = found + 1.0 / self.weights[self.n :]
            sizes = [columns.shape[1] for _, columns in self.terms]
            for t, ((_, columns), lam) in enumerate(zip(self.terms, relative_factors(theta, sizes), strict=True)):
                z = columns[self.n :].copy()
                z[:, [k for k in range(z.shape[1]) if k not in (left_out or {}).get(t, ())]] = 0.0
                found = found + np.square(z @ lam).sum(axis=1)
        return sigma**2 * found
