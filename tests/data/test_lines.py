"""Lines of a stream: every byte of it once, whatever the pieces in which it comes, and no more held than said."""

import contextlib
import os
import random
import threading
import time
import tracemalloc

import pytest

from narrows.data.lines import LONGEST, LineReader


@pytest.fixture
def pipe():
    """Both ends of a pipe, closed at last."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


@contextlib.contextmanager
def sending(pipe, pieces, pause=0.0):
    """Write pieces into a pipe from a thread of its own, and close it."""

    def send():
        for piece in pieces:
            time.sleep(pause)
            os.write(pipe[1], piece)
        os.close(pipe[1])

    sender = threading.Thread(target=send)
    sender.start()
    yield
    sender.join()


def reader_of(path, content, line=0, offset=0):
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return LineReader(descriptor, line, offset)


def all_of(reader, most=3, wait=None):
    return list(iter(lambda: reader.batch(most, wait), None))


@pytest.mark.parametrize("content", [b"", b"\n", b"a", b"a\n", b"a\n\nb", b"a\r\nb\r\n", b"\n\n\n\n", b"ab\n" * 50])
def test_lines_their_numbers_and_their_ends(tmp_path, content):
    batches = all_of(reader_of(tmp_path / "lines", content))
    expected = content.split(b"\n")
    expected = expected[:-1] if expected[-1] == b"" else expected
    assert [text for batch in batches for text in batch.texts] == expected
    number, end = 1, 0
    for batch in batches:
        assert batch.first == number
        assert len(batch.texts) == 3 or batch is batches[-1]
        number += len(batch.texts)
        end = batch.end
        assert batch.last == number - 1
        assert content[:end].count(b"\n") == batch.last or end == len(content)
    assert end == len(content)


def test_pieces_do_not_matter(pipe):
    luck = random.Random(0)
    content = b"\n".join(bytes(luck.choices(b"abc,\r", k=luck.randrange(40))) for _ in range(500))
    cuts = sorted(luck.sample(range(1, len(content)), 400))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    with sending(pipe, pieces):
        batches = all_of(LineReader(pipe[0]), most=7, wait=0.001)
    assert b"\n".join(text for batch in batches for text in batch.texts) == content
    assert batches[-1].end == len(content)


def test_goes_on_in_the_middle(tmp_path):
    reader = reader_of(tmp_path / "lines", b"one\ntwo\nthree\n", line=1, offset=4)
    (batch,) = all_of(reader)
    assert (batch.first, list(batch.texts), batch.end) == (2, [b"two", b"three"], 14)


def test_a_line_that_is_too_long_is_skipped_and_not_held(pipe):
    chunk, chunks = b"x" * 2**16, 800  # 50 MiB
    tracemalloc.start()
    with sending(pipe, [b"before\n", *[chunk] * chunks, b"\nafter\n"]):
        batches = all_of(LineReader(pipe[0]), wait=0.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [text for batch in batches for text in batch.texts] == [b"before", None, b"after"]
    assert batches[-1].end == 7 + chunks * len(chunk) + 1 + 6
    assert peak < 4 * LONGEST


def test_the_longest_line_that_is_kept(tmp_path):
    (batch,) = all_of(reader_of(tmp_path / "lines", b"x" * LONGEST + b"\n" + b"y" * (LONGEST + 1)))
    assert [text and len(text) for text in batch.texts] == [LONGEST, None]


def test_long_lines_make_small_batches(tmp_path):
    batches = all_of(reader_of(tmp_path / "lines", (b"x" * 2**19 + b"\n") * 40), most=40)
    assert [len(batch.texts) for batch in batches] == [8] * 5


class TestWaiting:
    def test_what_has_come_is_enough_after_the_wait(self, pipe):
        reader = LineReader(pipe[0])
        os.write(pipe[1], b"a\nb\nc")
        assert list(reader.batch(100, 0.2).texts) == [b"a", b"b"]
        os.write(pipe[1], b"c\n")
        assert list(reader.batch(100, 0.2).texts) == [b"cc"]

    def test_it_waits_for_the_first_and_then_for_more(self, pipe):
        with sending(pipe, [b"a\n", b"b\n", b"c\n"], pause=0.05):
            assert list(LineReader(pipe[0]).batch(3, 20).texts) == [b"a", b"b", b"c"]

    def test_lines_that_have_waited_meanwhile_wait_no_longer(self, pipe):
        reader = LineReader(pipe[0])
        os.write(pipe[1], b"a\n")
        reader.batch(1, 0.0)
        os.write(pipe[1], b"b\n")
        reader._looked -= 60  # as if the first batch had taken so long to compute
        began = time.monotonic()
        assert list(reader.batch(100, 30).texts) == [b"b"]
        assert time.monotonic() - began < 30
