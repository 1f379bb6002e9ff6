"""Attributions to look at: coloured text in a terminal, HTML in notebooks and reports."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from etude.explain.attribution.attribution import Attribution

if TYPE_CHECKING:
    from rich.text import Text

HOT = (192, 57, 43)
"""Colour of the most important token; white is 0."""

STYLE = """\
<style>.etude-attribution{font:15px/1.9 system-ui,sans-serif;color:#222;background:#fff;padding:.4em}
.etude-attribution span{white-space:pre-wrap;border-radius:3px;padding:2px 0}
.etude-attribution .target{font-weight:600;margin-left:.4em;border:1px solid #888;padding:2px 4px}
.etude-attribution small{color:#666;margin-left:.8em}</style>"""


def line(attribution: Attribution) -> Text:
    """One line of text, each token on a ground as strong as its share of the largest score."""
    from rich.text import Text

    text = Text()
    for token, share in zip(attribution.tokens, shares(attribution), strict=True):
        red, green, blue = colour(share)
        text.append(visible(token), style=f"#222222 on rgb({red},{green},{blue})")
    text.append(" → ", style="dim")
    text.append(visible(attribution.target), style="bold")
    text.append(f"  p = {attribution.probability:.3f}, {attribution.forwards} forward passes", style="dim")
    if not attribution.finished:
        text.append("; no probe met the stopping rule", style="yellow")
    return text


def html(attributions: Sequence[Attribution]) -> str:
    """A block of HTML that needs nothing else; the score of a token shows where the pointer rests."""
    return f'{STYLE}<div class="etude-attribution">{"".join(map(_html_line, attributions))}</div>'


def page(attributions: Sequence[Attribution], title: str) -> str:
    """A whole HTML document."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>'
    return f"<!doctype html><html><head>{head}</head><body>{html(attributions)}</body></html>\n"


def shares(attribution: Attribution) -> list[float]:
    """Scores as shares of the largest."""
    largest = max(attribution.scores) or 1.0
    return [score / largest for score in attribution.scores]


def colour(share: float) -> tuple[int, int, int]:
    """From white for 0 to `HOT` for 1.

    Examples
    --------
    >>> colour(0.0), colour(1.0) == HOT
    ((255, 255, 255), True)
    """
    red, green, blue = (round(255 + (hot - 255) * share) for hot in HOT)
    return red, green, blue


def visible(token: str) -> str:
    """A token's text with its line ends to be seen."""
    return token.replace("\n", "⏎")


def _html_line(attribution: Attribution) -> str:
    spans = []
    for token, score, share in zip(attribution.tokens, attribution.scores, shares(attribution), strict=True):
        red, green, blue = colour(share)
        ink = ";color:#fff" if share > 0.6 else ""
        style = f"background:rgb({red},{green},{blue}){ink}"
        spans.append(f'<span style="{style}" title="{score:.4f}">{escape(visible(token))}</span>')
    notes = f"p = {attribution.probability:.3f}, {attribution.forwards} forward passes"
    if not attribution.finished:
        notes += "; no probe met the stopping rule"
    target = f'<span class="target">{escape(visible(attribution.target))}</span>'
    return f"<div>{''.join(spans)}{target}<small>{notes}</small></div>"
