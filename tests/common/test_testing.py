"""`check_method` passes a good method and fails methods that are broken, each in its own way."""

from __future__ import annotations

import math
import random
import socket
import statistics
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import annotated_types as at
import pytest
from torch import Tensor, nn

from etude.errors import InputError
from etude.method import method
from etude.models.blocks import block_linears, walk
from etude.testing import bad_values, check_method


def mean_of(numbers: Any) -> float:
    """The mean, of numbers only."""
    if not numbers or not all(isinstance(number, float) for number in numbers):
        raise InputError("numbers", "are not all numbers, or none; give one or more")
    return statistics.fmean(numbers)


@method("good", task="toy")
class Good:
    """Guess the mean of a random share of the numbers.

    Parameters
    ----------
    share : fraction of the numbers to look at, in (0, 1].

    Examples
    --------
    >>> Good(share=1.0).guess([1.0, 2.0])
    1.5
    """

    share: Annotated[float, at.Interval(gt=0, le=1)] = 1.0

    def guess(self, numbers: list[float]) -> float:
        """The mean of a sample."""
        return mean_of(numbers) and mean_of(random.sample(numbers, max(1, int(self.share * len(numbers)))))


def broken(name: str, guess: Any, *, doc: str | None = Good.__doc__, base: type = object) -> Any:
    """A toy like `Good` but for one thing."""
    members = {"__doc__": doc, "__annotations__": Good.__annotations__, "share": 1.0, "guess": guess}
    return method(name, task="toy")(type(name, (base,), members | {"__module__": __name__}))


def test_a_good_method_passes() -> None:
    check_method(Good, share=0.5)


def test_what_is_no_method_is_refused() -> None:
    with pytest.raises(InputError, match=r"^method: dict is no method"):
        check_method(dict)


def test_a_task_without_checks_is_refused() -> None:
    with pytest.raises(InputError, match=r"^task: "):
        check_method(method("lost", task="no-such-task")(type("Lost", (), {"__doc__": "Lost."})))


def test_settings_are_used() -> None:
    with pytest.raises(InputError, match=r"^share: "):
        check_method(Good, share=2.0)


def test_mutating() -> None:
    def guess(self: Any, numbers: list[float]) -> float:
        found = mean_of(numbers)
        numbers.sort()
        return found

    with pytest.raises(AssertionError, match=r"^sorter: changes its input numbers\.0"):
        check_method(broken("sorter", guess))


def test_not_deterministic() -> None:
    draw = random.Random()

    def guess(self: Any, numbers: list[float]) -> float:
        return mean_of(numbers) + draw.random()

    with pytest.raises(AssertionError, match=r"^moody: the same seed gives another outcome"):
        check_method(broken("moody", guess))


def test_swallowing_bad_input() -> None:
    def guess(self: Any, numbers: list[float]) -> float:
        return mean_of(numbers) if numbers else 0.0

    with pytest.raises(AssertionError, match=r"^glutton: numbers with nothing in it is accepted"):
        check_method(broken("glutton", guess))


def test_crashing_on_bad_input() -> None:
    def guess(self: Any, numbers: list[float]) -> float:
        return statistics.fmean(numbers)

    with pytest.raises(AssertionError, match=r"^crash: numbers with nothing in it ends in StatisticsError"):
        check_method(broken("crash", guess))


def test_naming_the_wrong_field() -> None:
    def guess(self: Any, numbers: list[float]) -> float:
        try:
            return mean_of(numbers)
        except InputError as error:
            raise InputError("data", error.message) from error

    with pytest.raises(AssertionError, match=r"^misnomer: numbers .* an error of 'data', not 'numbers'"):
        check_method(broken("misnomer", guess))


def test_changing_something_before_refusing() -> None:
    def guess(self: Any, numbers: list[float]) -> float:
        numbers.append(0.0)
        return mean_of(numbers[:-1])

    with pytest.raises(AssertionError, match=r"^hasty: numbers .* is refused after numbers\.0 was changed"):
        check_method(broken("hasty", guess))


def test_swallowing_bad_fields() -> None:
    @dataclass(frozen=True)
    class Careless:
        """Guess the mean.

        Parameters
        ----------
        share : anything goes.

        >>> Careless()
        """

        share: Annotated[float, at.Interval(gt=0, le=1)] = 1.0
        name: ClassVar[str] = "careless"
        task: ClassVar[str] = "toy"
        paper: ClassVar[None] = None

        def guess(self, numbers: list[float]) -> float:
            return mean_of(numbers)

    with pytest.raises(AssertionError, match=r"^careless: share=.* is accepted"):
        check_method(Careless)


