"""What makes a class a method: a name, a task, checked hyper-parameters.

A method is a frozen dataclass with one verb. Its fields are its hyper-parameters: the command
line's flags, the site's forms and the docs are made from them, so each carries its type, its
default, its range (``annotated_types``) and, in the class docstring, its meaning.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, dataclass_transform

import annotated_types as at

from etude.errors import InputError

T = TypeVar("T")


class Method(Protocol):
    """What the engine may rely on in a method; the verb itself is known to its task."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]
    task: ClassVar[str]
    paper: ClassVar[str | None]
    beside: ClassVar[tuple[str, ...]]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def method(
    name: str, *, task: str, paper: str | None = None, beside: tuple[str, ...] = ()
) -> Callable[[type[T]], type[T]]:
    """Turn a class into a method of ``task`` that is found by ``name``.

    Parameters
    ----------
    name : what users type; also the name of the method's file (with ``_`` for ``-``).
    task : the name of the task whose verb the class answers to.
    paper : the slug of the paper's card; None for a baseline that has no card.
    beside : baselines of its own kind that a comparison adds, on top of the task's.

    Raises
    ------
    InputError : when the class is instantiated with a field of the wrong type or out of range.

    Examples
    --------
    >>> @method("halve", task="demo")
    ... class Halve:
    ...     share: typing.Annotated[float, at.Interval(ge=0, lt=1)] = 0.5
    >>> Halve(share=2.0)
    Traceback (most recent call last):
    etude.errors.InputError: share: 2.0 is not in [0, 1)
    """

    def decorate(cls: type[T]) -> type[T]:
        cls.__post_init__ = _checked(getattr(cls, "__post_init__", None))  # type: ignore[attr-defined]
        decorated = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        for attribute, value in {"name": name, "task": task, "paper": paper, "beside": beside}.items():
            setattr(decorated, attribute, value)
        return decorated

    return decorate


def _checked(then: Callable[[Any], None] | None) -> Callable[[Any], None]:
    def __post_init__(self: Any) -> None:
        check_fields(self)
        if then is not None:
            then(self)

    return __post_init__


def check_fields(record: Any) -> None:
    """Check every field of a dataclass against its annotated type and range.

    An integer is accepted where a float is asked for (and becomes one); nothing else is converted.

    Raises
    ------
    InputError : naming the first field that does not fit.
    """
    for name, hint in hints(type(record)).items():
        if name not in record.__dataclass_fields__:
            continue
        value = getattr(record, name)
        if type(value) is int and float in options(hint) and int not in options(hint):
            value = float(value)
            object.__setattr__(record, name, value)
        _check(name, value, hint)


def parameters(record: Any) -> dict[str, Any]:
    """A method's (or any dataclass's) fields and values, ready for JSON."""
    return dataclasses.asdict(record)


def hints(cls: type) -> dict[str, Any]:
    """The annotated types of a dataclass's fields, ranges included."""
    return typing.get_type_hints(cls, include_extras=True)


def options(hint: Any) -> tuple[Any, ...]:
    """The types that a hint allows, without its range."""
    base = _base(hint)
    return typing.get_args(base) if typing.get_origin(base) in (Union, types.UnionType) else (base,)


def constraints(hint: Any) -> tuple[Any, ...]:
    """The ``annotated_types`` constraints of a hint."""
    return typing.get_args(hint)[1:] if _base(hint) is not hint else ()


def _base(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _check(field: str, value: Any, hint: Any) -> None:
    if not any(_is_a(value, option) for option in options(hint)):
        raise InputError(field, f"{value!r} is not {' or '.join(map(describe, options(hint)))}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(field, f"{value!r} is not finite")
    for constraint in constraints(hint):
        if isinstance(value, (int, float)) and not _within(value, constraint):
            raise InputError(field, f"{value!r} is not {limits(constraint)}")


def _is_a(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in typing.get_args(kind))
    if kind is None or kind is type(None):
        return value is None
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        return isinstance(value, tuple) and all(_is_a(item, inner) for item in value)
    if kind is float:
        return isinstance(value, float)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def describe(kind: Any) -> str:
    """A type in words, as error messages and help use it."""
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(repr(option) for option in typing.get_args(kind))
    names = {float: "a number", int: "an integer", str: "text", bool: "true or false", type(None): "none"}
    return names.get(kind, str(getattr(kind, "__name__", kind)))


def _within(value: float, constraint: Any) -> bool:
    bounds = constraint if isinstance(constraint, at.GroupedMetadata) else [constraint]
    checks: dict[type, Callable[[Any], bool]] = {
        at.Ge: lambda c: value >= c.ge,
        at.Gt: lambda c: value > c.gt,
        at.Le: lambda c: value <= c.le,
        at.Lt: lambda c: value < c.lt,
        at.MultipleOf: lambda c: value % c.multiple_of == 0,
    }
    return all(checks[type(bound)](bound) for bound in bounds if type(bound) in checks)


def limits(constraint: Any) -> str:
    """A constraint in words: "in [0, 1)", ">= 1"."""
    if isinstance(constraint, at.Interval):
        low = f"[{constraint.ge}" if constraint.ge is not None else f"({constraint.gt}"
        high = f"{constraint.le}]" if constraint.le is not None else f"{constraint.lt})"
        return f"in {low}, {high}".replace("(None", "(-inf").replace("None)", "inf)")
    for kind, sign in ((at.Ge, ">="), (at.Gt, ">"), (at.Le, "<="), (at.Lt, "<")):
        if isinstance(constraint, kind):
            return f"{sign} {getattr(constraint, kind.__name__.lower())}"
    return f"a multiple of {constraint.multiple_of}"


def takes(verb: Callable[..., Any]) -> set[str]:
    """The names of the inputs that a verb takes, so that a task hands each method what it wants."""
    return set(inspect.signature(verb).parameters) - {"self"}
