"""Every way to mistype a command, as one `InputError`."""

from __future__ import annotations

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    Token,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from etude.errors import InputError, unknown
from etude.method import describe


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
    chain = " ".join(["etude", *(error.command_chain or ())])
    field = error.argument.name.lstrip("-").lower() if error.argument else "command"
    see = f"see `{chain} --help`"
    match error:
        case UnknownOptionError(token=token, argument_collection=arguments):
            flag = token.keyword or token.value
            known = [name for argument in arguments for name in argument.names if name.startswith("-")]
            name = flag.lstrip("-")
            hint = f"; a method's field is given as --set {name}=VALUE" if chain == "etude compare" else ""
            return InputError(name, unknown(name, flag, known).message + hint)
        case UnknownCommandError(unused_tokens=[word, *_]):
            return unknown("command", word, (name for name in error.app or () if not name.startswith("-")))
        case MissingArgumentError(keyword=str()):
            return InputError(field, f"is given without a value; {see}")
        case MissingArgumentError():
            return InputError(field, f"is missing; {see}")
        case RepeatArgumentError(token=token):
            return InputError((token.keyword or field).lstrip("-"), "is given twice; give it once")
        case UnusedCliTokensError(unused_tokens=tokens):
            return InputError("command", f"{' '.join(tokens or ())!r} is too much; {see}")
        case CoercionError(token=Token() as token, target_type=kind):
            return InputError(field, f"{token.value!r} is not {describe(kind)}; {see}")
    error.verbose = False
    return InputError(field, str(error))
