"""``etude sensitivity``: what a language model loses to weights, inputs, or both, of fewer bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from etude import api, catalog
from etude.cli.errors import Failure
from etude.cli.flags import INPUTS, OPTIONS, Json, Store, flags, open_store, whole, with_flags
from etude.cli.output import SHORT, add, console, print_json, table
from etude.errors import InputError
from etude.files import new_file
from etude.progress import shown

if TYPE_CHECKING:
    from etude.compress.quantize.sensitivity import Loss
    from etude.compress.quantize.weights import Group


def command(tokens: Sequence[str]) -> Callable[..., None]:
    """``etude sensitivity`` with the flags of quantisation's inputs."""
    inputs = flags(catalog.task("quantize").inputs, INPUTS)
    return with_flags(sensitivity, inputs, sensitivity.__doc__ or "")


def sensitivity(
    *,
    bits: Annotated[
        str, Parameter(help="of weights, rounded to nearest, 2 to 8 each", group=OPTIONS)
    ] = "8,4,3",
    activation_bits: Annotated[
        str, Parameter(help="of the inputs of linear layers, token by token", group=OPTIONS)
    ] = "8",
    group: Annotated[
        str,
        Parameter(help='weights that share a scale: a number of them, "channel" or "tensor"', group=OPTIONS),
    ] = "channel",
    jobs: Annotated[int | None, whole("worker processes [default: one a core]", 1, OPTIONS)] = None,
    fresh: Annotated[
        bool, Parameter(help="run again what the store holds", group=OPTIONS, negative=(), show_default=False)
    ] = False,
    out: Annotated[
        Path | None,
        Parameter(help="folder for the picture and its figures [default: beside the records]", group=OPTIONS),
    ] = None,
    store: Store = None,
    json: Json = False,
    **inputs: Any,
) -> None:
    """Round weights, inputs of linear layers, and both, to fewer bits, and say what each costs.

    The study of ZeroQuant-V2 on your model. Class 1 loses at most 0.1 of perplexity, class 2 at most 0.5,
    class 3 more.
    """
    from etude.compress.quantize.sensitivity import losses, study

    records = open_store(store)
    methods = study(_numbers("bits", bits), _numbers("activation-bits", activation_bits), _group(group))
    with shown():
        found = api.compare(
            methods, seeds=1, baselines=False, store=records, jobs=jobs, keep="none", fresh=fresh, **inputs
        )
    failed = [record for record in found.records if record.status == "failed"]
    if failed:
        raise Failure(f"RunFailed: `etude runs {failed[0].key[:SHORT]}` shows the first traceback")
    rows = found.rows()
    lost = losses(found.methods, [row.figures["perplexity"].mean for row in rows])
    place = out or records.artifacts.with_suffix(".reports") / "sensitivity"
    written = _write(lost, f"{found.inputs.model} on {found.inputs.data}", place)
    if json:
        print_json(_values(lost))
    else:
        _show(lost, rows[0].figures["perplexity"].mean, written)


def _write(lost: Sequence[Loss], heading: str, folder: Path) -> Path:
    from etude.compress.quantize.sensitivity import picture

    path = folder.absolute() / "sensitivity.png"
    try:
        with new_file(path) as temporary:
            temporary.write_bytes(picture(lost, heading))
        with new_file(path.with_suffix(".json")) as temporary:
            temporary.write_text(dumps(_values(lost), indent=1) + "\n")
    except OSError as error:
        raise InputError("out", f"cannot write {path}: {error.strerror or error}") from error
    return path


def _values(lost: Sequence[Loss]) -> list[dict[str, Any]]:
    return [{**asdict(each), "class": each.kind} for each in lost]


def _show(lost: Sequence[Loss], full: float, written: Path) -> None:
    right: dict[str, Any] = {"justify": "right"}
    lines = table("weights", "inputs", ("perplexity", right), ("lost", right), ("class", right))
    add(lines, "full", "full", f"{full:,.2f}", "", "")
    for each in lost:
        of = ["full" if number is None else f"{number} bits" for number in (each.bits, each.activation_bits)]
        add(lines, *of, f"{each.perplexity:,.2f}", f"{each.lost:+,.2f}", str(each.kind))
    console().print(lines)
    console().print(f"picture  {written}", soft_wrap=True, markup=False)


def _numbers(name: str, text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise InputError(name, f"{text!r} is not whole numbers with commas between, such as 8,4") from error


def _group(text: str) -> Group:
    if text == "channel":
        return "channel"
    if text == "tensor":
        return "tensor"
    if text.isdecimal():
        return int(text)
    raise InputError("group", f"{text!r} is no number, channel or tensor")
