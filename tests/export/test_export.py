"""Graphs give the package's own figures, in a process that has nothing of the package."""

import ast
import csv
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from small import ENDS, IMAGES, TABLE, images, table, untrained, write_csv

import narrows.export
from narrows.cli import run
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.export import FORMATS, export_graphs
from narrows.export import decompositions as told
from narrows.export.agreement import agreement
from narrows.export.of_models import Encoder
from narrows.export.rows import drawn_rows
from narrows.export.tracing import UNTRACED
from narrows.inference import bounds, codes, decoded, in_float64, reconstructed
from narrows.persist import load
from narrows.restore import restored

pytestmark = pytest.mark.early


def close(made: np.ndarray, own: torch.Tensor) -> None:
    np.testing.assert_allclose(made, own.numpy(), rtol=1e-5, atol=1e-5)


class Folder:
    """A folder of graphs, run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said = json.loads((path / "model.json").read_text())

    def __call__(self, name: str, values: np.ndarray) -> np.ndarray:
        graph = self.said["graphs"][name]
        session = onnxruntime.InferenceSession(self.path / graph["file"])
        return session.run(None, {graph["input"]["name"]: values.astype(graph["input"]["dtype"])})[0]


# --- models ----------------------------------------------------------------------------------------------------------


def test_the_graphs_of_a_model_give_its_figures(of_images):
    model, folder = of_images
    graph = Folder(folder)
    assert list(graph.said["graphs"]) == ["encoder", "decoder", "reconstruction", "score"]
    fresh = images(1)[:50]
    given = IMAGES.to_user(fresh.numpy())
    z = codes(model, fresh)
    close(graph("encoder", given), z)
    close(IMAGES.from_user(graph("decoder", z.numpy())) / 255, decoded(model, z) / 255)
    close(IMAGES.from_user(graph("reconstruction", given)) / 255, reconstructed(model, fresh) / 255)
    close(graph("score", given), bounds(model, fresh))
    close(graph("score", given[:1]), bounds(model, fresh[:1]))


def test_a_denoiser_takes_images_of_any_size_and_fills_gaps(tmp_path):
    changes = ("corruption=mask", "corruption.rate=0.5", "network.channels=4", "network.stages=1")
    model = untrained(tmp_path / "m.safetensors", "denoiser", IMAGES, images(0), *changes)
    export_graphs(tmp_path / "m.safetensors", tmp_path / "graphs")
    graph = Folder(tmp_path / "graphs")
    assert list(graph.said["graphs"]) == ["denoise"]
    assert graph.said["graphs"]["denoise"]["sides_are_multiples_of"] == model.network.grain == 2
    large = images(1)[:4].tile(1, 1, 2, 1)[:, :, :, :10]
    hidden = torch.rand(large.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    seen = large.masked_fill(hidden, torch.nan)
    close(graph("denoise", seen[:, 0].numpy()) / 255, restored(model, large, hidden=hidden)[:, 0] / 255)


def test_a_program_of_torch_is_written_without_a_pickle(tmp_path, plain):
    made = export_graphs(plain, tmp_path / "graphs", "torch")
    assert [one.compared.max_absolute_error < 1e-12 for one in made] == [True] * 4
    assert not (tmp_path / "graphs" / "example.py").exists()
    with zipfile.ZipFile(tmp_path / "graphs" / "encoder.pt2") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    assert [name for name, content in held.items() if content[:2] in (b"PK", b"\x80\x02", b"\x80\x05")] == []
    encoder = torch.export.load(tmp_path / "graphs" / "encoder.pt2").module()
    close(encoder(table(1).double()).detach().numpy(), codes(in_float64(load(plain).model), table(1)))


# --- detectors -------------------------------------------------------------------------------------------------------


def test_the_example_scores_a_file_as_detect_does(tmp_path, monkeypatch, detector, exported):
    monkeypatch.chdir(tmp_path)
    shutil.copy(detector, "d.safetensors")
    write_csv(tmp_path / "rows.csv", torch.cat([table(0)[:500], table(1)[:500]]))  # half of them are known
    assert run(["detect", "d.safetensors", "rows.csv", "-o", "scores.csv"]) == 0
    line = [sys.executable, "-I", str(exported / "example.py"), "rows.csv", "score", "out.npy"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    own, made = np.array([float(row["score"]) for row in rows]), np.load("out.npy")
    # No more than the agreement allows may be apart.
    apart = np.abs(made - own) > 1e-5 + 1e-5 * np.abs(own)
    assert apart.sum() <= 3
    np.testing.assert_allclose(made, own, rtol=1e-2)
    said = json.loads((exported / "model.json").read_text())
    marked = np.array([row["anomaly"] == "1" for row in rows])
    # The threshold is the score of a calibration row, which is among these rows: rounding decides on which side it is.
    clear = np.abs(own - said["alarm"]["threshold"]) > 1e-4
    assert clear.sum() >= 998
    assert ((made > said["alarm"]["threshold"]) == marked)[clear].all()
    assert (said["alarm"]["false_alarm_rate"], said["alarm"]["promised"]) == (0.01, True)
    assert said["model_sha256"] == hashlib.sha256(Path("d.safetensors").read_bytes()).hexdigest()
    assert [column["categories"] for column in said["columns"]] == [list(one.categories) for one in TABLE.columns]


def test_the_example_needs_numpy_and_onnxruntime_alone():
    tree = ast.parse((Path(narrows.export.__file__).parent / "example.py").read_text())
    names = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - sys.stdlib_module_names == {"numpy", "onnxruntime"}


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_function_that_torch_cannot_trace_is_refused_in_a_sentence(tmp_path, monkeypatch, plain):
    def by_a_number(self: Encoder, raw: torch.Tensor) -> torch.Tensor:
        return raw if raw.sum() > 0 else -raw

    monkeypatch.setattr(Encoder, "forward", by_a_number)
    says = "the graph encoder of preset autoencoder cannot be written as torch .*; no other format can"
    with pytest.raises(InputError, match=says) as caught:
        export_graphs(plain, tmp_path / "graphs", "torch")
    assert isinstance(caught.value.__cause__, UNTRACED)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_differs_is_refused_and_leaves_nothing(tmp_path, monkeypatch, plain):
    monkeypatch.setattr(FORMATS["torch"], "write", lambda graph, path: None)
    monkeypatch.setattr(FORMATS["torch"], "run", lambda path, graph: graph.own(graph.sample) + 1.0)
    with pytest.raises(InputError, match=r"encoder differs from the model by 1 on 1000 of 1000 rows"):
        export_graphs(plain, tmp_path / "graphs", "torch")
    assert list(tmp_path.iterdir()) == []


# --- parts -----------------------------------------------------------------------------------------------------------


def test_agreement_counts_what_is_equal_as_equal():
    own = torch.tensor([[torch.nan, torch.inf], [2.0, 1e-3]])
    found = agreement("score", own + torch.tensor([[0.0, 0.0], [1e-5, 1e-6]]), own)
    assert (found.rows, found.rows_apart) == (2, 0)
    assert found.max_absolute_error == pytest.approx(1e-5, rel=0.02)
    assert found.max_relative_error == pytest.approx(5e-6, rel=0.02)
    for wrong in (torch.nan, -torch.inf, 1.0):
        with pytest.raises(InputError, match="on 1 of 2 rows"):
            agreement("score", torch.tensor([[torch.nan, wrong], [2.0, 1e-3]]), own)


def test_rows_are_drawn_in_the_range():
    rows = drawn_rows(TABLE, *ENDS, 0)
    assert rows.shape == (1000, 4)
    assert 0.03 < rows.isnan().float().mean() < 0.07
    assert [set(column[~column.isnan()].tolist()) for column in rows.T[2:]] == [{0, 1, 2, 3}, {0, 1, 2}]
    amounts = rows[:, 0][~rows[:, 0].isnan()]
    assert 20 <= amounts.min() < 22 < 78 < amounts.max() <= 80
    assert set(images(0).unique().tolist()) == set(range(256))
    counts = drawn_rows(Schema((5,), 0.0, float("inf"), 1.0), torch.tensor(0.0), torch.tensor(torch.inf), 0)
    assert set(counts.unique().tolist()) == set(range(11))


@settings(max_examples=60, deadline=None)
@given(
    knots=st.lists(st.integers(-3, 3), min_size=1, max_size=40),
    values=st.lists(st.integers(-4, 4), min_size=1, max_size=9),
    right=st.booleans(),
)
def test_bisection_finds_the_places_of_searchsorted(knots, values, right):
    k, v = torch.tensor(sorted(knots)).double(), torch.tensor(values).double()
    assert told.searchsorted(k, v, right=right).equal(torch.searchsorted(k, v, right=right))
    two, beside = torch.stack([k, k + 1]), torch.stack([v, v])
    assert told.searchsorted(two, beside, right=right).equal(torch.searchsorted(two, beside, right=right))


def test_functions_are_told_exactly():
    x = torch.cat([torch.logspace(-6, 6, 400), torch.tensor([1.0, 2.0])]).double()
    assert torch.allclose(told.lgamma(x), torch.from_numpy(special.gammaln(x.numpy())), rtol=1e-11, atol=1e-11)
    signed = torch.cat([-x, x])
    assert torch.allclose(told.softplus(signed), torch.from_numpy(np.logaddexp(0, signed.numpy())), rtol=1e-12)
    assert torch.allclose(told.log1p(x), x.log1p(), rtol=1e-9)
    large = torch.tensor([1e30, 0.0, 3.0])
    assert torch.allclose(told.hypot(large, torch.tensor([1e30, 0.0, 4.0])), torch.tensor([2**0.5 * 1e30, 0.0, 5.0]))
    assert told.copysign(x, -x).equal(-x)
    a, b, c = torch.randn(3, 500, generator=torch.Generator().manual_seed(0))
    assert told.addcmul(a, b, c).equal(torch.addcmul(a, b, c))
