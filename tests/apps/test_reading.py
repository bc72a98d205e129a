"""The options by which all verbs read data."""

import numpy as np
import pytest

from narrows import InputError
from narrows.apps.reading import Reading
from narrows.data.schema import Schema


def test_kinds_of_columns(here):
    (here / "d.csv").write_text("a=b,n,t\n3,5,u\n0,6,v\n4,5,w\n")
    data = Reading(column=("a=b=count", "n=numeric", "t=ignore")).read("d.csv")
    assert [(column.name, column.kind) for column in data.schema.columns] == [("a=b", "count"), ("n", "numeric")]
    assert Reading(label="t").read("d.csv").schema.columns is None


def test_rows_in_blocks_are_read_by_the_same_options(here):
    (here / "d.csv").write_text("0,u,7\n1,v,8\n0,w,9\n")
    options = Reading(label="c1", ignore=("c2",), no_header=True, column=("c0=numeric",))
    assert [block.values.tolist() for block in options.frames("d.csv")] == [[[0], [1], [0]]]
    schema = Schema((1,), 0.0, 1.0, 1.0, names=("c0",))
    opened = Reading(label="c1", ignore=("c2",), no_header=True).frames("d.csv", schema)
    assert [block.values.tolist() for block in opened] == [[[0], [1], [0]]]
    with pytest.raises(InputError, match="kinds of columns were given with a trained model's schema"):
        options.frames("d.csv", schema)
    np.savez(here / "d.npz", y=np.zeros((2, 3)))
    with pytest.raises(InputError, match="no array 'x'"):
        Reading(key="x").frames("d.npz", schema)


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (("n",), "--column was given as 'n'; it takes NAME=KIND"),
        (("=count",), "it takes NAME=KIND"),
        (("n=",), "it takes NAME=KIND"),
        (("n=count", "n=numeric"), "two kinds for 'n', count and numeric"),
        (("n=cuont",), "did you mean 'count'?"),
        (("m=count",), "has no column 'm'"),
    ],
)
def test_refused(here, column, says):
    (here / "d.csv").write_text("n,t\n5,u\n6,v\n")
    with pytest.raises(InputError) as caught:
        Reading(column=column).read("d.csv")
    assert says in str(caught.value)