def test_using_the_network_even_if_nobody_sees_it() -> None:
    def guess(self: Any, numbers: list[float]) -> float:
        with suppress(OSError):
            socket.create_connection(("example.org", 80), timeout=1)
        return mean_of(numbers)

    with pytest.raises(AssertionError, match=r"^caller: uses the network: example\.org"):
        check_method(broken("caller", guess))


@pytest.mark.parametrize(
    ("doc", "complaint"),
    [
        (None, "has no docstring"),
        ("Guess.\n\n>>> 1\n1", "do not describe 'share'"),
        ("Guess.\n\nParameters\n----------\nshare : of them.\n", "has no example"),
        (str(Good.__doc__).replace("    1.5", "    2.5"), "the example in its docstring fails(.|\n)*2.5"),
    ],
)
def test_docs(doc: str | None, complaint: str) -> None:
    def guess(self: Any, numbers: list[float]) -> float:
        return mean_of(numbers)

    with pytest.raises(AssertionError, match=f"^mute: .*{complaint}"):
        check_method(broken("mute", guess, doc=doc))


def test_a_paper_is_cited() -> None:
    mute = broken("mute", lambda self, numbers: mean_of(numbers))
    mute.paper = "flap"
    with pytest.raises(AssertionError, match=r"^mute: its docstring has no References"):
        check_method(mute)


PRUNER = """Prune.

Parameters
----------
sparsity : share to remove.

>>> 1
1
"""


def pruner(name: str, prune: Any) -> Any:
    """A pruning method without anything but its verb."""
    members = {"__doc__": PRUNER, "__annotations__": {"sparsity": Annotated[float, at.Interval(ge=0, lt=1)]}}
    members |= {"sparsity": 0.5, "prune": prune, "__module__": __name__}
    return method(name, task="prune")(type(name, (), members))


def test_changing_something_although_set_to_change_nothing() -> None:
    def prune(self: Any, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        for block in walk(model, calibration):
            block.linears[0].weight.mul_(0.999)

    with pytest.raises(AssertionError, match=r"^eager: changes logits although set to \{'sparsity': 0.0\}"):
        check_method(pruner("eager", prune))


def test_not_surviving_save_and_load() -> None:
    def prune(self: Any, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        for block in walk(model, calibration):
            if self.sparsity:
                layer = block.linears[0].module
                layer.register_forward_hook(lambda module, inputs, output: output * 0)

    with pytest.raises(AssertionError, match=r"^hooked: saved and loaded, logits is another"):
        check_method(pruner("hooked", prune))


def test_changing_the_calibration() -> None:
    def prune(self: Any, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        for _ in walk(model, calibration):
            calibration["input_ids"][0, 0] = 0

    with pytest.raises(AssertionError, match=r"^scribbler: changes its input calibration\.input_ids"):
        check_method(pruner("scribbler", prune))


def test_not_looking_at_the_calibration_that_it_needs() -> None:
    def prune(self: Any, model: nn.Module, calibration: Mapping[str, Tensor]) -> None:
        for linear in block_linears(model) if self.sparsity else ():
            linear.weight[:, 0] = 0

    with pytest.raises(AssertionError, match=r"^blind: calibration with .* is accepted"):
        check_method(pruner("blind", prune))


def test_not_needing_the_calibration() -> None:
    def prune(self: Any, model: nn.Module, calibration: Mapping[str, Tensor] | None = None) -> None:
        for linear in block_linears(model) if self.sparsity else ():
            linear.weight[:, 0] = 0

    check_method(pruner("blind", prune))


def test_bad_values_lie_just_outside() -> None:
    @method("fields", task="toy")
    class Fields:
        """Fields of every kind."""

        share: Annotated[float, at.Interval(ge=0, lt=1)] = 0.5
        count: Annotated[int, at.Ge(1)] = 1
        group: Annotated[int, at.MultipleOf(8)] = 8
        kind: Literal["a", "b"] = "a"
        name_: str | None = None
        flag: bool = False
        sizes: tuple[int, ...] = (1,)

    found: dict[str, list[Any]] = {}
    for name, value in bad_values(Fields):
        found.setdefault(name, []).append(value)
        with pytest.raises(InputError) as caught:
            Fields(**{name: value})
        assert caught.value.field == name
    assert any(isinstance(value, float) and math.isnan(value) for value in found["share"])
    assert {-5e-324, 1.0} <= {value for value in found["share"] if isinstance(value, float)}
    assert 0 in found["count"] and 9 in found["group"]
    assert "no such value" in found["kind"] and "no such value" in found["flag"]
    assert "no such value" not in found["name_"] and 1 in found["name_"]
    assert {"share", "count", "group", "kind", "name_", "flag", "sizes"} == set(found)
