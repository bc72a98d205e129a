import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from narrows.data import limits, read
from narrows.errors import InputError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)


def refusal(source: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def idx(values: np.ndarray) -> bytes:
    kind = values.dtype.newbyteorder(">")
    header = bytes((0, 0, CODES[kind.str[1:]], values.ndim))
    return header + b"".join(side.to_bytes(4, "big") for side in values.shape) + values.astype(kind).tobytes()


def save_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", COLOUR)
    data = read(str(tmp_path / "x.npy"))
    assert np.array_equal(data.schema.to_user(data.values), COLOUR)
    assert data.source == str(tmp_path / "x.npy")
    assert data.labels is None
    np.save(tmp_path / "x.npy", np.asfortranarray(np.arange(6, dtype=">i8").reshape(2, 3)))
    assert read(tmp_path / "x.npy").values.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read(tmp_path / "x.npy", kind="levels").values.dtype == np.uint8


def test_bad_npy(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([[{}, 1]], object), allow_pickle=True)
    assert "never loaded" in refusal(path)
    for content in (b"", b"\x93NUMPY", b"\x89PNG\r\n\x1a\n and more"):
        path.write_bytes(content)
        assert "cannot be read as a NumPy file" in refusal(path)
    np.save(path, COLOUR)
    path.write_bytes(path.read_bytes()[:-1])
    assert "does not hold" in refusal(path)
    path.write_bytes(path.read_bytes().replace(b"(6, 5, 7, 3)", b"(6, 5, 7, 9**9)"))
    assert refusal(path)
    np.save(path, np.zeros((2, 2), [("a", "i4")]))
    assert "where numbers belong" in refusal(path)


def test_a_declared_size_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((1, 1)))
    honest, huge = b"(1, 1), }", b"(99999999999, 99999), }"
    content = path.read_bytes()
    assert honest.ljust(len(huge)) in content
    path.write_bytes(content.replace(honest.ljust(len(huge)), huge))
    assert "shape (99999999999, 99999), which it does not hold" in refusal(path)
    save_zip(tmp_path / "x.npz", {"x.npy": path.read_bytes()})
    assert "shape (99999999999, 99999), which it does not hold" in refusal(tmp_path / "x.npz")


def test_npz_keys(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, first=np.eye(2), second=np.eye(3))
    message = refusal(path)
    assert "holds the arrays 'first', 'second'" in message
    assert "x.npz:KEY" in message
    assert read(path, key="second").schema.shape == (3,)
    assert read(f"{path}:second").schema.shape == (3,)
    assert "has no array 'secnd'; its arrays are 'first', 'second'; did you mean 'second'?" in refusal(
        path, key="secnd"
    )


def test_npz_picks_the_obvious(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, values=np.eye(2), ids=np.arange(2))
    assert read(path).labels is None
    np.savez_compressed(path, X=np.eye(2), y=[7, 8], other=np.eye(3))
    assert read(path).labels.tolist() == [7, 8]
    np.savez(path, x=np.eye(2), y=[[7], [8]], names=np.array([{}], object))
    assert read(path).labels.tolist() == [7, 8]
    np.savez(path, x=np.eye(2), y=[7, 8, 9])
    assert read(path).labels is None
    np.savez(path, x=np.eye(2), kind=[5, 6])
    assert read(path, label="kind").labels.tolist() == [5, 6]
    assert "has no array 'kinds'" in refusal(path, label="kinds")
    assert "the split 'test'" in refusal(path, split="test")


def test_npz_splits(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x_train=np.eye(3), y_train=[1, 2, 3], x_test=np.ones((2, 3)), y_test=[4, 5])
    assert read(path).labels.tolist() == [1, 2, 3]
    assert read(path, split="test").labels.tolist() == [4, 5]
    assert read(path, key="x_test").labels.tolist() == [4, 5]


def test_bad_npz(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"no zip")
    assert "cannot be read as an .npz file" in refusal(path)
    np.savez(path, x=np.array([[{}]], object))
    assert "never loaded" in refusal(path, key="x")
    np.savez(path, x=np.eye(9))
    path.write_bytes(path.read_bytes()[:-30])
    assert "cannot be read as an .npz file" in refusal(path)
    save_zip(path, {"readme.txt": b"hello"})
    assert "it is open which of them" in refusal(path)


def test_npz_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 1000)
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((1000, 1000)))
    assert "over 500 times its size" in refusal(tmp_path / "x.npz")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(list(CODES)).flatmap(
        lambda kind: hnp.arrays(kind, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.integers(0, 9))
    ),
    st.booleans(),
)
def test_idx_round_trip(tmp_path: Path, values: np.ndarray, packed: bool) -> None:
    path = tmp_path / ("x-idx.gz" if packed else "x-idx")
    path.write_bytes(gzip.compress(idx(values)) if packed else idx(values))
    assert read(path, kind="reals").values.tolist() == values.tolist()


def test_idx_images_under_any_name(tmp_path: Path) -> None:
    for name in ("train-images-idx3-ubyte", "images.gz", "images"):
        content = idx(COLOUR[..., 0])
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        data = read(tmp_path / name)
        assert np.array_equal(data.values[:, 0], COLOUR[..., 0])
        assert data.values.flags.writeable


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no IDX file"),
        (b"\0\0\x08", "no IDX file"),
        (b"\0\0\x07\x01\0\0\0\x01x", "it begins with 00000701"),
        (b"\0\0\x08\x02\0\0\0\x01", "no IDX file"),
        (idx(COLOUR)[:-1], "declares"),
        (idx(COLOUR) + b"x", "declares"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "do not hold"),
        (idx(COLOUR[0, 0, 0]), "(examples, columns)"),
        (idx(COLOUR[:0]), "at least one example"),
    ],
)
def test_bad_idx(tmp_path: Path, content: bytes, packed: bool, words: str) -> None:
    path = tmp_path / ("x-idx.gz" if packed else "x-idx")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert words in refusal(path)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "x-idx.gz"
    path.write_bytes(gzip.compress(idx(COLOUR))[:-9])
    assert "cannot be read as an IDX file" in refusal(path)
    path.write_bytes(gzip.compress(idx(COLOUR))[:-8] + b"12345678")
    assert "cannot be read as an IDX file" in refusal(path)


def test_idx_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 1000)
    path = tmp_path / "x-idx.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((2000, 2000), np.uint8))))
    assert "do not hold" in refusal(path)
