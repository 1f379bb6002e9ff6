"""GENRE for mentions: what a marked mention means is generated as a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.errors import InputError
from etude.method import method

if TYPE_CHECKING:
    from etude.data.mentions import Mention
    from etude.search.link.linkers import Generating

Count = Annotated[int, at.Ge(1)]


@method("genre-link", task="link", paper="genre")
class GenreLink:
    """Generate the name of what a mention means, token by token, and no text that is no name.

    The mention stands marked in its context (`etude.search.link.window.marked`). A name scores its
    log-probability divided by a power of its number of tokens; a beam search finds the best names of a prefix
    tree, or of a mention's candidates. A new name needs no learning: it is put into the tree.

    Without a ``model`` a small T5 with a vocabulary of its own is trained from nothing.

    Parameters
    ----------
    model : an encoder–decoder or causal language model by name or folder; "" for a small one, trained here.
    steps : of training; 0 to use the model as it is.
    beams : names that are generated for a mention.
    name_tokens : of a name, its end included; longer ones are cut.
    length_penalty : exponent of a name's number of tokens.
    vocabulary : tokens of the small model, at most.
    width : of the small model, a multiple of 32.
    layers : of its encoder, and of its decoder.
    batch : mentions in a step.
    rate : of learning, at its highest; 1e-3 suits a small model, 3e-5 a large one.
    smoothing : of the labels, in [0, 1).

    Raises
    ------
    InputError : if a field is out of range, or there is neither a model nor a step of training.

    Examples
    --------
    >>> from etude.data.mentions import Mention
    >>> examples = [Mention("the [START_ENT] port [END_ENT]", 0), Mention("a [START_ENT] peak [END_ENT]", 1)]
    >>> linker = GenreLink(steps=60, width=32, layers=1, beams=2).fit(["Harbour", "Mountain"], examples, 0)
    >>> linker.rank(["the [START_ENT] port [END_ENT]"], k=2)
    [[0, 1]]

    References
    ----------
    De Cao et al., "Autoregressive Entity Retrieval", ICLR 2021. arXiv:2010.00904.
    """

    model: str = ""
    steps: Annotated[int, at.Ge(0)] = 600
    beams: Count = 10
    name_tokens: Annotated[int, at.Ge(2)] = 15
    length_penalty: Annotated[float, at.Ge(0)] = 1.0
    vocabulary: Annotated[int, at.Ge(300)] = 4096
    width: Annotated[int, at.Ge(32), at.MultipleOf(32)] = 128
    layers: Count = 2
    batch: Count = 32
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3
    smoothing: Annotated[float, at.Interval(ge=0, lt=1)] = 0.1

    def __post_init__(self) -> None:
        if not self.model and not self.steps:
            raise InputError("steps", "are 0, and there is no model to use as it is: name one")

    def fit(self, names: Sequence[str], examples: Sequence[Mention], seed: int) -> Generating:
        """Learn the names of the mentions; all names can be found, learnt or not."""
        from etude.data.mentions import END, START
        from etude.search.constrained.learning import fresh, trained
        from etude.search.constrained.namer import Namer
        from etude.search.link.linker import check_mentions
        from etude.search.link.linkers import Generating

        check_mentions(names, examples)
        pairs = [(example.text, names[example.name]) for example in examples]
        settings: dict[str, Any] = {"name_tokens": self.name_tokens, "length_penalty": self.length_penalty}
        if self.model:
            namer = Namer.load(self.model, **settings)
        else:
            spelled = [*pairs, *(("", name) for name in names)]
            size = {"tokens": self.vocabulary, "width": self.width, "layers": self.layers}
            namer = Namer(*fresh(spelled, special=(START, END), seed=seed, **size), **settings)
        if self.steps:
            trained(
                namer,
                pairs,
                steps=self.steps,
                batch=self.batch,
                rate=self.rate,
                smoothing=self.smoothing,
                seed=seed,
            )
        return Generating(tuple(names), namer, self.beams)
