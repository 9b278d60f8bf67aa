"""Paragraphs about a fit, as text, Markdown and HTML."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape

from henderson import errors_reports
from henderson.formatting import WIDTH

SHORT = 20
TIE = "\u00a0"
"""A space that no line is broken at."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Paragraphs about a fit; prints as text wrapped at 80 characters.

    Attributes
    ----------
    paragraphs
        Pairs of a title and one or several sentences.
    """

    paragraphs: tuple[tuple[str, str], ...]

    def to_text(self, width: int = WIDTH) -> str:
        """Plain text, wrapped."""
        if isinstance(width, bool) or width < SHORT:
            raise errors_reports.width_invalid(width)
        parts = (
            textwrap.wrap(_tied(f"{title}. {text}"), width, break_on_hyphens=False) for title, text in self.paragraphs
        )
        return "\n\n".join("\n".join(lines) for lines in parts).replace(TIE, " ")

    def to_markdown(self) -> str:
        """Paragraphs with bold titles."""
        return "\n\n".join(f"**{title}.** {_literal(text)}" for title, text in self.paragraphs) + "\n"

    def to_html(self) -> str:
        """Paragraphs with bold titles."""
        parts = (f"<p><strong>{escape(title)}.</strong> {escape(text)}</p>" for title, text in self.paragraphs)
        return "<div class='henderson'>" + "\n".join(parts) + "</div>"

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def _tied(text: str) -> str:
    """Numbers tied to their percent signs, and both sides of ``p = 0.05`` to each other."""
    for loose in (" %", " = ", " < "):
        text = text.replace(loose, loose.replace(" ", TIE))
    return text


def _literal(text: str) -> str:
    """Text whose characters Markdown takes as they are."""
    return "".join("\\" + character if character in "\\*_`|<>[]" else character for character in text)
