"""The page of `export --web`: what it holds, and what it says in a browser that may fetch nothing."""

import base64
import csv
import gzip
import hashlib
import html
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small import HELD, RUNS, TABLE, images, packed, table, write_csv

from narrows.cli import run
from narrows.export.runtime import PROGRAM, SCRIPT, read_runtime
from narrows.export.web import page
from narrows.inference import bounds, reconstructed


def blocks(text: str, kind: str) -> dict[str, str]:
    """Script elements of a type: what they hold, by their ids, or by their places."""
    found = re.findall(rf'<script type="{re.escape(kind)}"(?: id="([^"]*)")?[^>]*>(.*?)</script>', text, re.DOTALL)
    return {name or str(place): held for place, (name, held) in enumerate(found)}


# --- what it holds ---------------------------------------------------------------------------------------------------


def test_the_page_holds_the_graphs_and_refers_to_nothing(exported):
    text = (exported / "index.html").read_text()
    held = {
        name: gzip.decompress(base64.b64decode(block))
        for name, block in blocks(text, "application/octet-stream").items()
    }
    assert held == {"wasm": HELD[PROGRAM], "graph-score": (exported / "score.onnx").read_bytes()}
    said = json.loads(blocks(text, "application/json")["model"])
    assert said == json.loads((exported / "model.json").read_text())
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["data:,"]
    assert "sourceMappingURL" not in text
    assert "globalThis.ort = a;" in text


def test_the_policy_lets_the_page_s_own_scripts_run_and_nothing_else(exported):
    text = (exported / "index.html").read_text()
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])
    rules = {name: words for name, *words in (rule.split() for rule in policy.split(";"))}

    def digest(part: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"

    scripts = blocks(text, "module").values()
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == [*map(digest, scripts), "'wasm-unsafe-eval'"]
    assert rules["style-src"] == [digest(re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1])]
    assert len(scripts) == 2
    assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert 'style="' not in text


def test_names_of_the_data_cannot_become_markup(exported, tmp_path):
    said = json.loads((exported / "model.json").read_text())
    evil = "</script><script>alert(1)</script><!--"
    said["columns"][2]["categories"] = [evil]
    said["preset"] = said["data"]["is"] = evil
    text = page(said, exported, read_runtime(packed(tmp_path / "p.tgz", HELD)))
    assert evil not in text
    assert len(re.findall("<script", text)) == 5
    assert json.loads(blocks(text, "application/json")["model"]) == said


def test_p_values_can_be_computed_from_what_the_folder_says(exported):
    alarm = json.loads((exported / "model.json").read_text())["alarm"]
    scores = alarm["calibration"]
    assert len(scores) == alarm["calibration_rows"] == 100
    assert scores == sorted(scores)
    above = sum(one > alarm["threshold"] for one in scores)
    assert (1 + above) / (1 + len(scores)) <= alarm["false_alarm_rate"]


