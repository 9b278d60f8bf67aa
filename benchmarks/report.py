"""The tables of docs/performance.md, between its markers, and two plots, from what was measured."""

import importlib.util
from pathlib import Path
from typing import Any

import limits

PEERS = ("mixedlm", "gpboost", "lme4")


def write(results: dict[str, Any], docs: Path) -> None:
    """Replace the tables of docs/performance.md; draw the plots where matplotlib is installed."""
    page = docs / "performance.md"
    text = page.read_text(encoding="utf-8")
    for name, lines in (("shapes", times(results)), ("limits", distances(results))):
        text = between(text, name, "\n".join(lines))
    page.write_text(text, encoding="utf-8")
    if importlib.util.find_spec("matplotlib"):
        plot(results, docs)


def between(text: str, name: str, body: str) -> str:
    """Put `body` between the markers `<!-- name: begin -->` and `<!-- name: end -->`."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    head, found, rest = text.partition(begin)
    if not found or end not in rest:
        raise ValueError(f"no markers for {name!r}")
    return f"{head}{begin}{body}\n{end}{rest.partition(end)[2]}"


def line(name: str, found: dict[str, Any]) -> str:
    """One shape for the terminal."""
    if "failed" in found:
        return f"{name:18} fails: {found['failed']}"
    parts = f"products {seconds(found['products_s'])}, optimum {seconds(found['optimum_s'])}"
    memory = f"{found['peak_bytes'] / 1e6:.0f} MB"
    work = f"{found['evaluations']:g} evaluations, {quantity(found['flops'])}flop, {found['storage']}"
    others = "".join(
        f"; {peer} {seconds(each.get('seconds'))}{each.get('failed', '')}"
        for peer, each in found.get("peers", {}).items()
    )
    return f"{name:18} {seconds(found['seconds']):>9} ({verdict(found)}), {parts}, {memory}, {work}{others}"


def verdict(found: dict[str, Any]) -> str:
    """Whether the targets are met."""
    limit, core = found["target_s"], found["core_target_s"]
    if limit is None:
        lme4 = found.get("peers", {}).get("lme4", {})
        if lme4.get("failed", "").startswith("over "):
            return "met"
        return "not compared" if "seconds" not in lme4 else "met" if found["seconds"] < lme4["seconds"] else "missed"
    words = "met" if found["seconds"] <= limit else f"missed, x {found['seconds'] / limit:.2g}"
    if core is not None:
        taken = found["products_s"] + found["optimum_s"]
        words += ", core met" if taken <= core else f", core missed, x {taken / core:.2g}"
    return words


def times(results: dict[str, Any]) -> list[str]:
    """Time, memory and evaluations of each shape against its target."""
    measured = [name for name in PEERS if any(name in each.get("peers", {}) for each in results["shapes"].values())]
    heads = ["shape", "rows; levels", "target", "henderson", "target is", "core", "peak memory", "evaluations"]
    heads += [*(f"{name}, here" for name in measured), "published, seconds"]
    lines = [
        "| " + " | ".join(heads) + " |",
        "|---|---|---:|---:|---|---:|---:|---:|" + "---:|" * len(measured) + "---|",
    ]
    for found in results["shapes"].values():
        target = "lme4's" if found["target_s"] is None else seconds(found["target_s"])
        if "failed" in found:
            row = [found["title"], found["size"], target, f"fails: {found['failed']}", "missed", "", "", ""]
        else:
            core = seconds(found["products_s"] + found["optimum_s"])
            memory = f"{found['peak_bytes'] / 1e6:,.0f} MB"
            row = [found["title"], found["size"], target, seconds(found["seconds"]), verdict(found), core, memory]
            row.append(f"{found['evaluations']:.3g}" + (", singular" if found["singular"] else ""))
        row += [peer_cell(found, found.get("peers", {}).get(name)) for name in measured]
        lines.append("| " + " | ".join([*row, found["published"]]) + " |")
    return [*lines, "", signature(results)]


def peer_cell(found: dict[str, Any], peer: dict[str, Any] | None) -> str:
    """A peer's time; marked where the criterion it reached is worse."""
    if peer is None:
        return ""
    if "failed" in peer:
        return str(peer["failed"])
    reached, best = peer["criterion"], found.get("criterion")
    worse = reached is not None and best is not None and reached > best + 1e-3
    return seconds(peer["seconds"]) + (f", criterion {reached - best:.3g} worse" if worse else "")


