"""Prune with Torch-Pruning: runs inside its own environment, called as ``torch-pruning.py JOB RESULT``.

Its dependency graph does not return on attention with fewer key-value than query heads, so only the
channels of the MLPs are pruned: gate, up and down together, the same number in every block.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch_pruning as tp
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from etude.engine.measure import measured


def prune(model: Any, ids: Tensor, importance: Any, ratio: float, batch: int) -> None:
    """Remove the share ``ratio`` of the MLP channels of every block."""
    if isinstance(importance, tp.importance.TaylorImportance):
        for piece in ids.split(batch):
            loss = model(input_ids=piece, labels=piece, use_cache=False).loss
            (loss * len(piece) / len(ids)).backward()
    graph = tp.DependencyGraph().build_dependency(
        model,
        example_inputs=ids[:1, :16],
        forward_fn=lambda model, example: model(input_ids=example, use_cache=False),
        output_transform=lambda output: output.logits,
    )
    for layer in model.model.layers:
        gate = layer.mlp.gate_proj
        everything = graph.get_pruning_group(
            gate, tp.prune_linear_out_channels, idxs=list(range(gate.out_features))
        )
        weakest = importance(everything).argsort()[: round(gate.out_features * ratio)].tolist()
        graph.get_pruning_group(gate, tp.prune_linear_out_channels, idxs=weakest).prune()
    model.config.intermediate_size = gate.out_features


IMPORTANCES = {"taylor": tp.importance.TaylorImportance, "magnitude": tp.importance.MagnitudeImportance}

job = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(1)
model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
ids = load_file(job["calibration"])["input_ids"]
with torch.no_grad():
    model(ids[:1])  # first-time costs and untouched pages count for nobody
with measured() as figures:
    prune(model, ids, IMPORTANCES[job["method"]](), job["fields"]["ratio"], job["fields"].get("batch", 1))
model.zero_grad()
model.save_pretrained(job["out"])
Path(sys.argv[2]).write_text(json.dumps(figures))
