"""monoT5: the answer to "Relevant:" is true or false."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import annotated_types as at
import torch
from torch.nn.functional import cross_entropy

from etude.method import method
from etude.models.fingerprint import fingerprint
from etude.progress import track
from etude.search.collection import Corpus, Judged, Run
from etude.search.rerank.causal import place
from etude.search.rerank.given import checked
from etude.search.rerank.pairs import Pair, judged_pairs
from etude.search.rerank.pointwise import Verdict
from etude.search.rerank.reranking import Reranker
from etude.search.rerank.seq2seq import asked
from etude.seeds import seeded

Count = Annotated[int, at.Ge(1)]
TEMPLATE = "Query: {query} Document: {passage} Relevant:"


@method("monot5", task="rerank")
class MonoT5:
    """Score each passage by the logits of "true" and "false" behind ``Query: .. Document: .. Relevant:``.

    The score is their difference, which orders as the probability of true among the two does. Given judged
    queries, the model learns to say true to relevant documents and false to others that the first stage
    found, by the cross-entropy of that token over the whole vocabulary.

    Parameters
    ----------
    model : a sequence-to-sequence or a causal language model, as for `etude.models.load`, or "topics", a
        small one for "topics-n".
    passage : tokens of a passage, at most.
    negatives : documents to say false to, for each relevant one.
    epochs : of training over the pairs.
    rate : constant learning rate of AdamW.
    batch : pairs of a step.

    Raises
    ------
    InputError : if a field is out of range, or the model begins "true" and "false" alike.

    Examples
    --------
    >>> from etude.search.collection import Document
    >>> reranker = MonoT5(model="nano-llama").fit()
    >>> ranking = reranker.rank("what is the cat", [Document("a", "the sea"), Document("b", "the cat")])
    >>> sorted(ranking.order), ranking.generated
    ([0, 1], 2)

    References
    ----------
    Nogueira et al., "Document Ranking with a Pretrained Sequence-to-Sequence Model", Findings of EMNLP 2020.
    arXiv:2003.06713.
    """

    model: str = "smollm2"
    passage: Count = 300
    negatives: Count = 1
    epochs: Annotated[int, at.Ge(0)] = 1
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3
    batch: Count = 128

    def fit(
        self,
        corpus: Corpus | None = None,
        judged: Judged | None = None,
        run: Run | None = None,
        seed: int = 0,
    ) -> Reranker:
        """Train on judged queries and what the first stage finds for them; without any, nothing is learnt."""
        engine = self.engine()
        if judged is None or not self.epochs:
            return Reranker(self, engine)
        pairs = judged_pairs(judged, checked(corpus, judged, run), run or {}, self.negatives, seed)
        return Reranker(self, self._taught(engine, pairs, seed))

    def _taught(self, engine: Verdict, pairs: Sequence[Pair], seed: int) -> Verdict:
        causal = type(engine.causal)(copy.deepcopy(engine.causal.model), engine.causal.tokenizer)
        prompts = [engine.prompt(pair.query, pair.text) for pair in pairs]
        right, wrong = engine.words
        targets = torch.tensor([right if pair.relevant else wrong for pair in pairs])
        optimizer = torch.optim.AdamW(causal.model.parameters(), lr=self.rate, weight_decay=0.0)
        causal.model.train()
        with seeded(seed), torch.enable_grad():
            for _ in track(range(self.epochs), "training"):
                for part in torch.split(torch.randperm(len(pairs)), self.batch):
                    optimizer.zero_grad(set_to_none=True)
                    loss = cross_entropy(causal.logits([prompts[i] for i in part.tolist()]), targets[part])
                    torch.autograd.backward(loss)
                    optimizer.step()
        causal.model.eval()
        return replace(engine, causal=causal, learnt=True, fingerprint="")

    def engine(self, folder: Path | None = None) -> Verdict:
        """See `etude.search.rerank.reranking.Method`."""
        model = asked(self.model if folder is None else folder)
        return Verdict(
            causal=model,
            template=TEMPLATE,
            good="true",
            bad="false",
            passage=self.passage,
            fingerprint=fingerprint(place(self.model)) if folder is None else "",
            learnt=folder is not None,
        )
