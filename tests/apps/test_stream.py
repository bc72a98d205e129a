"""The verb stream: the scores of detect, line by line, whatever comes and whenever it is stopped."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

KILLED_STREAM = Path(__file__).parent.parent / "killed_stream.py"
LEARNS = "detector-fast"
FAST = "detector-without-network"


def flows(n, seed=0, strange=0, shift=0.0):
    """Lines of a table with text and gaps."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 3, n)
    sent = np.exp(random.normal(size=n) + 2 * kind + shift)
    yield "bytes_out,service,hops"
    for bytes_out, k in zip(sent, kind, strict=True):
        yield f"{bytes_out:.6g},{('http', 'dns', 'smtp')[k]},{'' if random.random() < 0.05 else k + 1}"
    yield from ["9.1e6,dns,2", "5,gopher,1"] * (strange // 2)


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Normal flows, one detector that stays as it is and one that learns."""
    from narrows.cli import run

    folder = tmp_path_factory.mktemp("flows")
    write(folder / "normal.csv", flows(1500))
    for preset in (FAST, LEARNS):
        words = ["train", str(folder / "normal.csv"), "--preset", preset, "-o", str(folder / f"{preset}.safetensors")]
        assert run(words) == 0
    return folder


@pytest.fixture
def still(folder):
    return folder / f"{FAST}.safetensors"


@pytest.fixture
def learns(folder):
    return folder / f"{LEARNS}.safetensors"


@pytest.fixture
def spoken(here, capfd):
    """Run a command line that must end well; return what it printed, and what it said beside."""
    from narrows.cli import run

    def check(*words):
        capfd.readouterr()
        status = run([str(word) for word in words])
        out, err = capfd.readouterr()
        assert status == 0, err
        return out, err

    return check


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def piped(*words, lines=b"", **options):
    """Run the command line in a process of its own, on a pipe."""
    line = [sys.executable, "-m", "narrows", "stream", *map(str, words)]
    return subprocess.run(line, input=lines, capture_output=True, timeout=300, check=False, **options)


def started(*words, **options):
    line = [sys.executable, "-m", "narrows", "stream", *map(str, words)]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


class TestScores:
    def test_are_those_of_detect(self, still, here, done):
        data = write(here / "new.csv", flows(600, 1, strange=10))
        done("stream", still, "--input", data, "-o", here / "s.jsonl")
        done("detect", still, data, "-o", here / "s.csv")
        with (here / "s.csv").open() as file:
            expected = list(csv.DictReader(file))
        found = records(here / "s.jsonl")
        assert [one["line"] for one in found] == list(range(2, 612))  # the names are line 1
        for one, row in zip(found, expected, strict=True):
            assert one["score"] == float(row["score"])
            assert one["p"] == float(row["p_value"])
            assert one["alarm"] == (row["anomaly"] == "1")
            assert one.get("why", "") == row["reason"]
        assert found[-2]["why"].startswith("bytes_out = 9.1e6, expected ")

    def test_are_the_same_from_a_pipe_from_json_and_in_any_batch(self, still, here, done):
        data = write(here / "new.csv", flows(100, 1, strange=4))
        names, *rows = (line.split(",") for line in data.read_text().splitlines())
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        objects = [{**one, "bytes_out": float(one["bytes_out"])} for one in objects]
        lines = write(here / "new.jsonl", [json.dumps(one) for one in objects])
        for name, words in {
            "a": (data,),
            "b": (lines,),
            "c": (data, "--batch", 1),
            "d": (lines, "--batch", 50, "--format", "jsonl"),
        }.items():
            done("stream", still, "-o", here / name, "--input", *words)
        found = {name: records(here / name) for name in "abcd"}
        moved = [{**one, "line": one["line"] + 1} for one in found["b"]]
        assert found["a"] == moved == found["c"] == [{**one, "line": one["line"] + 1} for one in found["d"]]
        run = piped(still, lines=data.read_bytes())
        assert (run.returncode, run.stderr) == (0, b"")
        assert run.stdout == (here / "a").read_bytes()

    def test_a_summary_where_the_output_is_a_file(self, still, here, done):
        data = write(here / "new.csv", flows(200, 1, strange=4))
        told = json.loads(done("stream", still, "--input", data, "-o", here / "s.jsonl", "--json"))
        found = records(here / "s.jsonl")
        alarms = sum(one["alarm"] for one in found)
        assert (told["lines"], told["rows"], told["alarms"], told["errors"]) == (205, 204, alarms, 0)
        assert told["learnt"] == 0

    def test_a_false_alarm_rate_means_what_it_does_to_detect(self, still, here, done):
        data = write(here / "new.csv", flows(400, 1))
        done("stream", still, "--input", data, "-o", here / "s.jsonl", "--false-alarm-rate", "0.1")
        assert all(one["alarm"] == (one["p"] <= 0.1) for one in records(here / "s.jsonl"))


class TestInput:
    def test_lines_that_are_no_rows_are_told_of_and_passed_over(self, still, here, spoken):
        good = list(flows(40, 1))
        bad = [b"1,dns", b"x,dns,1", b"\xff,dns,1", b"", b"9" * 10_000_000 + b",dns,1", b'"1,dns,2', b"1,d\rns,2"]
        names, *rows = (line.encode() for line in good)
        mixed = [names, *(line for pair in zip(rows, bad * 6, strict=False) for line in pair)]
        (here / "mixed.csv").write_bytes(b"\n".join(mixed))
        write(here / "good.csv", good)
        _, err = spoken("stream", still, "--input", here / "mixed.csv", "-o", here / "mixed.jsonl")
        spoken("stream", still, "--input", here / "good.csv", "-o", here / "good.jsonl")
        found = records(here / "mixed.jsonl")
        scored = [one for one in found if "score" in one]
        errors = [one for one in found if "error" in one]
        assert [one["score"] for one in scored] == [one["score"] for one in records(here / "good.jsonl")]
        assert [one["line"] for one in scored] == list(range(2, 82, 2))
        blank = [2 * i + 3 for i in range(40) if i % 7 == 3]
        assert [one["line"] for one in errors] == [line for line in range(3, 83, 2) if line not in blank]
        assert err == f"narrows: {len(errors)} of 81 lines were no rows\n"
        assert "longer than 1 MiB" in {one["line"]: one for one in errors}[11]["error"]

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"bytes_out,service,hops\n"])
    def test_an_empty_stream_has_no_rows(self, still, here, spoken, content):
        (here / "empty.csv").write_bytes(content)
        out, err = spoken("stream", still, "--input", here / "empty.csv")
        assert (out, err) == ("", "narrows: 0 rows\n")
        spoken("stream", still, "--input", here / "empty.csv", "-o", here / "s.jsonl")
        assert (here / "s.jsonl").read_bytes() == b""

    def test_further_columns_are_told_of_once(self, still, here, spoken):
        lines = [f"{'more' if i == 0 else i},{line}" for i, line in enumerate(flows(600, 1))]
        _, err = spoken("stream", still, "--input", write(here / "new.csv", lines))
        assert err == "narrows: further columns are passed over: 'more'\n"

    @pytest.mark.parametrize("first", ["bytes_out,servise,hops", '{"bytes_out": 1, "hops": 2}', "1,dns,2", "x" * 2**21])
    def test_a_missing_column_is_refused_before_anything_is_written(self, still, here, refused, first):
        data = write(here / "new.csv", [first, "1,dns,2"])
        (here / "s.jsonl").write_text("what was there\n")
        told = refused("stream", still, "--input", data, "-o", here / "s.jsonl", "--state", here / "state")
        assert "lacks the column" in told or "longer than 1 MiB" in told

    def test_refuses_what_cannot_be_used(self, still, learns, here, refused):
        data = write(here / "new.csv", flows(3, 1))
        assert "there is no file" in refused("stream", still, "--input", here / "none.csv")
        assert "needs 999 calibration rows" in refused("stream", still, "--input", data, "--false-alarm-rate", "0.001")
        assert "--batch was given as 0" in refused("stream", still, "--input", data, "--batch", "0")
        assert "--save-every was given as 0" in refused("stream", still, "--input", data, "--save-every", "0")
        assert "unknown format" in refused("stream", still, "--input", data, "--format", "xml")
        assert "give --learn as well" in refused("stream", learns, "--input", data, "--memory", "5")
        assert "--preset detector-fast" in refused("stream", still, "--input", data, "--learn")
        assert "would be overwritten" in refused("stream", still, "--input", data, "-o", data)
        assert "different names" in refused("stream", still, "--input", data, "-o", "x", "--state", here / "x")

    def test_an_output_that_is_there_is_written_anew(self, still, here, done):
        data = write(here / "new.csv", flows(30, 1))
        (here / "s.jsonl").write_text("what was there\n" * 1000)
        done("stream", still, "--input", data, "-o", here / "s.jsonl")
        assert len(records(here / "s.jsonl")) == 30


class TestLearning:
    def test_a_changed_world_is_told_of_and_learnt(self, learns, here, spoken):
        data = write(here / "new.csv", [*flows(3000, 1), *list(flows(9000, 2, shift=3.0))[1:]])
        _, err = spoken("stream", learns, "--input", data, "-o", here / "fixed.jsonl")
        words = ("--learn", "--memory", "2000", "--state", here / "state.safetensors", "--json")
        out, err_learning = spoken("stream", learns, "--input", data, "-o", here / "learnt.jsonl", *words)
        fixed, learnt = records(here / "fixed.jsonl"), records(here / "learnt.jsonl")
        changes = [one for one in fixed if "drift" in one]
        assert changes == [one for one in learnt if "drift" in one]
        assert changes[0]["line"] in (3001, 4001, 5001)
        assert changes[0]["drift"]["rows"] == 1000
        assert changes[0]["drift"]["p"] < 1e-4
        assert f"line {changes[0]['line']}: the world has changed" in err
        assert err == err_learning

        def share(found):
            last = [one["alarm"] for one in found if "score" in one][-3000:]
            return sum(last) / len(last)

        assert share(learnt) < share(fixed)
        assert json.loads(out)["learnt"] > 6000

    def test_what_was_learnt_is_a_detector(self, learns, here, done):
        data = write(here / "new.csv", flows(500, 1))
        state = here / "state.safetensors"
        done("stream", learns, "--input", data, "-o", here / "s.jsonl", "--learn", "--state", state)
        told = json.loads(done("detect", state, data, "-o", here / "s.csv", "--json"))
        assert told["guarantee"].startswith("none: the detector has learnt from a stream")
        done("detect", learns, data, "-o", here / "t.csv")
        assert (here / "s.csv").read_bytes() != (here / "t.csv").read_bytes()


class TestGoingOn:
    @pytest.mark.parametrize("words", [[], ["--learn", "--false-alarm-rate", "0.05"]], ids=["still", "learning"])
    def test_killed_at_any_moment_the_output_is_the_same(self, learns, here, words):
        """Every line exactly once, byte for byte, and so is the state."""
        (here / "m.safetensors").write_bytes(learns.read_bytes())
        lines = list(flows(6000, 3))
        lines[2500:2503] = ["bad", "1,dns", "x" * 2_000_000]
        write(here / "data.csv", lines)
        program = [sys.executable, str(KILLED_STREAM), str(here), "0", "6", "--save-every", "350", *words]
        run = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
        assert run.returncode == 0, run.stderr
        assert int(run.stdout.splitlines()[-1].split()[0]) >= 3, run.stdout
        assert (here / "killed" / "out.jsonl").read_bytes() == (here / "whole" / "out.jsonl").read_bytes()
        assert (here / "killed" / "state.safetensors").read_bytes() == (
            (here / "whole" / "state.safetensors").read_bytes()
        )

    def test_a_finished_file_has_nothing_more_and_a_grown_one_the_rest(self, still, here, done):
        lines = list(flows(500, 1))
        data = write(here / "new.csv", lines[:300])
        words = ("stream", still, "--input", data, "-o", here / "s.jsonl", "--state", here / "state")
        done(*words)
        first = (here / "s.jsonl").read_bytes()
        done(*words)
        assert (here / "s.jsonl").read_bytes() == first
        write(data, lines)
        told = json.loads(done(*words, "--json"))
        assert told["rows"] == 500
        done("stream", still, "--input", data, "-o", here / "t.jsonl")
        assert (here / "s.jsonl").read_bytes() == (here / "t.jsonl").read_bytes()

    def test_states_that_do_not_fit_are_refused(self, still, learns, here, done, refused):
        data = write(here / "new.csv", flows(300, 1))
        state = here / "state"
        rest = ("--input", data, "-o", here / "s.jsonl", "--state", state)
        done("stream", learns, *rest)
        assert "the model of SHA-256" in refused("stream", still, *rest)
        assert "--false-alarm-rate 0.01, and now it is 0.05" in refused(
            "stream", learns, *rest, "--false-alarm-rate", "0.05"
        )
        assert "--learn False, and now it is True" in refused("stream", learns, *rest, "--learn")
        assert "--batch 256" in refused("stream", learns, *rest, "--batch", "20")
        assert "--output" in refused("stream", learns, "--input", data, "-o", here / "t.jsonl", "--state", state)
        whole, lines = (here / "s.jsonl").read_bytes(), data.read_bytes()
        (here / "s.jsonl").write_bytes(whole[:-1])
        assert "shorter than the state says" in refused("stream", learns, *rest)
        (here / "s.jsonl").write_bytes(whole)
        data.write_bytes(lines[:-30])
        assert "not the file that the state tells of" in refused("stream", learns, *rest)
        data.write_bytes(lines.replace(b"dns", b"smb"))
        assert "not the file that the state tells of" in refused("stream", learns, *rest)
        data.write_bytes(lines)
        kept = state.read_bytes()
        state.write_bytes(kept[:-5])
        assert "was cut short" in refused("stream", learns, *rest)
        state.write_bytes(learns.read_bytes())
        assert "no state of a stream" in refused("stream", learns, *rest)

    def test_a_line_that_was_cut_and_then_grew_is_refused(self, still, here, done, refused):
        data = write(here / "new.csv", flows(30, 1))
        whole = data.read_bytes()
        data.write_bytes(whole[:-1])
        words = ("stream", still, "--input", data, "-o", here / "s.jsonl", "--state", here / "state")
        done(*words)
        data.write_bytes(whole[:-1] + b"0\n")
        assert "line 31 of the input was not finished" in refused(*words)


class TestPipes:
    def test_a_line_is_scored_while_the_sender_waits(self, still, here, done):
        """Batches are never full; each line comes back before the next one is sent. Then SIGTERM, then the rest."""
        state, lines = here / "state", [f"{line}\n".encode() for line in flows(60, 1)]
        process = started(still, "--state", state)
        process.stdin.write(lines[0])
        first = []
        for line in lines[1:21]:
            process.stdin.write(line)
            process.stdin.flush()
            first.append(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (128 + signal.SIGTERM, b"")
        assert err == b"narrows: stopped by SIGTERM after line 21\n"
        rest = piped(still, "--state", state, lines=b"".join(lines[21:]))
        assert rest.returncode == 0
        assert rest.stderr == b"narrows: goes on after line 21; send from line 22 on\n"
        (here / "new.csv").write_bytes(b"".join(lines))
        done("stream", still, "--input", here / "new.csv", "-o", here / "s.jsonl")
        assert b"".join(first) + rest.stdout == (here / "s.jsonl").read_bytes()
        assert [one["line"] for one in records(here / "s.jsonl")] == list(range(2, 62))

    def test_when_the_reader_has_gone_the_state_is_kept(self, still, here):
        process = started(still, "--state", here / "state")
        process.stdin.write("".join(f"{line}\n" for line in flows(20, 1)).encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["line"] == 2
        process.stdout.close()
        while True:
            try:
                process.stdin.write(b"1,dns,2\n")
                process.stdin.flush()
            except BrokenPipeError:
                break
            if process.poll() is not None:
                break
            time.sleep(0.01)
        assert process.wait(timeout=60) == 1
        assert process.stderr.read() == b""
        assert (here / "state").exists()

    def test_an_interrupt_ends_it_at_once(self, still, here):
        process = started(still)
        process.stdin.write(b"bytes_out,service,hops\n1,dns,2\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGINT
        assert err == b"narrows: stopped by SIGINT after line 2\n"
