"""Token encoders: what they read, and that sentence-transformers loads what they write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from etude import InputError
from etude.search.late.encoder import TokenEncoder

TEXTS = [
    "A dark night.",
    "rain",
    "The rain fell on the roof of the house all night long, and on the road.",
    "",
]


@pytest.fixture(scope="module")
def encoder() -> TokenEncoder:
    torch.manual_seed(0)
    return TokenEncoder.load("nano-bert", width=24, query_length=8)


def test_every_token_has_a_vector_of_unit_length_and_padding_has_none(encoder: TokenEncoder) -> None:
    tokens = encoder.encode(TEXTS, "document")
    assert tokens.lengths.tolist() == [len(row) for row in encoder.ids(TEXTS, "document")]
    assert tokens.vectors.shape == (int(tokens.lengths.sum()), 24)
    assert (tokens.vectors.norm(dim=1) - 1).abs().max() < 1e-6
    for text, own in zip(TEXTS, range(len(TEXTS)), strict=True):
        assert (encoder.encode([text], "document").vectors - tokens[own]).abs().max() < 1e-6
        assert len(encoder.words(text, "document")) == len(tokens[own])


def test_texts_are_cut_to_the_length_of_their_kind(encoder: TokenEncoder) -> None:
    assert encoder.encode(TEXTS, "query").lengths.max() == 8
    assert encoder.encode(TEXTS, "document").lengths.max() > 8
    longest = encoder.encode(["word " * 1000], "document").lengths
    assert longest.tolist() == [encoder.model.config.max_position_embeddings]


def test_nothing_to_encode(encoder: TokenEncoder) -> None:
    assert encoder.encode([], "query").vectors.shape == (0, 24)


@pytest.mark.parametrize("width", [24, None])
def test_sentence_transformers_gives_the_same_vectors(width: int | None, tmp_path: Path) -> None:
    peer = pytest.importorskip("sentence_transformers")
    torch.manual_seed(1)
    ours = TokenEncoder.load("nano-bert", width=width, query_length=8, document_length=32)
    ours.save(tmp_path / "encoder")
    theirs, again = (
        peer.MultiVectorEncoder(str(tmp_path / "encoder")),
        TokenEncoder.load(tmp_path / "encoder"),
    )
    assert again.fingerprint == ours.fingerprint
    for kind, encode in (("query", theirs.encode_query), ("document", theirs.encode_document)):
        tokens = ours.encode(TEXTS[:3], kind)  # type: ignore[arg-type]
        assert [len(text) for text in encode(TEXTS[:3])] == tokens.lengths.tolist()
        assert (torch.cat(encode(TEXTS[:3])) - tokens.vectors).abs().max() < 1e-6
        assert torch.equal(again.encode(TEXTS[:3], kind).vectors, tokens.vectors)  # type: ignore[arg-type]


def test_what_sentence_transformers_writes_is_read(tmp_path: Path) -> None:
    peer = pytest.importorskip("sentence_transformers")
    from etude.models.loading import locate

    torch.manual_seed(2)
    theirs = peer.MultiVectorEncoder(str(locate("nano-bert")), model_kwargs={"dtype": torch.float32})
    theirs.save(str(tmp_path / "theirs"))
    ours = TokenEncoder.load(tmp_path / "theirs")
    assert ours.width == 128
    assert (
        torch.cat(theirs.encode_document(TEXTS[:3])) - ours.encode(TEXTS[:3], "document").vectors
    ).abs().max() < 1e-6


def test_modules_that_would_be_left_out_are_refused(tmp_path: Path, encoder: TokenEncoder) -> None:
    encoder.save(tmp_path / "encoder")
    path = tmp_path / "encoder" / "modules.json"
    modules = json.loads(path.read_text())
    path.write_text(json.dumps([modules[0], *modules[1:2] * 2, *modules[2:]]))
    with pytest.raises(InputError, match=r"encoder: .*Dense, Dense"):
        TokenEncoder.load(tmp_path / "encoder")
    path.write_text("[")
    with pytest.raises(InputError, match=r"encoder: .*modules\.json"):
        TokenEncoder.load(tmp_path / "encoder")


@pytest.mark.parametrize(
    ("name", "width", "field"), [("no-such", None, "encoder"), ("nano-bert", 1000, "width")]
)
def test_bad_input_is_named(name: str, width: int | None, field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        TokenEncoder.load(name, width=width)
