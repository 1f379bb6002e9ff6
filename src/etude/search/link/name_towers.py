"""Names by an encoder that has learnt to bring texts near to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etude.method import method
from etude.search.link.read_names import ReadNames

if TYPE_CHECKING:
    from etude.data.mentions import Mention
    from etude.search.link.linkers import ByTowers


@method("name-towers", task="link")
class NameTowers(ReadNames):
    """Rank names by the product of their vectors with that of a text, both from one encoder that is trained.

    Learns by cross-entropy over the names of a batch; a new name is encoded like any other.

    Examples
    --------
    >>> from etude.data.mentions import Mention
    >>> examples = [Mention("the [START_ENT] port [END_ENT]", 0), Mention("a [START_ENT] peak [END_ENT]", 1)]
    >>> linker = NameTowers(steps=40, width=32, layers=1).fit(["Harbour", "Mountain"], examples, seed=0)
    >>> linker.rank(["the [START_ENT] port [END_ENT]"], k=1)
    [[0]]
    """

    def fit(self, names: Sequence[str], examples: Sequence[Mention], seed: int) -> ByTowers:
        """Train."""
        from etude.search.link.linkers import ByTowers

        reader = self.reader(names, examples, seed)
        self.learn(
            reader,
            lambda places: reader.vectors([names[place] for place in places.tolist()]),
            examples,
            seed,
        )
        return ByTowers(tuple(names), reader)
