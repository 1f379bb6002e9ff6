"""Etude's own jobs, each in a process of its own: ``ours.py JOB RESULT``; see `JOBS` for the kinds."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

import etude
from etude.engine.measure import measured
from etude.models.blocks import walk
from etude.models.measure import (
    decoded_tokens_per_second,
    parameter_count,
    perplexity,
    size_in_bytes,
    sparsity,
    tokens_per_second,
)
from etude.models.packed.linear import PackedLinear


def passes(job: dict[str, Any]) -> dict[str, Any]:
    """CPU seconds of plain passes over the calibration tokens, for each batch size asked for."""
    model, ids = load(job)
    return {
        "forward": {batch: forward(model, ids, batch) for batch in job["batches"]},
        "backward": {batch: backward(model, ids, batch) for batch in job["batches"]},
        "model_mb": 4e-6 * parameter_count(model),
        "activations_mb": activations_mb(model, ids),
    }


def prune(job: dict[str, Any]) -> dict[str, Any]:
    """Prune and save; before it, in the same process, the passes that the method is measured against."""
    model, ids = load(job)
    method = etude.methods()[job["method"]](**job["fields"])
    against = {"forward": forward, "backward": backward}.get(job["against"])
    plain = {f"{job['against']}_s": against(model, ids, job["batch"])} if against else {}
    with measured() as figures:
        method.prune(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    etude.models.save(model, None, job["out"])
    return plain | figures


def quantize(job: dict[str, Any]) -> dict[str, Any]:
    """Quantise and save, packed; where the file format has the type, as GGUF too."""
    from etude.compress.quantize import formats

    model, ids = load(job)
    tokenizer = etude.models.load(job["model"])[1]
    method = etude.methods()[job["method"]](**job["fields"])
    with measured() as figures:
        stored = method.quantize(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    for name in ("compressed-tensors", "gguf"):
        place = Path(job["out"] if name != "gguf" else f"{job['out']} gguf")
        try:
            formats.check(name, method, model, tokenizer)
        except etude.InputError:
            continue
        formats.write(name, model, tokenizer, stored, place)
    return figures


def decode(job: dict[str, Any]) -> dict[str, Any]:
    """Speed of decoding and of a prompt in tokens a CPU second, memory of the weights, perplexity."""
    dense = job["kernel"] == "dense"
    kernel = "auto" if dense else job["kernel"]
    model, _ = etude.models.load(job["model"], packed=not dense, kernel=kernel)
    model.to(getattr(torch, job["precision"]))
    clock = {"clock": time.process_time}
    found = {
        "decode": decoded_tokens_per_second(model, length=32, new=32, **clock),
        "prompt": tokens_per_second(model, length=128, runs=3, **clock),
        "weights_mb": size_in_bytes(model) / 1e6,
        "kernels": kernels(model),
    }
    if job["judge"]:
        found["perplexity"] = perplexity(model, load_file(job["evaluation"])["input_ids"][:4])
    return found


def kernels(model: Any) -> str | None:
    """Which kernels the packed layers use, for one row and for several, with how many layers do."""
    counts = Counter(
        "/".join(kernel.name for kernel in layer.kernels())
        for layer in model.modules()
        if isinstance(layer, PackedLinear)
    )
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or None


def judge(job: dict[str, Any]) -> dict[str, Any]:
    """Perplexity and size of a checkpoint, whoever wrote it: one ruler for all."""
    model, _ = etude.models.load(job["model"], packed=False)
    return {
        "perplexity": perplexity(model, load_file(job["evaluation"])["input_ids"]),
        "parameters": parameter_count(model),
        "sparsity": sparsity(model),
    }


def load(job: dict[str, Any]) -> tuple[Any, Tensor]:
    """The model, warm, and the calibration ids: first-time costs and untouched pages count for nobody."""
    model, _ = etude.models.load(job["model"])
    ids = load_file(job["calibration"])["input_ids"]
    with torch.no_grad():
        model(ids[:1])
    return model, ids


def forward(model: Any, ids: Tensor, batch: int) -> float:
    """CPU seconds of ``model(ids)``, logits included, ``batch`` segments at a time."""
    started = time.process_time()
    with torch.no_grad():
        for piece in torch.split(ids, batch):
            model(input_ids=piece, use_cache=False)
    return time.process_time() - started


def backward(model: Any, ids: Tensor, batch: int) -> float:
    """CPU seconds of loss and gradient of every weight, accumulated, ``batch`` segments at a time."""
    started = time.process_time()
    for piece in torch.split(ids, batch):
        model(input_ids=piece, labels=piece, use_cache=False).loss.backward()
    model.zero_grad(set_to_none=True)
    return time.process_time() - started


def activations_mb(model: Any, ids: Tensor) -> float:
    """What enters the linear layers of one block over all calibration tokens, in float32."""
    block = next(walk(model, {"input_ids": ids[:1]}, feed="dense"))
    widths = {id(linear.inputs): linear.weight.shape[1] for linear in block.linears}
    return 4e-6 * ids.numel() * sum(widths.values())


JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    job.__name__: job for job in (passes, prune, quantize, decode, judge)
}

if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    Path(sys.argv[2]).write_text(json.dumps(JOBS[asked["kind"]](asked)))
