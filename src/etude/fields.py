"""The fields of a method or of a task's inputs, as a user meets them: flags, forms, tables of docs."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from dataclasses import dataclass
from typing import Any, Literal

from etude.errors import InputError, unknown
from etude.method import constraints, describe, hints, limits, options


@dataclass(frozen=True)
class Field:
    """One field of a dataclass.

    Parameters
    ----------
    name : as the class spells it.
    hint : annotated type.
    default : its value if it is not given.
    kind : type and range in words.
    help : its description in the class's docstring.
    """

    name: str
    hint: Any
    default: Any
    kind: str
    help: str

    def parse(self, text: str) -> Any:
        """The value that a user wrote, in the field's type; its range is the class's to check.

        Raises
        ------
        InputError : naming the field, if the text does not fit.

        Examples
        --------
        >>> Field("ratio", float | None, 0.2, "", "").parse("0.5")
        0.5
        >>> Field("ratio", float | None, 0.2, "", "").parse("half")
        Traceback (most recent call last):
        etude.errors.InputError: ratio: 'half' is not a number or none
        """
        for option in sorted(options(self.hint), key=lambda option: option is str):
            for value in _read(text, option):
                return value
        raise InputError(self.name, f"{text!r} is not {' or '.join(map(describe, options(self.hint)))}")


def fields(cls: type) -> tuple[Field, ...]:
    """The fields of a dataclass, in order, with their help.

    Examples
    --------
    >>> from etude.task import Metric
    >>> [field.name for field in fields(Metric)][:2], fields(Metric)[1].help
    (['name', 'title'], 'column heading.')
    """
    types, texts = hints(cls), descriptions(cls)
    return tuple(
        Field(f.name, types[f.name], _default(f), _kind(types[f.name]), texts.get(f.name, ""))
        for f in dataclasses.fields(cls)
    )


def field(cls: type, name: str) -> Field:
    """One field of a dataclass by name, or `InputError` with the nearest names."""
    every = {each.name: each for each in fields(cls)}
    if name not in every:
        raise unknown(name, name, every)
    return every[name]


def build(cls: type, values: dict[str, Any]) -> Any:
    """An instance of a dataclass with these fields set and the others at their defaults.

    Raises
    ------
    InputError : for a field that the class does not have (with the nearest that it has), or a value
        that does not fit.
    """
    for name in values:
        field(cls, name)
    return cls(**values)


def summary(thing: Any) -> str:
    """The first line of a docstring, "" if there is none."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def descriptions(cls: type) -> dict[str, str]:
    """What the "Parameters" sections of a class and its bases say of each name: ``name : description``.

    Examples
    --------
    >>> descriptions(Field)["kind"]
    'type and range in words.'
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found |= _described(inspect.cleandoc(vars(base).get("__doc__") or ""))
    return found


def _described(docstring: str) -> dict[str, str]:
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", docstring, re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    for names, text in re.findall(
        r"^(\w[\w, ]*) : (.*(?:\n(?:[ \t].*|(?=\n)))*)", section[1] if section else "", re.M
    ):
        for name in names.split(","):
            found[name.strip()] = " ".join(text.split())
    return found


def _default(made: dataclasses.Field[Any]) -> Any:
    return made.default if made.default_factory is dataclasses.MISSING else made.default_factory()


def _kind(hint: Any) -> str:
    words = " or ".join(describe(option) for option in options(hint))
    return " ".join([words, *(limits(constraint) for constraint in constraints(hint))])


def _read(text: str, kind: Any) -> tuple[Any, ...]:
    """The value of a text as one kind, in a tuple; empty if it is not of that kind."""
    if typing.get_origin(kind) is Literal:
        return tuple(option for option in typing.get_args(kind) if str(option) == text)
    if typing.get_origin(kind) is tuple:
        items = [
            _read(item.strip(), typing.get_args(kind)[0]) for item in re.split("[,+]", text) if item.strip()
        ]
        return (tuple(item[0] for item in items),) if all(items) else ()
    if kind is type(None):
        return (None,) if text.lower() == "none" else ()
    if kind is bool:
        return ({"true": True, "false": False}[text.lower()],) if text.lower() in ("true", "false") else ()
    try:
        return (kind(text),)
    except ValueError:
        return ()
