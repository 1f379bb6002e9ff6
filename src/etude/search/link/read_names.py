"""What linkers share that read texts by a small encoder and do not generate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import annotated_types as at

if TYPE_CHECKING:
    from torch import Tensor

    from etude.data.mentions import Mention
    from etude.search.link.reader import Reader

Count = Annotated[int, at.Ge(1)]


@dataclass(frozen=True, kw_only=True)
class ReadNames:
    """Rank names beside a text that an encoder, trained here from nothing, has read.

    Parameters
    ----------
    steps : of training.
    vocabulary : tokens of the encoder, at most.
    width : of its vectors, a multiple of 32.
    layers : of blocks; 4 have about as many weights as GENRE's 2 on either side.
    batch : mentions in a step.
    rate : of learning, at its highest.
    """

    steps: Count = 600
    vocabulary: Annotated[int, at.Ge(300)] = 4096
    width: Annotated[int, at.Ge(32), at.MultipleOf(32)] = 128
    layers: Count = 4
    batch: Count = 32
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3

    def reader(self, names: Sequence[str], examples: Sequence[Mention], seed: int) -> Reader:
        """The encoder before it has learnt anything, once names and mentions are checked."""
        from etude.search.link.linker import check_mentions
        from etude.search.link.reader import Reader

        check_mentions(names, examples)
        size = {"tokens": self.vocabulary, "width": self.width, "layers": self.layers}
        return Reader.fresh(names, examples, **size, seed=seed)

    def learn(
        self, reader: Reader, vectors: Callable[[Tensor], Tensor], examples: Sequence[Mention], seed: int
    ) -> None:
        """Bring vectors of mentions near to those that ``vectors`` gives for the places of their names."""
        from etude.search.link.reader import learn

        learn(reader, vectors, examples, steps=self.steps, batch=self.batch, rate=self.rate, seed=seed)
