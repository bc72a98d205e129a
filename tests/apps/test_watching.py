"""The progress bar: on a terminal alone, and in nobody's way."""

import sys

import pytest

from narrows.apps.watching import progress_bar
from narrows.values import Figures, Progress


def steps():
    for step in (1, 2, 3):
        figures = Figures(nats=10.0 / step, distortion=9.0, rate=1.0)
        held_out = figures if step == 2 else None
        yield Progress(step, 100 * step, step / 2, step / 4, 30.0 * step, 0.1, figures, held_out)


def test_silent_off_a_terminal(capsys):
    assert [now.step for now in progress_bar(steps())] == [1, 2, 3]
    assert capsys.readouterr() == ("", "")


def test_figures_and_time_left_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    seen = []
    for now in progress_bar(steps()):
        seen.append(now.step)
    out, err = capsys.readouterr()
    assert seen == [1, 2, 3]
    assert out == ""
    assert "75%" in err
    assert "epoch 1.5, nats 3.3, held out 5.0, 3/s, 0:00:30 left" in err


def test_the_terminal_is_given_back_when_training_fails(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")

    def broken():
        yield from steps()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(progress_bar(broken()))
    assert capsys.readouterr().err.rstrip("\n").rfind("\x1b[?25h") >= 0  # the cursor is shown again
