"""Oracles of inference: the formulas written down with n x n matrices, and derivatives by differences of functions."""

from __future__ import annotations

import numpy as np

from oracle import Term, relative_factors


def parts(model):
    """y, X (kept columns), the oracle's terms and the inverse weights of a fitted model."""
    design = model.design
    terms = [
        Term(
            design.factors[term.factor].codes,
            np.column_stack([np.ones(design.n) if column is None else column for column in term.columns]),
        )
        for term in design.terms
    ]
    inverse = np.ones(design.n) if design.weights is None else 1.0 / design.weights
    y = design.y if design.offset is None else design.y - design.offset
    return y, design.x_matrix()[:, model.kept], terms, inverse


def covariance(model, theta, sigma):
    """V(theta, sigma), n x n."""
    _, _, terms, inverse = parts(model)
    v = np.diag(inverse)
    for term, lam in zip(terms, relative_factors(theta, [term.size for term in terms]), strict=True):
        v += (term.codes[:, None] == term.codes) * (term.columns @ lam @ lam.T @ term.columns.T)
    return sigma**2 * v


def vcov(model, theta, sigma):
    """(X'V⁻¹X)⁻¹."""
    x = parts(model)[1]
    return np.linalg.inv(x.T @ np.linalg.solve(covariance(model, theta, sigma), x))


def criterion(model, theta, sigma):
    """Deviance or REML criterion with sigma not profiled out."""
    y, x, _, _ = parts(model)
    n, p = x.shape
    v = covariance(model, theta, sigma)
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    residual = y - x @ np.linalg.solve(information, x.T @ (inverse @ y))
    value = np.linalg.slogdet(v)[1] + residual @ inverse @ residual + n * np.log(2 * np.pi)
    if model.is_reml:
        value += np.linalg.slogdet(information)[1] - p * np.log(2 * np.pi)
    return value


def gradient(function, x, steps):
    """Derivatives of an array-valued function along each coordinate: differences of fourth order."""
    found = []
    for i, step in enumerate(steps):
        unit = np.zeros(len(x))
        unit[i] = step
        found.append(8 * (function(x + unit) - function(x - unit)) - function(x + 2 * unit) + function(x - 2 * unit))
    return np.array(found) / (12 * np.reshape(steps, (-1,) + (1,) * (np.ndim(found[0]))))


def hessian(function, x, steps):
    """Second derivatives of a function of several variables: differences of second order."""
    k = len(x)
    moves = np.diag(steps)
    along = np.array([[function(x + moves[i]), function(x - moves[i])] for i in range(k)])
    here = function(x)
    found = np.diag((along.sum(axis=1) - 2 * here) / np.square(steps))
    for i in range(k):
        for j in range(i):
            both = function(x + moves[i] + moves[j]) + function(x - moves[i] - moves[j])
            found[i, j] = both - along[i].sum() - along[j].sum() + 2 * here
            found[i, j] = found[j, i] = found[i, j] / (2 * steps[i] * steps[j])
    return found


def at_kept(model, function):
    """A function of (theta, sigma) as one of (theta[kept], sigma), and the estimates."""
    found = model.information

    def of_kept(values):
        theta = found.theta.copy()
        theta[found.kept] = values[:-1]
        return function(model, theta, values[-1])

    return of_kept, np.append(found.theta[found.kept], found.sigma)


def satterthwaite(model, contrasts, relative_step=0.003, extrapolated=False):
    """Degrees of freedom of each row from differences of the n x n criterion and of (X'V⁻¹X)⁻¹."""
    deviance, at = at_kept(model, criterion)
    covariances, _ = at_kept(model, vcov)
    steps = relative_step * np.sqrt(np.diag(model.information.covariance))
    second = hessian(deviance, at, steps)
    if extrapolated:
        second = (4 * second - hessian(deviance, at, 2 * steps)) / 3
    spread = 2 * np.linalg.inv(second)
    slopes = np.einsum("rp,ipq,rq->ri", contrasts, gradient(covariances, at, steps), contrasts)
    variances = np.einsum("rp,pq,rq->r", contrasts, covariances(at), contrasts)
    return 2 * variances**2 / np.einsum("ri,ij,rj->r", slopes, spread, slopes)


def kenward_roger(model):
    """Phi, Phi_A, P and W of Kenward and Roger (1997), with n x n matrices; the model is a REML fit."""
    _, x, terms, inverse = parts(model)
    variance = model.sigma**2
    components = []
    for term in terms:
        together = term.codes[:, None] == term.codes
        for b in range(term.size):
            for a in range(b, term.size):
                selector = np.zeros((term.size, term.size))
                selector[a, b] = selector[b, a] = 1.0
                components.append(together * (term.columns @ selector @ term.columns.T))
    components.append(np.diag(inverse))
    v = covariance(model, model.optimum.theta, np.sqrt(variance))
    v_inverse = np.linalg.inv(v)
    phi = np.linalg.inv(x.T @ v_inverse @ x)
    p = [-x.T @ v_inverse @ g @ v_inverse @ x for g in components]
    products = [v_inverse @ g for g in components]
    k = range(len(components))
    q = [[x.T @ products[r] @ products[s] @ v_inverse @ x for s in k] for r in k]
    information = np.array(
        [
            [
                np.sum(products[r] * products[s].T) - 2 * np.trace(phi @ q[r][s]) + np.trace(phi @ p[r] @ phi @ p[s])
                for s in k
            ]
            for r in k
        ]
    )
    w = np.linalg.inv(0.5 * information)
    inner = sum(w[r, s] * (q[r][s] - p[r] @ phi @ p[s]) for r in k for s in k)
    return phi, phi + 2 * phi @ inner @ phi, p, w


def kenward_roger_f(model, contrasts):
    """F statistic of L beta = 0, and its degrees of freedom, as Halekoh and Hojsgaard (2014) write it."""
    phi, adjusted, p, w = kenward_roger(model)
    rank = len(contrasts)
    theta = contrasts.T @ np.linalg.solve(contrasts @ phi @ contrasts.T, contrasts)
    k = range(len(p))
    traces = [np.trace(theta @ phi @ p[r] @ phi) for r in k]
    a1 = sum(w[r, s] * traces[r] * traces[s] for r in k for s in k)
    a2 = sum(w[r, s] * np.trace(theta @ phi @ p[r] @ phi @ theta @ phi @ p[s] @ phi) for r in k for s in k)
    b = (a1 + 6 * a2) / (2 * rank)
    g = ((rank + 1) * a1 - (rank + 4) * a2) / ((rank + 2) * a2)
    below = 3 * rank + 2 * (1 - g)
    c1, c2, c3 = g / below, (rank - g) / below, (rank + 2 - g) / below
    mean = 1 / (1 - a2 / rank)
    variance = 2 / rank * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    rho = variance / (2 * mean**2)
    df = 4 + (rank + 2) / (rank * rho - 1)
    estimate = contrasts @ model.solution.beta
    wald = estimate @ np.linalg.solve(contrasts @ adjusted @ contrasts.T, estimate)
    return df / (mean * (df - 2)) * wald / rank, df
