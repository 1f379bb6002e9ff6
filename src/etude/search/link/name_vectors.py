"""Names by an encoder as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etude.method import method

if TYPE_CHECKING:
    from etude.data.mentions import Mention
    from etude.search.link.linkers import ByVectors


@method("name-vectors", task="link")
class NameVectors:
    """Rank names by the cosine of their vectors with that of a text, of an encoder that learns nothing here.

    Parameters
    ----------
    encoder : a model by name, or a folder.

    Examples
    --------
    >>> from etude.data.mentions import Mention
    >>> examples = [Mention("the [START_ENT] port [END_ENT]", 0)]
    >>> linker = NameVectors(encoder="nano-bert").fit(["Harbour", "Mountain"], examples)
    >>> sorted(linker.rank(["the [START_ENT] port [END_ENT]"], k=2)[0])
    [0, 1]
    """

    encoder: str = "minilm"

    def fit(self, names: Sequence[str], examples: Sequence[Mention]) -> ByVectors:
        """Encode the names."""
        from etude.search.link.linker import check_mentions
        from etude.search.link.linkers import ByVectors

        check_mentions(names, examples)
        linker = ByVectors(tuple(names), self.encoder)
        _ = linker.vectors
        return linker
