"""What every method must pass: `check_method`, as scikit-learn's ``check_estimator``, for plug-ins too.

Nothing here knows a task. What the arguments of a task's verb look like, which of them may be edited and
how an outcome is looked at comes from the ``checks.py`` beside its ``task.py`` (`etude.task.Checks`).
"""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import io
import math
import re
import socket
import sys
import tempfile
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import annotated_types as at

from etude import catalog
from etude.errors import InputError
from etude.fields import descriptions
from etude.method import constraints, hints, options, takes
from etude.seeds import seeded
from etude.task import Checks, Example

TOLERANCE = 1e-5
"""How far an outcome may move by being saved and loaded: products may be summed in another order."""


def check_method(method: Any, **settings: Any) -> None:
    """Check that a class is a method as users may expect one to be.

    It says what its fields are; its example runs; bad fields and malformed arguments give an
    `InputError` that names them, before anything is changed; the same seed gives the same outcome; what
    it does not edit stays as it was; where its task has a setting that changes nothing, it changes
    nothing; its outcome survives being saved and loaded; it does all this on every kind of input that
    its task knows, without the network.

    Parameters
    ----------
    method : a class made by `etude.method.method`, of Etude or of a plug-in.
    settings : fields of the method to check it with, where its defaults do not suit tiny inputs.

    Raises
    ------
    AssertionError : saying what is not so.
    InputError : if the class is no method, or its task does not exist or has no ``checks.py``.

    Examples
    --------
    >>> from etude.compress.prune import Magnitude
    >>> check_method(Magnitude, sparsity=0.3)
    """
    if not (dataclasses.is_dataclass(method) and {"name", "task", "paper"} <= vars(method).keys()):
        raise InputError("method", f"{method.__name__} is no method; make it one with @method (etude.method)")
    checks = checks_of(method)
    settings = {**checks_settings(checks, method), **settings}
    with no_network(method):
        check_documented(method)
        check_fields_refused(method, settings)
        check_malformed_refused(method, checks, settings)
        for example in checks.examples():
            check_outcome(method, checks, settings, example)
        check_identity(method, checks, settings)
        check_example_runs(method)


def checks_of(method: Any) -> Checks:
    """The checks of a method's task.

    Raises
    ------
    InputError : if there is no such task, or it has no ``checks.py``.
    """
    task = catalog.task(method.task)
    package = type(task).__module__.rpartition(".")[0]
    try:
        checks: Checks = importlib.import_module(f"{package}.checks").CHECKS
    except ModuleNotFoundError as error:
        if error.name != f"{package}.checks":
            raise
        raise InputError(
            "task", f"{task.name} has no checks.py; write one with CHECKS (etude.task.Checks)"
        ) from None
    return checks


def checks_settings(checks: Checks, method: Any) -> Mapping[str, Any]:
    """Fields with which a task's checks play a method where its defaults do not suit tiny inputs."""
    settings: Callable[[Any], Mapping[str, Any]] | None = getattr(checks, "settings", None)
    return {} if settings is None else settings(method)


def check_documented(method: Any) -> None:
    """Its docstring says what it does, what each field means, how it is used and where it comes from."""
    text = inspect.getdoc(method) or ""
    inherited = method.__doc__ is None or method.__doc__.startswith(f"{method.__name__}(")
    _require(not inherited and text.strip(), method, "has no docstring")
    described = descriptions(method)
    for field in dataclasses.fields(method):
        _require(
            described.get(field.name), method, f"its docstring's Parameters do not describe {field.name!r}"
        )
    _require(">>>" in text, method, "its docstring has no example")
    if method.paper is not None:
        _require(re.search(r"^References\n-+\n\S", text, re.M), method, "its docstring has no References")


def check_example_runs(method: Any) -> None:
    """The example in its docstring gives what it says."""
    report = io.StringIO()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST
    runner = doctest.DocTestRunner(verbose=False, optionflags=flags)
    names = vars(sys.modules[method.__module__])
    for test in doctest.DocTestFinder(recurse=False).find(method, method.__name__, globs=dict(names)):
        failed = runner.run(test, out=report.write).failed
        _require(failed == 0, method, f"the example in its docstring fails:\n{report.getvalue()}")


