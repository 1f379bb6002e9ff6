"""Two towers, pre-trained on pairs that documents hold by the way they are built and linked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import annotated_types as at

from etude.errors import InputError
from etude.method import method
from etude.search.collection import Corpus, Judged
from etude.search.extra import require_extra
from etude.search.retrieve.index import Index, build

if TYPE_CHECKING:
    from etude.search.retrieve.vectors import VectorEngine

Count = Annotated[int, at.Ge(1)]
CountOrNone = Annotated[int, at.Ge(0)]
Rate = Annotated[float, at.Interval(gt=0)]
Share = Annotated[float, at.Interval(ge=0, le=1)]
TaskOfPretraining = Literal["ict", "bfs", "wlp", "mlm"]


@method("two-tower", task="retrieve", paper="retrieval-pretraining")
class TwoTower:
    """Learn to find a passage by a sentence taken out of it, or one that begins its page or a linked one.

    A query and a passage each go through a tower, and the inner product of their vectors is their score. The
    towers are pre-trained on pairs that need no labels: a sentence and the passage that it stood in (ICT), a
    sentence of a page's first section and a passage of that page (BFS), or of a page that links to it (WLP).
    The other passages of a batch are the wrong ones. Then they are fine-tuned on judged queries, if any.

    The paper trains two towers of BERT-base with vectors of 512 numbers for 100,000 steps of 8,192 pairs at
    1e-4, passages of up to 288 tokens and queries of 64, and fine-tunes at 5e-5; the defaults here are for a
    small corpus.

    Parameters
    ----------
    pages : what to pre-train on: "python-docs", a folder of HTML, Markdown or MediaWiki, or a JSONL file
        (`etude.data.pages`); "" for the corpus itself, whose documents link to nothing.
    tasks : of the pre-training, in equal numbers of pairs: "ict", "bfs" and "wlp", as far as the pages have
        pairs for them; "mlm" alone for masked language modelling; none for no pre-training.
    encoder : a model that the towers go on from; "" for a new one with a vocabulary of the pages.
    body : of a new one: a "transformer", or a "bag of words", the control without order and attention.
    hidden, layers : of a new one's states and layers.
    shared : whether there is one tower for both.
    width : of a vector.
    query_length, passage_length : tokens that are read of a text.
    steps, batch, rate : of the pre-training: steps, pairs in each, and peak learning rate of Adam.
    warm_up : share of the steps in which the rate rises; then it falls linearly to 0.
    part : pairs whose graph is held at a time; the gradients are those of the whole batch.
    keep : the chance that ICT leaves the sentence in its passage, in [0, 1].
    masked : whether passages of a query's own page are left out of the wrong ones.
    tuning_steps, tuning_batch, tuning_rate : of the fine-tuning on judged queries.

    Raises
    ------
    InputError : if a field is out of range, or the pages hold no pairs.

    Examples
    --------
    >>> from etude.search.collection import Document, Judged
    >>> documents = [
    ...     Document("wing", "A wing lifts an aircraft. Air flows over the wing. The aircraft flies."),
    ...     Document("book", "A library lends books. Readers bring the books back. Books gather dust."),
    ... ]
    >>> judged = Judged(
    ...     {"q": "readers of books", "r": "aircraft in the air"}, {"q": {"book": 1}, "r": {"wing": 1}}
    ... )
    >>> index = TwoTower(hidden=32, layers=1, steps=20, batch=8, rate=3e-3).index(documents, judged)
    >>> list(index.search({"q": "readers of books"})["q"])
    ['book', 'wing']

    References
    ----------
    Chang et al., "Pre-training Tasks for Embedding-based Large-scale Retrieval", ICLR 2020. arXiv:2002.03932.
    """

    pages: str = ""
    tasks: tuple[TaskOfPretraining, ...] = ("ict", "bfs", "wlp")
    encoder: str = ""
    body: Literal["transformer", "bag of words"] = "transformer"
    hidden: Annotated[int, at.Ge(1), at.MultipleOf(32)] = 128
    layers: Count = 2
    shared: bool = False
    width: Count = 128
    query_length: Annotated[int, at.Ge(3)] = 32
    passage_length: Annotated[int, at.Ge(3)] = 96
    steps: CountOrNone = 200
    batch: Count = 256
    rate: Rate = 1e-3
    warm_up: Share = 0.1
    part: Count = 64
    keep: Share = 0.0
    masked: bool = True
    tuning_steps: CountOrNone = 50
    tuning_batch: Count = 64
    tuning_rate: Rate = 5e-4

    def __post_init__(self) -> None:
        if "mlm" in self.tasks and len(self.tasks) > 1:
            raise InputError("tasks", "mlm is a control, and stands alone")
        if "mlm" in self.tasks and self.body == "bag of words" and not self.encoder:
            raise InputError("tasks", "a bag of words cannot tell a masked token's place")

    def index(self, corpus: Corpus, judged: Judged | None = None, seed: int = 0) -> Index:
        """Pre-train, fine-tune if there are judged queries, and index the corpus."""
        require_extra()
        from etude.search.towers.learning import learnt

        return build(self, self._engine(learnt(self, corpus, judged, seed)), corpus)

    def engine(self, folder: Path | None = None) -> VectorEngine:
        """The engine, with the towers that were trained."""
        from etude.search.towers.encoder import read

        if folder is None:
            raise InputError("index", "two-tower has to be pre-trained before it searches")
        return self._engine(read(folder))

    def _engine(self, towers: object) -> VectorEngine:
        from etude.search.retrieve.vectors import Layout, VectorEngine

        return VectorEngine(towers, Layout())  # type: ignore[arg-type]
