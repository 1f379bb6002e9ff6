"""``etude claim``: does what a paper claims hold?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from etude import api, catalog
from etude.cli.flags import INPUTS, OPTIONS, OUTPUT, Json, Store, flags, open_store, whole, with_flags
from etude.cli.output import console, print_json
from etude.errors import InputError
from etude.progress import shown

if TYPE_CHECKING:
    from etude.engine.claim import Verdict


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """``etude claim`` with the inputs of the first claim that ``tokens`` name, to change them."""
    slug = next((token for token in tokens if token in catalog.claimed()), None)
    if slug is None:
        return with_flags(claim, [], f"{claim.__doc__}\n\nPapers with a claim: {_known()}.")
    inputs = type(api.find_claim(slug).studies[0].inputs)
    changes = flags(inputs, INPUTS, optional=True)
    return with_flags(claim, changes, f"{claim.__doc__}\n\nInputs are as the claim states them unless given.")


def claim(
    *papers: Annotated[str, Parameter(help="slugs of papers", negative=())],
    all: Annotated[
        bool, Parameter(help="every paper that has a claim", group=OPTIONS, negative=(), show_default=False)
    ] = False,
    jobs: Annotated[int | None, whole("worker processes [default: one a core]", 1, OPTIONS)] = None,
    fresh: Annotated[
        bool, Parameter(help="run again what the store holds", group=OPTIONS, negative=(), show_default=False)
    ] = False,
    out: Annotated[Path | None, Parameter(help="folder for SLUG.json with the figures", group=OUTPUT)] = None,
    store: Store = None,
    json: Json = False,
    **changes: Any,
) -> None:
    """Run what a paper's claim needs, and say whether it holds; what the store holds is not run again."""
    from etude.engine.claim import save

    if bool(papers) == all:
        raise InputError("papers", f"name papers or give --all, not both; with a claim: {_known()}")
    slugs = catalog.claimed() if all else list(dict.fromkeys(papers))
    for slug in slugs:
        api.find_claim(slug)
    inputs = {name: value for name, value in changes.items() if value is not None}
    records = open_store(store)
    verdicts: list[Verdict] = []
    for slug in slugs:
        with shown():
            verdict = api.claim(slug, store=records, jobs=jobs, fresh=fresh, **inputs)
        verdicts.append(verdict)
        if out is not None:
            save(verdict, out)
        if not json:
            console().print(verdict)
    if json:
        print_json([verdict.to_json() for verdict in verdicts])


def _known() -> str:
    return ", ".join(catalog.claimed()) or "none"
