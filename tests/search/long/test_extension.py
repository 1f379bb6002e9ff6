"""Positions, rotations and attention of stretched encoders, against loops and the paper's example."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from etude.search.embedder import Embedder, padded
from etude.search.long import NTK, Extension, GroupedPositions, LongEncoder, PositionInterpolation, SelfExtend
from etude.search.long.attention import Bands, adapted
from etude.search.long.checks import TEXTS, _learned, _rotary
from etude.search.long.growing import interpolated

LENGTH, TARGET = 60, 64


def rows(encoder: Embedder, length: int = LENGTH) -> list[list[int]]:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, len(encoder.tokenizer), (2, length), generator=draw).tolist()
    return [list(ids[0]), list(ids[1][: length // 2 + 7])]


def test_distances_are_those_of_the_papers_example() -> None:
    table = Extension(original=8, target=10, group=2, neighbours=4).distances(10)
    # A text of up to ``original`` tokens keeps its distances: the example has 10.
    assert table[0].tolist() == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6]
    assert table[4].tolist() == [-4, -3, -2, -1, 0, 1, 2, 3, 4, 4]
    assert torch.equal(table, -table.T)


def test_a_group_of_one_and_a_text_that_fits_keep_their_distances() -> None:
    plain = torch.arange(12)[None] - torch.arange(12)[:, None]
    assert torch.equal(Extension(4, 12, group=1, neighbours=3).distances(12), plain)
    assert torch.equal(Extension(12, 24, group=5, neighbours=2).distances(12), plain)


def rotated(vectors: Tensor, places: Tensor, frequencies: Tensor) -> Tensor:
    angles = places[:, None].double() * frequencies.double()
    pairs = torch.complex(*vectors.double().chunk(2, -1))
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)


def test_merged_bands_are_what_a_loop_over_distances_gives() -> None:
    draw = torch.Generator().manual_seed(0)
    query, key = torch.randn(1, 2, LENGTH, 8, generator=draw), torch.randn(1, 2, LENGTH, 8, generator=draw)
    frequencies = 1 / 10_000 ** (torch.arange(0, 8, 2) / 8)
    places = torch.arange(LENGTH)
    extension = Extension(32, TARGET, group=3, neighbours=16)
    bands = Bands(*extension.shifts(torch.tensor([LENGTH]), LENGTH), 16, frequencies)
    at_home = (rotated(query, places, frequencies).float(), rotated(key, places, frequencies).float())
    ours = bands.scores(*at_home)
    table = extension.distances(LENGTH)
    for q in range(0, LENGTH, 7):
        for k in range(LENGTH):
            turned = rotated(key[0, :, k : k + 1].double(), table[q, k][None], frequencies)
            expected = (query[0, :, q].double() * turned[:, 0]).sum(1)
            assert torch.allclose(ours[0, :, q, k].double(), expected, atol=1e-4), (q, k)


@torch.no_grad()
def test_self_extend_in_the_model_is_a_dense_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.nomic_bert import modeling_nomic_bert as nomic

    encoder = _rotary()
    long = SelfExtend(temperature=True).extend(encoder, TARGET)
    given = rows(encoder)
    states = {}
    for places, found, _mask in long.embedder.states(given, long.arguments):
        states |= dict(zip(places, found, strict=True))
    frequencies = encoder.model.rotary_emb.inv_freq

    def dense(module: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Any:
        length = query.shape[2]
        table = long.extension.distances(length)
        scores = torch.stack(
            [
                (query[0, :, q][:, None] * rotated(key[0], table[q], frequencies).float()).sum(-1)
                for q in range(length)
            ],
            1,
        )
        sharp = max(1.0, math.log(length) / math.log(long.extension.original))
        weights = (scores * sharp * query.shape[-1] ** -0.5).softmax(-1)
        return (weights @ value[0]).transpose(0, 1)[None], None

    monkeypatch.setattr(nomic, "apply_rotary_pos_emb", lambda q, k, *_: (q, k))
    monkeypatch.setattr(nomic, "eager_attention_forward", dense)
    encoder.model.set_attn_implementation("eager")
    for place, row in enumerate(given):
        expected = encoder.model(input_ids=torch.tensor([row])).last_hidden_state[0]
        assert torch.allclose(states[place][: len(row)], expected, atol=1e-4)


@torch.no_grad()
def test_temperature_is_of_a_texts_own_length(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.bert import modeling_bert as bert

    encoder = _learned()
    long = GroupedPositions().extend(encoder, TARGET)
    given = rows(encoder)
    found = {}
    for places, states, _mask in long.embedder.states(given, long.arguments):
        found |= dict(zip(places, states, strict=True))
    plain = bert.eager_attention_forward

    def sharpened(module: Any, query: Tensor, *others: Any, **options: Any) -> Any:
        return plain(module, query * math.log(query.shape[2], 32), *others, **options)

    monkeypatch.setattr(bert, "eager_attention_forward", sharpened)
    encoder.model.set_attn_implementation("eager")
    for place, row in enumerate(given):
        positions = torch.arange(len(row)) // math.ceil(len(row) / 32)
        ids = torch.tensor([row])
        expected = encoder.model(
            input_ids=ids, position_ids=positions[None], token_type_ids=torch.zeros_like(ids)
        ).last_hidden_state[0]
        assert torch.allclose(found[place][: len(row)], expected, atol=1e-5)


def test_every_scale_th_position_is_an_old_one() -> None:
    matrix = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    grown = interpolated(matrix, 4)
    assert len(grown) == 64 and torch.equal(grown[::4], matrix)
    assert torch.allclose(grown[2], (matrix[0] + matrix[1]) / 2)
    assert torch.equal(grown[61:], matrix[-1:].expand(3, -1))
    assert torch.equal(interpolated(matrix, 1), matrix)


@torch.no_grad()
def test_rotary_interpolation_divides_positions_and_ntk_multiplies_the_base() -> None:
    encoder = _rotary()
    ids, mask = padded(rows(encoder)[:1], 0)
    slow = PositionInterpolation(temperature=False).extend(encoder, TARGET)
    halves = encoder.model(input_ids=ids, attention_mask=mask, position_ids=torch.arange(LENGTH)[None] / 2)
    ours = slow.embedder.model(input_ids=ids, attention_mask=mask)
    assert torch.allclose(ours.last_hidden_state, halves.last_hidden_state, atol=1e-5)
    turned = NTK(factor=3.0).extend(encoder, TARGET).embedder.model.rotary_emb.inv_freq
    width = 2 * len(turned)
    assert torch.allclose(turned, 30_000.0 ** (-torch.arange(0, width, 2) / width))
    same = NTK(factor=1.0, temperature=False).extend(encoder, TARGET)
    assert torch.allclose(
        same.embedder.model(input_ids=ids).last_hidden_state,
        encoder.model(input_ids=ids).last_hidden_state,
        atol=1e-6,
    )
    assert [NTK().extend(_rotary(), 32 * s).extension.scale for s in (2, 4, 8)] == [2, 4, 8]
    bases = [
        NTK().extend(_rotary(), 32 * s).embedder.model.config.rope_parameters["rope_theta"] for s in (2, 4, 8)
    ]
    assert bases == [30_000, 50_000, 100_000]


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_self_extends_defaults_are_the_papers_and_stay_within_what_was_learnt(scale: int) -> None:
    encoder = Embedder(_rotary().model, _rotary().tokenizer, window=512)
    extension = SelfExtend().extend(encoder, 512 * scale).extension
    assert (extension.group, extension.neighbours) == {2: (3, 256), 4: (5, 128), 8: (9, 64)}[scale]
    assert int(extension.distances(512 * scale).max()) <= 512


@torch.no_grad()
def test_windows_of_one_length_are_untouched_by_the_adapted_attention() -> None:
    for encoder in (_learned(), _rotary()):
        changed = LongEncoder.of(encoder, encoder.model, Extension(32, 32))
        assert torch.allclose(changed.encode(TEXTS).values, encoder.encode(TEXTS), atol=1e-6)
        assert (
            adapted(encoder.model).get_input_embeddings().weight
            is encoder.model.get_input_embeddings().weight
        )
