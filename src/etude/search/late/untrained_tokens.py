"""Token states as they are, projected onto the directions that matter most in the corpus."""

from __future__ import annotations

from etude.method import method
from etude.search.late.encoder import TokenEncoder


@method("untrained-tokens", task="late")
class UntrainedTokens:
    """Leave the projection as it begins: the principal directions of the corpus's token states.

    Examples
    --------
    >>> encoder = TokenEncoder.load("nano-bert", width=16)
    >>> UntrainedTokens().train(encoder) is encoder
    True
    """

    def train(self, encoder: TokenEncoder) -> TokenEncoder:
        """The encoder as it is."""
        return encoder
