"""The verb report: one page that needs nothing else, whose figures are those of the other verbs."""

import base64
import html
import io
import json
import math
import re
import shlex
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from narrows import load, read
from narrows.apps.reading import Reading
from narrows.cli import run
from narrows.evaluate import errors
from narrows.evaluate.reconstruction import row_errors
from narrows.parts import make
from narrows.persist import holds
from narrows.report.charts import Range
from narrows.report.markup import escaped, table, tag
from narrows.report.training import learning_curves
from narrows.tensors import tensor_of

VOID = {"img", "meta"}
HOSTILE = '<script>alert("1")</script>'
FAST = "detector-without-network"
LATENTS = ((True, "gaussian"), (False, "l1"), (False, "point"))


class Page(HTMLParser):
    """What a page holds; an element that is not closed where it should be is a failure."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.attributes, self.numbers = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.attributes.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)
        if name == "data":
            self.numbers.append(dict(attributes)["value"])

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def ids(self):
        return [held["id"] for _, held in self.attributes if "id" in held]


@pytest.fixture
def reported(models, here, done):
    """Write a report; return its text, and what the verb said."""

    def write(*words):
        told = json.loads(done("report", *words, "-o", "report.html", "--json"))
        text = (here / "report.html").read_text(encoding="utf-8")
        assert told["bytes"] == len(text.encode()) < 5_000_000
        return text, told

    return write


def titles(text: str) -> list[str]:
    return re.findall(r'<h2 id="([\w-]+)-title">', text)


def figures_in(text: str) -> dict[str, str]:
    """Exact figures of the section of all figures, by name."""
    whole = text[text.index('<section id="figures"') :]
    return dict(re.findall(r'<th scope="row">([\w ]+)</th><td class="number"><data value="([^"]+)">', whole))


def test_the_page_stands_alone_and_says_what_each_figure_is(models, reported):
    text, told = reported(models / "digits.safetensors", "digits:test")
    page = Page(text)
    assert (told["models"], told["rows"], told["sections"]) == (1, 360, page.tags.count("section"))
    outside = [value for _, held in page.attributes for key, value in held.items() if key in ("src", "href")]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in outside)
    assert "http" not in re.sub(r"http-equiv", "", text).replace("HTTP", "")
    style = text[text.index("<style>") : text.index("</style>")]
    assert not any(word in style for word in ("url(", "@import"))
    assert "default-src 'none'; img-src data:;" in text
    assert len(set(page.ids())) == len(page.ids())
    assert {value[1:] for value in outside if value.startswith("#")} <= set(page.ids())
    captions = re.findall(r"<figcaption><p>(.+?)</p><div>(.*?)</div></figcaption></figure>", text)
    assert len(captions) == page.tags.count("figure") > 10
    for says, facts in captions:
        assert says.endswith(".")
        assert re.fullmatch(r"Unit: .+\. n: .+\. Made by <code>narrows \w+ .+</code>", facts), facts
    assert all(held["alt"] for name, held in page.attributes if name == "img")
    assert page.tags.count("h1") == 1


def test_the_figures_are_those_of_evaluate(models, reported, done):
    text, _ = reported(models / "digits.safetensors", "digits:test", "--rows", 50, "--seed", 3)
    line = ("evaluate", models / "digits.safetensors", "digits:test", "--rows", 50, "--seed", 3, "--json")
    told = json.loads(done(*line))
    numbers = {name: value for name, value in told.items() if isinstance(value, (int, float)) and value is not False}
    shown = {name.replace(" ", "_"): float(value) for name, value in figures_in(text).items()}
    assert shown == numbers
    bars = re.findall(r'<th scope="row">z(\d+)</th><td class="number"><data value="([^"]+)">', text)
    assert {int(unit): float(nats) for unit, nats in bars} == dict(enumerate(told["kl_by_unit_nats"]))
    assert "--rows 50 --seed 3" in text


def test_sections_come_and_go_with_the_model(models, here, reported, done):
    whole = ["data", "model", "learning", "findings", "reconstructions", "pca", "samples", "map", "traversals", "units"]
    text, _ = reported(models / "digits.safetensors", "digits:test", "--rows", 40)
    assert titles(text) == [*whole, "sizes", "figures"]
    assert "latent gaussian has no sparse codes" in text
    text, _ = reported(models / "point.safetensors", "digits:test", "--rows", 40)
    assert titles(text) == [*[name for name in whole if name not in ("samples", "units")], "figures"]
    assert "point codes have no distribution to draw new ones from" in text
    text, _ = reported(models / "table.safetensors", models / "table.csv")
    assert titles(text) == [*whole, "figures"]
    sparse = ("--preset", "dictionary", "--epochs", 1, "--set", "latent.size=24")
    done("train", "digits", "-o", "sparse.safetensors", *sparse)
    text, _ = reported("sparse.safetensors", "digits:test", "--rows", 40)
    assert "examples" in titles(text)
    assert "traversals" not in titles(text)


def test_beside_sparse_codes_stand_components_of_their_size_and_of_what_a_row_keeps(here, reported, done):
    sparse = ("--preset", "dictionary", "--epochs", 1, "--set", "latent.size=80", "latent.k=5")
    done("train", "digits", "-o", "wide.safetensors", *sparse)
    text, _ = reported("wide.safetensors", "digits:test", "--rows", 40)
    baseline, rows = load(here / "wide.safetensors").baseline, read("digits:test").values[:40]
    x = torch.from_numpy(rows.reshape(40, -1) / 16).float()
    for number in (len(baseline.components), 5):
        kept = baseline.components[:number]
        error = (x - baseline.mean - (x - baseline.mean) @ kept.T @ kept).square().mean()
        line = re.search(rf'principal components, {number} numbers</th><td class="number"><data value="([^"]+)">', text)
        assert float(line[1]) == pytest.approx(float(error), rel=1e-3, abs=1e-9)
        assert f"{number} principal components make" in text


def test_a_model_without_a_code_draws_and_is_not_said_to_rebuild(here, reported, done):
    done("train", "digits", "-o", "told.safetensors", "--preset", "compressor-fast", "--epochs", 1)
    text, _ = reported("told.safetensors", "digits:test", "--rows", 40)
    assert "A model without a code (preset compressor-fast) tells the 64 numbers of a row from each other." in text
    assert "latent none is no code, so there is none to rebuild rows from" in text
    assert "New examples: drawn pixel by pixel" in text
    for word in ("principal components make", "New examples: codes", "Best: rows"):
        assert word not in text


def test_an_old_file_is_reported_and_a_file_without_a_curve_says_so(models, here, reported):
    from dataclasses import replace

    from narrows.persist import save

    fitted = load(models / "digits.safetensors")
    save(replace(fitted, record={}), here / "bare.safetensors")
    text, _ = reported("bare.safetensors", "digits:test", "--rows", 30)
    assert "learning" not in titles(text)
    assert "bare.safetensors holds no figures of its training" in text


def epochs(*terms):
    """A training record of epochs with these terms, on training rows and, but for the first, on held-out rows."""
    figures = [dict(zip(("nats", "distortion", "rate"), each, strict=True)) for each in terms]
    history = [{"epoch": i + 1, "training": one, "validation": one if i else None} for i, one in enumerate(figures)]
    return {"history": history, "data": {"rows": 50, "held_out": 10}}


def drawn(kind, latent, record):
    """The charts of learning curves by their titles: the numbers of points of their lines."""
    model = SimpleNamespace(latent=latent, objective=make("objective", kind))
    fitted = SimpleNamespace(model=model, record=record)
    subject = SimpleNamespace(name="m", own_command="narrows report m d", fitted=fitted)
    (figure,) = learning_curves(subject)
    charts = re.findall(r"<svg.*?<title>(.*?): nats a row by epoch</title>(.*?)</svg>", figure.body)
    return {title: [len(p.split()) for p in re.findall(r'points="([^"]*)"', chart)] for title, chart in charts}


def test_every_term_of_the_objective_has_a_curve_and_none_that_is_nothing():
    random, sparse, plain = (SimpleNamespace(random=is_random, kind=kind) for is_random, kind in LATENTS)
    whole = epochs((9.0, 6.0, 3.0), (8.0 + 1e-6, 6.0, 2.0), (7.0, 6.0, 1.0))
    both, two = [3, 2], ["the objective, which is made small", "distortion: -ln p(x given its code)"]
    assert drawn("elbo", random, whole) == dict.fromkeys([*two, "rate: KL(q || p)"], both)
    assert drawn("elbo", sparse, whole) == dict.fromkeys([*two, "price of the code, l1"], both)
    assert drawn("elbo", plain, epochs((6.0, 6.0, 0.0), (5.0, 5.0, 0.0))) == {title: [2, 1] for title in two}
    apart = drawn("neighbours", plain, epochs((9.0, 6.0, 0.0), (8.0, 6.0, 0.0), (math.nan, 6.0, 0.0)))
    assert apart == {title: [2, 1] for title in (*two, "price of neighbours taken apart")}


def test_the_rows_shown_are_the_best_the_middle_and_the_worst(models, reported):
    fitted = load(models / "digits.safetensors")
    rows = tensor_of(read("digits:test", schema=fitted.schema).values)
    each = row_errors(fitted.model, rows)
    assert float(each.double().mean()) == pytest.approx(errors(fitted, rows)["reconstruction_error"], rel=1e-6)
    text, _ = reported(models / "digits.safetensors", "digits:test")
    shown = [int(place) for place in re.findall(r'alt="row (\d+): given"', text)]
    order = each.argsort().tolist()
    assert (shown[:8], shown[8:16], shown[16:]) == (order[:8], order[176:184], order[:-9:-1])
    first = re.search(r'<img src="data:image/png;base64,([^"]+)" alt="row \d+: given"', text)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(first[1]))))
    np.testing.assert_array_equal(pixels, (rows[order[0], 0].double() * 255 / 16).round().numpy())


def test_principal_components_come_back_in_raw_units(models):
    """Where the code is as long as a row, nothing is lost by projection."""
    fitted = load(models / "table.safetensors")
    raw = tensor_of(read(str(models / "table.csv"), schema=fitted.schema).values)
    transform = fitted.model.transform
    back = transform.uncompared(fitted.baseline.rebuilt(transform.comparable(transform(raw).x)))
    np.testing.assert_allclose(back.numpy(), raw.numpy(), rtol=1e-3, atol=1e-3)
    ink = load(models / "ink.safetensors")
    raw = tensor_of(read(str(models / "ink.npy"), schema=ink.schema).values)
    x = ink.model.transform(raw).x
    np.testing.assert_allclose(ink.model.transform.uncompared(ink.model.transform.comparable(x)).numpy(), raw.numpy())


@pytest.fixture(scope="session")
def flows(tmp_path_factory):
    """A table whose columns and labels are markup, and a detector and a model of it."""
    folder = tmp_path_factory.mktemp("flows")
    rng = np.random.default_rng(0)
    rows = [
        f"{a:.3f},{b:.3f},{'<b>x</b>' if c > 1 else 'y'},{i % 2}"
        for i, (a, b, c) in enumerate(rng.random((1200, 3)) * 2)
    ]
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    (folder / "t.csv").write_text("\n".join([f"{quoted},b&b,kind,label", *rows]) + "\n")
    train = ("train", folder / "t.csv", "--label", "label", "-o")
    assert run([*map(str, (*train, folder / "detector.safetensors", "--preset", FAST))]) == 0
    small = ("--epochs", "1", "--set", "network.width=8", "latent.size=2")
    assert run([*map(str, (*train, folder / "model.safetensors", *small))]) == 0
    return folder


def test_names_in_the_data_never_become_markup(flows, reported):
    for file in ("detector.safetensors", "model.safetensors"):
        text, _ = reported(flows / file, flows / "t.csv", "--label", "label", "--colour", HOSTILE)
        assert HOSTILE not in text
        assert "<b>x" not in text
        assert "&lt;script&gt;" in text
        assert "b&amp;b" in text
        assert Page(text).tags.count("script") == 1


def test_a_detector_is_reported_with_what_it_marks(flows, reported, done):
    text, _ = reported(flows / "detector.safetensors", flows / "t.csv", "--label", "label", "--false-alarm-rate", 0.05)
    assert titles(text) == ["data", "detector", "alarms", "anomalies"]
    rate = ("--false-alarm-rate", 0.05, "--label", "label")
    told = json.loads(done("detect", flows / "detector.safetensors", flows / "t.csv", "-o", "s.csv", *rate, "--json"))
    line = re.search(r'<data value="0.05">0.05</data></th>(.*?)</tr>', text)[1]
    assert re.findall(r'value="([^"]+)"', line) == [
        repr(told["threshold"]),
        repr(told["anomalies"]),
        repr(told["share"]),
    ]
    assert told["guarantee"] in text
    assert text.count("shares of the score") == 10
    assert "too few calibration rows" in text


def test_several_models_stand_in_one_table(models, flows, reported, done):
    files = [models / name for name in ("digits.safetensors", "point.safetensors")]
    text, told = reported(*files, "digits:test", "--rows", 30)
    Page(text)
    assert (told["models"], told["rows"]) == (2, 30)
    lines = re.findall(r'<th scope="row"><a href="#modelsubject-\d">([\w.]+)</a></th>(.*?)</tr>', text)
    assert [name for name, _ in lines] == [file.name for file in files]
    for file, (_, line) in zip(files, lines, strict=True):
        measured = json.loads(done("evaluate", file, "digits:test", "--rows", 30, "--json"))
        numbers = re.findall(r'<data value="([^"]+)">', line)
        assert numbers[:3] == [repr(measured[name]) for name in ("rows", "reconstruction_error", "pca_error")]
        assert int(numbers[-1]) == file.stat().st_size
    text, _ = reported(flows / "detector.safetensors", flows / "model.safetensors", flows / "t.csv", "--label", "label")
    assert "detectors compared" in text
    assert "models compared" in text


def test_colours_of_a_map_are_those_of_a_column(models, reported):
    text, _ = reported(models / "table.safetensors", models / "table.csv", "--colour", "a")
    assert "coloured by a." in text
    assert text.count("<circle ") >= 40
    assert "linear-gradient" in text


def test_equal_seeds_give_equal_pages(models, reported):
    words = (models / "bits.safetensors", models / "bits.npy", "--rows", 30)
    assert reported(*words)[0] == reported(*words)[0]


def commands_in(text: str) -> set[str]:
    return set(map(html.unescape, re.findall(r"<code>(narrows .*?)</code>", text)))


def test_every_command_line_on_the_page_runs(models, flows, here, reported, done):
    pages = [(models / "bits.safetensors", models / "bits.npy", "--rows", 20, "--seed", 2)]
    pages += [
        (flows / file, flows / "t.csv", "--label", "label", "--colour", HOSTILE)
        for file in ("model.safetensors", "detector.safetensors")
    ]
    verbs = set()
    for words in pages:
        for command in commands_in(reported(*words)[0]):
            done(*shlex.split(command)[1:])
            verbs.add(command.split()[1])
    assert verbs == {"data", "report", "evaluate", "generate", "embed", "detect"}


def test_options_of_reading_are_written_as_they_are_given():
    reading = Reading(key="a b", ignore=("x", "y"), no_header=True, column=("n=count",), tile=8)
    words = ("--key", "a b", "--ignore", "x", "--ignore", "y", "--no-header", "--column", "n=count", "--tile", "8")
    assert reading.words() == words
    assert Reading().words() == ()


def test_a_file_says_what_it_holds(models, flows, here):
    assert holds(flows / "detector.safetensors", "detector")
    assert not holds(flows / "model.safetensors", "detector")
    assert holds(models / "digits.safetensors", "model")
    (here / "text").write_text("text")
    assert not any(holds(path, "detector") for path in (here / "text", here / "none", here))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_even_and_within(low, width):
    axis = Range(low, low + width, 0, 1)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 6
    assert all(-1e-6 <= axis.place(tick) <= 1 + 1e-6 for tick in ticks)
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[:1])
    for step in steps[:1]:
        assert f"{step:.0e}"[0] in "125"


def test_refused(models, refused):
    line = ("report", models / "digits.safetensors", models / "digits.safetensors", "digits", "-o")
    refused(*line, "r.txt", says="a report is .html")
    refused(*line, "none/r.html", says="there is no folder")
    refused("report", models / "digits.safetensors", "nothing.csv", "-o", "r.html", says="no such file or data set")
    refused("report", "m.safetensors", "digits", "-o", "r.html", says="there is no file m.safetensors")
    refused(
        "report", models / "digits.safetensors", models / "table.csv", "-o", "r.html", says="the model was trained on"
    )


def test_text_is_escaped_and_numbers_are_exact():
    assert escaped("<\0\ud800&") == "&lt;\ufffd\ufffd&amp;"
    assert tag("a", "<", href='"', data_x=True, rel=None) == '<a href="&quot;" data-x>&lt;</a>'
    assert '<data value="0.1234567890123">0.1235</data>' in table(("a", "b"), [("x", 0.1234567890123)], "l")
