"""An experiment in psycholinguistics (as kb07): subjects crossed with items, eight conditions of 2 x 2 x 2."""

from functools import cache

import numpy as np

from henderson import RandomTerm

SUBJECTS, ITEMS = 56, 32
MODELS = {"72 thetas": (8, True), "20 thetas": (4, True), "16 variances": (8, False)}
"""Effects of each of the two factors, and whether they are correlated."""


@cache
def columns():
    """Subject and item of each row, and the eight columns of the 2 x 2 x 2 factorial, coded -1 and 1."""
    subject, item = np.divmod(np.arange(SUBJECTS * ITEMS), ITEMS)
    used = np.arange(SUBJECTS * ITEMS) % 891 != 7  # two rows are missing
    condition = (subject + item) % 8
    a, b, c = (2.0 * ((condition >> k) & 1) - 1.0 for k in range(3))
    factorial = np.column_stack([np.ones_like(a), a, b, c, a * b, a * c, b * c, a * b * c])
    return subject[used], item[used], factorial[used]


def low_rank_effects(levels, effects, rank, rng):
    """Effects of each level: a covariance matrix of the given rank, its intercept the largest."""
    loadings = rng.normal(size=(effects, rank)) * rng.uniform(0.2, 1.0, rank)
    loadings[1:] *= 0.4
    return rng.normal(size=(levels, rank)) @ loadings.T


def sparse_effects(levels, effects, rank, rng):
    """Independent effects of which only `rank` have a variance."""
    scales = np.zeros(effects)
    scales[rng.permutation(effects)[:rank]] = rng.uniform(0.3, 1.0, rank)
    return rng.normal(size=(levels, effects)) * scales


def experiment(model, seed, rank=2):
    """y, X and terms of a data set of the named model whose covariance matrices are singular."""
    effects, are_correlated = MODELS[model]
    subject, item, factorial = columns()
    rng = np.random.default_rng(seed)
    draw = low_rank_effects if are_correlated else sparse_effects
    z = np.ascontiguousarray(factorial[:, :effects])
    y = 2.0 + 0.3 * factorial @ rng.normal(size=8) + rng.normal(size=len(subject))
    for codes, levels in ((subject, SUBJECTS), (item, ITEMS)):
        y += np.sum(z * draw(levels, effects, rank, rng)[codes], axis=1)
    if are_correlated:
        return y, factorial, [RandomTerm(subject, z), RandomTerm(item, z)]
    return y, factorial, [RandomTerm(codes, column.copy()) for codes in (subject, item) for column in z.T]
