"""Names by an encoder that has learnt to bring texts near to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import annotated_types as at

from etude.method import method

if TYPE_CHECKING:
    from etude.data.mentions import Mention
    from etude.search.link.linkers import ByTowers

Count = Annotated[int, at.Ge(1)]


@method("name-towers", task="link")
class NameTowers:
    """Rank names by the product of their vectors with that of a text, both from one encoder that is trained.

    Learns by cross-entropy over the names of a batch; a new name is encoded like any other.

    Parameters
    ----------
    steps : of training.
    vocabulary : tokens of the encoder, at most.
    width : of its vectors, a multiple of 32.
    layers : of blocks; 4 have about as many weights as GENRE's 2 on either side.
    batch : mentions in a step.
    rate : of learning, at its highest.

    Examples
    --------
    >>> from etude.data.mentions import Mention
    >>> examples = [Mention("the [START_ENT] port [END_ENT]", 0), Mention("a [START_ENT] peak [END_ENT]", 1)]
    >>> linker = NameTowers(steps=40, width=32, layers=1).fit(["Harbour", "Mountain"], examples, seed=0)
    >>> linker.rank(["the [START_ENT] port [END_ENT]"], k=1)
    [[0]]
    """

    steps: Count = 600
    vocabulary: Annotated[int, at.Ge(300)] = 4096
    width: Annotated[int, at.Ge(32), at.MultipleOf(32)] = 128
    layers: Count = 4
    batch: Count = 32
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3

    def fit(self, names: Sequence[str], examples: Sequence[Mention], seed: int) -> ByTowers:
        """Train."""
        from etude.search.link.linker import check_mentions
        from etude.search.link.linkers import ByTowers
        from etude.search.link.reader import Reader, learn

        check_mentions(names, examples)
        reader = Reader.fresh(
            names, examples, tokens=self.vocabulary, width=self.width, layers=self.layers, seed=seed
        )
        learn(
            reader,
            lambda places: reader.vectors([names[place] for place in places.tolist()]),
            examples,
            steps=self.steps,
            batch=self.batch,
            rate=self.rate,
            seed=seed,
        )
        return ByTowers(tuple(names), reader)
