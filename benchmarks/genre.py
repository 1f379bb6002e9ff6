"""Generation within a catalogue: bytes and seconds of prefix trees, and decoding beside no constraint at all.

Trees of names as MiniLM's tokenizer spells them: WordNet's headwords and Freebase's names if they are at
hand, and, up to the number that is asked for, two of them joined by "of". Beside ours: nested dictionaries,
and marisa-trie over one character a token, the compact tree of GENRE's authors. Decoding is by a T5 with
random weights, of four blocks of 256 on either side, so that a step costs what it does in a small real one;
what is compared is the time of a step, as beams of a random model wander through names of other lengths than
they would without constraint. All on one thread, in turns.
"""

from __future__ import annotations

import argparse
import json
import operator
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from common import machine, table, write_results
from etude.data.rows import lines
from etude.data.sets import find_folder
from etude.models.loading import locate
from etude.search.constrained.beam import beam_search
from etude.search.constrained.compact import Unary
from etude.search.constrained.decoders import EncoderDecoder
from etude.search.constrained.rules import Names
from etude.search.constrained.trie import Trie
from etude.seeds import seeded

BEAMS, LENGTH, SOURCE, END = 10, 15, 32, 102
DICTIONARIES = 100_000
"""Names of the largest tree of dictionaries: a million would take a gigabyte."""


def real_names() -> list[str]:
    """Of WordNet and Freebase, each once."""
    found: dict[str, None] = {}
    for name, part in (("kg_wn18rr", ","), ("kg_fb15k237", "\n")):
        folder = find_folder(name)
        for _, line in lines(folder / "entity_text.tsv.gz") if folder else []:
            found[line.partition("\t")[2].partition(part)[0].replace("_", " ").strip()] = None
    return [name for name in found if name] or ["red harbour", "green mountain", "old mill"]


def catalogue(count: int) -> tuple[list[str], int]:
    """Names, and how many of them are real."""
    known, draw = real_names(), random.Random(0)
    names = dict.fromkeys(known[:count])
    real = len(names)
    while len(names) < count:
        names[f"{draw.choice(known)} of {draw.choice(known)}"] = None
    return list(names), real


def spelled(names: Sequence[str]) -> list[list[int]]:
    """Token ids of names, each with its end, 15 at most."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(locate("minilm"))
    rows = tokenizer(list(names), add_special_tokens=False)["input_ids"]
    return [[*row[: LENGTH - 1], END] for row in rows]


def character(token: int) -> str:
    """A token as a character, none of them a surrogate."""
    return chr(token if token < 55_000 else token + 10_000)


def nested(sequences: Sequence[Sequence[int]]) -> dict[int, Any]:
    """A tree of dictionaries."""
    root: dict[int, Any] = {}
    for sequence in sequences:
        node = root
        for token in sequence:
            node = node.setdefault(token, {})
    return root


def allowed_nested(root: dict[int, Any], prefix: Sequence[int]) -> list[int]:
    """The children of a prefix among dictionaries."""
    node = root
    for token in prefix:
        node = node.get(token, {})
    return list(node) or [0]


def allowed_marisa(trie: Any, prefix: Sequence[int]) -> list[int]:
    """The children of a prefix, from all keys behind it, as the authors read them."""
    text = "".join(map(character, prefix))
    found = {ord(key[len(text)]) for key in trie.keys(text) if len(key) > len(text)}
    return [code if code < 55_000 else code - 10_000 for code in found] or [0]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What came of it, and the CPU seconds it took."""
    begun = time.process_time()
    made = work()
    return made, time.process_time() - begun


def trees(sequences: list[list[int]]) -> Iterator[tuple[dict[str, Any], Any]]:
    """A line of the table for each kind of tree, and the tree."""
    count = len(sequences)
    trie, seconds = timed(lambda: Trie.of(sequences))
    line = {"names": count, "nodes a name": len(trie.degrees) / count}
    places = (trie.ends.nbytes + trie.entries.nbytes) / count
    yield line | {
        "tree": "etude", "bytes a name": trie.nbytes / count, "bytes of places": places, "build s": seconds
    }, trie  # fmt: skip
    starts, stops = trie.degrees.bounds(np.arange(len(trie.degrees)))
    degrees, more = timed(lambda: Unary.of(stops - starts))
    compact = Trie(trie.tokens, degrees, trie.ends, trie.entries)
    yield line | {
        "tree": "etude, compact", "bytes a name": compact.nbytes / count, "build s": seconds + more
    }, compact  # fmt: skip
    try:
        import marisa_trie
    except ImportError:
        print("marisa-trie is not installed", file=sys.stderr)
    else:
        made, seconds = timed(lambda: marisa_trie.Trie("".join(map(character, s)) for s in sequences))
        size = len(made.tobytes()) / count
        yield line | {"tree": "marisa-trie", "bytes a name": size, "build s": seconds}, made
    if count <= DICTIONARIES:
        tracemalloc.start()
        root, seconds = timed(lambda: nested(sequences))
        size = tracemalloc.get_traced_memory()[0] / count
        tracemalloc.stop()
        yield line | {"tree": "dictionaries", "bytes a name": size, "build s": seconds}, root


