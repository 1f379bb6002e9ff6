"""GENRE for mentions: what a marked mention means is generated as a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etude.method import method
from etude.search.constrained.naming import Naming

if TYPE_CHECKING:
    from etude.data.mentions import Mention
    from etude.search.link.linkers import Generating


@method("genre-link", task="link", paper="genre")
class GenreLink(Naming):
    """Generate the name of what a mention means, token by token, and no text that is no name.

    The mention stands marked in its context (`etude.search.link.window.marked`). A name scores its
    log-probability divided by a power of its number of tokens; a beam search finds the best names of a prefix
    tree, or of a mention's candidates. A new name needs no learning: it is put into the tree.

    Without a ``model`` a small T5 with a vocabulary of its own is trained from nothing.

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

    def fit(self, names: Sequence[str], examples: Sequence[Mention], seed: int) -> Generating:
        """Learn the names of the mentions; all names can be found, learnt or not."""
        from etude.data.mentions import END, START
        from etude.search.link.linker import check_mentions
        from etude.search.link.linkers import Generating

        check_mentions(names, examples)
        pairs = [(example.text, names[example.name]) for example in examples]
        return Generating(tuple(names), self.namer(pairs, seed, names, (START, END)), self.beams)
