"""The task from inputs to files, on images made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from etude import models
from etude.compress.quantize_vision import EqNet, FullPrecisionVision, LsqVision, Ofq, layout
from etude.compress.quantize_vision.checks import tiny_training, tiny_transformer
from etude.compress.quantize_vision.elastic import elastic_layers
from etude.compress.quantize_vision.task import TASK, Inputs
from etude.compress.quantize_vision.weights import Frozen
from etude.engine.run import run
from etude.engine.store import Store
from etude.errors import InputError
from etude.models.images import PREPROCESSOR


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A checkpoint and a folder of images of three classes in two parts."""
    folder = tmp_path_factory.mktemp("vision")
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in ("LABEL_0", "LABEL_1", "LABEL_2"):
            for index in range(4):
                path = folder / "images" / part / label / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    models.save(tiny_transformer(), None, folder / "model")
    formats = ("w2a2-tensor-asym", "w8a8-channel-sym")
    return Inputs(
        model=str(folder / "model"), data=str(folder / "images"), epochs=1, batch=6, formats=formats
    )


SMALL: dict[str, Any] = {"tries": 5, "measured": 10, "generations": 3}


@pytest.mark.parametrize("method", [FullPrecisionVision(), LsqVision(), Ofq(bits=3), EqNet(**SMALL)])
def test_a_run_is_scored_and_its_files_compute_what_it_did(
    inputs: Inputs, method: Any, tmp_path: Path
) -> None:
    record = run(method, TASK, inputs, store=Store(tmp_path / "store"), out=tmp_path / "out")
    assert 0 <= record.metrics["accuracy"] <= 100 and record.metrics["size_mb"] > 0
    assert (tmp_path / "out" / PREPROCESSOR).is_file()
    elastic = isinstance(method, EqNet)
    assert ("accuracy_w2a2-tensor-asym" in record.metrics) == elastic
    if isinstance(method, FullPrecisionVision):
        assert record.metrics["bits_per_weight"] == 32
        assert models.load(tmp_path / "out")[0].config.num_labels == 3
        return
    loaded, _ = layout.load(tmp_path / "out")
    if elastic:
        x = torch.randn(3, 3, 8, 8)
        alone, _ = layout.load(tmp_path / "out" / "subnet")
        assert torch.allclose(loaded(x).logits, alone(x).logits, atol=1e-5)
        assert len(elastic_layers(loaded)) == 14 and not elastic_layers(alone)
    with pytest.raises(InputError):
        models.load(tmp_path / "out")


def test_a_file_holds_codes_and_little_else(tmp_path: Path) -> None:
    model = tiny_transformer(hidden_size=64, intermediate_size=128)
    outcome = LsqVision(bits=2).quantize(model, tiny_training())
    layout.save(model, outcome, None, tmp_path / "model")
    weights = [m for m in model.modules() if isinstance(m, Frozen)]
    others = sum(p.numel() for p in model.parameters()) * 4
    expected = others + sum(weight.stored_bits() for weight in weights) / 8
    size = (tmp_path / "model" / "model.safetensors").stat().st_size
    header = 20_000
    assert expected <= size <= 1.03 * expected + header


def test_bits_of_a_reparameterised_attention_count_its_products(inputs: Inputs) -> None:
    def bits(method: Any) -> float:
        trial = TASK.open(inputs).trial(0)
        trial.apply(method)
        return float(trial.score()["bits_per_weight"])

    # with two heads, two products take as much as queries and keys
    assert bits(Ofq(annealing=0.0)) == bits(Ofq(annealing=0.0, reparameterise=False)) > 2


def test_what_cannot_be_used_is_refused_before_any_work(inputs: Inputs, tmp_path: Path) -> None:
    from dataclasses import replace

    def refused(field: str, **changes: Any) -> str:
        with pytest.raises(InputError) as caught:
            TASK.open(replace(inputs, **changes))
        assert caught.value.field == field
        return caught.value.message

    assert "no format" in refused("formats", formats=("w1a1",))
    assert "no image classifier" in refused("model", model="nano-llama")
    assert "no folder" in refused("data", data="./nowhere")
    with pytest.raises(InputError, match="epochs"):
        replace(inputs, epochs=0)
    renamed = tmp_path / "images"
    for part in ("train", "test"):
        for label in ("a", "b", "c", "d"):
            (renamed / part / label).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(renamed / part / label / "0.png")
    assert "a class that the model does not know" in refused("data", data=str(renamed))


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    model = tiny_transformer()
    outcome = Ofq().quantize(model, tiny_training())
    layout.save(model, outcome, None, tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    text = config.read_text()
    for bad in (text.replace('"Design"', '"Other"'), text.replace('"bits": 2', '"bits": 3'), "{}"):
        config.write_text(bad)
        with pytest.raises(InputError):
            layout.load(tmp_path / "model")
    with pytest.raises(InputError, match=r"no config\.json"):
        layout.load(tmp_path)
