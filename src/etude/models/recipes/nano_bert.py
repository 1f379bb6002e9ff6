"""The recipe that made ``nano_bert/``: a WordPiece vocabulary and a BERT of 2.3 million parameters.

Trained on the ``english_novels`` train split like nano-llama. It first learns to predict the next token,
under a causal mask: every token is an example then, where masking gives one in seven, and a model that
knows words and their neighbours by then does not dwell on their frequencies for thousands of steps. (The
order is that of Gisserot-Boukhlef et al., "Should We Still Pretrain Encoders with Masked Language
Modeling?", 2025, arXiv:2507.00994.) Then it learns BERT's own tasks: masked tokens, and whether a passage
follows another. The checkpoint is laid out as bert-base's is: ``BertForMaskedLM`` and
``BertForPreTraining`` of transformers load it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn import functional
from transformers import BertConfig, BertForPreTraining, PreTrainedTokenizerFast

from etude.data.masked import IGNORED, mask, next_passages, pretraining
from etude.data.text import read_documents
from etude.data.tokens import encode
from etude.progress import track

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
VOCABULARY = 4096
CONTEXT = 128
LENGTHS = (CONTEXT // 2, CONTEXT // 2, CONTEXT // 2, CONTEXT)
"""Tokens of a pair in one step after the other: short ones teach as much and cost less."""
SPECIAL_TOKENS = 3
BATCH = 2048
"""Tokens in a step."""
STEPS = 4000
CAUSAL = 0.4
"""Share of the steps in which the next token is predicted."""
MASKED = 0.3
"""Share of the tokens that are hidden afterwards; figures are of BERT's 0.15."""
PEAK_LEARNING_RATE = 1.5e-3
WARM_UP = 200
SEED = 0
JUDGED = 32
"""Pairs that are judged at a time."""

