"""The formats and biases of layers: written with a run, and printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from etude.cli import call
from etude.compress.quantize import LlmFp4, Rtn, SmoothQuant, report
from etude.compress.quantize.float_search import bias_of, formats
from etude.compress.quantize.quantized import Quantized
from etude.models import inputs
from etude.models.blocks import block_linears
from etude.task import REPORT

from .models import llama, tokens

QUICK: dict[str, Any] = {"rounds": 1, "stride": 32, "judged": 64}


def test_biases_are_those_of_the_paper() -> None:
    """Of a row whose range reaches its largest weight: ``2^E - log2(max) + log2(2 - 2^-M) - 1``."""
    weight = torch.tensor([[6.0, 1.0], [0.5, 0.1]])
    for grid in formats(4):
        stored = Quantized.nearest(weight, grid, "channel", grid.fit(weight[:, None]))
        model = torch.nn.Sequential(torch.nn.Linear(2, 2))
        (row,) = report.rows(model, {"0": stored})
        expected = bias_of(grid, torch.tensor([6.0, 0.5]))
        assert (row["weights"], row["inputs"]) == (grid.name, None)
        assert [row["bias"], row["to"]] == pytest.approx(expected.tolist(), abs=1e-3)


def test_every_layer_and_operand_has_a_row() -> None:
    model = llama()
    stored = LlmFp4(**QUICK, products="e2m1", numbers="e3m0").quantize(model, tokens())
    found = {row["layer"]: row for row in report.rows(model, stored)}
    assert len(found) == 14 + 2 * 4
    assert {linear.name for linear in block_linears(model)} < found.keys()
    operand = found["model.layers.0.self_attn.products.probabilities"]
    assert (operand["weights"], operand["inputs"], operand["shifts"]) == (None, "e2m1", 0)
    scale = inputs.installed(model)["model.layers.1.mlp.up_proj"].scale
    row = found["model.layers.1.mlp.up_proj"]
    assert scale is not None and row["weights"] == "e3m0"
    assert 2.0 ** row["shifts"] == pytest.approx(float(scale.max() / scale.min()))


def test_integers_have_none_and_inputs_fitted_as_they_come_no_bias(tmp_path: Path) -> None:
    model = llama()
    report.write(model, Rtn(group=16).quantize(model), tmp_path)
    assert not (tmp_path / REPORT).exists()
    method = SmoothQuant(numbers="e4m3", activations="e4m3", group="channel")
    row = report.rows(model, method.quantize(model, tokens()))[0]
    assert (row["weights"], row["inputs"], row["input bias"], row["shifts"]) == ("e4m3", "e4m3", None, None)


def test_a_run_prints_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, store = tmp_path / "out", str(tmp_path / "runs.db")
    sizes = ["--samples", "2", "--length", "16", "--segments", "2", "--judged", "16"]
    quick = ["--rounds", "1", "--stride", "100", "--numbers", "e2m1", "--activations", "e2m1"]
    assert call(["run", "llm-fp4", *sizes, *quick, "--out", str(out), "--store", store]) == 0
    rows = json.loads((out / REPORT).read_text())
    printed = capsys.readouterr().out
    assert len(rows) == 35 and "input bias" in printed
    assert all(f"{row['bias']}" in printed for row in rows)