def check_fields_refused(method: Any, settings: Mapping[str, Any]) -> None:
    """Every field refuses values of another type and out of its range, naming itself."""
    method(**settings)
    for name, value in bad_values(method):
        error = _error_of(partial(method, **{**settings, name: value}))
        _require(_names(error, name), method, f"{name}={value!r} {_instead(error, name)}")
    for name, hint in hints(method).items():
        if str in options(hint):
            error = _error_of(partial(method, **{**settings, name: "no such value"}))
            fits = error is None or any(_names(error, field.name) for field in dataclasses.fields(method))
            _require(fits, method, f"{name}='no such value' {_instead(error, name)}")


def check_malformed_refused(method: Any, checks: Checks, settings: Mapping[str, Any]) -> None:
    """Every malformed argument that it takes gives an `InputError` naming it, and nothing is changed."""
    if checks.identity(method) == {}:
        return  # it never changes anything, and so has no reason to look
    for example in checks.malformed():
        arguments = _taken(method, checks, example)
        if example.wrong not in arguments:
            continue
        before = _snapshot(arguments)
        error = _error_of(partial(_play, method(**settings), checks, arguments))
        if error is None and _does_without(method, checks, settings, example):
            continue
        what = f"{example.wrong} with {example.name}"
        _require(_names(error, example.wrong), method, f"{what} {_instead(error, example.wrong)}")
        changed = _difference(before, _snapshot(arguments))
        _require(not changed, method, f"{what} is refused after {changed} was changed")


def check_outcome(method: Any, checks: Checks, settings: Mapping[str, Any], example: Example) -> None:
    """On one kind of input: same seed, same outcome; nothing else changed; saved and loaded, the same."""
    arguments = _taken(method, checks, example)
    before = _snapshot(arguments)
    try:
        outcome = _play(method(**settings), checks, arguments)
    except InputError as error:
        _require(example.refusable, method, f"refuses {example.name}: {error}")
        changed = _difference(before, _snapshot(arguments))
        _require(not changed, method, f"refuses {example.name} after {changed} was changed")
        return
    kept = {name: value for name, value in arguments.items() if name not in checks.edits}
    changed = _difference({k: v for k, v in before.items() if k.split(".")[0] in kept}, _snapshot(kept))
    _require(not changed, method, f"changes its input {changed} ({example.name})")

    seen = _snapshot(checks.look(outcome))
    again = _play(method(**settings), checks, _taken(method, checks, example))
    differs = _difference(seen, _snapshot(checks.look(again)))
    _require(not differs, method, f"the same seed gives another {differs} ({example.name})")

    with tempfile.TemporaryDirectory() as folder:
        loaded = checks.reload(outcome, Path(folder) / "outcome")
        differs = _difference(seen, _snapshot(checks.look(loaded)), TOLERANCE)
    _require(not differs, method, f"saved and loaded, {differs} is another ({example.name})")


def check_identity(method: Any, checks: Checks, settings: Mapping[str, Any]) -> None:
    """With the settings that ask for no change, nothing changes."""
    identity = checks.identity(method)
    if identity is None:
        return
    for example in checks.examples():
        untouched = _taken(method, checks, example)
        expected = _snapshot(checks.look(checks.outcome(untouched, None)))
        try:
            outcome = _play(method(**{**settings, **identity}), checks, _taken(method, checks, example))
        except InputError as error:
            _require(example.refusable, method, f"refuses {example.name}: {error}")
            continue
        differs = _difference(expected, _snapshot(checks.look(outcome)))
        _require(not differs, method, f"changes {differs} although set to {dict(identity)} ({example.name})")


def bad_values(method: Any) -> Iterator[tuple[str, Any]]:
    """For every field of a method, values that its type or its range does not allow.

    Examples
    --------
    >>> from etude.compress.prune import Magnitude
    >>> [value for name, value in bad_values(Magnitude) if name == "sparsity"][-3:]
    [inf, -5e-324, 1.0]
    """
    for field in dataclasses.fields(method):
        hint = hints(method)[field.name]
        allowed = options(hint)
        yield from ((field.name, value) for value in (object(), [], {}))
        yield from ((field.name, value) for value in _of_other_types(allowed))
        if float in allowed:
            yield from ((field.name, value) for value in (math.nan, math.inf))
        for constraint in constraints(hint):
            yield from ((field.name, value) for value in _out_of_range(constraint, allowed))


