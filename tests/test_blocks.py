"""What a fit says about the layout of its Cholesky factor."""

import pickle
import textwrap

import numpy as np
import pytest

from cases import BY_NAME
from henderson import RandomTerm, fit_arrays, lmer


def crossed(n, *levels):
    """A fit of n rows to crossed factors of random codes."""
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, count, n) for count in levels]
    terms = [RandomTerm(each, levels=count) for each, count in zip(codes, levels, strict=True)]
    return fit_arrays(rng.normal(size=n), np.ones(n), terms=terms, max_evaluations=1)


def test_one_factor_has_no_schur_complement():
    case = BY_NAME["sleepstudy"]
    blocks = lmer(case.formula, case.data()).blocks
    assert blocks.schur is None
    assert blocks.flops == 0
    assert str(blocks) == textwrap.dedent("""\
        leading           Subject: 18 levels x 2 effects, block diagonal (2 x 2 a level), 576 B
        Schur complement  none: one grouping factor""")


def test_crossed_factors_have_a_dense_one():
    blocks = crossed(20000, 400, 300, 7).blocks
    assert [(each.name, each.levels, each.leads) for each in blocks.factors] == [
        ("terms[0]", 400, True),
        ("terms[1]", 300, False),
        ("terms[2]", 7, False),
    ]
    assert blocks.schur.is_dense
    assert blocks.schur.size == 307
    assert blocks.schur.bytes == 8 * blocks.schur.entries >= 8 * 307 * 308 / 2
    assert blocks.flops == blocks.schur.update_flops + blocks.schur.factor_flops > 307**3 / 3
    lines = str(blocks).splitlines()
    assert [line[:18].strip() for line in lines] == [
        "leading",
        "trailing",
        "trailing",
        "coupling",
        "Schur complement",
        "why",
        "why this lead",
        "before",
        "after",
        "each evaluation",
    ]
    assert "307 x 307, dense, " in lines[4]
    assert "dense: the levels of terms[0] fill most of it" in lines[5]
    assert "terms[1] first: " in lines[6]
    assert "flop to form it, " in lines[9]
    before = 400 + blocks.schur.coupling_entries + 300 + 7 + 300 * 7  # every pair of the small factors meets
    assert blocks.entries_before == before
    assert blocks.entries_after == 400 + blocks.schur.coupling_entries + blocks.schur.entries
    assert blocks.bytes == 8 * (blocks.entries_before + blocks.entries_after)


def test_the_larger_factor_leads_where_both_orders_are_dense():
    blocks = crossed(20000, 400, 390).blocks
    assert [lead.name for lead in blocks.leads] == ["terms[0]", "terms[1]"]
    assert blocks.leads[0].flops == blocks.flops < blocks.leads[1].flops


def test_a_smaller_factor_leads_where_that_is_less_work():
    """Four rows for each level of the smaller factor: it leaves cliques of four, the other a full matrix."""
    rng = np.random.default_rng(0)
    blocks = fit_arrays(
        rng.normal(size=3000),
        np.ones(3000),
        terms=[RandomTerm(rng.zipf(1.3, 3000) % 1000), RandomTerm(np.arange(3000) // 4)],
        max_evaluations=1,
    ).blocks
    assert [lead.name for lead in blocks.leads] == ["terms[1]", "terms[0]"]
    assert blocks.leads[0].flops == blocks.flops < 0.3 * blocks.leads[1].flops
    assert "sparse: " in str(blocks)
    assert "terms[0] first: " in str(blocks)


def test_a_sparse_schur_complement_says_so():
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 4000, 20000)
    terms = [RandomTerm(fine), RandomTerm(fine // 4), RandomTerm(rng.integers(0, 7, 20000))]
    blocks = fit_arrays(rng.normal(size=20000), np.ones(20000), terms=terms, max_evaluations=1).blocks
    assert not blocks.schur.is_dense
    assert blocks.schur.entries < 20 * blocks.schur.size
    assert f"sparse, {blocks.schur.supernodes} supernodes" in str(blocks)


def test_terms_of_one_factor_are_one_block():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 9, 200)
    fit = fit_arrays(rng.normal(size=200), None, terms=[RandomTerm(codes), RandomTerm(codes, rng.normal(size=200))])
    (block,) = fit.blocks.factors
    assert (block.name, block.levels, block.effects) == ("terms[0], terms[1]", 9, 2)


@pytest.mark.parametrize(
    "make", [lambda: crossed(500, 40, 30), lambda: pickle.loads(pickle.dumps(crossed(500, 40, 30)))]
)
def test_blocks_are_values(make):
    fit = make()
    assert fit.blocks is fit.blocks
    assert pickle.loads(pickle.dumps(fit.blocks)) == fit.blocks == fit.refit(np.arange(500.0) % 7).blocks
