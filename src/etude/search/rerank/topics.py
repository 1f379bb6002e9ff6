"""A collection made up for small models, and a small model for it: words belong to topics, known to nobody.

A document is a handful of words of several topics, and how many of them are of the query's own topic is its
grade. A first stage that compares words finds few of them; a model can learn which words go together.
"""

from __future__ import annotations

import hashlib
import random
import re
from functools import cache
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from etude.errors import InputError
from etude.files import cache_folder, new_folder
from etude.models.saving import save
from etude.search.collection import Collection, Document
from etude.search.rerank.causal import Causal
from etude.search.rerank.listwise import Listwise
from etude.search.rerank.listwise_training import Course, Lesson, example, trained
from etude.search.rerank.prompts import Kind, Listing
from etude.seeds import seeded

TOPICS = 8
WORDS = 12
LENGTH = 6
"""Of topics, of a topic's words, of a document's words."""

KINDS: tuple[Kind, ...] = ("letters", "numbers")
COURSE = Course(epochs=1, rate=3e-3, warm_up=50, batch=24, noise=0.0)
LESSONS, MOST, SEED = 16000, 12, 0
SIZES: dict[str, Any] = {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_inner": 128, "n_positions": 256}
"""How `decoder` learns: from so many lists of 4 to `MOST` passages for either kind of names; and its sizes.

Both kinds are mixed. In turns, each with a learning rate that begins anew, it forgets one kind while it
learns the other.
"""


def word(topic: int, number: int) -> str:
    """A word of a topic; its name says which only to us.

    Examples
    --------
    >>> word(2, 5)
    'c5'
    """
    return f"{chr(ord('a') + topic)}{number}"


def pool_of(name: str) -> int | None:
    """How many documents of a query are judged in the collection of that name; None for another name.

    Examples
    --------
    >>> pool_of("topics-8"), pool_of("cranfield")
    (8, None)
    """
    found = re.fullmatch(r"topics-([1-9]\d?)", name)
    return int(found[1]) if found else None


@cache
def collection(pool: int, documents: int = 160, queries: int = 3000, seed: int = 0) -> Collection:
    """Documents and queries of one topic each, judged where BM25 finds them among the first ``pool``.

    Of a document's words, 0 to 6 are of its topic, the others of any. A query is three words of its topic. A
    document's grade is half the number of its words that are of the query's topic, rounded down.

    Examples
    --------
    >>> made = collection(pool=3, documents=50, queries=5)
    >>> len(made.documents), len(made.queries) <= 5
    (50, True)
    """
    from etude.search.retrieve import BM25

    draw = random.Random(seed)
    corpus = [Document(f"d{number}", _text(draw)) for number in range(documents)]
    of = {f"q{number}": draw.randrange(TOPICS) for number in range(queries)}
    texts = {q: " ".join(word(topic, n) for n in draw.sample(range(WORDS), 3)) for q, topic in of.items()}
    contents = {document.id: document.text for document in corpus}
    found = BM25().index(corpus).search(texts, pool)
    qrels = {q: {name: _grade(contents[name], of[q]) for name in ranking} for q, ranking in found.items()}
    judged = {q: text for q, text in texts.items() if max(qrels[q].values(), default=0) > 0}
    return Collection(corpus, judged, {q: qrels[q] for q in judged})


def _text(draw: random.Random) -> str:
    topic, own = draw.randrange(TOPICS), draw.randint(0, LENGTH)
    topics = [topic] * own + [draw.randrange(TOPICS) for _ in range(LENGTH - own)]
    words = [word(each, draw.randrange(WORDS)) for each in topics]
    draw.shuffle(words)
    return " ".join(words)


def _grade(text: str, topic: int) -> int:
    return sum(each[0] == word(topic, 0)[0] for each in text.split()) // 2


def decoder() -> Path:
    """A folder with a language model of 0.13 million parameters that knows the words and how to list.

    It has learnt from other queries than those of `collection`, for some minutes, and is kept in the cache.
    """
    what = (TOPICS, WORDS, LENGTH, KINDS, COURSE, LESSONS, MOST, SEED, SIZES)
    folder = cache_folder("topics", hashlib.sha256(repr(what).encode()).hexdigest()[:16])
    if not folder.is_dir():
        causal = taught_to_list()
        try:
            with new_folder(folder) as temporary:
                save(causal.model, causal.tokenizer, temporary / "model")
        except (OSError, InputError):
            if not folder.is_dir():  # another process was faster if it is there now
                raise
    return folder / "model"


def taught_to_list() -> Causal:
    """The model of `decoder`, trained anew."""
    causal, examples = Causal(blank(), tokenizer()), []
    for draw, kind in enumerate(KINDS):
        listwise = Listwise(causal, Listing(kind, "terse"), "first-token", MOST, MOST - 1, passage=LENGTH)
        examples += [example(listwise, lesson) for lesson in lessons(draw)]
    return trained(causal, examples, COURSE, SEED)


def lessons(seed: int) -> list[Lesson]:
    """Lists of candidates in random order and the right one, of queries that are drawn under a seed."""
    made, draw = collection(MOST, queries=LESSONS, seed=SEED + 1 + seed), random.Random(seed)
    documents = {document.id: document for document in made.documents}
    found = []
    for query, text in made.queries.items():
        grades = made.qrels[query]
        shown = draw.sample([*grades], min(len(grades), draw.randint(4, MOST)))
        order = sorted(range(len(shown)), key=lambda place: -grades[shown[place]])
        found.append(Lesson(text, [documents[name] for name in shown], order))
    return found


def tokenizer() -> Any:
    """Every word, identifier and sign is a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [word(topic, number) for topic in range(TOPICS) for number in range(WORDS)]
    names = [*ascii_uppercase, *map(str, range(1, 101))]
    asking = ["query", "ranking", "Query", "Document", "Relevant", "true", "false"]
    pieces = ["<pad>", "<end>", ":", "[", "]", ">", *asking, *names, *words]
    made = Tokenizer(
        models.WordLevel({piece: place for place, piece in enumerate(pieces)}, unk_token="<pad>")
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, eos_token="<end>", pad_token="<pad>"
    )


def blank() -> Any:
    """The model before it has learnt anything: GPT-2's architecture, whose positions tell passages apart."""
    from transformers import GPT2Config, GPT2LMHeadModel

    without: dict[str, Any] = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    config = GPT2Config(
        vocab_size=len(tokenizer()),
        bos_token_id=1,
        eos_token_id=1,
        initializer_range=0.1,
        **SIZES,
        **without,
    )
    with seeded(SEED):
        model: Any = GPT2LMHeadModel(config)
    return model.eval()