def distances(results: dict[str, Any]) -> list[str]:
    """Each shape's floor on one core, and the time of its evaluations against it."""
    heads = "shape | flop | bytes | set by | floor of one | value | and gradient | evaluations | optimum | x floor"
    lines = [f"| {heads} | on 1 thread | x floor |", "|---|---:|---:|---|" + "---:|" * 8]
    for found in results["shapes"].values():
        if "failed" in found:
            continue
        floor, reason, total = distance(found, results["rates"])
        ours, alone = found["optimum_s"], found["one_thread_optimum_s"]
        row = [found["title"], quantity(found["flops"]), quantity(found["bytes"]), reason, seconds(floor)]
        row += [seconds(found["value_s"]), seconds(found["gradient_s"])]
        row += [f"{found['evaluations']:.3g}", seconds(ours), f"{ours / total:.2g}", seconds(alone)]
        lines.append("| " + " | ".join([*row, f"{alone / total:.2g}"]) + " |")
    rates = results["rates"]
    streams = ", ".join(
        f"{rate / 1e9:.0f} GB/s over {quantity(float(size))}B" for size, rate in rates["stream_bytes"].items()
    )
    return [*lines, "", f"One core: {rates['gemm_flops'] / 1e9:.0f} Gflop/s in GEMM; {streams}."]


def distance(found: dict[str, Any], rates: dict[str, Any]) -> tuple[float, str, float]:
    """Least seconds of one evaluation, what sets them, and of all evaluations."""
    needed = limits.Work(*(found[name] for name in ("value_flops", "flops", "bytes", "stored_bytes", "storage")))
    floor, reason = limits.floor_seconds(needed, rates)
    return floor, reason, floor * found["evaluations"]


def signature(results: dict[str, Any]) -> str:
    of = results["machine"]
    versions = of["versions"]
    known = ", ".join(
        f"{name} {versions[name]}" for name in ("henderson", *PEERS, "numpy", "pandas") if name in versions
    )
    return f"{of['processor']}, {of['cores']} cores, {of['simd']}, Python {of['python']}, {known}, {of['date']}."


def seconds(value: float | None) -> str:
    """Three digits and a unit."""
    if value is None:
        return ""
    factor, unit = (1.0, "s") if value >= 0.9995 else (1e3, "ms") if value >= 0.9995e-3 else (1e6, "us")
    return f"{value * factor:.3g} {unit}" if value * factor < 999.5 else f"{value * factor:,.0f} {unit}"


def quantity(value: float) -> str:
    """Three digits and a prefix."""
    for prefix in ("", "k", "M", "G"):
        if value < 999.5:
            return f"{value:.3g} {prefix}"
        value /= 1000
    return f"{value:.3g} T"


def plot(results: dict[str, Any], docs: Path) -> None:
    """Time against rows, and time over target, as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "henderson", "font.size": 9, "axes.spines.top": False})
    mpl.rcParams["axes.spines.right"] = False
    found = {name: each for name, each in results["shapes"].items() if "failed" not in each}

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    tables = {name: each for name, each in found.items() if each["rows"]}
    axes.loglog([each["rows"] for each in tables.values()], [each["seconds"] for each in tables.values()], "o")
    for name, each in tables.items():
        axes.annotate(name, (each["rows"], each["seconds"]), xytext=(4, 3), textcoords="offset points", fontsize=7)
    for peer in PEERS:
        points = [(each["rows"], each["peers"][peer]["seconds"]) for each in tables.values() if _has(each, peer)]
        if points:
            axes.loglog(*zip(*points, strict=True), "x", label=peer)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    axes.set(xlabel="rows", ylabel="seconds, whole call")
    figure.savefig(docs / "time_against_rows.svg", metadata={"Date": None})

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    aimed = {name: each["seconds"] / each["target_s"] for name, each in found.items() if each["target_s"]}
    axes.barh(list(aimed), list(aimed.values()), color=["C0" if ratio <= 1 else "C3" for ratio in aimed.values()])
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="time over target")
    figure.savefig(docs / "time_over_target.svg", metadata={"Date": None})
    plt.close("all")


def _has(found: dict[str, Any], peer: str) -> bool:
    return "seconds" in found.get("peers", {}).get(peer, {})
