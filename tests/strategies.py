"""Designs for hypothesis: it draws the structure (who meets whom, how often, which effects), a seed gives the numbers.

Every law is tested at any theta, so no optimiser is involved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import oracle
from henderson import RandomTerm, _core
from henderson.array_inputs import share_factors

LAWS = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass(frozen=True, eq=False, repr=False)
class Design:
    """Response, fixed-effects columns, random terms and weights of one model; `spare` levels have no rows."""

    y: oracle.Array
    x: oracle.Array
    terms: tuple[oracle.Term, ...]
    weights: oracle.Array | None
    spare: int = 0

    def __repr__(self) -> str:
        terms = ", ".join(f"{term.size} x {term.levels}" for term in self.terms)
        weights = "" if self.weights is None else ", weighted"
        return f"<{self.n} rows, {self.x.shape[1]} fixed, terms {terms}{weights}, {self.spare} spare>"

    @property
    def n(self) -> int:
        return len(self.y)

    @property
    def w(self) -> oracle.Array:
        return np.ones(self.n) if self.weights is None else self.weights

    @property
    def sizes(self) -> list[int]:
        return [term.size for term in self.terms]

    def df(self, reml: bool) -> int:
        return self.n - self.x.shape[1] if reml else self.n

    def random_terms(self) -> list[RandomTerm]:
        return [RandomTerm(term.codes, term.columns, term.levels + self.spare) for term in self.terms]

    def problem(self, threads: int = 1) -> _core.Problem:
        codes, levels, layout = share_factors(self.random_terms())
        x = [np.ascontiguousarray(column) for column in self.x.T]
        return _core.Problem(self.y, x, codes, levels, layout, self.weights, threads=threads)

    def dense(self, theta: oracle.Array, reml: bool) -> oracle.Dense:
        return oracle.evaluate(self.y, self.x, self.terms, theta, reml=reml, weights=self.weights)

    def rows(self, order: Any) -> Design:
        terms = tuple(oracle.Term(term.codes[order], term.columns[order]) for term in self.terms)
        weights = None if self.weights is None else self.weights[order]
        return replace(self, y=self.y[order], x=self.x[order], terms=terms, weights=weights)


def lam_theta(factors: list[oracle.Array]) -> oracle.Array:
    """Square relative factors -> theta: each re-triangularised (lam lam' is all that counts)."""
    out = []
    for factor in factors:
        lam = np.linalg.qr(factor.T)[1].T
        lam = lam * np.where(np.diag(lam) < 0, -1.0, 1.0)
        columns, rows = np.triu_indices(len(lam))
        out.append(lam[rows, columns])
    return np.concatenate(out)


def _codes(draw: Any, kind: str, n: int, rng: np.random.Generator) -> list[oracle.Array]:
    """One vector of codes per grouping factor; every level of every factor is observed."""
    levels = draw(st.integers(2, 12), label="levels")
    if kind == "single":
        return [_observed(rng.integers(0, levels, n), rng)]
    if kind == "unbalanced":  # many singletons, one level with nearly all rows
        return [np.concatenate([np.arange(1, levels), np.zeros(n - levels + 1, dtype=int)])]
    if kind == "crossed":
        more = draw(st.lists(st.integers(2, 8), min_size=1, max_size=2), label="levels of the others")
        return [_observed(rng.integers(0, m, n), rng) for m in (levels, *more)]
    inner = _observed(rng.integers(0, 2 * levels, n), rng)
    if kind == "nested":
        middle = (inner * (inner.max() + 1) // 2) % levels
        return [inner, _observed(middle, rng), _observed(middle // 2, rng)]
    return [inner, _observed((inner + rng.integers(0, 2, n)) % (inner.max() + 1), rng)]  # partially crossed


def _observed(codes: oracle.Array, rng: np.random.Generator) -> oracle.Array:
    """Levels renumbered at random so that each has a row."""
    distinct, codes = np.unique(codes, return_inverse=True)
    return rng.permutation(len(distinct))[codes]


def _columns(n: int, effects: int, has_intercept: bool, rng: np.random.Generator) -> oracle.Array:
    z = rng.normal(size=(n, effects))
    if has_intercept:
        z[:, 0] = 1.0
    if effects > 2:
        z[:, 2] = rng.random(n) < 0.5
    return z


def _fixed(n: int, p: int, rng: np.random.Generator) -> oracle.Array:
    x = rng.normal(size=(n, p))
    if p > 0:
        x[:, 0] = 1.0
    if p > 2:
        x[:, 2] = np.arange(n) % 3
    return x


KINDS = ("single", "unbalanced", "crossed", "nested", "partially crossed")


@st.composite
def designs(draw: Any, kinds: tuple[str, ...] = KINDS) -> Design:
    """Any model with up to 90 rows: one to four terms with one to four effects each, some of them on one factor."""
    kind = draw(st.sampled_from(kinds), label="kind")
    n = draw(st.integers(25, 90), label="n")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    factors = _codes(draw, kind, n, rng)
    if draw(st.booleans(), label="several terms on one factor"):
        factors.append(factors[0])
    terms = []
    for codes in factors:
        effects = draw(st.integers(1, 4 if kind in ("single", "unbalanced") else 2), label="effects")
        terms.append(oracle.Term(codes.astype(np.int32), _columns(n, effects, draw(st.booleans()), rng)))
    x = _fixed(n, draw(st.integers(0, 4), label="p"), rng)
    weights = rng.uniform(0.1, 10.0, n) if draw(st.booleans(), label="weighted") else None
    y = 3.0 + rng.normal(size=n)
    for term in terms:
        y += np.sum(term.columns * rng.normal(size=(term.levels, term.size))[term.codes], axis=1)
    return Design(y, x, tuple(terms), weights, draw(st.integers(0, 1), label="spare levels"))


@st.composite
def deep_designs(draw: Any) -> Design:
    """Three levels of nesting with enough of them that the trailing block is stored sparse."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    middle = draw(st.integers(55, 70), label="middle levels")
    parent = np.arange(middle) // draw(st.integers(4, 9), label="middle levels in one of the top")
    inside = np.repeat(np.arange(middle), 2)
    inner = np.concatenate([np.arange(len(inside)), rng.integers(0, len(inside), 60)])
    n = len(inner)
    effects = [draw(st.integers(1, 2), label="effects") for _ in range(3)]
    codes = (inner, inside[inner], parent[inside[inner]])
    terms = [oracle.Term(_relabelled(c, rng), _columns(n, s, True, rng)) for c, s in zip(codes, effects, strict=True)]
    y = rng.normal(size=n) + sum(rng.normal(size=term.levels)[term.codes] for term in terms)
    weights = rng.uniform(0.5, 2.0, n) if draw(st.booleans(), label="weighted") else None
    return Design(y, _fixed(n, draw(st.integers(0, 3), label="p"), rng), tuple(terms), weights)


def _relabelled(codes: oracle.Array, rng: np.random.Generator) -> oracle.Array:
    return rng.permutation(codes.max() + 1)[codes].astype(np.int32)


@st.composite
def thetas(draw: Any, design: Design) -> oracle.Array:
    """Any theta: small, large, with columns of lam at zero, or all zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed of theta"))
    factors = []
    for size in design.sizes:
        scale = 10.0 ** draw(st.integers(-2, 1), label="scale of lam")
        lam = np.tril(rng.normal(size=(size, size))) * scale
        lam[:, : draw(st.sampled_from([0, 0, 0, 1, size]), label="columns at zero")] = 0.0
        factors.append(lam * np.where(np.diag(lam) < 0, -1.0, 1.0))
    return lower_triangles(factors)


def lower_triangles(factors: list[oracle.Array]) -> oracle.Array:
    """Lower-triangular relative factors -> theta."""
    return np.concatenate([lam.T[np.triu_indices(len(lam))] for lam in factors])


@st.composite
def models(draw: Any, of: Any = None) -> tuple[Design, oracle.Array, bool]:
    """A design, a theta for it, and which criterion."""
    design = draw(designs() if of is None else of)
    return design, draw(thetas(design)), draw(st.booleans(), label="REML")
