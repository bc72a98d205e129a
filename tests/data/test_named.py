import gzip
import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests

from narrows.data import infer_schema, named, published, read
from narrows.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
LABELS = np.arange(5, dtype=np.uint8)


def idx(values: np.ndarray) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + b"".join(side.to_bytes(4, "big") for side in values.shape) + values.tobytes()


def packed(values: np.ndarray) -> bytes:
    return gzip.compress(idx(values), mtime=0)


def file_of(name: str, values: np.ndarray) -> published.File:
    content = packed(values)
    return published.File(name, hashlib.md5(content).hexdigest(), hashlib.sha256(idx(values)).hexdigest())


FILES = {
    "train": (file_of("images.gz", IMAGES), file_of("labels.gz", LABELS)),
    "test": (file_of("test-images.gz", IMAGES[:2]), file_of("test-labels.gz", LABELS[:2])),
}
CONTENT = {"images.gz": IMAGES, "labels.gz": LABELS, "test-images.gz": IMAGES[:2], "test-labels.gz": LABELS[:2]}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> published.Published:
    """A published set of five images, with nothing on disk and an empty cache."""
    monkeypatch.delenv("NARROWS_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    return published.Published(
        "small", "small_set", ("https://first.invalid/", "https://second.invalid/"), FILES, str(tmp_path / "system")
    )


class Mirrors:
    """Stands for pooch's downloader: serves what a test puts there, and knows what was asked for."""

    def __init__(self, served: dict[str, bytes]) -> None:
        self.served = served
        self.asked: list[str] = []

    def __call__(self, **_: object) -> "Mirrors":
        return self

    def download(self, url: str, output_file: str, _: object) -> None:
        self.asked.append(url)
        if url not in self.served:
            raise requests.ConnectionError("no route\nto host")
        Path(output_file).write_bytes(self.served[url])


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Mirrors:
    served = Mirrors({})
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: served.download)
    return served


def save(folder: Path, names: tuple[str, ...] = tuple(CONTENT)) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(packed(CONTENT[name]))


def test_every_named_set_is_described() -> None:
    sets = named.named_sets()
    assert tuple(row.name for row in sets) == named.names() == ("fashion-sample", "digits", "fashion-mnist", "mnist")
    for row in sets:
        assert all((row.what, row.licence, row.origin))
        assert len(row.shape) == 2


def test_embedded_sample() -> None:
    train, test = read("fashion-sample"), read("fashion-sample:test")
    assert train.values.shape == (8000, 1, 28, 28)
    assert test.values.shape == (1000, 1, 28, 28)
    for data, each in ((train, 800), (test, 100)):
        assert data.values.dtype == np.uint8
        assert data.schema == infer_schema(data.values[:, 0])
        assert np.bincount(data.labels).tolist() == [each] * 10
    assert train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert hashlib.sha256(train.values.tobytes()).hexdigest().startswith("dcda5d31d243feac")
    assert hashlib.sha256(test.values.tobytes()).hexdigest().startswith("3d7f6d64869a3f2d")
    assert test.source == "fashion-sample:test"
    assert np.array_equal(read("fashion-sample", split="test").values, test.values)


def test_embedded_sample_is_small_and_carries_its_licence() -> None:
    folder = resources.files("narrows.data").joinpath("embedded")
    assert len(folder.joinpath("fashion-sample.npz").read_bytes()) < 4_000_000
    notice = folder.joinpath("LICENSE.fashion-mnist").read_text(encoding="utf-8")
    assert "Zalando SE" in notice
    assert "Permission is hereby granted" in notice


def test_embedded_sample_is_the_head_of_the_published_files(narrows_data: Path) -> None:
    for split in ("train", "test"):
        full, part = read("fashion-mnist", split=split), read("fashion-sample", split=split)
        for label in range(10):
            ours = part.values[part.labels == label]
            assert np.array_equal(ours, full.values[full.labels == label][: len(ours)])


def test_digits() -> None:
    train, test = read("digits"), read("digits:test")
    assert train.values.shape == (1437, 1, 8, 8)
    assert test.values.shape == (360, 1, 8, 8)
    for data in (train, test):
        assert data.values.dtype == np.uint8
        assert data.schema.levels == 17
        assert data.schema.values == "levels"
        assert len(data.labels) == len(data)
    assert train.labels[:8].tolist() == [0, 1, 2, 3, 7, 8, 0, 1]
    assert read("digits", kind="reals").schema.values == "reals"
    assert read("digits", schema=train.schema).schema is train.schema


