"""What an attribution is: an importance for each token of a prompt, shown as text, HTML and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etude.errors import InputError
from etude.files import new_file

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """How much each token of a prompt counts for the model's next token.

    Parameters
    ----------
    tokens : the text of each token of the prompt.
    target : the text of the token whose prediction is explained.
    scores : of each token, at least 0, summing to 1.
    raw : the method's own numbers, signed where the method tells for from against; empty if they are
        the scores.
    target_id : the token's number.
    probability : what the model gives the target behind the whole prompt, in [0, 1].
    forwards : sequences that went through the model, forwards and backwards counted as one.
    finished : share of the method's probes that met its own stopping rule; 1 where it has none.
    rationale : positions of the tokens that alone would do, in order; empty where the method names none.

    Examples
    --------
    >>> made = Attribution(tokens=("to", "be"), target="or", target_id=3, scores=(0.25, 0.75), forwards=2)
    >>> made.ranks
    (2, 1)
    """

    tokens: tuple[str, ...]
    target: str
    target_id: int
    scores: tuple[float, ...]
    raw: tuple[float, ...] = ()
    probability: float = 1.0
    forwards: int = 0
    finished: float = 1.0
    rationale: tuple[int, ...] = ()

    @property
    def ranks(self) -> tuple[int, ...]:
        """The place of each token, 1 for the most important; of equals the earlier goes first."""
        order = sorted(range(len(self.scores)), key=lambda i: -self.scores[i])
        places = {position: place for place, position in enumerate(order, 1)}
        return tuple(places[i] for i in range(len(self.scores)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        from etude.explain.attribution.showing import line

        yield line(self)

    def _repr_html_(self) -> str:
        from etude.explain.attribution.showing import html

        return html([self])


@dataclass(frozen=True)
class Explanation:
    """The attributions of the tokens that follow a prompt, each on all tokens before it.

    Parameters
    ----------
    steps : one attribution for each token that follows; the n-th covers n - 1 tokens more than the first.
    """

    steps: tuple[Attribution, ...]

    @property
    def map(self) -> list[list[float]]:
        """Scores as ``[targets, tokens]``, 0 where a token was not there yet."""
        width = len(self.steps[-1].scores)
        return [[*step.scores, *[0.0] * (width - len(step.scores))] for step in self.steps]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        yield from self.steps

    def _repr_html_(self) -> str:
        from etude.explain.attribution.showing import html

        return html(self.steps)


def save(attributions: Sequence[Attribution], path: Path) -> None:
    """Write attributions as a JSON list, whole or not at all."""
    with new_file(path) as temporary:
        rows = [asdict(each) for each in attributions]
        temporary.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> list[Attribution]:
    """Read what `save` wrote.

    Raises
    ------
    InputError : if the file is no such list.
    """
    lists: dict[str, Callable[[Any], Any]] = dict.fromkeys(("tokens", "scores", "raw", "rationale"), tuple)
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [
            Attribution(**{name: lists.get(name, _same)(value) for name, value in row.items()})
            for row in rows
        ]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError("path", f"{path} holds no attributions: {error}") from error


def _same(value: Any) -> Any:
    return value