# --- what it is made from --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "dist", "package/dist", "node_modules/onnxruntime-web/dist"])
def test_the_runtime_is_found_in_a_folder(tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    for name, held in HELD.items():
        (folder / name).write_bytes(held)
    found = read_runtime(tmp_path)
    assert (found.version, found.program) == ("9.9.9", HELD[PROGRAM])


def test_what_is_no_runtime_is_refused_before_anything_is_written(refused, detector):
    given = ("export", detector, "-o", "graphs", "--web")
    refused(*given, "absent.tgz", says="absent.tgz is not there, which a page needs of onnxruntime-web; get it by npm")
    Path("empty").mkdir()
    refused(*given, "empty", says=f"empty does not hold {SCRIPT}")
    Path("no.tgz").write_bytes(b"not packed")
    refused(*given, "no.tgz", says=f"no.tgz does not hold {SCRIPT}")
    packed(Path("half.tgz"), {SCRIPT: RUNS.encode()})
    refused(*given, "half.tgz", says=PROGRAM)
    for other in (RUNS.replace("as default", "as other"), RUNS.replace("ONNX", ""), f"{RUNS}'</script>'"):
        packed(Path("other.tgz"), {**HELD, SCRIPT: other.encode()})
        refused(*given, "other.tgz", says="is not laid out as that of onnxruntime-web 1.30")


def test_a_page_needs_graphs_in_onnx(refused, detector):
    refused("export", detector, "-o", "g", "--web", "p.tgz", "--format", "torch", says="leave --format or --web out")
    refused("export", detector, "-o", "g", "--web", "p.tgz", "--codec", says="leave --codec or --web out")


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def onnxruntime_web() -> Path:
    """The npm package."""
    given = os.environ.get("ONNXRUNTIME_WEB")
    installed = Path(__file__).parents[2] / "node_modules/onnxruntime-web"
    if given is None and not installed.is_dir():
        pytest.skip("ONNXRUNTIME_WEB is not set (to what npm pack onnxruntime-web gets), nor is it in node_modules")
    return installed if given is None else Path(given)


@pytest.fixture
def offline(chromium):
    """Pages that may fetch nothing."""
    with chromium.new_context(offline=True) as context:
        context.set_default_timeout(120_000)
        yield context


class Opened:
    """A page that was opened from a file, with all that it complained of and asked for."""

    def __init__(self, context, path: Path) -> None:
        self.page, self.heard, self.asked = context.new_page(), [], []
        self.page.on("console", lambda message: self.heard.append(message.text))
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.locator("#state", has_not_text="Starting").wait_for()
        assert self.page.text_content("#state") == "Ready."

    def give(self, file: Path) -> str:
        """Choose a file, and wait for what the page says; the fault, if there is one."""
        self.page.set_input_files("#file", [])
        self.page.set_input_files("#file", file)
        return self.settled()

    def settled(self) -> str:
        self.page.locator("#answer:not([aria-busy]) > *, #fault:not(:empty)").first.wait_for()
        return self.page.text_content("#fault")

    def figures(self) -> dict[str, list]:
        """Columns of the table, by their names."""
        read = """() => [...document.querySelectorAll('#answer table tr')].map((line) => [...line.children].map(
            (cell) => cell.querySelector('data')?.value ?? cell.firstChild?.textContent))"""
        names, *lines = self.page.evaluate(read)
        return {name: [line[place] for line in lines] for place, name in enumerate(names)}

    def done(self) -> None:
        """Nothing was complained of, and nothing asked for but the page and files that it made itself."""
        assert self.heard == []
        assert [one for one in self.asked[1:] if not one.startswith(("blob:", "data:"))] == []
        self.page.close()


def with_page(folder: Path, runtime: Path, here: Path) -> Path:
    """The page of a folder that was exported, with what runs it."""
    said = json.loads((folder / "model.json").read_text())
    (here / "index.html").write_text(page(said, folder, read_runtime(runtime)))
    return here / "index.html"


def test_the_page_scores_a_table_as_detect_does(here, offline, onnxruntime_web, detector, exported):
    rows = torch.cat([table(0)[:50], table(1)[:50]])
    write_csv(here / "rows.csv", rows)
    assert rows.isnan().any()
    assert run(["detect", str(detector), "rows.csv", "-o", "scores.csv"]) == 0
    with (here / "scores.csv").open() as file:
        own = list(csv.DictReader(file))
    opened = Opened(offline, with_page(exported, onnxruntime_web, here))
    assert opened.give(here / "rows.csv") == ""
    found = opened.figures()
    scores = [float(row["score"]) for row in own]
    np.testing.assert_allclose(np.array(found["score"], float), scores, rtol=1e-5, atol=1e-5)
    # Rows of the calibration have p-values at which rounding decides.
    apart = np.abs(np.array(found["p-value"], float) - [float(row["p_value"]) for row in own])
    assert (apart > 1e-9).sum() <= 5
    assert apart.max() < 0.011
    assert sum(row["anomaly"] == "1" for row in own) == found["verdict"].count("anomaly") > 0
    # The form asks for the same.
    for place, (column, value) in enumerate(zip(TABLE.columns, rows[3].tolist(), strict=True)):
        if column.categories:
            opened.page.select_option(f"#cell-{place}", "missing" if value != value else str(int(value)))
        else:
            opened.page.fill(f"#cell-{place}", "" if value != value else repr(value))
    opened.page.click("#form button")
    opened.settled()
    assert len(opened.figures()["score"]) == 1
    assert float(opened.figures()["score"][0]) == pytest.approx(float(found["score"][3]), rel=1e-9)
    # What is wrong is said.
    (here / "other.csv").write_text("amount,visits,town\n1,2,Oslo\n")
    assert "There is no column member" in opened.give(here / "other.csv")
    (here / "word.csv").write_text('amount,visits,town,member\n1,2,"Oslo, by ""the"" sea",no\nmuch,2,Oslo,no\n')
    assert opened.give(here / "word.csv") == "Row 2, column amount: “much” is no number."
    opened.done()


def test_the_page_reconstructs_images_as_the_model_does(here, offline, onnxruntime_web, of_images):
    model, folder = of_images
    given = images(1)[:100]
    np.save(here / "images.npy", given[:, 0].numpy())
    Image.fromarray(given[0, 0].numpy().astype(np.uint8)).save(here / "one.png")
    Image.fromarray(np.zeros((12, 13), np.uint8)).save(here / "wide.png")
    Image.fromarray(np.full((12, 12, 3), (0, 0, 1), np.uint8)).save(here / "blue.png")
    opened = Opened(offline, with_page(folder, onnxruntime_web, here))
    assert opened.give(here / "images.npy") == ""
    found = opened.figures()
    np.testing.assert_allclose(np.array(found["score"], float), bounds(model, given), rtol=1e-5, atol=1e-5)
    errors = (reconstructed(model, given) - given).square().mean((1, 2, 3)).sqrt()
    np.testing.assert_allclose(np.array(found["error"], float), errors, rtol=1e-5)
    assert opened.give(here / "one.png") == ""
    assert float(opened.figures()["score"][0]) == pytest.approx(float(found["score"][0]), rel=1e-6)
    assert opened.page.locator("canvas").count() == 2
    assert opened.give(here / "wide.png").startswith("The image is 13 × 12 pixels; the model takes 12 × 12.")
    assert "has colours" in opened.give(here / "blue.png")
    opened.done()
