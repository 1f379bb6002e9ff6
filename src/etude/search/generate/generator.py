"""A way of continuing texts: a language model, what is drawn from it, and what chooses among the draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from etude.errors import InputError
from etude.files import new_folder
from etude.search.generate.chunks import ONE, Generation, Scorer, Search, search
from etude.search.generate.decoding import Warp

FACTS, ENCODER = "generator.json", "encoder"


@dataclass(frozen=True)
class Sampling:
    """What the next token is drawn from.

    Parameters
    ----------
    temperature : by which logits are divided.
    top_p : the likeliest tokens that make up this probability; None for all.
    top_k : this many likeliest tokens; None for all.
    typical : the tokens of the most expected surprise that make up this probability; None for all.
    """

    temperature: float = 1.0
    top_p: float | None = None
    top_k: int | None = None
    typical: float | None = None

    def warp(self) -> Warp:
        """The logits processors of transformers that do it."""
        from transformers import LogitsProcessorList, TemperatureLogitsWarper
        from transformers import TopKLogitsWarper as TopK
        from transformers import TopPLogitsWarper as TopP
        from transformers import TypicalLogitsWarper as Typical

        kinds: tuple[tuple[Any, Any], ...] = (
            (TopK, self.top_k),
            (TopP, self.top_p),
            (Typical, self.typical),
        )
        chosen: Any = LogitsProcessorList([TemperatureLogitsWarper(self.temperature)])
        chosen.extend(kind(value) for kind, value in kinds if value is not None)
        warp: Warp = chosen
        return warp


@dataclass(frozen=True)
class Generator:
    """Continues prompts.

    Parameters
    ----------
    model, tokenizer : a causal language model, which is left as it is, and its tokenizer.
    sampling : what each token is drawn from.
    plan : how many draws there are, and how many are kept.
    scorer : what chooses among them; None where there is one.
    """

    model: Any
    tokenizer: Any
    sampling: Sampling
    plan: Search = ONE
    scorer: Scorer | None = None

    def generate(self, prompts: Sequence[str], length: int = 115) -> list[Generation]:
        """Continue each prompt by ``length`` tokens at most; draws from torch's generator.

        Raises
        ------
        InputError : naming ``prompts`` or ``length``.
        """
        warp = self.sampling.warp()
        return search(self.model, self.tokenizer, prompts, length, warp, self.scorer, self.plan)

    def save(self, folder: str | Path) -> None:
        """Write settings and the trained encoder, whole or not at all; not the language model.

        Raises
        ------
        InputError : if the folder holds something, or the scorer is none of Etude's own.
        """
        with new_folder(Path(folder).expanduser()) as temporary:
            write(temporary, self)


def write(folder: Path, generator: Generator) -> None:
    """Write a generator into a folder that exists; see `Generator.save`."""
    from etude.search.generate import scorers

    facts: dict[str, Any] = {"sampling": asdict(generator.sampling), "plan": asdict(generator.plan)}
    match generator.scorer:
        case None:
            facts["scorer"] = None
        case scorers.Likelihood():
            facts["scorer"] = "likelihood"
        case scorers.Cosine(embedder):
            facts |= {"scorer": "cosine", "encoder": embedder.model.name_or_path}
        case scorers.Dual(encoder):
            facts["scorer"] = "dual"
            encoder.save(folder / ENCODER)
        case other:
            raise InputError("scorer", f"{type(other).__name__} is no scorer that can be written")
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def load_generator(folder: str | Path, model: Any, tokenizer: Any) -> Generator:
    """Read what `Generator.save` wrote, for a language model at hand.

    Raises
    ------
    InputError : naming ``folder`` if it holds no generator.
    """
    from etude.search.embedder import Embedder
    from etude.search.generate import scorers
    from etude.search.generate.dual import DualEncoder

    place = Path(folder).expanduser()
    try:
        facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
        sampling, plan, kind = Sampling(**facts["sampling"]), Search(**facts["plan"]), facts["scorer"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("folder", f"{place} holds no generator: {error}") from error
    scorer: Scorer | None = None
    if kind == "dual":
        scorer = scorers.Dual(DualEncoder.load(place / ENCODER))
    elif kind == "cosine":
        scorer = scorers.Cosine(Embedder.load(facts["encoder"]))
    elif kind == "likelihood":
        scorer = scorers.Likelihood(model, tokenizer)
    return Generator(model, tokenizer, sampling, plan, scorer)