def _of_other_types(allowed: tuple[Any, ...]) -> Iterator[Any]:
    literal = any(typing.get_origin(option) is Literal for option in allowed)
    if str not in allowed:
        yield "no such value"
    if int not in allowed and float not in allowed and not literal:
        yield 1
    if float not in allowed:
        yield 0.5
    if bool not in allowed:
        yield True
    if type(None) not in allowed and None not in allowed:
        yield None


def _out_of_range(constraint: Any, allowed: tuple[Any, ...]) -> Iterator[Any]:
    """The nearest values outside a constraint."""
    bounds: Iterable[Any] = constraint if isinstance(constraint, at.GroupedMetadata) else [constraint]
    whole = float not in allowed
    outside: dict[type, Callable[[Any], Any]] = {
        at.Ge: lambda c: c.ge - 1 if whole else math.nextafter(c.ge, -math.inf),
        at.Gt: lambda c: c.gt if whole else float(c.gt),
        at.Le: lambda c: c.le + 1 if whole else math.nextafter(c.le, math.inf),
        at.Lt: lambda c: c.lt if whole else float(c.lt),
        at.MultipleOf: lambda c: c.multiple_of + 1,
    }
    return (outside[type(bound)](bound) for bound in bounds if type(bound) in outside)


@contextmanager
def no_network(method: Any) -> Iterator[None]:
    """Refuse connections inside the block, and fail at its end if one was tried."""
    tried: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        address = next(argument for argument in arguments if not isinstance(argument, socket.socket))
        tried.append(str(address))
        raise OSError(f"a method may not use the network, and this one reached for {address}")

    places = [(socket.socket, "connect"), (socket.socket, "connect_ex"), (socket, "getaddrinfo")]
    with patch.object(*places[0], refuse), patch.object(*places[1], refuse), patch.object(*places[2], refuse):
        yield
    _require(not tried, method, f"uses the network: {', '.join(tried)}")


def _require(condition: Any, method: Any, message: str) -> None:
    if not condition:
        raise AssertionError(f"{method.name}: {message}")


def _taken(method: Any, checks: Checks, example: Example) -> dict[str, Any]:
    """Fresh arguments of an example, as far as the method takes them."""
    names = takes(getattr(method, checks.verb))
    return {name: value for name, value in example.make().items() if name in names}


def _play(method: Any, checks: Checks, arguments: Mapping[str, Any]) -> Any:
    with seeded(0):
        return checks.outcome(arguments, getattr(method, checks.verb)(**arguments))


def _error_of(call: Callable[[], Any]) -> Exception | None:
    try:
        call()
    except Exception as error:  # whatever it is, it is reported
        return error
    return None


def _names(error: Exception | None, field: str | None) -> bool:
    return isinstance(error, InputError) and error.field == field


def _instead(error: Exception | None, field: str | None) -> str:
    """What happened where an `InputError` of ``field`` should have been raised."""
    if error is None:
        return "is accepted"
    if isinstance(error, InputError):
        return f"is refused by an error of {error.field!r}, not {field!r}: {error.message}"
    return f"ends in {type(error).__name__}, not in an InputError: {error}"


def _does_without(method: Any, checks: Checks, settings: Mapping[str, Any], example: Example) -> bool:
    """Whether the method needs the malformed argument not at all, and so need not look at it."""
    arguments = _taken(method, checks, example)
    arguments.pop(example.wrong or "")
    verb = inspect.signature(getattr(method, checks.verb))
    if verb.parameters[example.wrong or ""].default is inspect.Parameter.empty:
        return False
    return _error_of(partial(_play, method(**settings), checks, arguments)) is None


def _snapshot(value: Any) -> dict[str, Any]:
    """Everything in a value by its path, copied: arrays, numbers, and the text of what is neither."""
    return dict(_leaves(value, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    import numpy as np

    if hasattr(value, "state_dict"):
        value = value.state_dict()
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{index}" if path else str(index))
    elif hasattr(value, "detach"):
        yield path, value.detach().cpu().double().numpy().copy()
    elif isinstance(value, (np.ndarray, np.generic, int, float)):
        yield path, np.array(value)
    else:
        yield path, repr(value)


def _difference(left: Mapping[str, Any], right: Mapping[str, Any], tolerance: float = 0.0) -> str:
    """The path at which two snapshots differ first, "" if nowhere."""
    import numpy as np

    for path in dict.fromkeys([*left, *right]):
        a, b = left.get(path), right.get(path)
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            same = a.shape == b.shape and np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        else:
            same = type(a) is type(b) and a == b
        if not same:
            return path or "outcome"
    return ""
