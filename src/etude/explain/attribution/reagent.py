"""ReAGent: a token matters if the prediction suffers where something plausible stands in its place."""

from __future__ import annotations

from typing import Annotated, Any

import annotated_types as at
import torch
from torch import Tensor

from etude.explain.attribution.attribution import Attribution
from etude.explain.attribution.probe import Probe
from etude.explain.attribution.proposals import Kind, Proposal, proposal
from etude.method import method
from etude.progress import track

LARGEST = 1 - 1e-6
"""Of a change of probability, so that its logit is finite."""


@method("reagent", task="attribution", paper="reagent")
class ReAGent:
    """Replace random parts of the prompt until the tokens found important are enough for the prediction.

    Several probes run side by side. Each starts from random scores, and in every step

    - replaces each token with the chance ``ratio``, and sees by how much the target's probability falls;
    - adds the logit of that fall to the scores of the replaced tokens, and subtracts it from the others;
    - stops, for good, once the target is among the ``top_k`` next tokens when all but its ``top_n`` best
      tokens are replaced.

    The scores are the mean, over the probes that stopped, of the softmax of each. Where none did within
    ``steps`` they are the mean over all, and `Attribution.finished` says 0.

    Forward passes only: no gradients and no attention maps are read, so quantised models will do. A
    step's replacement and the stop test of the step before share one pass, and probes that have stopped
    cost nothing more. Special tokens are never replaced. Draws from torch's generator.

    Parameters
    ----------
    ratio : chance of each token to be replaced in a step, in (0, 1).
    top_n : tokens that must be enough for the prediction.
    top_k : the target must be among this many most likely tokens.
    steps : at most, each of up to two sequences a probe.
    probes : independent ones, each with its own scores.
    overlap : a token belongs to the rationale if it is among the ``top_n`` of this many probes.
    proposal : what stands in for a token: "shape", one that looks alike; "uniform", any; "self", one
        that the model expects there; "masked", one that a masked language model expects there.
    masked : name or folder of that masked model.

    Raises
    ------
    InputError : if a field is out of range, more probes are to agree than there are, or an input cannot
        be used.

    Examples
    --------
    >>> import etude
    >>> model, tokenizer = etude.models.load("nano-llama")
    >>> ids = tokenizer("Mr. Harding looked at the door. Mr. Har", return_tensors="pt")["input_ids"][0]
    >>> _ = torch.manual_seed(0)
    >>> found = ReAGent(ratio=0.3, steps=100).attribute(model, tokenizer, ids)
    >>> found.target, round(sum(found.scores), 6), found.finished
    ('ry', 1.0, 1.0)

    References
    ----------
    Zhao and Shan, "ReAGent: A Model-agnostic Feature Attribution Method for Generative Language Models",
    ReLM workshop at AAAI 2024. arXiv:2402.00794.
    """

    ratio: Annotated[float, at.Interval(gt=0, lt=1)] = 0.1
    top_n: Annotated[int, at.Ge(1)] = 3
    top_k: Annotated[int, at.Ge(1)] = 3
    steps: Annotated[int, at.Ge(1)] = 3000
    probes: Annotated[int, at.Ge(1)] = 3
    overlap: Annotated[int, at.Ge(1)] = 2
    proposal: Kind = "shape"
    masked: str = "nano-bert"

    def attribute(self, model: Any, tokenizer: Any, ids: Tensor, target: int | None = None) -> Attribution:
        """Explain the next token behind ``ids`` ``[length]``; ``target`` None is the most likely one."""
        probe = Probe(model, tokenizer, ids, target)
        plausible = proposal(self.proposal, probe, self.masked)
        scores = torch.rand(self.probes, probe.length)
        stopped = self._play(probe, plausible, scores)
        counted = scores.softmax(1)[stopped if stopped.any() else slice(None)]
        best = _best(scores, self.top_n)
        common = best.sum(0) >= min(self.overlap, self.probes)
        return probe.attribution(
            counted.mean(0),
            finished=float(stopped.float().mean()),
            rationale=tuple(common.nonzero()[:, 0].tolist()),
        )

    def _play(self, probe: Probe, plausible: Proposal, scores: Tensor) -> Tensor:
        """Update the logits of the scores ``[probes, length]`` in place; returns which probes stopped."""
        stopped = torch.zeros(self.probes, dtype=torch.bool)
        active = torch.arange(self.probes)
        mask, changes = self._replaced(probe, plausible, active)
        chances = probe.next(changes)
        for _ in track(range(self.steps), "probing"):
            scores[active] += update(mask, probe.probability - chances[:, probe.target])
            rest = ~(_best(scores[active], self.top_n) | probe.fixed)
            tests = plausible.replace(probe.ids, rest)
            next_mask, next_changes = self._replaced(probe, plausible, active)
            answers = probe.next(torch.cat([tests, next_changes]))
            done = _among_top(answers[: len(active)], probe.target, self.top_k)
            stopped[active[done]] = True
            active, mask, chances = active[~done], next_mask[~done], answers[len(done) :][~done]
            if not len(active):
                break
        return stopped

    def _replaced(self, probe: Probe, plausible: Proposal, active: Tensor) -> tuple[Tensor, Tensor]:
        """Which tokens are replaced in each active probe, and the prompts that come of it."""
        mask = (torch.rand(len(active), probe.length) < self.ratio) & ~probe.fixed
        return mask, plausible.replace(probe.ids, mask)


def update(mask: Tensor, fall: Tensor) -> Tensor:
    """What a step adds to the logits of the scores.

    Parameters
    ----------
    mask : which tokens were replaced, bool ``[probes, length]``.
    fall : of the target's probability, in [-1, 1], ``[probes]``.

    Returns
    -------
    Tensor : ``logit(1/2 + fall/2)`` where a token was replaced, its opposite elsewhere: the odds of a
        replaced to a kept token are multiplied by ``((1 + fall) / (1 - fall)) ** 2``.

    Examples
    --------
    >>> update(torch.tensor([[True, False]]), torch.tensor([0.5])).exp().tolist()[0][0]
    3.0
    """
    change = fall.clamp(-LARGEST, LARGEST)[:, None]
    return torch.logit(0.5 + 0.5 * torch.where(mask, change, -change))


def _best(scores: Tensor, count: int) -> Tensor:
    """The ``count`` highest of each row, bool of the same shape."""
    highest = scores.topk(min(count, scores.shape[1]), dim=1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, highest, True)


def _among_top(chances: Tensor, target: int, count: int) -> Tensor:
    """Whether fewer than ``count`` tokens are likelier than the target, in each row."""
    return (chances > chances[:, [target]]).sum(1) < count
