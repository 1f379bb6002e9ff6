"""The one error that a user is meant to read."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """What a user gave cannot be used; says which field, and what to do.

    Raised before any work is done. The command line prints it in one line and exits with code 2.

    Parameters
    ----------
    field : the argument, flag, file or column at fault, as the user spelled it.
    message : what is wrong and what to do about it.

    Examples
    --------
    >>> raise InputError("sparsity", "1.2 is not in [0, 1)")
    Traceback (most recent call last):
    etude.errors.InputError: sparsity: 1.2 is not in [0, 1)
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str]]:
        return type(self), (self.field, self.message)


def unknown(field: str, name: str, known: Iterable[str]) -> InputError:
    """An `InputError` for a name that does not exist, with the nearest names that do."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return InputError(field, f"unknown {name!r}; {hint}")
