"""Errors name the field, what was got and what was expected."""

from dataclasses import dataclass

import pytest

from simbg.errors import bounded, check_fields, in_one_line


@dataclass
class Value:
    one: float = bounded(0.5, 0, 1)
    two: tuple = bounded((2, 3), 1, 4)
    other: str = "a"

    def __post_init__(self):
        check_fields(self, "value: ", other=(self.other in "ab", "a or b"))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"one": 1.1}, "0 to 1"),
        ({"one": float("nan")}, "0 to 1"),
        ({"two": (0, 2)}, "1 to 4"),
        ({"two": [2, 5]}, "1 to 4"),
        ({"other": "c"}, "a or b"),
    ],
    ids=str,
)
def test_fields_out_of_bounds_are_named(wrong, expected):
    ((name, got),) = wrong.items()
    with pytest.raises(ValueError, match="value") as caught:
        Value(**wrong)
    assert str(caught.value) == f"value: {name}: got {got}, expected {expected}"


def test_bounds_are_inside():
    value = Value(one=1, two=(1, 4), other="b")
    assert (value.one, value.two, value.other) == (1, (1, 4), "b")
    assert Value() == Value(0.5, (2, 3), "a")


def test_message_of_several_lines_becomes_one():
    assert in_one_line(OSError("a\n  b")) == "OSError: a b"
