"""Proposals of a masked model, carried over to the vocabulary of another tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from etude import models
from etude.errors import InputError
from etude.explain.attribution import ReAGent
from etude.explain.attribution.masked import expected, loaded, with_mask
from etude.explain.attribution.probe import Probe
from etude.explain.detection.attacks import attacked
from etude.explain.examples import grouped, tokenizer


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of the same words in another order, which says "w5" wherever a mask stands."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers import models as kinds
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = {word: number for number, word in enumerate([*specials, *(f"w{n}" for n in range(31, 0, -1))])}
    made = Tokenizer(kinds.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(
        zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), specials, strict=True)
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertForMaskedLM(BertConfig(vocab_size=len(words), max_position_embeddings=32, **sizes)).eval()
    with torch.no_grad():
        model.cls.predictions.bias[words["w5"]] = 30.0
    folder = tmp_path_factory.mktemp("masked") / "model"
    models.save(model, wrapped, folder)
    return folder


def test_expectations_arrive_at_the_token_of_the_same_text(masked: Path) -> None:
    probe = Probe(grouped(), tokenizer(), torch.tensor([3, 7, 11]))
    weights = expected(probe, str(masked))
    assert weights.argmax(1).tolist() == [5, 5, 5]
    assert (weights.sum(1) <= 1 + 1e-5).all()


def test_reagent_draws_from_a_masked_model(masked: Path) -> None:
    torch.manual_seed(0)
    method = ReAGent(proposal="masked", masked=str(masked), steps=5)
    found = method.attribute(grouped(), tokenizer(), torch.tensor([3, 7, 11]))
    assert sum(found.scores) == pytest.approx(1.0)


def test_a_masked_model_needs_a_tokenizer(masked: Path) -> None:
    with pytest.raises(InputError, match=r"^tokenizer:"):
        ReAGent(proposal="masked", masked=str(masked)).attribute(grouped(), None, torch.tensor([3, 7]))


@pytest.mark.parametrize(("before", "behind"), [(90, 0), (0, 90), (90, 90), (3, 90), (90, 3), (2, 3)])
def test_long_texts_are_cut_around_the_mask(masked: Path, before: int, behind: int) -> None:
    model, words = loaded(str(masked))
    row = with_mask(" ".join(["w1"] * before), " ".join(["w2"] * behind), model, words)
    at = row.index(words.mask_token_id)
    left, right = at - 1, len(row) - at - 2
    assert len(row) == min(32, before + behind + 3)
    assert left <= before and right <= behind
    assert min(left, right) >= min(before, behind, 14)


def test_a_paraphrase_word_by_word_takes_what_the_masked_model_says(masked: Path) -> None:
    (changed,) = attacked([" ".join(["w3"] * 90)], "masked", str(masked))
    assert changed == " ".join(["w3"] * 90)  # "w5" is no word of letters, and nothing else is taken


@pytest.mark.slow
def test_nano_bert_proposes_words_of_the_same_kind() -> None:
    model, words = models.load("nano-llama")
    ids = torch.tensor(words("It was a dark night, and the old man went home.")["input_ids"])
    weights = expected(Probe(model, words, ids), "nano-bert")
    place = words.convert_ids_to_tokens(ids.tolist()).index("Ġman")
    likely = [words.decode([token]) for token in weights[place].topk(5).indices.tolist()]
    assert " woman" in likely and (weights.sum(1) > 0).all()
