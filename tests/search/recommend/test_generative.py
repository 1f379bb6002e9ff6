"""The generative recommender: what it generates is what scoring every id gives."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from etude.data.interactions import groups
from etude.errors import InputError
from etude.search.recommend import ItemIndexing
from etude.search.recommend.generative import Generative
from etude.search.recommend.prompts import SEQUENTIAL
from etude.search.recommend.sasrec_network import Network, batch_of
from etude.search.recommend.task import TASK, Inputs, hits

KNOWN = groups(seed=0, items=24, users=20, kinds=4)


@cache
def recommender() -> Generative:
    """Of an epoch, with as many beams as there are items."""
    method = ItemIndexing(ids="cid", clusters=2, size=6, width=32, layers=1, epochs=1, beams=24, watched=0)
    return method.fit(KNOWN, seed=0)


def test_with_as_many_beams_as_items_the_ranking_is_that_of_all_ids() -> None:
    learner = recommender()
    prompt = learner.prompt(SEQUENTIAL[0], 3, [1, 2])
    expected = {}
    for item in range(KNOWN.items):
        target = learner.target(item)
        with torch.no_grad():
            expected[item] = -float(learner.model([prompt], [target]))  # the mean over the tokens
    [found] = learner.generated([prompt])
    assert found == sorted(expected, key=lambda item: -expected[item])


def test_all_tokens_of_an_item_share_a_place() -> None:
    learner = recommender()
    ids, places = learner.prompt("{items}", 0, [5, 6])
    first, second = learner.spell(5), learner.spell(6)
    assert ids[: len(first)] == first
    assert places[: len(first)] == [1] * len(first)
    assert places[len(first) + len(learner.spell(",")) :][: len(second)] == [3] * len(second)


def test_only_the_last_items_are_read() -> None:
    learner = recommender()
    longer = [*range(20), *range(20)]
    assert learner.prompt(SEQUENTIAL[0], 0, longer) == learner.prompt(SEQUENTIAL[0], 0, longer[-20:])


def test_shuffled_clusters_are_of_the_same_sizes_only() -> None:
    method = ItemIndexing(
        ids="cid", clusters=2, size=6, width=32, layers=1, epochs=1, shuffled=True, watched=0
    )
    assert method.fit(KNOWN, seed=0).ids != recommender().ids


def test_a_model_that_is_no_encoder_decoder_is_refused() -> None:
    with pytest.raises(InputError, match=r"^model: "):
        ItemIndexing(model="nano-llama", epochs=1).fit(KNOWN, seed=0)


def test_new_tokens_of_a_trained_model_begin_near_the_mean(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from etude import models
    from etude.search.recommend.learning import tuned
    from etude.search.seq2seq import small, vocabulary

    tokenizer = vocabulary(["user has bought"], 300)
    models.save(small(len(tokenizer), width=32, layers=1, seed=0), tokenizer, tmp_path / "t5")
    model, longer = tuned(str(tmp_path / "t5"), [("<a0>", "<n0>"), ("<a0>", "<n1>")], seed=0)
    rows = model.model.get_input_embeddings().weight
    old, new = rows[: len(tokenizer)], rows[len(tokenizer) :]
    assert len(longer) == len(tokenizer) + 3 == len(rows)
    assert (new - old.mean(0)).abs().max() < old.std()
    assert not torch.equal(new[0], new[1])


def test_attention_sees_nothing_that_comes_later() -> None:
    torch.manual_seed(0)
    network = Network(9, width=8, blocks=2, length=6, dropout=0.0).eval()
    first, second = batch_of([[1, 2, 3, 4]], 6), batch_of([[1, 2, 3, 8]], 6)
    with torch.no_grad():
        assert torch.allclose(network(first)[:, :-1], network(second)[:, :-1])
        assert not torch.allclose(network(first)[:, -1], network(second)[:, -1])


def test_hits_at_one_are_gains_at_one() -> None:
    import numpy as np

    found = np.array([[7, 1, 2, 3, 4, 5, 6, 8, 9, 10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]])
    figures = hits(found, [7, 6])
    assert figures["hr_5"] == 0.5 and figures["hr_10"] == 1.0
    assert figures["ndcg_5"] == 0.5 and figures["ndcg_10"] == pytest.approx((1 + 1 / 3) / 2)


def test_a_set_without_titles_is_refused_before_any_work(tmp_path) -> None:  # type: ignore[no-untyped-def]
    table = tmp_path / "some.csv"
    rows = [f"{user},{item}" for user in "abc" for item in "uvwxy"]
    table.write_text("\n".join(["user,item", *rows]) + "\n")
    case = TASK.open(Inputs(data=str(table), least=3))
    with pytest.raises(InputError, match=r"^ids: "):
        case.check(ItemIndexing(ids="tid"))
