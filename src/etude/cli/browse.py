"""``etude list``, ``show`` and ``search``: the catalogue."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from etude import catalog
from etude.card import AREAS, Card
from etude.cli.flags import Json, help_text, whole
from etude.cli.output import add, console, print_json, table
from etude.errors import InputError, unknown


def papers(
    *,
    area: Annotated[str | None, Parameter(help="only this area, as compress")] = None,
    task: Annotated[str | None, Parameter(help="only this task, as prune")] = None,
    implemented: Annotated[
        bool, Parameter(help="only those that run", negative=(), show_default=False)
    ] = False,
    json: Json = False,
) -> None:
    """List the papers, by area and task."""
    if area is not None and area not in AREAS:
        raise unknown("area", area, AREAS)
    every = {each for each_area, tasks in AREAS.items() if area in (None, each_area) for each in tasks}
    if task is not None and task not in every:
        raise unknown("task", task, every)
    chosen = [
        card
        for card in catalog.papers().values()
        if area in (None, card.area) and task in (None, card.task) and (card.implemented or not implemented)
    ]
    if json:
        print_json([catalog.row(card) for card in chosen])
        return
    console().print(_list(chosen))
    runnable = sum(card.implemented for card in chosen)
    console().print(
        f"{len(chosen)} papers, {runnable} implemented. `etude show SLUG` tells more.", style="dim"
    )


def show(
    name: Annotated[str, Parameter(help="slug of a paper, or name of a method")],
    /,
    *,
    json: Json = False,
) -> None:
    """Show a paper's card, or a method with its fields."""
    if name in catalog.papers():
        card = catalog.paper(name)
        facts = card.model_dump(mode="json") | {
            "implemented": card.implemented,
            "claim_outcome": catalog.outcome(name),
        }
        if json:
            print_json(facts)
        else:
            _show_card(card)
    elif name in catalog.bare_names():
        _show_method(name, json)
    else:
        raise catalog.unknown_name("name", name, [*catalog.papers(), *catalog.method_names()])


def search(
    *words: Annotated[str, Parameter(help="what to look for", negative=())],
    limit: Annotated[int, whole("how many to show at most", 1)] = 10,
    json: Json = False,
) -> None:
    """Find papers and methods by words."""
    if not words:
        raise InputError("words", 'are missing; say what the method should do, as "prune without retraining"')
    found = catalog.search(" ".join(words), limit)
    cards = catalog.papers()
    if json:
        print_json([_hit(name, score, cards) for name, score in found])
        return
    rows = table(("", {"style": "bold", "no_wrap": True}), ("", {"ratio": 1}), ("", {"justify": "right"}))
    for name, _ in found:
        hit = _hit(name, 0.0, cards)
        add(rows, name, hit["title"], f"{hit['area']}/{hit['task']}")
    console().print(rows if found else "Nothing fits; try other words, or `etude list`.")


def _hit(name: str, score: float, cards: dict[str, Card]) -> dict[str, Any]:
    row = {"score": round(score, 3)}
    if name in cards:
        return catalog.row(cards[name]) | row
    area, task = catalog.place(name)
    baseline = {"slug": name, "title": catalog.summary(name), "area": area, "task": task, "methods": [name]}
    return baseline | row


def _list(cards: list[Card]) -> Table:
    """Papers under the headings of their areas and tasks, with the outcome of claims of those that run."""
    rows = table(
        ("Paper", {"no_wrap": True}), ("Title", {"ratio": 1}), ("Claim", {"min_width": 8, "max_width": 8})
    )
    order = list(AREAS)

    def place(card: Card) -> tuple[int, int]:
        tasks = AREAS[card.area]
        return order.index(card.area), tasks.index(card.task) if card.task in tasks else len(tasks)

    for _, group in groupby(sorted(cards, key=lambda card: (*place(card), card.slug)), key=place):
        for number, card in enumerate(group):
            if not number:
                add(rows, Text(f"{card.area} / {card.task}", style="bold cyan"))
            add(rows, f"  {card.slug}", card.title, catalog.outcome(card.slug) if card.implemented else "")
    return rows


def _show_card(card: Card) -> None:
    out = console()
    out.print(Text(card.title, style="bold"))
    facts = table(("", {"style": "dim", "no_wrap": True}), ("", {"ratio": 1}))
    places = ", ".join([f"{card.area}/{card.task}", *card.also])
    code = f"{card.code} ({card.licence or 'no licence stated'})" if card.code else ""
    for heading, text in {
        "paper": f"{card.venue}, {card.year}-{card.month:02d}, https://arxiv.org/abs/{card.arxiv}",
        "code": code,
        "task": places,
        "methods": ", ".join(card.methods) or "not implemented yet",
        "summary": card.summary,
        "claim": card.claim,
        "check": card.check,
        "outcome": catalog.outcome(card.slug),
        "upstream": "\n".join(card.upstream),
        "keywords": ", ".join(card.keywords),
    }.items():
        if text:
            add(facts, heading, text)
    for number, part in enumerate(card.parts):
        add(facts, "" if number else "parts", f"{'✓' if part.implemented else '·'} {part.name}")
    out.print(facts)
    if card.implemented:
        out.print(f"\nRun it: etude run {card.methods[0]} --help", style="dim")


def _show_method(name: str, json: bool) -> None:
    import inspect

    from etude.fields import fields

    cls: Any = catalog.method(name)
    own = fields(cls)
    if json:
        columns = [{"name": f.name, "type": f.kind, "default": f.default, "help": f.help} for f in own]
        facts = {
            "name": name,
            "task": cls.task,
            "paper": cls.paper,
            "beside": list(cls.beside),
            "fields": columns,
        }
        print_json(facts | {"doc": inspect.getdoc(cls)})
        return
    out = console()
    out.print(Text(f"{name}, a method of {cls.task}\n", style="bold"))
    out.print(Text(_introduction(cls)))
    if own:
        rows = table("\nField", "\nDefault", ("\nMeaning", {"ratio": 1}))
        for f in own:
            add(rows, f.name, str(f.default), help_text(f))
        out.print(rows)
    if cls.paper is not None:
        out.print(f"\nPaper: etude show {cls.paper}", style="dim")
    out.print(f"Run it: etude run {name} --help", style="dim")


def _introduction(cls: type) -> str:
    """A docstring up to its first section, its paragraphs as one line each."""
    import inspect
    import re

    text = re.split(r"\n\n\w[\w ]*\n-+\n", inspect.getdoc(cls) or "")[0].strip()
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.replace("``", "").split("\n\n"))
