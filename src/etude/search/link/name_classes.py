"""Names as classes: a weight vector for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etude.method import method
from etude.search.link.read_names import ReadNames

if TYPE_CHECKING:
    from etude.data.mentions import Mention
    from etude.search.link.linkers import ByClasses


@method("name-classes", task="link")
class NameClasses(ReadNames):
    """Rank names by a weight vector for each, which is learnt from its mentions.

    Learns by cross-entropy over the names of a batch; a name without mentions can never be found.

    Examples
    --------
    >>> from etude.data.mentions import Mention
    >>> examples = [Mention("the [START_ENT] port [END_ENT]", 0), Mention("a [START_ENT] peak [END_ENT]", 1)]
    >>> linker = NameClasses(steps=40, width=32, layers=1).fit(["Harbour", "Mountain"], examples, seed=0)
    >>> linker.rank(["the [START_ENT] port [END_ENT]"], k=1)
    [[0]]
    """

    def fit(self, names: Sequence[str], examples: Sequence[Mention], seed: int) -> ByClasses:
        """Train."""
        import torch
        from torch.nn.functional import normalize

        from etude.search.link.linkers import ByClasses
        from etude.seeds import seeded

        reader = self.reader(names, examples, seed)
        with seeded(seed):
            classes = torch.nn.Embedding(len(names), self.width)
        self.learn(reader, classes, examples, seed)
        known = torch.zeros(len(names), dtype=torch.bool)
        known[[example.name for example in examples]] = True
        weights = normalize(classes.weight.detach(), dim=-1).masked_fill(~known[:, None], torch.nan)
        return ByClasses(tuple(names), reader, weights)
