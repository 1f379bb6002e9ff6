"""A byte-level BPE tokenizer in the words of GGUF."""

from __future__ import annotations

import json
from typing import Any

import gguf

from etude.errors import InputError

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {
    ("ByteLevel",): "gpt-2",
    ("Digits", "ByteLevel"): "smollm",
    (_LLAMA3, "ByteLevel"): "llama-bpe",
}
"""llama.cpp's names for how text is cut before BPE, by the steps of the tokenizer."""


def check(tokenizer: Any) -> None:
    """Raise `InputError` if a tokenizer is not one that GGUF has a name for here."""
    content = _content(tokenizer)
    model = content["model"]
    if model["type"] != "BPE" or model.get("byte_fallback") or content.get("normalizer"):
        raise InputError("format", "gguf is written for byte-level BPE tokenizers only")
    if _steps(content) not in _SPLITS:
        raise InputError(
            "format", f"gguf has no name here for how its tokenizer cuts text: {_steps(content)}"
        )


def describe(writer: gguf.GGUFWriter, tokenizer: Any, size: int) -> None:
    """Write the tokenizer that `check` accepted, with as many tokens as the model has embeddings."""
    content = _content(tokenizer)
    tokens = [f"[PAD{i}]" for i in range(size)]
    kinds = [gguf.TokenType.UNUSED] * size
    for token, i in content["model"]["vocab"].items():
        tokens[i], kinds[i] = token, gguf.TokenType.NORMAL
    for added in content["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    merges = content["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_SPLITS[_steps(content)])
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    for name in ("bos", "eos", "unk", "pad"):
        found = getattr(tokenizer, f"{name}_token_id")
        if found is not None:
            getattr(writer, f"add_{name}_token_id")(found)
    writer.add_add_bos_token(_adds_bos(tokenizer))
    writer.add_add_space_prefix(False)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _content(tokenizer: Any) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError("format", "gguf needs a tokenizer with a tokenizer.json")
    content: dict[str, Any] = json.loads(backend.to_str())
    return content


def _steps(content: dict[str, Any]) -> tuple[str, ...]:
    """The steps before BPE, by type; a split by its regular expression."""
    first = content.get("pre_tokenizer") or {"type": "none"}
    steps = first["pretokenizers"] if first["type"] == "Sequence" else [first]
    return tuple(step["pattern"]["Regex"] if step["type"] == "Split" else step["type"] for step in steps)


def _adds_bos(tokenizer: Any) -> bool:
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token_id is not None and bool(ids) and ids[0] == tokenizer.bos_token_id
