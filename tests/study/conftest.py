"""What the tests of the studies share: figures, looked at as far as a machine can."""

import importlib
import io

import pytest


@pytest.fixture
def drawn():
    """Draw a result; every figure is 800 pixels wide, and its axes and lines say what they are."""
    pytest.importorskip("matplotlib")

    def check(name, result):
        figures = importlib.import_module(f"narrows.study.charts.{name}").draw(result)
        for stem, figure in figures.items():
            assert stem.startswith(f"{name}-")
            assert figure.get_size_inches()[0] * figure.dpi == 800
            figure.savefig(io.BytesIO(), format="png")
            for axes in figure.axes:
                if axes.get_xticks().size:
                    assert axes.get_title(loc="left")
            assert any(axes.get_legend() for axes in figure.axes) or not figure.axes[0].lines
        return figures

    return check
