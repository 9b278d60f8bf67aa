"""The criterion and its gradients by dense algebra, n x n, at any theta and sigma."""

import numpy as np

import oracle


def covariance(design, theta):
    """V in units of sigma²."""
    v = np.diag(1.0 / design.w)
    for term, lam in zip(design.terms, oracle.relative_factors(theta, design.sizes), strict=True):
        z = term.matrix()
        v += z @ np.kron(np.eye(term.levels), lam @ lam.T) @ z.T
    return v


def projection(design, theta):
    """V⁻¹ and P."""
    inverse = np.linalg.inv(covariance(design, theta))
    vx = inverse @ design.x
    return inverse, inverse - vx @ np.linalg.solve(design.x.T @ vx, vx.T)


def slopes(design, theta):
    """dV/dtheta_k, each n x n."""
    found = []
    for term, lam in zip(design.terms, oracle.relative_factors(theta, design.sizes), strict=True):
        z = term.matrix()
        rows, columns = np.triu_indices(len(lam))
        for column, row in zip(rows, columns, strict=True):
            step = np.zeros_like(lam)
            step[row, column] = 1.0
            found.append(z @ np.kron(np.eye(term.levels), step @ lam.T + lam @ step.T) @ z.T)
    return found


def dense_value(design, theta, reml, sigma):
    v = covariance(design, theta)
    inverse, p = projection(design, theta)
    df, r2 = design.df(reml), design.y @ p @ design.y
    variance = r2 / df if sigma is None else sigma**2
    log_det = np.linalg.slogdet(v)[1] + (np.linalg.slogdet(design.x.T @ inverse @ design.x)[1] if reml else 0.0)
    return log_det + df * np.log(2 * np.pi * variance) + r2 / variance


def dense_gradient(design, theta, reml, sigma):
    """In y, in theta and in log sigma."""
    inverse, p = projection(design, theta)
    py, df = p @ design.y, design.df(reml)
    r2 = design.y @ py
    variance = r2 / df if sigma is None else sigma**2
    kernel = p if reml else inverse
    of_theta = [np.sum(kernel * slope) - py @ slope @ py / variance for slope in slopes(design, theta)]
    return 2 * py / variance, np.array(of_theta), 2 * (df - r2 / variance)
