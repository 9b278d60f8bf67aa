"""Draws the images of the pages, each the figure of the python block before it, where page or package are younger."""

from __future__ import annotations

import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent))

import henderson
from examples import examples, figure_of, run

DOCS = Path(__file__).parents[1]
PIXELS_PER_INCH = 160


def images(page: Path) -> list[Path]:
    """Where the images of a page are."""
    found = examples(page.read_text(encoding="utf-8"))
    return [page.parent / example.image for example in found if example.image]


def is_current(page: Path) -> bool:
    """Whether every image of a page is younger than the page, the package and these scripts."""
    package = Path(henderson.__file__).parent
    sources = [page, *package.rglob("*.py"), *package.rglob("*.so"), *Path(__file__).parent.glob("*.py")]
    newest = max(path.stat().st_mtime for path in sources)
    return all(image.exists() and image.stat().st_mtime > newest for image in images(page))


def draw(page: Path) -> str:
    """Run the blocks of a page down to its last figure and save its images."""
    import matplotlib.pyplot as plt

    warnings.simplefilter("ignore")  # the tests see to those
    begun = time.perf_counter()
    found = examples(page.read_text(encoding="utf-8"))
    last = max(i for i, example in enumerate(found) if example.image)
    namespace = {"__name__": "__main__"}
    for example in found[: last + 1]:
        _, value = run(example, namespace, page.name)
        if example.image:
            figure = figure_of(value)
            if figure is None:
                raise SystemExit(f"{page}, line {example.line}: {example.image} follows a block that leaves no figure.")
            target = page.parent / example.image
            target.parent.mkdir(exist_ok=True)
            figure.savefig(target, dpi=PIXELS_PER_INCH, bbox_inches="tight")
        plt.close("all")
    return f"{page.relative_to(DOCS)}: {len(images(page))} images, {time.perf_counter() - begun:.1f} s"


def main() -> None:
    """Draw what is not current, pages in parallel."""
    pages = [page for page in sorted(DOCS.rglob("*.md")) if images(page)]
    with ProcessPoolExecutor() as pool:
        for line in pool.map(draw, [page for page in pages if not is_current(page)]):
            print(line, flush=True)


if __name__ == "__main__":
    main()
