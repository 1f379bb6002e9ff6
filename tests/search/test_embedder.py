"""An embedder is what sentence-transformers makes of the same folder, and pools as the folder says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from etude.errors import InputError
from etude.models.loading import locate
from etude.search.embedder import Embedder, batches, frame, pool, pooling_of

TEXTS = ["A house by the sea.", "Rain.", "She went to the door, and saw no one in the street."]


def test_minilm_reads_512_tokens_whatever_its_folder_says_and_texts_do_not_touch_each_other() -> None:
    embedder = Embedder.load("minilm")
    vectors = embedder.encode(TEXTS)
    assert embedder.window == 512 and embedder.pooling == "mean"
    alone = torch.cat([embedder.encode([text]) for text in TEXTS])
    assert torch.allclose(vectors, alone, atol=1e-5)


@pytest.mark.slow
def test_vectors_are_those_of_sentence_transformers() -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(str(locate("minilm")), device="cpu").encode(TEXTS)
    assert torch.allclose(Embedder.load("minilm").encode(TEXTS), torch.tensor(theirs), atol=1e-5)


def test_poolings() -> None:
    states = torch.arange(12.0).view(1, 4, 3)
    mask = torch.tensor([[1, 1, 1, 0]])
    assert pool(states, mask, "cls").tolist() == [[0, 1, 2]]
    assert pool(states, mask, "last").tolist() == [[6, 7, 8]]
    assert pool(states, mask, "mean").tolist() == [[3, 4, 5]]


@pytest.mark.parametrize(
    ("says", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_max_tokens": True}, None),
    ],
)
def test_a_folder_names_its_pooling(tmp_path: Path, says: dict[str, object], pooling: str | None) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 3, **says}))
    if pooling is None:
        with pytest.raises(InputError, match=r"^model:"):
            pooling_of(tmp_path)
    else:
        assert pooling_of(tmp_path) == pooling


def test_every_row_is_in_one_batch() -> None:
    rows = [[1] * length for length in (3, 900, 17, 3000, 5, 4)]
    found = [place for places, _, _ in batches(rows, pad=0) for place in places]
    assert sorted(found) == list(range(6))
    assert all(mask.sum(1).tolist() == [len(rows[p]) for p in places] for places, _, mask in batches(rows, 0))


def test_what_cannot_be_used_is_refused_by_name() -> None:
    whole = Embedder.load("minilm")
    assert frame(whole.tokenizer) == ([101], [102])
    with pytest.raises(InputError, match=r"^window:"):
        Embedder(whole.model, whole.tokenizer, window=2)
    with pytest.raises(InputError, match=r"^model:"):
        Embedder(whole.model, None)
