"""The command line: ``etude``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from cyclopts import App, CycloptsError

import etude
from etude.cli.errors import Failure, as_input_error
from etude.errors import InputError

WELCOME = """Etude turns papers into methods that you can run on your own model and data,
set side by side, and check.

  etude list                                 the papers
  etude search "prune without retraining"    find a method
  etude run flap --model ./my-llama          play it on your model
  etude compare magnitude wanda gblm flap    side by side: quality, size, speed
  etude claim flap                           does the paper's claim hold?

`etude --help` lists all commands, `etude COMMAND --help` explains one.
Python has the same: etude.run("flap", model="./my-llama").
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    sys.exit(call(sys.argv[1:] if arguments is None else arguments))


def call(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    try:
        if arguments:
            application(list(arguments))(list(arguments))
        else:
            sys.stdout.write(WELCOME)
        sys.stdout.flush()
    except (InputError, CycloptsError) as error:
        return _say(f"InputError: {as_input_error(error)}", 2)
    except Failure as failure:
        return _say(str(failure), 1)
    except KeyboardInterrupt:
        return _say("Interrupted: what is finished is kept; the same command goes on from there.", 130)
    except BrokenPipeError:  # `etude list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _say(line: str, code: int) -> int:
    sys.stderr.write(f"{line}\n")
    return code


def application(arguments: list[str]) -> App:
    """The commands; those of the command that ``arguments`` call have its method's flags."""
    app = App(
        name="etude",
        help="Papers as methods that you can run on your own model and data, set side by side, and check.",
        version=etude.__version__,
        version_flags=["--version"],
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
    )
    app["--help"].group = app["--version"].group = "Help"
    for place, (name, (where, text)) in enumerate(COMMANDS.items()):
        if name in WITH_FLAGS and arguments[:1] == [name]:
            command = import_module(f"etude.cli.{name}").command(arguments[1:])
            app.command(command, name=name, usage=f"Usage: etude {name} {WITH_FLAGS[name]}[OPTIONS]")
        else:
            app.command(where, name=name, help=text, sort_key=place)
    return app


WITH_FLAGS = {
    "run": "METHOD ",
    "compare": "METHOD... ",
    "claim": "PAPER... ",
    "sensitivity": "",
    "index": "CORPUS ",
}
"""Commands whose flags depend on what they are called with: their modules have ``command(tokens)``."""

COMMANDS = {
    "list": ("etude.cli.browse:papers", "List the papers."),
    "show": ("etude.cli.browse:show", "Show a paper's card, or a method with its fields."),
    "search": ("etude.cli.browse:search", "Find papers and methods by words."),
    "run": ("etude.cli.run:run", "Run one method on a model and data."),
    "compare": ("etude.cli.compare:compare", "Set methods side by side, over settings and seeds."),
    "claim": ("etude.cli.claim:claim", "Check whether a paper's claim holds."),
    "sensitivity": (
        "etude.cli.sensitivity:sensitivity",
        "Tell what a model loses to weights and inputs of fewer bits.",
    ),
    "index": ("etude.cli.index:index", "Index documents, to be searched."),
    "ask": ("etude.cli.ask:ask", "Find the documents of an index that answer a question."),
    "search-serve": ("etude.cli.search_serve:search_serve", "Serve an index over HTTP."),
    "runs": ("etude.cli.runs:runs", "List, show or delete recorded runs."),
    "doctor": ("etude.cli.doctor:doctor", "Tell what is installed, what is missing and how to get it."),
}
"""Where each command lives, imported when it is called, and what ``etude --help`` says of it."""
