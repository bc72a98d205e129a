"""Files are whole or absent."""

import os
from pathlib import Path

import pytest

from narrows import InputError
from narrows.atomic import check_folder, check_target, writing, writing_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_name_is_taken_at_the_end(here):
    with writing("a.txt") as beside:
        beside.write_text("new")
        assert beside.parent == here
        assert beside.suffix == ".txt"
        assert not Path("a.txt").exists()
    assert names(here) == ["a.txt"]
    assert Path("a.txt").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError, MemoryError])
def test_what_stood_there_stays_when_writing_fails(here, error):
    Path("a.txt").write_text("old")

    def write():
        with writing(here / "a.txt") as beside:
            beside.write_text("half of the n")
            raise error

    with pytest.raises(error):
        write()
    assert names(here) == ["a.txt"]
    assert Path("a.txt").read_text() == "old"


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_disk_that_fills_up(here, monkeypatch, step):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device", str(here / ".a.1234.txt"))

    Path("a.txt").write_text("old")
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace"), "chmod": (Path, "chmod")}[step], full)
    with pytest.raises(OSError, match="No space left on device") as refused, writing(here / "a.txt") as beside:
        beside.write_text("new")
    assert refused.value.filename == str(here / "a.txt")
    assert refused.value.errno == 28
    assert names(here) == ["a.txt"]
    assert Path("a.txt").read_text() == "old"


def test_an_error_of_a_library_without_a_number(here):
    with pytest.raises(OSError, match="320 requested and 302 written") as refused, writing("a.txt"):
        raise OSError("320 requested and\n302 written")
    assert refused.value.filename == "a.txt"
    assert names(here) == []


def test_rights_are_those_of_any_new_file(here):
    Path("plain").touch()
    with writing("a.txt") as beside:
        beside.unlink()
        os.close(os.open(beside, os.O_CREAT, 0o600))  # as some libraries do
    assert Path("a.txt").stat().st_mode == Path("plain").stat().st_mode


def test_a_link_stays_a_link(here):
    (here / "shelf").mkdir()
    Path("link.txt").symlink_to(here / "shelf" / "a.txt")
    for text in ("first", "second"):
        with writing("link.txt") as beside:
            beside.write_text(text)
        assert Path("link.txt").is_symlink()
        assert (here / "shelf" / "a.txt").read_text() == text
    assert names(here) == ["link.txt", "shelf"]
    assert names(here / "shelf") == ["a.txt"]


def test_long_names(here):
    with writing("n" * 250 + ".txt") as beside:
        beside.write_text("x")
    assert names(here) == ["n" * 250 + ".txt"]


def test_targets_that_are_none(here):
    (here / "folder").mkdir()
    Path("file").touch()
    Path("data.npz").touch()
    os.mkfifo("pipe")
    for path, inputs, says in (
        ("folder", (), "is a folder"),
        ("nowhere/a", (), "there is no folder nowhere"),
        ("file/a", (), "there is no folder file"),
        ("pipe", (), "is a device or a pipe"),
        (os.devnull, (), "is a device or a pipe"),
        ("file", ("./file",), "would be overwritten"),
        ("data.npz", ("digits", "data.npz:x"), "would be overwritten"),
    ):
        with pytest.raises(InputError, match=says):
            check_target(Path(path), inputs)
    check_target(Path("file"), ("digits", "data.npz", Path("folder")))
    check_target(Path("new"), ("new",))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights(here):
    (here / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="may not be written to"):
        check_target(here / "locked" / "a")


def test_a_folder_that_takes_no_files_whatever_its_rights(here):
    """Such as one of the kernel, or of another machine that does not know its root."""
    kernel = Path("/proc")
    if not kernel.is_dir():
        pytest.skip("this system has no folder of the kernel's processes")
    for check in (check_target, check_folder):
        with pytest.raises(InputError, match=r"/proc may not be written to \("):
            check(kernel / "a")
    check_target(here / "a")
    check_folder(here / "a")
    assert names(here) == []


@pytest.mark.parametrize("there", [False, True], ids=["new", "empty"])
def test_a_folder_takes_its_name_at_the_end(here, there):
    if there:
        Path("a").mkdir()
    with writing_folder(Path("a")) as beside:
        (beside / "x").write_text("new")
        assert beside.parent == here
        assert not Path("a", "x").exists()
    assert names(here) == ["a"]
    assert Path("a", "x").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_no_part_of_a_folder_is_left_when_writing_fails(here, error):
    def write():
        with writing_folder(Path("a")) as beside:
            (beside / "x").mkdir()
            (beside / "x" / "y").write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert names(here) == []


def test_where_no_folder_can_be_written(here):
    Path("full").mkdir()
    Path("full", "x").write_text("old")
    Path("file").write_text("old")
    for path, says in (
        ("full", "is there already"),
        ("file", "is there already"),
        ("none/a", "there is no folder none"),
    ):
        with pytest.raises(InputError, match=says), writing_folder(Path(path)):
            raise AssertionError("no path was to be given")
    assert names(here) == ["file", "full"]
    assert Path("full", "x").read_text() == "old"


def test_a_disk_that_fills_up_under_a_folder(here):
    with pytest.raises(OSError, match="No space left on device") as refused, writing_folder(Path("a")) as beside:
        raise OSError(28, "No space left on device", str(beside / "x"))
    assert (refused.value.filename, refused.value.errno) == ("a", 28)
    assert names(here) == []
