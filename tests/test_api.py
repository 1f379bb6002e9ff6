from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import etude
from etude import InputError
from etude.engine.run import RunFailed
from etude.engine.store import Store
from etude.method import method


def test_run_by_name_takes_inputs_and_settings_together(tmp_path: Path) -> None:
    record = etude.run("toy-mean", share=1.0, size=10, seed=2, out=tmp_path / "made")
    assert record.parameters == {"share": 1.0}
    assert record.inputs["size"] == 10
    assert record.seed == 2
    assert record.metrics["error"] == 0
    assert (tmp_path / "made" / "guess.json").is_file()


def test_an_integer_serves_as_a_number() -> None:
    assert etude.run("toy-mean", share=1).parameters == {"share": 1.0}


def test_run_by_instance() -> None:
    mean = etude.methods()["toy-mean"]
    assert etude.run(mean(share=0.1), size=20).parameters == {"share": 0.1}
    with pytest.raises(InputError, match="share: is set in the instance"):
        etude.run(mean(), share=0.1)


def test_a_name_that_is_neither_input_nor_setting_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean share"):
        etude.run("toy-mean", shar=0.5)


def test_a_field_that_is_also_an_input_is_refused() -> None:
    @method("toy-both", task="toy")
    class Both:
        size: int = 3

    with pytest.raises(InputError, match="toy-both: its field size is an input of toy too"):
        etude.run(Both())


@pytest.mark.parametrize("as_given", [Path, str, Store])
def test_a_store_is_given_itself_or_by_its_file(tmp_path: Path, as_given: Callable[[Path], Any]) -> None:
    file = tmp_path / "runs.db"
    record = etude.run("toy-mean", size=10, store=as_given(file))
    etude.compare(["toy-median"], seeds=1, jobs=1, size=10, store=as_given(file))
    assert Store(file).get(record.key) == record
    assert {each.method for each in Store(file).records()} >= {"toy-mean", "toy-median"}


def test_a_failure_carries_its_record() -> None:
    with pytest.raises(RunFailed) as caught:
        etude.run("toy-fail")
    assert caught.value.record.status == "failed"
    assert "this toy is broken" in str(caught.value.record.error)


def test_compare_takes_names_instances_and_a_grid(tmp_path: Path) -> None:
    slow = etude.methods()["toy-slow"](steps=0)
    found = etude.compare(
        ["toy-median", slow], settings={"toy-mean.share": [0.2, "0.4"]}, seeds=[5, 6], jobs=1, out=tmp_path
    )
    assert [(row.method, row.parameters.get("share")) for row in found.rows()] == [
        ("toy-mean", 0.2),
        ("toy-mean", 0.4),
        ("toy-median", None),
        ("toy-slow", None),
    ]
    assert found.seeds == (5, 6)
    assert (tmp_path / "report.html").is_file()


def test_methods_bring_their_own_baselines_once() -> None:
    found = etude.compare(["toy-fail", "toy-median"], seeds=1, jobs=1)
    assert [row.method for row in found.rows()] == ["toy-mean", "toy-fail", "toy-median"]
    alone = etude.compare(["toy-fail"], seeds=1, jobs=1, baselines=False)
    assert [row.method for row in alone.rows()] == ["toy-fail"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ratio": [0.1]}, r"ratio: is a field of none of these methods \(toy-mean: share\)"),
        ({"toy-median.share": [0.1]}, "toy-median.share: is a field of none"),
        ({"share": []}, "share: has no value to try"),
        ({"share": [0.1, 3]}, "share: 3.0 is not in"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, list[object]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        etude.compare(["toy-mean"], settings=settings, seeds=1, jobs=1)


def test_methods_of_different_tasks_are_not_compared() -> None:
    with pytest.raises(InputError, match="methods: are of different tasks"):
        etude.compare(["toy-mean", "wanda"])


def test_the_public_names() -> None:
    assert set(dir(etude)) == set(etude.__all__)
    assert all(getattr(etude, name) is not None for name in etude.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = etude.nothing  # type: ignore[attr-defined]
