"""Command-line flags made from the fields of a dataclass, and the flags that several commands share."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter, Token

from etude import catalog
from etude.errors import InputError
from etude.fields import Field, fields
from etude.method import constraints, limits, options

if TYPE_CHECKING:
    from etude.engine.store import Store as Records

INPUTS = Group("Inputs", sort_key=2)
OPTIONS = Group("Run", sort_key=3)
OUTPUT = Group("Output and records", sort_key=4)

Json = Annotated[
    bool, Parameter(help="print JSON and nothing else", group=OUTPUT, negative=(), show_default=False)
]
Store = Annotated[
    str | None,
    Parameter(
        group=OUTPUT,
        help="file or postgresql:// URL of the records [default: $ETUDE_STORE, or in your data directory]",
    ),
]


def whole(help: str, least: int, group: Group | None = None) -> Parameter:
    """A flag for a whole number of at least ``least``; "1.5" is none, where cyclopts would round it."""

    def convert(_: Any, tokens: Sequence[Token]) -> int:
        name = (tokens[0].keyword or "").lstrip("-")
        number: int = Field(name, int, None, "", "").parse(tokens[0].value)
        if number < least:
            raise InputError(name, f"{number} is not >= {least}")
        return number

    return Parameter(help=help, group=group, show_choices=False, converter=convert, n_tokens=1)


def open_store(url: str | None) -> Records:
    """The store that ``--store`` names."""
    from etude.engine.store import Store as Records

    return Records(url)


def flags(cls: type, group: Group, *, optional: bool = False) -> list[inspect.Parameter]:
    """A keyword parameter for each field of a dataclass, with its help, range and default.

    Parameters
    ----------
    cls : the dataclass.
    group : heading in the help.
    optional : whether to make None, "as it is", the default of all.
    """
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if optional else field.default,
            annotation=Annotated[
                _plain(field.hint) | None if optional else _plain(field.hint), _parameter(field, group)
            ],
        )
        for field in fields(cls)
    ]


def with_flags(
    function: Callable[..., None], extra: Sequence[inspect.Parameter], doc: str
) -> Callable[..., None]:
    """``function`` with its ``**values`` spelled out as ``extra`` parameters, and another description."""

    def command(*arguments: Any, **values: Any) -> None:
        function(*arguments, **values)

    own = inspect.signature(function, eval_str=True).parameters.values()
    named = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = inspect.Signature([*named, *extra])  # type: ignore[attr-defined]
    command.__doc__ = doc
    return command


def method_in(tokens: Sequence[str]) -> str | None:
    """The method that a command line is about: its first word, or after flags the first that is a method."""
    if not tokens or tokens[0] in ("--help", "-h"):
        return None
    if not tokens[0].startswith("-"):
        return tokens[0]
    return next(iter(methods_in(tokens)), None)


def methods_in(tokens: Sequence[str]) -> list[str]:
    """The methods that a command line names. What follows a flag counts if nothing else does.

    Examples
    --------
    >>> methods_in(["basic-rag", "--retriever", "bm25"]), methods_in(["--json", "bm25"])
    (['basic-rag'], ['bm25'])
    """
    known = catalog.bare_names()
    named = [(before, token) for before, token in zip(["", *tokens], tokens, strict=False) if token in known]
    free = [token for before, token in named if not before.startswith("--") or "=" in before]
    return free or [token for _, token in named]


def value_of(flag: str, tokens: Sequence[str]) -> str | None:
    """What a flag is given on a command line, before it is parsed.

    Examples
    --------
    >>> value_of("--task", ["--task", "prune"]), value_of("--task", ["--task=prune"])
    ('prune', 'prune')
    """
    for token, after in zip(tokens, [*tokens, ""][1:], strict=True):
        if token == flag:
            return after
        if token.startswith(f"{flag}="):
            return token.partition("=")[2]
    return None


def known_methods() -> str:
    """All methods in a sentence, for the help of commands that name none."""
    return f"Methods: {', '.join(catalog.method_names())}."


def help_text(field: Field) -> str:
    """A field's description, with its range and its choices where the description does not give them."""
    bounds = [limits(constraint) for constraint in constraints(field.hint)]
    missing = [bound for bound in bounds if bound.removeprefix("in ") not in field.help]
    choices = [str(choice) for option in options(field.hint) for choice in _choices(option)]
    if not all(choice in field.help for choice in choices):
        missing.append(f"one of {', '.join(choices)}")
    return " ".join([field.help, *(f"[{words}]" for words in missing)]).strip()


def _choices(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _plain(hint: Any) -> Any:
    """Without the ranges: the dataclass checks them, with the same words everywhere."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _parameter(field: Field, group: Group) -> Parameter:
    def convert(_: Any, tokens: Sequence[Token]) -> Any:
        return field.parse(tokens[0].value)

    if field.kind == "true or false":
        return Parameter(help=help_text(field), group=group)
    return Parameter(
        help=help_text(field), group=group, show_choices=False, converter=convert, negative=(), n_tokens=1
    )
