"""Train the built-in models: ``python -m etude.models.train nano-llama --data FOLDER --out FOLDER``.

Here is the recipe that made ``nano_llama/``: a byte-level BPE of 2,048 tokens and a LLaMA-shaped decoder
of 3.5 million parameters, trained on the ``english_novels`` train split (public domain, 39 novels, no
author of which is in the valid or test split). About 50 minutes on one core. The recipes of other models
have files of their own in `etude.models.recipes`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from etude.data.text import read_documents
from etude.models.likelihood import perplexity
from etude.models.recipes import nano_bert, nano_vit
from etude.progress import track

END_OF_TEXT = "<|endoftext|>"
VOCABULARY = 2048
CONTEXT = 256
BATCH = 16
STEPS = 3000
PEAK_LEARNING_RATE = 3e-3
WARM_UP = 100
SEED = 0

NANO_LLAMA = LlamaConfig(
    vocab_size=VOCABULARY,
    hidden_size=256,
    intermediate_size=512,
    num_hidden_layers=5,
    num_attention_heads=8,
    num_key_value_heads=4,
    head_dim=32,
    max_position_embeddings=CONTEXT,
    tie_word_embeddings=True,
    bos_token_id=0,
    eos_token_id=0,
    initializer_range=0.02,
    rms_norm_eps=1e-5,
)


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE vocabulary; text comes back from its tokens unchanged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def token_stream(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """All documents in one row of token ids, each closed by the end-of-text token; int64 [tokens]."""
    end = tokenizer.eos_token_id
    rows = tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]
    return torch.tensor([token for row in rows for token in [*row, end]])


def batches(stream: Tensor, steps: int, generator: torch.Generator) -> list[Tensor]:
    """Segments of ``CONTEXT`` tokens without replacement, cut at a new offset in every epoch."""
    order: list[Tensor] = []
    while len(order) < steps * BATCH:
        offset = int(torch.randint(CONTEXT, (1,), generator=generator))
        starts = torch.arange(offset, len(stream) - CONTEXT, CONTEXT)
        order.extend(starts[torch.randperm(len(starts), generator=generator)])
    return [
        torch.stack([stream[s : s + CONTEXT] for s in order[i * BATCH : (i + 1) * BATCH]])
        for i in range(steps)
    ]


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to a tenth of the peak."""
    if step < WARM_UP:
        return PEAK_LEARNING_RATE * (step + 1) / WARM_UP
    progress = (step - WARM_UP) / max(1, steps - WARM_UP)
    return PEAK_LEARNING_RATE * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))


def train_nano_llama(data: Path, out: Path, steps: int = STEPS) -> None:
    """Train the tokenizer and the decoder, and write both to ``out`` with a model card."""
    torch.manual_seed(SEED)
    texts = {split: read_documents(data / f"{split}.jsonl.gz") for split in ("train", "valid", "test")}
    tokenizer = train_tokenizer(texts["train"])
    streams = {split: token_stream(rows, tokenizer) for split, rows in texts.items()}

    model = LlamaForCausalLM(NANO_LLAMA)
    decayed = [p for p in model.parameters() if p.ndim == 2]
    plain = [p for p in model.parameters() if p.ndim != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
    )
    started, running = time.perf_counter(), math.nan
    generator = torch.Generator().manual_seed(SEED)
    for step, tokens in enumerate(track(batches(streams["train"], steps, generator), "training")):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        if step % 100 == 99:
            seconds = time.perf_counter() - started
            print(f"step {step + 1}/{steps}  training loss {running:.3f}  {seconds:.0f} s", flush=True)

    figures = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_tokens": steps * BATCH * CONTEXT,
        "training_minutes": round((time.perf_counter() - started) / 60, 1),
        "perplexity": {
            split: round(perplexity(model, streams[split], length=CONTEXT), 2) for split in ("valid", "test")
        },
        "characters_per_token": {
            split: round(sum(map(len, texts[split])) / len(streams[split]), 3) for split in ("valid", "test")
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    half: Any = model.half()  # type: ignore[no-untyped-call]
    half.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


RECIPES = {
    "nano-llama": (train_nano_llama, STEPS),
    "nano-bert": (nano_bert.train, nano_bert.STEPS),
    "nano-vit": (nano_vit.train, nano_vit.STEPS),
}
"""What trains a model from its data into a folder, and in how many steps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", choices=list(RECIPES))
    parser.add_argument("--data", type=Path, required=True, help="the folder of its training data")
    parser.add_argument("--out", type=Path, required=True, help="where the checkpoint goes")
    parser.add_argument("--steps", type=int, help="instead of the recipe's own")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe, steps = RECIPES[arguments.model]
    recipe(arguments.data, arguments.out, arguments.steps or steps)


if __name__ == "__main__":
    main()
