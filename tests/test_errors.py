"""The tree of errors."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from remediate import errors
from remediate.errors import InventoryError, RemediateError


def tree(root: type[RemediateError]) -> Iterator[type[RemediateError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from tree(kind)


@pytest.mark.parametrize("kind", list(tree(RemediateError)))
def test_an_error_says_the_same_in_another_process(kind: type[RemediateError]) -> None:
    told = InventoryError("two lines are wrong", ["line 1", "line 2"], where="list.csv", next="mend them")
    made = kind.__new__(kind, *told.args)
    made.__dict__.update(told.__dict__)
    again = pickle.loads(pickle.dumps(made))  # noqa: S301 -- made here
    assert type(again) is kind
    assert (str(again), again.args, again.exit_status, again.__dict__) == (
        str(made),
        made.args,
        made.exit_status,
        made.__dict__,
    )
