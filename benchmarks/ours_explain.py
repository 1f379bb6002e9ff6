"""Attribute with Etude, called as ``ours_explain.py JOB RESULT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from etude import catalog, models
from etude.engine.measure import measured

job = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(1)
torch.manual_seed(job["seed"])
model, tokenizer = models.load(job["model"])
method = catalog.method(job["method"])(**job["fields"])
scores, spent, sequences = [], [], 0
for prompt in job["prompts"]:
    ids = torch.tensor(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    with measured() as figures:
        found = method.attribute(model, tokenizer, ids)
    scores.append(list(found.scores))
    spent.append(figures["cpu_s"])
    sequences += found.forwards
Path(sys.argv[2]).write_text(json.dumps({"scores": scores, "cpu_s": spent, "sequences": sequences}))
