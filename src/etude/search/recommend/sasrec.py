"""SASRec: self-attention over what a user had, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import annotated_types as at

from etude.method import method

if TYPE_CHECKING:
    from etude.data.interactions import Interactions
    from etude.search.recommend.recommender import Scores


@method("sasrec", task="recommend")
class SASRec:
    """Recommend what the state behind a user's last item is nearest to.

    Items' vectors and those of their places go through blocks of attention to what came before; an item
    scores the product of its vector with the last state. Learns with cross-entropy over all items, where the
    paper tells the next item from one drawn at random, which is known to learn less.

    Parameters
    ----------
    width : of vectors.
    blocks : of attention.
    length : items of a user that are read, the last ones.
    epochs : over all users.
    batch : users in a step.
    rate : of learning, at its highest.
    dropout : in training, in [0, 1).

    Examples
    --------
    >>> from etude.data.interactions import Interactions
    >>> known = Interactions(((0, 1, 2), (0, 1, 2), (3, 4, 5), (3, 4, 5)), items=6)
    >>> SASRec(width=16, epochs=60).fit(known, seed=0).recommend([[0, 1], [3, 4]], [0, 2], k=1).tolist()
    [[2], [5]]

    References
    ----------
    Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018. arXiv:1808.09781.
    """

    width: Annotated[int, at.Ge(1)] = 64
    blocks: Annotated[int, at.Ge(1)] = 2
    length: Annotated[int, at.Ge(1)] = 50
    epochs: Annotated[int, at.Ge(1)] = 50
    batch: Annotated[int, at.Ge(1)] = 128
    rate: Annotated[float, at.Interval(gt=0)] = 3e-3
    dropout: Annotated[float, at.Interval(ge=0, lt=1)] = 0.2

    def fit(self, interactions: Interactions, seed: int) -> Scores:
        """Train."""
        from etude.search.recommend.recommender import Scores, check_interactions
        from etude.search.recommend.sasrec_network import Network, losses
        from etude.search.seq2seq import train
        from etude.seeds import seeded

        check_interactions(interactions)
        sequences = interactions.sequences
        length = min(self.length, max(map(len, sequences)))
        steps = self.epochs * -(-len(sequences) // self.batch)
        with seeded(seed):
            network = Network(
                interactions.items, width=self.width, blocks=self.blocks, length=length, dropout=self.dropout
            )
            train(
                network,
                losses(network, sequences, self.batch, seed),
                steps,
                rate=self.rate,
                warm_up=steps // 20,
            )
        return Scores("sasrec", {name: tensor.numpy() for name, tensor in network.state_dict().items()})
