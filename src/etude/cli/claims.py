"""``etude claim``: does what a paper claims hold?"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from etude import api, catalog
from etude.cli.flags import OUTPUT, Json, Store, open_store
from etude.cli.output import console, print_json
from etude.errors import InputError
from etude.progress import shown

if TYPE_CHECKING:
    from etude.engine.claim import Verdict


def claim(
    *papers: Annotated[str, Parameter(help="slugs of papers", negative=())],
    all: Annotated[
        bool, Parameter(help="every paper that has a claim", negative=(), show_default=False)
    ] = False,
    jobs: Annotated[int | None, Parameter(help="worker processes [default: one a core]")] = None,
    out: Annotated[Path | None, Parameter(help="folder for SLUG.json with the figures", group=OUTPUT)] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Run what a paper's claim needs, and say whether it holds; what the store holds is not run again."""
    if bool(papers) == all:
        raise InputError(
            "papers", f"name papers or give --all, not both; with a claim: {', '.join(catalog.claimed())}"
        )
    slugs = list(dict.fromkeys(catalog.claimed() if all else papers))
    for slug in slugs:
        api.find_claim(slug)
    records = open_store(store)
    verdicts: list[Verdict] = []
    for slug in slugs:
        with shown():
            verdicts.append(api.claim(slug, store=records, jobs=jobs))
        if out is not None:
            _write(out / f"{slug}.json", verdicts[-1])
        if not json:
            console().print(verdicts[-1])
    if json:
        print_json([verdict.to_json() for verdict in verdicts])


def _write(path: Path, verdict: Verdict) -> None:
    from etude.engine.artifact import replace_file

    replace_file(path, json_.dumps(verdict.to_json(), indent=2, ensure_ascii=False) + "\n")
