"""A folder of shards has one output for each: whole, once, by whoever works on it, and found again by the next run."""

import csv
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from narrows import read
from narrows.apps import engines
from narrows.apps.shard_folder import MANIFEST
from narrows.atomic import remove_leftovers, writing
from narrows.data import parts as in_parts
from narrows.data.request import Request
from narrows.data.shard_files import image_folders_in, shards_in
from narrows.errors import InputError

NAMES = ["a", "b", "c"]


def rows(n, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2))
    return pa.table(dict(zip(NAMES, [x[:, 0], np.exp(x[:, 1]), x.sum(1)], strict=True)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two detectors."""
    from narrows.cli import run

    folder = tmp_path_factory.mktemp("trained")
    for seed, name in enumerate("de"):
        parquet.write_table(rows(1200, seed), folder / f"{name}.parquet")
        words = ["train", folder / f"{name}.parquet", "--preset", "detector-without-network"]
        assert run([*map(str, words), "-o", str(folder / f"{name}.safetensors")]) == 0
    return folder


def put_shards(folder, count=4, n=60, together=25):
    folder.mkdir()
    for place in range(count):
        parquet.write_table(rows(n, 10 + place), folder / f"part-{place}.parquet", row_group_size=together)
    return folder


@pytest.fixture
def line(trained, here):
    """A command line that has four shards scored."""
    put_shards(here / "shards")
    return ("detect", trained / "d.safetensors", "shards", "-o", "out")


def outputs(folder):
    return sorted(path.name for path in Path(folder).iterdir())


# --- What is written -------------------------------------------------------------------------------------------------


def test_each_shard_has_the_output_that_it_has_alone(line, trained, here, done):
    told = json.loads(done(*line, "--json"))
    assert (told["shards"], told["made"], told["found"], told["rows"], told["notes"]) == (4, 4, 0, 240, [])
    assert outputs("out") == [MANIFEST, *(f"part-{place}.parquet" for place in range(4))]
    marked = 0
    for place in range(4):
        done("detect", trained / "d.safetensors", f"shards/part-{place}.parquet", "-o", "one.parquet")
        assert (here / "one.parquet").read_bytes() == (here / "out" / f"part-{place}.parquet").read_bytes()
        marked += sum(parquet.read_table("one.parquet")["anomaly"].to_pylist())
    assert told["anomalies"] == marked


def test_all_shards_into_one_file_score_the_same(line, done):
    done(*line)
    done(*line[:-1], "all.csv")
    with Path("all.csv").open() as lines:
        whole = [float(row["score"]) for row in csv.DictReader(lines)]
    single = [parquet.read_table(f"out/part-{place}.parquet")["score"].to_numpy() for place in range(4)]
    np.testing.assert_allclose(np.concatenate(single), whole, rtol=1e-6)


def test_outputs_are_shards_again(line, done):
    done(*line)
    assert [shard.stem for shard in shards_in(Path("out"))] == [f"part-{place}" for place in range(4)]


def test_a_shard_of_no_rows_has_an_output_of_none(line, done):
    parquet.write_table(rows(0, 0), "shards/part-9.parquet")
    assert json.loads(done(*line, "--contributions", "--json"))["rows"] == 240
    empty, full = (parquet.read_table(f"out/part-{place}.parquet") for place in (9, 0))
    assert (len(empty), empty.schema) == (0, full.schema)


def test_codes_of_tables_arrays_and_pictures(models, here, done, refused):
    (here / "csv").mkdir()
    text = (models / "table.csv").read_text().splitlines(keepends=True)
    for place in (0, 1):
        (here / "csv" / f"p{place}.csv").write_text("".join([text[0], *text[1 + 20 * place : 21 + 20 * place]]))
    (here / "csv" / "notes.txt").write_text("passed over")
    model = models / "table.safetensors"
    assert json.loads(done("embed", model, "csv", "-o", "codes", "--json"))["rows"] == 40
    done("embed", model, models / "table.csv", "-o", "whole.csv")
    found = pa.concat_tables([arrow_csv.read_csv(f"codes/p{place}.csv") for place in (0, 1)]).to_pandas()
    np.testing.assert_allclose(found, arrow_csv.read_csv("whole.csv").to_pandas(), rtol=1e-4, atol=1e-6)
    (here / "npy").mkdir()
    np.save("npy/x.npy", read("digits:test").values[:5])
    done("embed", models / "digits.safetensors", "npy", "-o", "arrays")
    done("embed", models / "digits.safetensors", "npy/x.npy", "-o", "one.npy")
    assert np.load("one.npy").shape == (5, 4)
    assert Path("arrays/x.npy").read_bytes() == Path("one.npy").read_bytes()
    assert "leave them out of shards" in refused("embed", model, "csv", "-o", "more", "--check")


def test_archives_of_images_are_compressed_and_come_back(models, here, done):
    from PIL import Image

    (here / "zips").mkdir()
    digits = read("digits:test").values[:6, 0]
    for place in (0, 1):
        with zipfile.ZipFile(here / "zips" / f"z{place}.zip", "w") as archive:
            for number, image in enumerate(digits[3 * place : 3 * place + 3]):
                Image.fromarray(image).save("one.png")
                archive.write("one.png", f"{number}.png")
    model = models / "digits.safetensors"
    told = json.loads(done("compress", model, "zips", "-o", "small", "--plain", "--json"))
    assert (told["rows"], told["raw_bytes"]) == (6, digits.size)
    assert told["file_bytes"] == sum(Path(f"small/z{place}.nrw").stat().st_size for place in (0, 1))
    done("decompress", model, "small/z1.nrw", "-o", "back.npy")
    np.testing.assert_array_equal(np.load("back.npy"), digits[3:])


def test_archives_are_denoised_under_their_names(here, done):
    noisy = read("digits:test").values[:4, 0]
    (here / "arrays").mkdir()
    for place in (0, 1):
        np.save(here / "arrays" / f"a{place}.npy", noisy[2 * place : 2 * place + 2])
    words = ("--epochs", "1", "--set", "corruption=gaussian", "network=mlp", "network.width=8", "latent.size=4")
    done("train", "digits", "-o", "m.safetensors", *words)
    assert json.loads(done("denoise", "m.safetensors", "arrays", "-o", "clean", "--json"))["rows"] == 4
    done("denoise", "m.safetensors", "arrays/a1.npy", "-o", "one.npy")
    assert Path("clean/a1.npy").read_bytes() == Path("one.npy").read_bytes()


# --- Once ------------------------------------------------------------------------------------------------------------


def test_the_same_line_goes_on_where_it_was_left(line, here, done):
    done(*line)
    whole = {path: path.read_bytes() for path in (here / "out").glob("part-*")}
    times = {path: path.stat().st_mtime_ns for path in whole}
    lost = here / "out" / "part-2.parquet"
    lost.unlink()
    (here / "out" / ".part-2.0123abcd.parquet").write_bytes(b"half")
    told = json.loads(done(*line, "--json"))
    assert (told["made"], told["found"], told["rows"]) == (1, 3, 60)
    assert {path: path.read_bytes() for path in (here / "out").glob("part-*")} == whole
    assert [path for path in whole if path.stat().st_mtime_ns != times[path]] == [lost]
    assert outputs("out") == [MANIFEST, *(f"part-{place}.parquet" for place in range(4))]


def test_shards_that_came_later_are_added(line, done):
    done(*line)
    parquet.write_table(rows(7, 1), "shards/part-7.parquet")
    told = json.loads(done(*line, "--json"))
    assert (told["made"], told["found"], told["rows"]) == (1, 4, 7)


def test_refuses_a_folder_of_another_model_or_option(line, trained, here, done, refused):
    done(*line)
    said = refused("detect", trained / "e.safetensors", "shards", "-o", "out")
    assert "'out' holds outputs of the model of SHA-256" in said
    assert "--false-alarm-rate 0.01, and 0.05 was given" in refused(*line, "--false-alarm-rate", "0.05")
    assert "the options of reading" in refused(*line, "--ignore", "c")
    (here / "other").mkdir()
    (here / "other" / "mine.txt").write_text("mine")
    assert "'other' holds other files than outputs of shards" in refused(*line[:-1], "other")


def test_refuses_a_shard_that_is_not_what_it_was(line, done, refused):
    done(*line)
    parquet.write_table(rows(60, 99), "shards/part-1.parquet")
    assert "part-1.parquet' is not what it was when" in refused(*line)
    Path("out/part-1.parquet").unlink()
    assert json.loads(done(*line, "--json"))["made"] == 1


def test_a_record_that_is_damaged_is_refused(line, here, done, refused):
    done(*line)
    (here / "out" / MANIFEST).write_text("{")
    assert "_narrows.json' is damaged" in refused(*line)


def test_leftovers_are_those_of_the_files_named(tmp_path):
    target = tmp_path / "x.csv"
    with writing(target) as beside:
        beside.write_text("a")
        (tmp_path / f"{beside.name}").rename(tmp_path / "kept")
        shutil.copy(tmp_path / "kept", beside)
    (tmp_path / ".x.0123abcd.csv").write_text("half")
    (tmp_path / ".x.0123abcd.json").write_text("another's")
    (tmp_path / ".y.0123abcd.csv").write_text("another's")
    folder = tmp_path / ".images.0123abcd"
    folder.mkdir()
    (folder / "1.png").write_text("half")
    remove_leftovers([target, tmp_path / "images"])
    assert outputs(tmp_path) == [".x.0123abcd.json", ".y.0123abcd.csv", "kept", "x.csv"]


# --- What cannot be --------------------------------------------------------------------------------------------------


def test_a_damaged_shard_is_named_and_left_out_if_asked(line, here, done, capfd):
    from narrows.cli import run

    damaged = here / "shards" / "part-1.parquet"
    damaged.write_bytes(damaged.read_bytes()[:300])
    assert run(list(map(str, line))) == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert "'shards/part-1.parquet' cannot be read as a Parquet file" in said
    assert said.endswith("or leave out shards that cannot be read (--skip-bad-shards)")
    assert outputs("out") == [MANIFEST, "part-0.parquet"]
    told = json.loads(done(*line, "--skip-bad-shards", "--json"))
    assert (told["made"], told["found"], told["rows"]) == (2, 1, 120)
    assert "shard part-1.parquet was left out: " in told["notes"][0]


def test_what_another_shard_would_meet_as_well_leaves_none_out(line, monkeypatch, capfd):
    """A full disk is not the fault of a shard: to leave it out would end well with outputs missing."""
    from narrows.cli import run

    def opened(source, target):
        if source.endswith("part-1.parquet"):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return {"rows": 1}

    attempt = engines.attempt
    monkeypatch.setattr(engines, "attempt", lambda _, place, source, target: attempt(opened, place, source, target))
    assert run([*map(str, line), "--skip-bad-shards"]) == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert "No space left on device; finished shards are kept, and the same command goes on from them" in said


@pytest.mark.parametrize(
    ("met", "bad"),
    [
        (InputError("row 3 is empty"), True),
        (OSError(errno.EACCES, "Permission denied", "in.csv"), True),
        (OSError("not a zip file"), True),
        (OSError(errno.EACCES, "Permission denied", "out.csv"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (MemoryError("8 GiB"), False),
    ],
)
def test_whose_fault_it_is(met, bad):
    def opened(source, target):
        raise met

    outcome = engines.attempt(opened, 3, "in.csv", Path("out.csv"))
    assert (outcome.place, outcome.bad) == (3, bad)
    assert outcome.refused


def test_a_row_is_named_by_its_place(trained, monkeypatch, here, refused):
    monkeypatch.setattr(in_parts, "BLOCK", 10)
    monkeypatch.setattr(in_parts, "CELLS", 10)
    bad = rows(40, 0).to_pandas()
    bad.loc[23, "b"] = np.inf
    bad.to_csv("bad.csv", index=False)
    parquet.write_table(pa.Table.from_pandas(bad), "bad.parquet")
    refused("detect", trained / "d.safetensors", "bad.csv", "-o", "s.csv", says="row 23")
    said = refused("detect", trained / "d.safetensors", "bad.parquet", "-o", "s.csv")
    assert "row 3, " in said
    assert "in the part from row 20 on" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-o", "out", "--discoveries"), "--discoveries holds for all rows together"),
        (("-o", "out", "--workers", "2"), "--workers is for --engine ray"),
        (("-o", "out", "--engine-address", "auto"), "--engine-address is for --engine ray"),
        (("-o", "out", "--engine", "spark"), "--engine"),
        (("-o", "out.csv", "--engine", "ray"), "out.csv is the name of a file"),
        (("-o", "out", "--engine", "ray", "--workers", "0"), "--workers was given as 0"),
        (("-o", "shards", "--engine", "ray"), "shards would be written to, and it is read here"),
    ],
)
def test_refused(line, refused, monkeypatch, words, says):
    monkeypatch.setattr(engines, "check_ray", lambda: None)
    refused(*line[:3], *words, says=says)


def test_refuses_what_are_no_shards(trained, here, refused, monkeypatch):
    monkeypatch.setattr(engines, "check_ray", lambda: None)
    (here / "none").mkdir()
    detect = ("detect", trained / "d.safetensors")
    refused(*detect, "none", "-o", "out", "--engine", "ray", says="none holds no shards")
    parquet.write_table(rows(3, 0), "one.parquet")
    refused(*detect, "one.parquet", "-o", "out", "--engine", "ray", says="one.parquet is no folder")


def test_without_ray_there_is_one_line(line, refused, monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    refused(*line, "--engine", "ray", says="pip install 'narrows[ray]'")


@pytest.mark.parametrize("given", ["option", "environment"])
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_where_no_cluster_answers_there_is_one_line_at_once_and_nothing_is_begun(
    line, refused, monkeypatch, given, scheme
):
    monkeypatch.setattr(engines, "check_ray", lambda: None)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        address = f"{scheme}127.0.0.1:{closed.getsockname()[1]}"
        says = f"Ray has no cluster at {address}; start it, give another --engine-address, or leave out RAY_ADDRESS"
        if given == "option":
            refused(*line, "--engine", "ray", "--engine-address", address, says=says)
        else:
            monkeypatch.setenv("RAY_ADDRESS", address)
            refused(*line, "--engine", "ray", says=says)
    assert not Path(line[-1]).exists()


def test_an_address_without_a_port_that_can_be_is_refused(line, refused, monkeypatch):
    monkeypatch.setattr(engines, "check_ray", lambda: None)
    refused(*line, "--engine", "ray", "--engine-address", "here:99999", says="Ray has no cluster at here:99999")


def test_names_that_are_no_places_are_left_to_ray(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for address in (None, "auto", "local"):
        engines.check_cluster(address)


def test_names_of_shards(tmp_path):
    for name in ("b.csv", "a.tsv.gz", "_SUCCESS", ".part.csv", "readme.txt"):
        (tmp_path / name).write_text("x")
    assert [(shard.stem, shard.suffix) for shard in shards_in(tmp_path)] == [("a", ".csv"), ("b", ".csv")]
    (tmp_path / "b.tsv").write_text("x")
    with pytest.raises(InputError, match=r"b\.csv and b\.tsv, whose outputs would have one name"):
        shards_in(tmp_path)


def test_folders_of_images_are_shards_and_loose_images_none(tmp_path):
    for name in ("two", "one"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_text("x")
    assert [shard.stem for shard in image_folders_in(tmp_path)] == ["one", "two"]
    before = image_folders_in(tmp_path)[0].mark()
    (tmp_path / "one" / "2.png").write_text("x")
    assert image_folders_in(tmp_path)[0].mark() != before
    (tmp_path / "3.png").write_text("x")
    with pytest.raises(InputError, match=r"images such as 3\.png"):
        image_folders_in(tmp_path)


# --- In parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows", "npy", "csv"])
def test_parts_are_the_whole(here, monkeypatch, suffix):
    monkeypatch.setattr(in_parts, "BLOCK", 8)
    table, file = rows(50, 3), f"t.{suffix}"
    if suffix == "parquet":
        parquet.write_table(table, file, row_group_size=13)
    elif suffix == "csv":
        arrow_csv.write_csv(table, file)
    elif suffix == "npy":
        np.save(file, table.to_pandas().to_numpy())
    else:
        with (pa.ipc.new_file if suffix == "arrow" else pa.ipc.new_stream)(file, table.schema) as target:
            target.write_table(table, 13)
    whole = read(file)
    found = list(in_parts.parts(file, Request(schema=whole.schema), cells=8 * 3))
    np.testing.assert_array_equal(np.concatenate([part.values for _, part in found]), whole.values)
    starts = np.cumsum([0, *(len(part) for _, part in found)])
    assert [first for first, _ in found] == starts[:-1].tolist()
    assert max(len(part) for _, part in found) == (50 if suffix == "csv" else 8)


# --- Under Ray -------------------------------------------------------------------------------------------------------


def descendants(process):
    """Processes that a process started, and those that they did."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents.setdefault(int(words[1]), []).append(int(path.parent.name))
    found, new = [], [process]
    while new:
        new = [child for parent in new for child in parents.get(parent, [])]
        found += new
    return found


def workers_of(process):
    """Of the processes under one, those that are actors at work."""
    found = []
    for number in descendants(process):
        try:
            name = Path(f"/proc/{number}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith(b"ray::") and b"Worker" in name:
            found.append(number)
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are found in /proc")
def test_a_worker_that_is_killed_loses_and_doubles_nothing(trained, here, done):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'narrows[ray]'")
    put_shards(here / "shards", count=6, n=4000, together=200)
    line = ["detect", str(trained / "d.safetensors"), "shards", "-o"]
    words = [*line, "out", "--engine", "ray", "--workers", "2", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "narrows", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not list(here.glob("out/part-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    victim = workers_of(process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert json.loads(out)["made"] == 6
    done(*line, "alone")
    assert outputs("out") == outputs("alone")
    for path in (here / "alone").glob("part-*"):
        assert path.read_bytes() == (here / "out" / path.name).read_bytes()
