from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import annotated_types as at
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etude import InputError
from etude.fields import build, descriptions, fields


@dataclass(frozen=True)
class Settings:
    """Settings of all kinds.

    The first paragraph : is not about a parameter.

    Parameters
    ----------
    share : part of the whole,
        in two lines.
    steps, rounds : how often.
    kind : which.
    layers : which layers.

    Raises
    ------
    InputError : never.
    """

    share: Annotated[float, at.Interval(ge=0, lt=1)] = 0.5
    steps: Annotated[int, at.Ge(1)] = 3
    rounds: int | None = None
    kind: Literal["row", "column", 3] = "row"
    layers: tuple[int, ...] = field(default_factory=lambda: (1, 2))
    on: bool = False
    name: str = "x"


BY_NAME = {each.name: each for each in fields(Settings)}


def test_descriptions_come_from_the_parameters_section_only() -> None:
    assert descriptions(Settings) == {
        "share": "part of the whole, in two lines.",
        "steps": "how often.",
        "rounds": "how often.",
        "kind": "which.",
        "layers": "which layers.",
    }


def test_kinds_are_said_in_words() -> None:
    assert BY_NAME["share"].kind == "a number in [0, 1)"
    assert BY_NAME["steps"].kind == "an integer >= 1"
    assert BY_NAME["rounds"].kind == "an integer or none"
    assert BY_NAME["kind"].kind == "one of 'row', 'column', 3"


def test_defaults_that_are_made_are_shown_as_made() -> None:
    assert BY_NAME["layers"].default == (1, 2)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("share", "0.25", 0.25),
        ("share", "1e-3", 0.001),
        ("steps", "7", 7),
        ("rounds", "none", None),
        ("rounds", "2", 2),
        ("kind", "column", "column"),
        ("kind", "3", 3),
        ("layers", "0,5", (0, 5)),
        ("layers", "0+5", (0, 5)),
        ("on", "true", True),
        ("on", "False", False),
        ("name", "none", "none"),
    ],
)
def test_text_becomes_a_value_of_the_fields_type(name: str, text: str, value: object) -> None:
    parsed = BY_NAME[name].parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("share", "half"),
        ("steps", "1.5"),
        ("rounds", "nil"),
        ("kind", "rows"),
        ("layers", "0,x"),
        ("on", "perhaps"),
    ],
)
def test_text_of_another_type_is_refused(name: str, text: str) -> None:
    with pytest.raises(InputError, match=f"{name}: '{text}' is not") as caught:
        BY_NAME[name].parse(text)
    assert caught.value.field == name


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_text(value: float) -> None:
    assert BY_NAME["share"].parse(str(value)) == value


@given(st.lists(st.integers(), min_size=1).map(tuple))
def test_tuples_survive_text(value: tuple[int, ...]) -> None:
    assert BY_NAME["layers"].parse("+".join(map(str, value)).replace("+-", ",-")) == value


def test_a_field_that_is_not_there_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean share"):
        build(Settings, {"shore": 0.2})
