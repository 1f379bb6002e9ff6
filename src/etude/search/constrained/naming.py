"""What GENRE for documents and for mentions share: a model that generates names, as it is or trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at

from etude.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from etude.search.constrained.learning import Pairs
    from etude.search.constrained.namer import Namer

Count = Annotated[int, at.Ge(1)]


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Generate names; a method says of what.

    Parameters
    ----------
    model : an encoder–decoder or causal language model by name or folder; "" for a small one, trained here.
    steps : of training; 0 to use the model as it is.
    beams : names that are generated at once; no more are found.
    name_tokens : of a name, its end included; longer ones are cut.
    length_penalty : exponent of a name's number of tokens.
    vocabulary : tokens of the small model, at most.
    width : of the small model, a multiple of 32.
    layers : of its encoder, and of its decoder.
    batch : pairs of a text and a name in a step.
    rate : of learning, at its highest; 1e-3 suits a small model, 3e-5 a large one.
    smoothing : of the labels, in [0, 1).

    Raises
    ------
    InputError : if a field is out of range, or there is neither a model nor a step of training.
    """

    model: str = ""
    steps: Annotated[int, at.Ge(0)] = 600
    beams: Count = 10
    name_tokens: Annotated[int, at.Ge(2)] = 15
    length_penalty: Annotated[float, at.Ge(0)] = 1.0
    vocabulary: Annotated[int, at.Ge(300)] = 4096
    width: Annotated[int, at.Ge(32), at.MultipleOf(32)] = 128
    layers: Count = 2
    batch: Count = 32
    rate: Annotated[float, at.Interval(gt=0)] = 1e-3
    smoothing: Annotated[float, at.Interval(ge=0, lt=1)] = 0.1

    def __post_init__(self) -> None:
        if not self.model and not self.steps:
            raise InputError("steps", "are 0, and there is no model to use as it is: name one")

    def namer(
        self, pairs: Pairs, seed: int, spelled: Sequence[str] = (), special: Sequence[str] = ()
    ) -> Namer:
        """The model, after it has learnt the pairs.

        Parameters
        ----------
        pairs : texts with the names that are to be generated for them.
        seed : of the small model's weights, and of the batches.
        spelled : further names whose spelling the small model's vocabulary is to know.
        special : tokens that it is to have for itself.
        """
        from etude.search.constrained.learning import fresh, trained
        from etude.search.constrained.namer import Namer

        if self.model:
            namer = self.loaded(self.model)
        else:
            known = [*pairs, *(("", name) for name in spelled)]
            size = {"tokens": self.vocabulary, "width": self.width, "layers": self.layers}
            namer = Namer(*fresh(known, special=special, seed=seed, **size), **self._settings)
        if not self.steps:
            return namer
        return trained(
            namer,
            pairs,
            steps=self.steps,
            batch=self.batch,
            rate=self.rate,
            smoothing=self.smoothing,
            seed=seed,
        )

    def loaded(self, model: str | Path) -> Namer:
        """A model as it is."""
        from etude.search.constrained.namer import Namer

        return Namer.load(model, **self._settings)

    @property
    def _settings(self) -> dict[str, Any]:
        return {"name_tokens": self.name_tokens, "length_penalty": self.length_penalty}
