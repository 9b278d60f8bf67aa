"""How the Cholesky factor of a model is stored, and what one evaluation of the criterion costs: printed as a table."""

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
    coupling_entries
        Numbers stored of the block between the leading factor and the others.
    update_flops, factor_flops
        Floating-point operations to form it, and to factor it, in each evaluation of the criterion: as predicted.
    leaf_flops
        To eliminate the stripped levels before.
    unstripped_flops, is_unstripped_dense
        To form and to factor it if no level had been stripped, and whether it is counted as a dense one.
    """

    size: int
    is_dense: bool
    entries: int
    supernodes: int
    coupling_entries: int
    update_flops: float
    factor_flops: float
    leaf_flops: float = 0.0
    unstripped_flops: float = 0.0
    is_unstripped_dense: bool = False

    @property
    def bytes(self) -> int:
        """Memory of the numbers stored."""
        return BYTES * self.entries


@dataclass(frozen=True)
class Blocks:
    """Layout of the Cholesky factor; `print` it.

    Attributes
    ----------
    factors
        The grouping factors, the leading one first.
    schur
        The Schur complement, None where there is one grouping factor only.
    """

    factors: tuple[FactorBlock, ...]
    schur: SchurComplement | None

    @property
    def flops(self) -> float:
        """Floating-point operations of the Schur complement in one evaluation of the criterion, as predicted."""
        if self.schur is None:
            return 0.0
        return self.schur.update_flops + self.schur.factor_flops + self.schur.leaf_flops

    def __str__(self) -> str:
        rows = [("leading" if block.leads else "trailing", _factor_text(block)) for block in self.factors]
        found = self.schur
        if found is None:
            rows.append(("Schur complement", "none: one grouping factor"))
        else:
            rows.append(("coupling", f"sparse, {found.coupling_entries} entries, {_bytes(found.coupling_entries)}"))
            rows.append(("Schur complement", _schur_text(found)))
            parts = f"{_flops(found.update_flops)} to form it, {_flops(found.factor_flops)} to factor it"
            rows.append(("each evaluation", f"{_flops(self.flops)}: {parts}{_stripped_text(self)}"))
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)


def describe(description: Sequence[dict[str, Any]], names: Sequence[str]) -> Blocks:
    """Word the core's description of its blocks; `names` are those of the grouping factors."""
    factors = [
        FactorBlock(names[each["factor"]], each["levels"], each["effects"], each["role"] == "leading", each["stripped"])
        for each in description
        if "factor" in each
    ]
    schur = [
        SchurComplement(
            each["size"],
            each["storage"] == "dense",
            each["entries"],
            each["supernodes"],
            each["coupling_entries"],
            each["update_flops"],
            each["factor_flops"],
            each["leaf_flops"],
            each["unstripped_flops"],
            each["unstripped_storage"] == "dense",
        )
        for each in description
        if "factor" not in each
    ]
    return Blocks(tuple(factors), schur[0] if schur else None)


def _factor_text(block: FactorBlock) -> str:
    effects = "1 effect" if block.effects == 1 else f"{block.effects} effects"
    if not block.leads:
        stripped = f" but for {block.stripped} stripped before" if block.stripped else ""
        return f"{block.name}: {block.levels} levels x {effects}, in the Schur complement{stripped}"
    entries = block.levels * block.effects**2
    one = f"{block.effects} x {block.effects}"
    return f"{block.name}: {block.levels} levels x {effects}, block diagonal ({one} a level), {_bytes(entries)}"


def _stripped_text(blocks: Blocks) -> str:
    if blocks.schur is None or not any(block.stripped for block in blocks.factors):
        return ""
    storage = "dense" if blocks.schur.is_unstripped_dense else "sparse"
    return f" (with the stripped levels in it {_flops(blocks.schur.unstripped_flops)}, {storage})"


def _schur_text(schur: SchurComplement) -> str:
    storage = "dense" if schur.is_dense else f"sparse, {schur.supernodes} supernodes"
    return f"{schur.size} x {schur.size}, {storage}, {schur.entries} entries, {_bytes(schur.entries)}"


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
