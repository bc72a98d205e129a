"""The options by which all verbs read data."""

import pytest

from narrows import InputError
from narrows.apps.reading import Reading


def test_kinds_of_columns(here):
    (here / "d.csv").write_text("a=b,n,t\n3,5,u\n0,6,v\n4,5,w\n")
    data = Reading(column=("a=b=count", "n=numeric", "t=ignore")).read("d.csv")
    assert [(column.name, column.kind) for column in data.schema.columns] == [("a=b", "count"), ("n", "numeric")]
    assert Reading(label="t").read("d.csv").schema.columns is None


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
