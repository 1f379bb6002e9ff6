"""Names by the words that they share with a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etude.method import method

if TYPE_CHECKING:
    from etude.data.mentions import Mention
    from etude.search.link.linkers import ByWords


@method("name-words", task="link")
class NameWords:
    """Rank names by BM25 of the words of a text, the mention and its context.

    Examples
    --------
    >>> from etude.data.mentions import Mention
    >>> linker = NameWords().fit(["Red Harbour", "Mountain"], [Mention("the [START_ENT] port [END_ENT]", 0)])
    >>> linker.rank(["a red [START_ENT] port [END_ENT]"], k=1)
    [[0]]
    """

    def fit(self, names: Sequence[str], examples: Sequence[Mention]) -> ByWords:
        """There is nothing to learn."""
        from etude.search.link.linker import check_mentions
        from etude.search.link.linkers import ByWords

        check_mentions(names, examples)
        return ByWords(tuple(names))