def test_unknown_names_and_splits() -> None:
    with pytest.raises(InputError, match=r"no split 'validation'; its splits are 'train', 'test'$"):
        read("digits:validation")
    with pytest.raises(InputError, match=r"no data set is named 'minst'.*did you mean 'mnist'\?$"):
        named.load("minst")


def test_a_name_comes_before_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert len(read("digits")) == 1437
    with pytest.raises(InputError, match="holds no images"):
        read("./digits")


def test_files_on_disk(small: published.Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARROWS_DATA", str(tmp_path / "data"))
    assert "fetched once from https://first.invalid/" in small.origin()
    save(tmp_path / "data" / "small_set")
    found = small.load("train")
    assert np.array_equal(found.values, IMAGES)
    assert np.array_equal(found.labels, LABELS)
    assert np.array_equal(small.load("test").values, IMAGES[:2])
    assert small.origin() == f"on disk, {tmp_path / 'data' / 'small_set'}"


def test_files_of_the_system_packed_by_another_gzip(small: published.Published, tmp_path: Path) -> None:
    save(tmp_path / "system", ("images.gz",))
    (tmp_path / "system" / "images.gz").write_bytes(gzip.compress(idx(IMAGES), compresslevel=1))
    (tmp_path / "system" / "labels").write_bytes(idx(LABELS))
    assert np.array_equal(small.load("train").values, IMAGES)


@pytest.mark.parametrize("content", [packed(IMAGES[::-1].copy()), packed(IMAGES)[:-20], b"<html>"])
def test_altered_files_on_disk_are_refused(small: published.Published, tmp_path: Path, content: bytes) -> None:
    save(tmp_path / "system")
    (tmp_path / "system" / "images.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"images.gz' .*fetch it again|images.gz' is no IDX file") as caught:
        small.load("train")
    assert "\n" not in str(caught.value)


def test_download(small: published.Published, mirrors: Mirrors, tmp_path: Path) -> None:
    mirrors.served = {f"https://second.invalid/{name}": packed(values) for name, values in CONTENT.items()}
    assert np.array_equal(small.load("train").values, IMAGES)
    assert mirrors.asked == [
        "https://first.invalid/images.gz",
        "https://second.invalid/images.gz",
        "https://first.invalid/labels.gz",
        "https://second.invalid/labels.gz",
    ]
    assert (tmp_path / "cache" / "narrows" / "small_set" / "images.gz").is_file()
    mirrors.served = {}
    assert np.array_equal(small.load("train").labels, LABELS)
    assert len(mirrors.asked) == 4


def test_download_of_something_else(small: published.Published, mirrors: Mirrors) -> None:
    mirrors.served = {"https://first.invalid/images.gz": b"<html>log in</html>"}
    with pytest.raises(InputError, match="download failed"):
        small.load("train")
    assert mirrors.asked[-1] == "https://second.invalid/images.gz"
    mirrors.served = {f"https://second.invalid/{name}": packed(values) for name, values in CONTENT.items()}
    assert np.array_equal(small.load("train").values, IMAGES)


def test_offline(small: published.Published, mirrors: Mirrors) -> None:
    with pytest.raises(InputError) as caught:
        small.load("train")
    message = str(caught.value)
    assert "\n" not in message
    assert "the data set 'small' is not on disk and its download failed (no route to host)" in message
    assert "set NARROWS_DATA to a folder that has small_set/images.gz" in message


def test_offline_as_a_person_meets_it(
    mirrors: Mirrors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NARROWS_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    with pytest.raises(InputError, match=r"has mnist/t10k-images-idx3-ubyte\.gz$"):
        read("mnist:test")
    assert [url.split("/")[2] for url in mirrors.asked] == ["ossci-datasets.s3.amazonaws.com", "storage.googleapis.com"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_full_sets(narrows_data: Path, name: str) -> None:
    row = next(row for row in named.named_sets() if row.name == name)
    for split, rows in zip(named.SPLITS, row.rows, strict=True):
        data = read(f"{name}:{split}")
        assert data.values.shape == (rows, 1, 28, 28)
        assert data.values.dtype == np.uint8
        assert np.unique(data.labels).tolist() == list(range(10))
