"""Pages made while the documents are built: the start page, the papers, and the reference of the interface.

They come from the README, the cards and what is exported, so that no list is kept by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import etude
from etude import catalog

ROOT = Path(__file__).parents[1]
SHARED = {
    "etude": ("etude.api", "etude.catalog", "etude.errors"),
    "models": ("etude.models", "etude.models.loading", "etude.models.saving", "etude.models.blocks"),
    "data": ("etude.data", "etude.data.sources", "etude.data.segments"),
    "writing methods": ("etude.method", "etude.task", "etude.testing", "etude.engine.claim"),
}


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are made."""
    for path, text in pages():
        files.append(File.generated(config, path, content=text))
    return files


def pages() -> Iterator[tuple[str, str]]:
    """Path and Markdown of every page that is made."""
    yield "index.md", start_page()
    yield "papers.md", papers_page()
    for title, modules in SHARED.items():
        yield f"reference/{title.replace(' ', '-')}.md", reference(title, modules)
    for task in catalog.tasks().values():
        methods = [found for found in catalog.methods().values() if found.task == task.name]
        classes = [f"{found.__module__}.{found.__qualname__}" for found in methods]
        about = f"{task.title[0].upper()}{task.title[1:]}: `etude compare {' '.join(task.baselines)}`."
        inputs = f"{task.inputs.__module__}.{task.inputs.__qualname__}"
        yield f"reference/{task.name}.md", reference(task.name, (inputs, *classes), about)


def start_page() -> str:
    """The README, whose links point from the root of the repository."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for inside in ("images", "tutorials", "quantisation", "search", "pruning.md"):
        text = text.replace(f"](docs/{inside}", f"]({inside}")
    return text


def papers_page() -> str:
    """All cards in a table."""
    rows = [
        f"| [{card.name}](https://arxiv.org/abs/{card.arxiv}) | {card.title} | {card.area}, {card.task} "
        f"| {', '.join(f'`{name}`' for name in card.methods)} | {catalog.outcome(card.slug)} |"
        for card in etude.papers().values()
    ]
    head = "# Papers\n\n| paper | title | place | methods | claim |\n|---|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def reference(title: str, objects: tuple[str, ...], about: str = "") -> str:
    """A page with the docstrings of modules and classes."""
    return f"# {title}\n\n{about}\n\n" + "\n\n".join(f"::: {name}" for name in objects) + "\n"
