"""Names as classes: a weight vector for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import annotated_types as at

from etude.method import method

if TYPE_CHECKING:
    from etude.data.mentions import Mention
    from etude.search.link.linkers import ByClasses

Count = Annotated[int, at.Ge(1)]


@method("name-classes", task="link")
class NameClasses:
    """Rank names by a weight vector for each, which is learnt from its mentions.

    Learns by cross-entropy over the names of a batch; a name without mentions can never be found.

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
    >>> linker = NameClasses(steps=40, width=32, layers=1).fit(["Harbour", "Mountain"], examples, seed=0)
    >>> linker.rank(["the [START_ENT] port [END_ENT]"], k=1)
    [[0]]
    """

    steps: Count = 600
    vocabulary: Annotated[int, at.Ge(300)] = 4096
    width: Annotated[int, at.Ge(32), at.MultipleOf(32)] = 128
    layers: Count = 4
    batch: Count = 32
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3

    def fit(self, names: Sequence[str], examples: Sequence[Mention], seed: int) -> ByClasses:
        """Train."""
        import torch
        from torch.nn.functional import normalize

        from etude.search.link.linker import check_mentions
        from etude.search.link.linkers import ByClasses
        from etude.search.link.reader import Reader, learn
        from etude.seeds import seeded

        check_mentions(names, examples)
        reader = Reader.fresh(
            names, examples, tokens=self.vocabulary, width=self.width, layers=self.layers, seed=seed
        )
        with seeded(seed):
            classes = torch.nn.Embedding(len(names), self.width)
        learn(reader, classes, examples, steps=self.steps, batch=self.batch, rate=self.rate, seed=seed)
        known = torch.zeros(len(names), dtype=torch.bool)
        known[[example.name for example in examples]] = True
        weights = normalize(classes.weight.detach(), dim=-1).masked_fill(~known[:, None], torch.nan)
        return ByClasses(tuple(names), reader, weights)
