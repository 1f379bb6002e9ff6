"""The recipe that made ``nano_vit/``: a ViT of 0.47 million parameters.

Trained from nothing on the 5,000 train images of ``cifar10_subset`` with the augmentation of DeiT.
``ViTForImageClassification`` of transformers loads the checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from transformers import ViTConfig, ViTForImageClassification

from etude.data import augment, images
from etude.data.images import Images
from etude.models.images import Preprocessing
from etude.progress import track

SIDE = 32
BATCH = 128
STEPS = 8_000
PEAK_LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
WARM_UP = 400
LABEL_SMOOTHING = 0.1
SEED = 0


def configuration(classes: tuple[str, ...]) -> ViTConfig:
    """Sixteen patches an image, so that training with quantisers in place takes seconds an epoch."""
    return ViTConfig(
        image_size=SIDE,
        patch_size=8,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=384,
        id2label=dict(enumerate(classes)),
        label2id={name: index for index, name in enumerate(classes)},
    )


def batches(data: Images, steps: int, draw: Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented pixels and label probabilities, every image once an epoch."""
    targets = F.one_hot(data.labels, len(data.classes)).float()
    epochs = math.ceil(steps * BATCH / len(data))
    order = torch.cat([torch.randperm(len(data), generator=draw) for _ in range(epochs)])
    for at in order[: steps * BATCH].split(BATCH):  # type: ignore[no-untyped-call]
        pixels = augment.crop_and_flip(data.pixels[at].float(), draw)
        pixels = augment.erase(augment.rand_augment(pixels, draw), draw)
        yield mixed(pixels, targets[at], draw)


def mixed(pixels: Tensor, targets: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
    """CutMix or mixup with the same batch in another order, one or the other for a whole batch."""
    other = torch.randperm(len(pixels), generator=draw)
    cut = bool(torch.rand(1, generator=draw) < 0.5)
    share = _beta(1.0 if cut else 0.8, draw)
    if cut:
        side = round(SIDE * math.sqrt(1 - share))
        top, left = torch.randint(SIDE - side + 1, (2,), generator=draw).tolist()
        pixels = pixels.clone()
        box = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
        pixels[box] = pixels[other][box]
        share = 1 - side**2 / SIDE**2
    else:
        pixels = share * pixels + (1 - share) * pixels[other]
    return pixels, share * targets + (1 - share) * targets[other]


def _beta(alpha: float, draw: Generator) -> float:
    """One number from Beta(alpha, alpha)."""
    first, second = torch._standard_gamma(torch.full((2,), alpha), generator=draw)
    return float(first / (first + second))


def accuracy(model: Any, data: Images, prepared: Preprocessing) -> float:
    """Share of images whose class is predicted, in percent."""
    with torch.inference_mode():
        pixels = data.pixels.split(256)  # type: ignore[no-untyped-call]
        parts = [model.eval()(prepared(part)).logits.argmax(-1) for part in pixels]
    return 100 * float((torch.cat(parts) == data.labels).float().mean())


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to a hundredth of the peak."""
    if step < WARM_UP:
        return PEAK_LEARNING_RATE * (step + 1) / WARM_UP
    progress = (step - WARM_UP) / max(1, steps - WARM_UP)
    return PEAK_LEARNING_RATE * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def optimizer_of(model: Any) -> torch.optim.Optimizer:
    """AdamW that leaves embeddings, norms and biases undecayed."""
    named = list(model.named_parameters())
    decayed = [p for name, p in named if p.ndim > 1 and "embeddings" not in name]
    plain = [p for name, p in named if p.ndim == 1 or "embeddings" in name]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}]
    )


def train(data: Path, out: Path, steps: int = STEPS) -> None:
    """Train the classifier and write it to ``out`` with its figures."""
    torch.manual_seed(SEED)
    parts = {"train": images.load(data, "train", side=SIDE), "test": images.load(data, "test", side=SIDE)}
    prepared, draw = Preprocessing(SIDE), Generator().manual_seed(SEED)
    model = ViTForImageClassification(configuration(parts["train"].classes)).train()
    optimizer = optimizer_of(model)
    started = time.process_time()
    for step, (pixels, targets) in enumerate(track(batches(parts["train"], steps, draw), "training", steps)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = F.cross_entropy(model(prepared(pixels)).logits, targets, label_smoothing=LABEL_SMOOTHING)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 400 == 399:
            seconds = time.process_time() - started
            print(f"step {step + 1}/{steps}  loss {loss.item():.3f}  {seconds:.0f} s", flush=True)

    stored: Any = model.half()
    stored.save_pretrained(out)
    prepared.write(out)
    loaded = stored.float()  # judged as it will be loaded, its weights rounded to float16
    figures = {
        "parameters": sum(p.numel() for p in loaded.parameters()),
        "steps": steps,
        "training_minutes": round((time.process_time() - started) / 60, 1),
        "accuracy": {name: round(accuracy(loaded, part, prepared), 2) for name, part in parts.items()},
    }
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))
