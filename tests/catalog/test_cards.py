from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etude import InputError, catalog
from etude.card import AREAS, read

FLAP = (catalog.ROOT / "papers" / "flap.toml").read_text(encoding="utf-8")


def write(folder: Path, text: str, name: str = "flap.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_all_86_papers_have_a_valid_card() -> None:
    cards = catalog.papers()
    assert len(cards) == 86
    assert list(cards) == sorted(cards)
    assert len({card.arxiv for card in cards.values()}) == 86
    assert {card.area for card in cards.values()} == set(AREAS)


def test_arxiv_number_agrees_with_date() -> None:
    for card in catalog.papers().values():
        months = 12 * (2000 + int(card.arxiv[:2]) - card.year) + int(card.arxiv[2:4]) - card.month
        # A paper of a month's last days gets the number of the next.
        assert months in (0, 1), card.slug


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Fluct', 'titel = "Fluct', "title"),
        ("year = 2023", 'year = "soon"', "year"),
        ("month = 12", "month = 13", "month"),
        ('arxiv = "2312.11983"', 'arxiv = "https://arxiv.org/abs/2312.11983"', "arxiv"),
        ('slug = "flap"', 'slug = "flip"', "slug"),
        ('area = "compress"', 'area = "compres"', "did you mean compress"),
        ('task = "prune"', 'task = "prine"', "did you mean prune"),
        ("also = []", 'also = ["adapt/prune"]', "also"),
        ('code = "https', 'code = "ftp', "code"),
        ("methods = [", "colour = 3\nmethods = [", "colour"),
        ("implemented = ", "implementd = ", "parts.0"),
        ("title = ", "title ", "TOML"),
    ],
)
def test_a_bad_card_is_refused_by_file_and_field(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in FLAP
    path = write(tmp_path, FLAP.replace(old, new))
    with pytest.raises(InputError, match=said) as caught:
        read(path)
    assert caught.value.field == "flap.toml"


def test_a_card_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flap.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"flap\.toml: cannot be read"):
        read(path)


@given(month=st.integers().filter(lambda month: not 1 <= month <= 12))
def test_months_are_1_to_12(tmp_path_factory: pytest.TempPathFactory, month: int) -> None:
    path = write(tmp_path_factory.mktemp("cards"), FLAP.replace("month = 12", f"month = {month}"))
    with pytest.raises(InputError, match="month"):
        read(path)


def test_a_plug_ins_card_may_stand_under_a_task_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, FLAP.replace('task = "prune"', 'task = "distil"'))
    assert read(path, own=False).task == "distil"
    with pytest.raises(InputError, match="task"):
        read(path)


def test_implemented_means_that_there_is_a_method(tmp_path: Path) -> None:
    head, _, rest = FLAP.partition("methods = [")
    tail = rest.partition("]")[2]
    assert not read(write(tmp_path, f"{head}methods = []{tail}")).implemented
    assert read(write(tmp_path, f'{head}methods = ["flap"]{tail}')).implemented
