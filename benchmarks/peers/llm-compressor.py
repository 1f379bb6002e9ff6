"""Prune with llm-compressor: runs inside its own environment, called as ``llm-compressor.py JOB RESULT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from etude.engine.measure import measured

MODIFIERS = {"wanda": WandaPruningModifier, "sparsegpt": SparseGPTModifier}

job = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(1)
# Left to itself it loads bfloat16, which is several times slower on most processors.
model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(job["model"])
ids = load_file(job["calibration"])["input_ids"]
data = Dataset.from_dict({"input_ids": ids.tolist(), "attention_mask": torch.ones_like(ids).tolist()})
recipe = MODIFIERS[job["method"]](
    sparsity=job["fields"]["sparsity"], mask_structure="0:0", targets=["Linear"], ignore=["re:.*lm_head"]
)
with torch.no_grad():
    model(ids[:1])  # first-time costs and untouched pages count for nobody
with measured() as figures:
    oneshot(
        model=model,
        tokenizer=tokenizer,
        recipe=recipe,
        dataset=data,
        max_seq_length=ids.shape[1],
        num_calibration_samples=len(ids),
        shuffle_calibration_samples=False,
    )
model.save_pretrained(job["out"])
Path(sys.argv[2]).write_text(json.dumps(figures))
