"""Attributions of one prompt as a picture: methods below one another, tokens side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping

from etude.explain.attribution.attribution import Attribution
from etude.explain.attribution.showing import colour, shares, visible


def picture(attributions: Mapping[str, Attribution]) -> bytes:
    """A PNG of attributions of the same prompt, by what they are to be called.

    Each token stands on a ground as strong as its share of the method's largest score; the target stands in
    the title.

    Examples
    --------
    >>> made = Attribution(tokens=("to", " be"), target=" or", target_id=3, scores=(0.25, 0.75))
    >>> picture({"reagent": made})[1:4]
    b'PNG'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = next(iter(attributions.values()))
    widths = [max(0.32, 0.085 * len(visible(token)) + 0.08) for token in first.tokens]
    starts = [sum(widths[:place]) for place in range(len(widths))]
    label = 0.085 * max(map(len, attributions)) + 0.2
    size = (sum(widths) + label + 0.1, 0.34 * len(attributions) + 0.55)
    figure = Figure(figsize=size, dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-label, sum(widths) + 0.1)
    axes.set_ylim(len(attributions) + 0.1, -1.2)
    axes.axis("off")
    title = f"what led to {visible(first.target)!r} (p = {first.probability:.2f})"
    axes.text(-label + 0.08, -0.6, title, va="center", fontsize=10, fontweight="bold")
    for row, (name, attribution) in enumerate(attributions.items()):
        axes.text(-0.1, row + 0.5, name, ha="right", va="center", fontsize=9)
        for start, width, token, share in zip(starts, widths, first.tokens, shares(attribution), strict=True):
            ground = tuple(channel / 255 for channel in colour(share))
            axes.fill_between([start, start + width], row + 0.05, row + 0.95, color=ground, linewidth=0)
            ink = "white" if share > 0.6 else "#222222"
            middle = start + width / 2
            axes.text(
                middle, row + 0.5, visible(token).strip(), ha="center", va="center", fontsize=8, color=ink
            )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
