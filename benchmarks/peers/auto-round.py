"""Quantise with auto-round: runs inside its own environment, called as ``auto-round.py JOB RESULT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from auto_round import AutoRound
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from etude.engine.measure import measured

job = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(1)
model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(job["model"])
ids = load_file(job["calibration"])["input_ids"]
fields = job["fields"]
with torch.no_grad():
    model(ids[:1])  # first-time costs and untouched pages count for nobody
with measured() as figures:
    quantiser = AutoRound(
        model,
        tokenizer,
        bits=fields["bits"],
        group_size=fields["group"],
        sym=fields["symmetric"],
        iters=fields["iterations"],
        nsamples=len(ids),
        seqlen=ids.shape[1],
        batch_size=4,
        dataset=[{"input_ids": row[None], "attention_mask": torch.ones_like(row)[None]} for row in ids],
        device_map="cpu",
        enable_torch_compile=False,
    )
    quantised, _ = quantiser.quantize()
# Its packed files take minutes to evaluate; the decoded weights are the same numbers.
plain = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
state = quantised.state_dict()
plain.load_state_dict({name: state[name] for name in plain.state_dict()})
plain.save_pretrained(job["out"])
Path(sys.argv[2]).write_text(json.dumps(figures))
