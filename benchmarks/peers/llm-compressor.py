"""Prune or quantise by llm-compressor in its environment, called as ``llm-compressor.py JOB RESULT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from etude.engine.measure import measured

PRUNERS = {"wanda": WandaPruningModifier, "sparsegpt": SparseGPTModifier}


def recipe(method: str, fields: dict[str, Any]) -> Any:
    """What it calls a method with these fields."""
    if method in PRUNERS:
        sparsity = {"sparsity": fields["sparsity"], "mask_structure": "0:0"}
        return PRUNERS[method](**sparsity, targets=["Linear"], ignore=["re:.*lm_head"])
    weights = {
        "num_bits": fields["bits"],
        "type": "int",
        "symmetric": fields["symmetric"],
        "strategy": "group",
        "group_size": fields["group"],
    }
    scheme = {
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ["lm_head"],
    }
    return GPTQModifier(**scheme) if method == "gptq" else [AWQModifier(), QuantizationModifier(**scheme)]


job = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(1)
# AWQ pins what it keeps in memory for an accelerator, and fails where there is none.
torch.Tensor.pin_memory = lambda self, *_, **__: self
# Left to itself it loads bfloat16, which is several times slower on most processors.
model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(job["model"])
ids = load_file(job["calibration"])["input_ids"]
data = Dataset.from_dict({"input_ids": ids.tolist(), "attention_mask": torch.ones_like(ids).tolist()})
with torch.no_grad():
    model(ids[:1])  # first-time costs and untouched pages count for nobody
with measured() as figures:
    oneshot(
        model=model,
        tokenizer=tokenizer,
        recipe=recipe(job["method"], job["fields"]),
        dataset=data,
        max_seq_length=ids.shape[1],
        num_calibration_samples=len(ids),
        shuffle_calibration_samples=False,
    )
model.save_pretrained(job["out"])
Path(sys.argv[2]).write_text(json.dumps(figures))
