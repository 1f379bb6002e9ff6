"""Attribute with inseq: runs inside its own environment, called as ``inseq-reagent.py JOB RESULT``.

Its ReAGent downloads a part-of-speech tagger when it is made; without a network it cannot be, so here every
token may replace every other, as in the line that it is set against.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import inseq
import torch
from inseq.attr.feat.ops.reagent_core.token_sampler import POSTagTokenSampler
from transformers import AutoModelForCausalLM, AutoTokenizer

from etude.engine.measure import measured


def any_token(*_: Any, tokenizer: Any, **__: Any) -> dict[str, list[int]]:
    """One part of speech for all tokens but the special ones."""
    return {"any": [token for token in range(len(tokenizer)) if token not in tokenizer.all_special_ids]}


def counting(model: Any) -> list[int]:
    """Count the sequences that go through a model, in the one number that is returned."""
    rows, forward = [0], model.forward

    def counted(*values: Any, **named: Any) -> Any:
        given = [
            each
            for each in (*values[:1], named.get("input_ids"), named.get("inputs_embeds"))
            if each is not None
        ]
        rows[0] += len(given[0])
        return forward(*values, **named)

    model.forward = counted
    return rows


job = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(1)
torch.manual_seed(job["seed"])
POSTagTokenSampler.build_pos_mapping_from_vocab = staticmethod(any_token)
model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(job["model"])
fields = job["fields"]
attributor = inseq.load_model(
    model,
    "reagent",
    tokenizer=tokenizer,
    keep_top_n=fields["top_n"],
    stopping_condition_top_k=fields["top_k"],
    replacing_ratio=fields["ratio"],
    max_probe_steps=fields["steps"],
    num_probes=fields["probes"],
)
rows = counting(model)
scores, spent = [], []
for prompt in job["prompts"]:
    with measured() as figures:
        found = attributor.attribute(
            prompt, generation_args={"max_new_tokens": 1, "do_sample": False}, show_progress=False
        )
    one = found.sequence_attributions[0]
    scores.append(one.target_attributions[: one.attr_pos_start, 0].mean(-1).tolist())
    spent.append(figures["cpu_s"])
Path(sys.argv[2]).write_text(json.dumps({"scores": scores, "cpu_s": spent, "sequences": rows[0]}))