NANO_BERT = BertConfig(
    vocab_size=VOCABULARY,
    hidden_size=192,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=4,
    max_position_embeddings=CONTEXT,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    pad_token_id=0,
)


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """An uncased WordPiece vocabulary, as BERT's; two texts become ``[CLS] a [SEP] b [SEP]``."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL.values()), limit_alphabet=200
    )
    tokenizer.train_from_iterator(texts, trainer)
    begin, end = SPECIAL["cls_token"], SPECIAL["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} $B:1 {end}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (begin, end)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        model_max_length=CONTEXT,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **SPECIAL,
    )


def segments(novels: list[list[int]], length: int, generator: torch.Generator) -> Tensor:
    """All of every novel in segments of ``length`` tokens, cut at a new place and in a new order."""
    rows = []
    for ids in novels:
        offset = int(torch.randint(length, (1,), generator=generator))
        text = torch.tensor(ids[offset:])
        rows.append(text[: len(text) // length * length].view(-1, length))
    every = torch.cat(rows)
    return every[torch.randperm(len(every), generator=generator)]


def batches(
    novels: list[list[int]], tokenizer: Any, steps: int, generator: torch.Generator
) -> Iterator[dict[str, Tensor]]:
    """Pairs of passages as they are, and later masked, anew in every epoch."""
    left = {length: torch.empty(0, length - SPECIAL_TOKENS, dtype=torch.long) for length in LENGTHS}
    for step in range(steps):
        length = LENGTHS[step % len(LENGTHS)]
        size = BATCH // length
        if len(left[length]) < size:
            left[length] = segments(novels, length - SPECIAL_TOKENS, generator)
        batch, left[length] = left[length][:size], left[length][size:]
        pairs = next_passages(batch, tokenizer, generator)
        yield pairs if step < CAUSAL * steps else mask(pairs, tokenizer, generator, MASKED)


def losses(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the masked tokens, whose logits alone are computed, and of the pairs.

    Without labels it is that of every next token, and nothing of the pairs.
    """
    inputs = {name: batch[name] for name in ("input_ids", "token_type_ids", "attention_mask")}
    causal = "labels" not in batch
    labels = batch["input_ids"].roll(-1, 1) if causal else batch["labels"]
    chosen = labels != IGNORED
    if causal:
        length = labels.shape[1]
        inputs["attention_mask"] = (
            torch.ones(length, length, dtype=torch.bool).tril().expand(len(labels), 1, -1, -1)
        )
        chosen[:, -1] = False
    found = model.bert(**inputs)
    tokens, pairs = model.cls(found.last_hidden_state[chosen], found.pooler_output)
    following = functional.cross_entropy(pairs, batch["next_sentence_label"])
    return functional.cross_entropy(tokens, labels[chosen]), 0 * following if causal else following


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then linear to zero."""
    if step < WARM_UP:
        return PEAK_LEARNING_RATE * (step + 1) / WARM_UP
    return PEAK_LEARNING_RATE * (steps - step) / max(1, steps - WARM_UP)


def train(data: Path, out: Path, steps: int = STEPS) -> None:
    """Train the tokenizer and the model, and write both to ``out`` with the figures of the model card."""
    torch.manual_seed(SEED)
    texts = {split: read_documents(data / f"{split}.jsonl.gz") for split in ("train", "valid", "test")}
    tokenizer = train_tokenizer(texts["train"])
    novels = {split: encode(rows, tokenizer) for split, rows in texts.items()}

    model = BertForPreTraining(NANO_BERT)
    decayed = [p for p in model.parameters() if p.ndim == 2]
    plain = [p for p in model.parameters() if p.ndim != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    )
    started, running = time.perf_counter(), math.nan
    generator = torch.Generator().manual_seed(SEED)
    drawn = batches(novels["train"], tokenizer, steps, generator)
    for step, batch in enumerate(track(drawn, "training", total=steps)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss: Tensor = sum(losses(model, batch), torch.zeros(()))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        if step % 100 == 99:
            seconds = time.perf_counter() - started
            print(f"step {step + 1}/{steps}  training loss {running:.3f}  {seconds:.0f} s", flush=True)

    minutes = (time.perf_counter() - started) / 60
    figures = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_tokens": steps * BATCH,
        "training_minutes": round(minutes, 1),
        "cpu_minutes": round(time.process_time() / 60, 1),
        **{split: judge(model, novels[split], texts[split], tokenizer) for split in ("valid", "test")},
    }
    write(model, tokenizer, figures, out)


@torch.no_grad()
def judge(model: Any, novels: list[list[int]], texts: list[str], tokenizer: Any) -> dict[str, float]:
    """Held-out figures: losses on pairs whose masks are drawn once, in whole segments."""
    model.eval()
    every = segments(novels, CONTEXT - SPECIAL_TOKENS, torch.Generator().manual_seed(SEED))
    tokens = pairs = count = 0.0
    for begin in range(0, len(every), JUDGED):
        batch = pretraining(every[begin : begin + JUDGED], tokenizer, seed=begin)
        weight = float((batch["labels"] != IGNORED).sum())
        masked, following = losses(model, batch)
        tokens, pairs = tokens + weight * masked.item(), pairs + weight * following.item()
        count += weight
    unknown = sum(row.count(tokenizer.unk_token_id) for row in novels)
    return {
        "masked_loss": round(tokens / count, 3),
        "masked_perplexity": round(math.exp(tokens / count), 2),
        "next_passage_loss": round(pairs / count, 3),
        "characters_per_token": round(sum(map(len, texts)) / sum(map(len, novels)), 3),
        "unknown_share": round(unknown / sum(map(len, novels)), 6),
    }


def write(model: Any, tokenizer: Any, figures: dict[str, Any], out: Path) -> None:
    """The checkpoint in float16, which says that it is a masked language model, as bert-base's does."""
    out.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out)
    config = json.loads((out / "config.json").read_text()) | {"architectures": ["BertForMaskedLM"]}
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tokenizer.save_pretrained(out)
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))