class Counting:
    """A decoder that counts its steps."""

    def __init__(self, model: Any, queries: Sequence[Sequence[int]]) -> None:
        self.inner, self.steps = EncoderDecoder.of(model, queries), 0

    def first(self) -> torch.Tensor:
        """The first step."""
        self.steps += 1
        return self.inner.first()

    def step(self, parents: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Another one."""
        self.steps += 1
        return self.inner.step(parents, tokens)


def t5() -> Any:
    """With random weights, and a head that is not sure of anything."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=30_522, d_model=256, d_kv=32, d_ff=1024, num_layers=4, num_heads=8,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=END,
    )  # fmt: skip
    with seeded(0):
        return T5ForConditionalGeneration(config).eval()


def ours(model: Any, rule: Names | None) -> Callable[[list[int]], int]:
    """Decode a query, and say in how many steps."""

    def decode(query: list[int]) -> int:
        decoder = Counting(model, [query])
        beam_search(decoder, rule, 1, beams=BEAMS, max_length=LENGTH, end=END)
        return decoder.steps

    return decode


def theirs(model: Any, allowed: Callable[[Sequence[int]], list[int]] | None) -> Callable[[list[int]], int]:
    """The same by transformers' ``generate``."""
    bound = None if allowed is None else lambda _, prefix: allowed(prefix[1:].tolist())

    def decode(query: list[int]) -> int:
        steps = []
        counting = model.decoder.register_forward_pre_hook(lambda *_: steps.append(1))
        model.generate(
            input_ids=torch.tensor([query]), num_beams=BEAMS, num_return_sequences=BEAMS, do_sample=False,
            max_new_tokens=LENGTH, early_stopping="never", prefix_allowed_tokens_fn=bound,
        )  # fmt: skip
        counting.remove()
        return len(steps)

    return decode


def decoding(found: dict[str, Any], queries: list[list[int]]) -> list[dict[str, Any]]:
    """Milliseconds a step of every way to decode, taking turns query by query."""
    model = t5()
    ways: dict[str, Callable[[list[int]], int]] = {
        "etude, no constraint": ours(model, None),
        "etude, within the tree": ours(model, Names(found["etude"], END)),
        "etude, within the compact tree": ours(model, Names(found["etude, compact"], END)),
        "transformers, no constraint": theirs(model, None),
        "transformers, within ours by a callback": theirs(model, lambda p: found["etude"].children(p) or [0]),
    }
    if "marisa-trie" in found:
        ways["transformers, within marisa-trie"] = theirs(
            model, lambda prefix: allowed_marisa(found["marisa-trie"], prefix)
        )
    if "dictionaries" in found:
        ways["transformers, within dictionaries"] = theirs(
            model, lambda prefix: allowed_nested(found["dictionaries"], prefix)
        )
    times: dict[str, list[float]] = {way: [] for way in ways}
    steps: dict[str, list[int]] = {way: [] for way in ways}
    for number, query in enumerate(queries):
        for way, decode in ways.items():
            made, seconds = timed(lambda decode=decode, query=query: decode(query))
            if number:  # the first warms up
                times[way].append(1000 * seconds / made)
                steps[way].append(made)
    free = statistics.median(times["etude, no constraint"])
    return [
        {
            "decoding": way,
            "ms a step": statistics.median(each),
            "steps": statistics.fmean(steps[way]),
            "ms a query": statistics.median(map(operator.mul, each, steps[way])),
            "of no constraint": statistics.median(each) / free,
        }
        for way, each in times.items()
    ]


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--names", type=int, nargs="+", default=[100_000, 1_000_000], help="of the catalogues"
    )
    parser.add_argument("--queries", type=int, default=8, help="that are decoded")
    options = parser.parse_args()
    torch.set_num_threads(1)
    draw = random.Random(0)
    queries = [[draw.randrange(1000, 30_000) for _ in range(SOURCE)] for _ in range(options.queries + 1)]
    storage, speed = [], []
    for count in options.names:
        names, real = catalogue(count)
        found = {}
        for line, tree in trees(spelled(names)):
            storage.append({"tree": line.pop("tree"), **line, "real names": real})
            found[storage[-1]["tree"]] = tree
        speed += [{"names": count, **line} for line in decoding(found, queries)]
    print(table(storage), table(speed), sep="\n\n")
    kept = {"machine": machine(), "options": vars(options), "trees": storage, "decoding": speed}
    print(f"written to {write_results('genre', json.loads(json.dumps(kept)))}", file=sys.stderr)


if __name__ == "__main__":
    main()
