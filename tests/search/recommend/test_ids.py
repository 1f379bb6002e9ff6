"""Ids: each item has its own, made of training items alone, and clusters are as small as was asked."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from etude.data.interactions import Interactions, groups, load_interactions
from etude.errors import InputError
from etude.search.recommend.clustering import clustered, co_occurrence, divided
from etude.search.recommend.ids import collaborative_ids, ids_of, sequential_ids

SCHEMES = ("rid", "tid", "iid", "sid", "cid", "semid", "cid+iid", "semid+iid", "sid+iid")
WHOLE = groups(seed=0, items=120, users=150, kinds=6)
TRAIN = Interactions(tuple(s[:-2] for s in WHOLE.sequences), WHOLE.items, WHOLE.titles, WHOLE.categories)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ids_are_injective_and_none_begins_another(scheme: str) -> None:
    ids = ids_of(scheme, TRAIN, order="time", clusters=4, size=10, seed=0)  # type: ignore[arg-type]
    assert len(set(ids)) == len(set(map("".join, ids))) == TRAIN.items
    ended = {(*pieces, "") for pieces in ids}
    assert not any(pieces[:n] in ended for pieces in ended for n in range(1, len(pieces)))


@pytest.mark.parametrize("scheme", ["sid", "cid", "cid+iid"])
def test_the_last_two_items_of_users_change_nothing(scheme: str) -> None:
    turned = tuple((*had[:-2], had[-1], had[-2]) for had in WHOLE.sequences)
    again = Interactions(tuple(s[:-2] for s in turned), WHOLE.items)
    first, second = (
        ids_of(scheme, known, order="time", clusters=4, size=10, seed=0)  # type: ignore[arg-type]
        for known in (TRAIN, again)
    )
    assert first == second


def test_orders_of_users() -> None:
    sequences = [[0], [1, 2, 3], [4, 5]]
    for order, expected in (("time", "012345"), ("short", "045123"), ("long", "123450")):
        ids = sequential_ids(sequences, 6, order, seed=0)  # type: ignore[arg-type]
        assert sorted(range(6), key=lambda item: ids[item]) == [int(item) for item in expected]
    assert sequential_ids(sequences, 6, "random", 0) != sequential_ids(sequences, 6, "random", 1)


def test_co_occurrence_is_symmetric_and_without_diagonal() -> None:
    table = np.zeros((len(TRAIN.sequences), TRAIN.items))
    for user, had in enumerate(TRAIN.sequences):
        table[user, list(had)] = 1
    expected = table.T @ table
    np.fill_diagonal(expected, 0)
    found = co_occurrence(TRAIN.sequences, TRAIN.items).toarray()
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize(("clusters", "size"), [(1, 120), (4, 10), (10, 3), (1, 7)])
def test_leaves_hold_no_more_than_was_asked(clusters: int, size: int) -> None:
    paths = clustered(co_occurrence(TRAIN.sequences, TRAIN.items), clusters, size)
    assert max(Counter(paths).values()) <= size
    leaves = set(paths)
    assert not any(path[:n] in leaves for path in leaves for n in range(1, len(path)))


def test_clusters_find_groups_that_do_not_mix() -> None:
    known = groups(seed=1, items=60, users=120, kinds=4, stay=1.0)
    paths = clustered(co_occurrence(known.sequences, 60), 4, 30)
    for had in known.sequences:
        assert len({paths[item] for item in had}) == 1


@pytest.mark.parametrize("dense", [0, 1000])
def test_clusters_are_those_of_scikit_learn(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.cluster import SpectralClustering

    monkeypatch.setattr("etude.search.recommend.clustering.DENSE", dense)
    affinity = co_occurrence(TRAIN.sequences, TRAIN.items)
    theirs = SpectralClustering(6, affinity="precomputed", assign_labels="cluster_qr", random_state=0)
    np.testing.assert_array_equal(divided(affinity, 6), theirs.fit(affinity.toarray()).labels_)


def test_items_that_nobody_had_are_put_together() -> None:
    paths = clustered(co_occurrence([[0, 1], [2, 3], [0, 1]], 9), 2, 3)
    assert max(Counter(paths).values()) <= 3
    assert {path[0] for path in paths[4:]} == {2}


def test_one_cluster_is_plain_numbering() -> None:
    ids = collaborative_ids(TRAIN.sequences, TRAIN.items, clusters=1, size=TRAIN.items)
    assert ids == [("<a0>", f"<n{item}>") for item in range(TRAIN.items)]


@pytest.mark.parametrize("scheme", ["tid", "semid", "semid+iid"])
def test_what_is_not_known_of_items_is_missed(scheme: str) -> None:
    with pytest.raises(InputError, match=r"^ids: "):
        ids_of(scheme, Interactions(((0, 1),), 2), order="time", clusters=2, size=2, seed=0)  # type: ignore[arg-type]


def test_tables_are_read_in_the_order_of_time(tmp_path) -> None:  # type: ignore[no-untyped-def]
    table = tmp_path / "some.inter"
    rows = [
        ("u", "a", 3),
        ("u", "b", 1),
        ("u", "c", 2),
        ("v", "c", 1),
        ("v", "a", 2),
        ("v", "b", 3),
        ("w", "d", 1),
    ]
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *("\t".join(map(str, row)) for row in rows)]
    table.write_text("\n".join(lines) + "\n")
    about = tmp_path / "items.csv"
    about.write_text("item,title,categories\na,Emma,novel|England\nb,Iliad,epic\n")
    found = load_interactions(str(table), str(about), least=2)
    assert found == Interactions(
        ((0, 1, 2), (1, 2, 0)), 3, ("Iliad", "", "Emma"), (("epic",), (), ("novel", "England"))
    )
    with pytest.raises(InputError, match=r"^least: "):
        load_interactions(str(table), least=4)
    with pytest.raises(InputError, match=r"^data: unknown"):
        load_interactions("no-such-set")
