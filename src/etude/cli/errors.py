"""Every way to mistype a command, as one `InputError`."""

from __future__ import annotations

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from etude.errors import InputError, unknown


class Failure(Exception):
    """The command was right but what it did failed; its message is for the user. Exit code 1."""


def as_input_error(error: InputError | CycloptsError) -> str:
    """One line that names the field and says what to do."""
    return " ".join(str(_translate(error)).split())


def _translate(error: InputError | CycloptsError) -> InputError:
    if isinstance(error, InputError):
        return error
    if isinstance(error.__cause__, InputError):
        return error.__cause__
    field = error.argument.name.lstrip("-") if error.argument else "command"
    help_ = f"`etude {' '.join(error.command_chain or ())} --help`".replace("  ", " ")
    match error:
        case UnknownOptionError():
            flags = [name for argument in error.argument_collection for name in argument.names]
            return unknown(
                (error.token.keyword or error.token.value).lstrip("-"), error.token.keyword or "", flags
            )
        case UnknownCommandError():
            word = (error.unused_tokens or [""])[0]
            return unknown("command", word, error.app or ())
        case MissingArgumentError():
            return InputError(field, f"is missing; {help_} explains it")
        case RepeatArgumentError():
            return InputError(field, "is given twice; give it once")
        case UnusedCliTokensError():
            return InputError("command", f"{' '.join(error.unused_tokens or ())!r} is too much; see {help_}")
        case CoercionError() if error.token is not None:
            kind = getattr(error.target_type, "__name__", str(error.target_type))
            return InputError(field, f"{error.token.value!r} is not of type {kind}; see {help_}")
    error.verbose = False
    return InputError(field, str(error))
