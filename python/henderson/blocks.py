"""How the Cholesky factor of a model is stored, why, and what one evaluation of the criterion costs: print it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BYTES = 8  # of a double


@dataclass(frozen=True)
class FactorBlock:
    """A grouping factor in the Cholesky factor.

    Attributes
    ----------
    name
        The grouping factor.
    levels, effects
        Its levels, and the random effects of each level.
    leads
        Whether it is eliminated first: its levels do not touch each other, one small block each. The other factors
        end up in the Schur complement.
    stripped
        Of its levels, those eliminated even before: they meet one level of the leading factor only (items that one
        user has rated), and they are not in the Schur complement.
    """

    name: str
    levels: int
    effects: int
    leads: bool
    stripped: int = 0

    @property
    def entries(self) -> int:
        """Numbers in its own blocks, one triangle each."""
        return self.levels * self.effects * (self.effects + 1) // 2


@dataclass(frozen=True)
class Lead:
    """What it costs to eliminate one grouping factor first, in predicted operations of one evaluation.

    Attributes
    ----------
    name
        The grouping factor.
    size
        Order of the Schur complement that it leaves.
    update_flops
        To form the Schur complement.
    dense_flops, sparse_flops
        To factor it as a dense matrix or by supernodes; `sparse_flops` is None where that was not worked out.
    is_dense
        Which of them is cheaper. A dense factorisation runs several times faster per operation.
    is_small, is_filled
        Why `sparse_flops` was not worked out: the matrix is small, or the leading levels alone fill most of it.
    leaf_flops
        To eliminate the levels that are stripped before.
    unstripped_flops, is_unstripped_dense
        To form and to factor the Schur complement with those levels in it, and whether it is counted as a dense one.
    """

    name: str
    size: int
    update_flops: float
    dense_flops: float
    sparse_flops: float | None
    is_dense: bool
    is_small: bool
    is_filled: bool
    leaf_flops: float
    unstripped_flops: float
    is_unstripped_dense: bool

    @property
    def flops(self) -> float:
        """Operations to strip leaves, to form the Schur complement and to factor it."""
        factor = self.dense_flops if self.is_dense or self.sparse_flops is None else self.sparse_flops
        return self.leaf_flops + self.update_flops + factor

    @property
    def reason(self) -> str:
        """Why its Schur complement would be dense or sparse."""
        if self.is_small:
            return "dense: it is small"
        if self.is_filled:
            return f"dense: the levels of {self.name} fill most of it"
        assert self.sparse_flops is not None
        dense, sparse = _flops(self.dense_flops), _flops(self.sparse_flops)
        return (
            f"dense: {dense}, sparse {sparse} but slower ones" if self.is_dense else f"sparse: {sparse}, dense {dense}"
        )


@dataclass(frozen=True)
class SchurComplement:
    """What is left of the random effects when the leading factor is eliminated.

    Attributes
    ----------
    size
        Rows, and columns.
    is_dense
        Stored as one dense matrix, or else sparse, by supernodes.
    entries, supernodes
        Numbers stored, and column blocks they are stored in.
    entries_before
        Numbers of the cross-products that they come from, before the elimination fills them in.
    coupling_entries
        Numbers stored of the block between the leading factor and the others.
    update_flops, factor_flops
        Floating-point operations to form it, and to factor it, in each evaluation of the criterion: as predicted.
    leaf_entries
        Numbers stored of the stripped levels and their couplings.
    """

    size: int
    is_dense: bool
    entries: int
    supernodes: int
    entries_before: int
    coupling_entries: int
    update_flops: float
    factor_flops: float
    leaf_entries: int = 0

    @property
    def bytes(self) -> int:
        """Memory of the numbers stored."""
        return BYTES * self.entries

    @property
    def border(self) -> int:
        """Numbers stored of the couplings, and of the levels stripped before."""
        return self.coupling_entries + self.leaf_entries


@dataclass(frozen=True)
class Blocks:
    """Layout of the Cholesky factor; `print` it.

    Attributes
    ----------
    factors
        The grouping factors, the leading one first.
    schur
        The Schur complement, None where there is one grouping factor only.
    leads
        The grouping factors that might have been eliminated first, the chosen one at the head: those at least half as
        large as the largest.
    """

    factors: tuple[FactorBlock, ...]
    schur: SchurComplement | None
    leads: tuple[Lead, ...] = ()

    @property
    def flops(self) -> float:
        """Floating-point operations of the Schur complement in one evaluation of the criterion, as predicted."""
        return (
            0.0 if self.schur is None else self.leads[0].leaf_flops + self.schur.update_flops + self.schur.factor_flops
        )

    @property
    def entries_before(self) -> int:
        """Numbers in the random effects' cross-products Z'WZ, one triangle."""
        leading = self.factors[0].entries
        return leading if self.schur is None else leading + self.schur.border + self.schur.entries_before

    @property
    def entries_after(self) -> int:
        """Numbers in their Cholesky factor."""
        leading = self.factors[0].entries
        return leading if self.schur is None else leading + self.schur.border + self.schur.entries

    @property
    def bytes(self) -> int:
        """Memory of the cross-products and of the factor."""
        return BYTES * (self.entries_before + self.entries_after)

    def __str__(self) -> str:
        rows = [("leading" if block.leads else "trailing", _factor_text(block)) for block in self.factors]
        found = self.schur
        if found is None:
            rows.append(("Schur complement", "none: one grouping factor"))
        else:
            rows += [
                ("coupling", f"sparse, {found.coupling_entries} entries, {_bytes(found.coupling_entries)}"),
                ("Schur complement", _schur_text(found)),
                ("why", self.leads[0].reason),
                ("why this lead", _order_text(self.leads)),
                ("before", f"{self.entries_before} entries in Z'WZ, {_bytes(self.entries_before)}"),
                ("after", f"{self.entries_after} entries in L, {_bytes(self.entries_after)}"),
                ("each evaluation", _evaluation_text(self)),
            ]
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)


def describe(description: Sequence[dict[str, Any]], names: Sequence[str]) -> Blocks:
    """Word the core's description of its blocks; `names` are those of the grouping factors."""
    factors = tuple(
        FactorBlock(names[each["factor"]], each["levels"], each["effects"], each["role"] == "leading", each["stripped"])
        for each in description
        if "factor" in each
    )
    found = description[-1]
    if "factor" in found:
        return Blocks(factors, None)
    leads = tuple(Lead(names[each["factor"]], **{key: each[key] for key in _LEAD_KEYS}) for each in found["leads"])
    schur = SchurComplement(is_dense=found["storage"] == "dense", **{key: found[key] for key in _SCHUR_KEYS})
    return Blocks(factors, schur, leads)


