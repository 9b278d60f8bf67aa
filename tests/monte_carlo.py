"""Simulated values against the distribution they should have."""

import numpy as np


def assert_distributed(values, mean, covariance, z=5.0):
    """Means and covariances of draws, one a column, are within so many Monte Carlo standard errors of these."""
    count = values.shape[1]
    variance = np.diag(covariance)
    assert np.abs((values.mean(axis=1) - mean) / np.sqrt(variance / count)).max() < z
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / count)
    assert np.abs((np.cov(values) - covariance) / error).max() < z
