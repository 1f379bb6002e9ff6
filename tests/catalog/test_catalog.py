from __future__ import annotations

import inspect

import pytest

import etude
from etude import InputError, api, catalog
from etude.cli import run as run_command
from etude.fields import fields


def test_every_declared_method_is_exported_under_its_name() -> None:
    own = {name for name, cls in catalog.methods().items() if cls.__module__.startswith("etude.")}
    plug_in = {name for name, cls in catalog.methods().items() if not cls.__module__.startswith("etude.")}
    assert own == set(catalog.method_names()) - plug_in
    assert plug_in == {"toy-die", "toy-fail", "toy-mean", "toy-median", "toy-slow"}


def test_a_method_stands_in_the_file_of_its_name_or_among_its_kind() -> None:
    for name, cls in catalog.methods().items():
        if cls.__module__.startswith("etude.") and cls.paper is not None:
            assert cls.__module__.rpartition(".")[2] == catalog.module_name(name)


def test_cards_and_methods_name_each_other() -> None:
    by_card = {(slug, name) for slug, card in catalog.papers().items() for name in card.methods}
    by_method = {(cls.paper, name) for name, cls in catalog.methods().items() if cls.paper is not None}
    assert by_card == by_method


def test_every_method_is_of_a_known_task_whose_baselines_exist() -> None:
    tasks = catalog.tasks()
    assert {cls.task for cls in catalog.methods().values()} <= set(tasks)
    for task in tasks.values():
        for name in task.baselines:
            assert catalog.method(name, task.name).task == task.name
    for cls in catalog.methods().values():
        for name in cls.beside:
            assert catalog.method(name, cls.task).task == cls.task


def test_methods_of_several_tasks_may_have_one_name() -> None:
    assert {"prune/dense", "retrieve/dense"} <= set(catalog.methods())
    assert catalog.tasks_of("dense") == ["prune", "retrieve"]
    assert catalog.method("dense", "retrieve") is catalog.method("retrieve/dense")
    assert api.common_task(["dense", "bm25"]).name == api.common_task(["bm25", "dense"]).name == "retrieve"
    assert [each.task for each in api.grid(["dense", "wanda"], {}, "prune")] == ["prune", "prune"]
    assert api.with_baselines(["prune/dense"], catalog.task("prune")) == ["magnitude", "prune/dense"]
    with pytest.raises(InputError, match="write prune/dense or retrieve/dense"):
        catalog.method("dense")
    with pytest.raises(InputError, match=r"several tasks; write prune or retrieve before one"):
        api.common_task(["dense"])
    with pytest.raises(InputError, match=r"different tasks \(dense of prune, bm25 of retrieve\)"):
        api.common_task(["prune/dense", "bm25"])


def test_flags_never_collide() -> None:
    common = set(inspect.signature(run_command.run).parameters) - {"values"}
    for cls in catalog.methods().values():
        own = {field.name for field in fields(cls)}
        inputs = {field.name for field in fields(catalog.task(cls.task).inputs)}
        assert not own & inputs, cls.name
        assert not (own | inputs) & common, cls.name


def test_every_field_is_described() -> None:
    for thing in (*catalog.methods().values(), *(task.inputs for task in catalog.tasks().values())):
        for field in fields(thing):
            assert field.help, f"{thing.__name__}.{field.name}"


def test_one_method_by_name() -> None:
    assert catalog.method("wanda") is catalog.methods()["wanda"]
    assert catalog.method("toy-mean").task == "toy"
    assert catalog.task("toy").name == "toy"


@pytest.mark.parametrize(
    ("look_up", "name", "nearest"),
    [
        (catalog.method, "wnda", "wanda"),
        (catalog.method, "toy-maen", "toy-mean"),
        (catalog.paper, "flp", "flap"),
        (catalog.task, "prun", "prune"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(look_up: object, name: str, nearest: str) -> None:
    with pytest.raises(InputError, match=nearest):
        look_up(name)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("words", "best"),
    [
        ("prune without retraining", "flap"),
        ("FLAP", "flap"),
        ("gradients for pruning", "gblm"),
        ("wanda", "wanda"),
        ("2312.11983", "flap"),
        ("text to SQL", "dfin-sql"),
        ("Hindi named entities", "hiner"),
    ],
)
def test_search_finds(words: str, best: str) -> None:
    assert best in [name for name, _ in catalog.search(words)][:2]


def test_search_ranks_and_limits() -> None:
    found = catalog.search("pruning", limit=5)
    scores = [score for _, score in found]
    assert len(found) == 5
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0
    assert catalog.search("zzzz") == catalog.search("the of") == catalog.search("") == []


def test_rows_carry_what_lists_show() -> None:
    row = catalog.row(etude.papers()["flap"])
    assert row["claim"] in ("holds", "does not hold", "not decided", "not run")
    assert {"slug", "title", "arxiv", "area", "task", "methods", "implemented"} <= row.keys()