_LEAD_KEYS = (
    *("size", "update_flops", "dense_flops", "sparse_flops", "is_dense", "is_small", "is_filled"),
    *("leaf_flops", "unstripped_flops", "is_unstripped_dense"),
)
_SCHUR_KEYS = (
    *("size", "entries", "supernodes", "entries_before", "coupling_entries", "update_flops", "factor_flops"),
    "leaf_entries",
)


def _factor_text(block: FactorBlock) -> str:
    effects = "1 effect" if block.effects == 1 else f"{block.effects} effects"
    if not block.leads:
        stripped = f" but for {block.stripped} stripped before" if block.stripped else ""
        return f"{block.name}: {block.levels} levels x {effects}, in the Schur complement{stripped}"
    one = f"{block.effects} x {block.effects}"
    entries = block.levels * block.effects**2
    return f"{block.name}: {block.levels} levels x {effects}, block diagonal ({one} a level), {_bytes(entries)}"


def _schur_text(schur: SchurComplement) -> str:
    storage = "dense" if schur.is_dense else f"sparse, {schur.supernodes} supernodes"
    return f"{schur.size} x {schur.size}, {storage}, {schur.entries} entries, {_bytes(schur.entries)}"


def _order_text(leads: Sequence[Lead]) -> str:
    if len(leads) == 1:
        return "by far the largest factor"
    others = "; ".join(f"{other.name} first: {_flops(other.flops)}" for other in leads[1:])
    return f"{_flops(leads[0].flops)}; {others}"


def _evaluation_text(blocks: Blocks) -> str:
    found, lead = blocks.schur, blocks.leads[0]
    assert found is not None
    text = f"{_flops(blocks.flops)}: {_flops(found.update_flops)} to form it, {_flops(found.factor_flops)} to factor it"
    if not any(block.stripped for block in blocks.factors):
        return text
    storage = "dense" if lead.is_unstripped_dense else "sparse"
    return f"{text} (with the stripped levels in it {_flops(lead.unstripped_flops)}, {storage})"


def _bytes(entries: int) -> str:
    return _scaled(BYTES * entries, "B")


def _flops(count: float) -> str:
    return _scaled(count, "flop")


def _scaled(value: float, unit: str) -> str:
    """Three digits and a prefix: 754 kB, 10.8 Mflop."""
    for prefix in ("", "k", "M", "G"):
        if value < 999.5:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:.3g} T{unit}"
