"""Estimation by moments: variance components and fixed effects without a likelihood, from sums over the rows."""
