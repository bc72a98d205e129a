"""The explorer: what its routes give, what they refuse, and the page itself in a browser."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from served import IMAGES, TABLE, images, objects, rows
from starlette.testclient import TestClient
from test_verbs import close, post

from browsing import DESKTOP, PHONE, serving, until
from narrows.apps.serve import serve
from narrows.cli import run
from narrows.data.dataset import Dataset
from narrows.data.writers import write_table
from narrows.detection.files import save_detector
from narrows.detection.fit import fit_detector
from narrows.generation.moves import spherical
from narrows.serve import Limits
from narrows.serve.application import application
from narrows.serve.explorer.routes import ROUTES, Explorer
from narrows.serve.explorer.shell import MEDIA, STATIC, shell
from narrows.serve.explorer.shown import DRAWN, draws_shown, rows_shown
from narrows.serve.verbs import open_loaded

TOKEN = "a-token-of-no-use-at-all"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def client_of(loaded, shown=None, limits=None, **options) -> TestClient:
    app = application(loaded, limits, explorer=Explorer(loaded, shown), **options)
    return TestClient(app, raise_server_exceptions=False)


def of_images(files, name="images", n=30, most=20):
    loaded = open_loaded(files / f"{name}.safetensors")
    values = images(3, n)[:, None]
    labels = np.arange(n) // 10
    return loaded, rows_shown(
        loaded, "/a/folder/of/mine.npy", Dataset(values, IMAGES, labels, ""), "label", labels, most
    )


@pytest.fixture(scope="module")
def pictures(files):
    with client_of(*of_images(files)) as made:
        yield made


# --- what the page is told -------------------------------------------------------------------------------------------


def test_the_scene_of_images(pictures):
    page = pictures.get("/explorer").json()
    assert page["model"] == pictures.get("/model").json()
    assert page["picture"] == {
        "layout": "hw", "channels": 1, "height": 8, "width": 8, "low": 0, "high": 255, "step": 1
    }  # fmt: skip
    assert page["shown"] == {"what": "20 of 30 rows of mine.npy", "rows": 20, "drawn": False}
    assert "folder" not in json.dumps(page)
    laid = page["map"]
    assert {len(laid[name]) for name in ("points", "words", "colours")} == {20}
    assert [name for name, _ in laid["legend"]["keys"]] == ["0", "1", "2"]
    assert laid["words"][1] == "row 2, label 0"
    values = images(3, 30)[np.linspace(0, 29, 20).round().astype(int)]
    codes = [list(row.values()) for row in post(pictures, "embed", values.tolist()).json()]
    close(laid["points"], codes)  # a code of two numbers is its point
    assert [unit["unit"] for unit in page["code"]["units"]] in ([0, 1], [1, 0])
    assert all(unit["low"] < unit["high"] for unit in page["code"]["units"])


def test_points_of_longer_codes_are_on_the_plane_of_the_page(files, models):
    loaded = open_loaded(models / "digits.safetensors")
    with client_of(loaded, draws_shown(loaded, 50)) as made:
        page = made.get("/explorer").json()
        assert page["shown"] == {"what": DRAWN, "rows": 50, "drawn": True}
        laid, code = page["map"], made.get("/explorer/row?place=7").json()["code"]
        away = np.array(code) - laid["centre"]
        close(np.array(laid["directions"]) @ away, laid["points"][7])
        close(np.array(laid["directions"]) @ np.array(laid["directions"]).T, np.eye(2))
        assert laid["words"][7] == "draw 7"


def test_a_row_and_its_neighbours(pictures, files):
    found = pictures.get("/explorer/row?place=3").json()
    assert found["number"] == 5
    assert found["value"] == images(3, 30)[5].tolist()
    close(list(post(pictures, "embed", found["value"]).json().values()), found["code"])
    near = post(pictures, "explorer/neighbours", found["code"]).json()
    assert (near[0]["place"], len(near)) == (3, 8)
    codes = np.array([pictures.get(f"/explorer/row?place={place}").json()["code"] for place in range(20)])
    distances = np.linalg.norm(codes - np.array(found["code"]), axis=1)
    assert [one["place"] for one in near] == np.argsort(distances)[:8].tolist()
    close([one["distance"] for one in near], np.sort(distances)[:8])


def test_small_images(pictures):
    answer = pictures.get("/explorer/thumbnails")
    assert answer.headers["content-type"] == "image/png"
    sheet = np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))
    laid = pictures.get("/explorer").json()["map"]["thumbnails"]
    assert laid == {"size": [8, 8], "across": 40}
    close(sheet[:8, 24:32], images(3, 30)[5])


def test_the_scene_of_a_detector(files):
    loaded = open_loaded(files / "detector.safetensors")
    raw = rows(5, 40)
    raw[7, 0] = 1e9
    shown = rows_shown(loaded, "rows.csv", Dataset(raw, TABLE, None, ""), "label", None, 100)
    with client_of(loaded, shown) as made:
        page = made.get("/explorer").json()
        assert (page["map"], page["code"], page["picture"]) == (None, None, None)
        assert page["unusual"][0]["place"] == 7
        scores = [row["score"] for row in post(made, "detect", objects(raw)).json()]
        close([one["score"] for one in page["unusual"]], sorted(scores, reverse=True)[:12])
        assert page["start"] == objects(raw)[0]
        assert made.get("/explorer/row?place=7").json()["code"] is None
        answer = post(made, "explorer/neighbours", [0, 0])
        assert "is not a narrows model file" in answer.json()["detail"]
        assert "no small images" in made.get("/explorer/thumbnails").json()["detail"]
    with client_of(loaded) as made:  # what most training rows hold
        row = made.get("/explorer").json()["start"]
        assert post(made, "detect", row).json()["anomaly"] == 0


@pytest.mark.parametrize("name", ["detector", "denoiser", "numbers"])
def test_what_there_is_not_is_said(files, name):
    loaded = open_loaded(files / f"{name}.safetensors")
    with pytest.raises(ValueError, match=r"no codes|is no code|no distribution"):
        draws_shown(loaded, 10)
    with client_of(loaded) as made:
        page = made.get("/explorer").json()
        assert page["map"] is None
        assert page["without_map"] == "no rows are shown; start the server with --data"
        assert (page["code"] is None) == (name != "numbers")
        for path in ("/explorer/row?place=0", "/explorer/thumbnails"):
            assert made.get(path).json()["detail"] == "no rows are shown; start the server with --data"


@pytest.mark.parametrize("place", ["-1", "20", "1.5", "x", "", "9" * 400, "²", "../../etc/passwd", "0&place=x"])
def test_places_that_are_none(pictures, place):
    answer = pictures.get(f"/explorer/row?place={place}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "it takes a whole number from 0 to 19" in answer.json()["detail"]


def test_codes_that_are_none(pictures, files):
    for body, says in (([1], "1 cells, not 2"), ([[0, 0]] * 2, "at most 1"), ([], "no code"), ("x", "neither")):
        answer = post(pictures, "explorer/neighbours", body)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert says in answer.json()["detail"]
    assert post(pictures, "explorer/neighbours", b"{").status_code == 400
    assert post(pictures, "explorer/neighbours", [0, 0], "text/plain").status_code == 415
    assert pictures.get("/explorer/neighbours").status_code == 405
    with client_of(*of_images(files), Limits(max_body=64)) as made:
        assert post(made, "explorer/neighbours", [0.0] * 100).status_code == 413


# --- the page and its files ------------------------------------------------------------------------------------------


def test_a_browser_gets_the_page_and_a_program_the_routes(pictures):
    page = pictures.get("/", headers=HTML)
    assert page.headers["content-type"].startswith("text/html")
    assert 'data-token="no"' in page.text
    for path in ("/", *shell()):
        answer = pictures.get(path, headers=HTML)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.status_code == 200
    listed = pictures.get("/").json()
    assert set(ROUTES) <= set(listed["pages"])
    assert list(listed["verbs"])[:3] == ["detect", "embed", "decode"]


def test_the_files_are_those_that_the_page_asks_for():
    from importlib.resources import files as resources

    folder = resources("narrows.serve.explorer") / "static"
    assert {one.name for one in folder.iterdir()} == {*STATIC, "index.html"}
    for name in STATIC:
        text = (folder / name).read_text()
        assert "." + name.rpartition(".")[2] in MEDIA
        assert "innerHTML" not in text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")  # nothing is fetched from elsewhere
        for line in text.splitlines():
            if line.startswith("import "):
                assert line.split('"')[1].removeprefix("./") in STATIC


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "index.html", "../shell.py", "..%2fshell.py", "%2e%2e/shell.py", "....//shell.py", "/etc/passwd",
     "explorer.js/", "explorer.js%00", "..\\shell.py", "", "static/explorer.js", "explorer.css/../shell.py"],
)  # fmt: skip
def test_no_other_file_is_reached(pictures, name):
    answer = pictures.get(f"/static/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Starlette" not in answer.text


def test_the_token_guards_everything_but_the_shell(files):
    with client_of(*of_images(files), token=TOKEN) as made:
        assert 'data-token="yes"' in made.get("/", headers=HTML).text
        assert all(made.get(path).status_code == 200 for path in shell())
        assert made.post("/", headers=HTML).status_code == 401
        assert made.get("/static/nothing.js").status_code == 401
        assert made.get("/").status_code == 401
        for path in ROUTES:
            for word in (None, "wrong", TOKEN[:-1]):
                headers = {} if word is None else {"Authorization": f"Bearer {word}"}
                assert made.get(path, headers=HTML | headers).status_code == 401
        own = {"Authorization": f"Bearer {TOKEN}"}
        assert made.get("/explorer", headers=own).status_code == 200
        assert made.get("/explorer/row?place=1", headers=own).status_code == 200
    with client_of(*of_images(files), hosts=frozenset({"localhost"})) as made:
        for path in ("/", "/static/explorer.js", "/explorer"):
            assert made.get(path, headers=HTML | {"Host": "elsewhere.example"}).status_code == 421


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_command_line_shows_data_or_draws(files, here, monkeypatch, capfd):
    seen, opened = [], []
    monkeypatch.setattr("narrows.apps.serve.webbrowser.open", opened.append)

    def served(app, opened, limits, started):
        with TestClient(app, base_url="http://localhost") as made:
            seen.append(made.get("/explorer").json())
        started()

    monkeypatch.setattr("narrows.serve.running.run", served)
    write_table(rows(2, 30), TABLE, here / "rows.csv")
    model = files / "table.safetensors"
    serve(model, port=0, shown=str(here / "rows.csv"), colour="town", rows=20, browser=True)
    assert seen[0]["shown"]["what"] == "20 of 30 rows of rows.csv"
    assert seen[0]["map"]["legend"]["name"] == "town"
    assert opened[0].startswith("http://127.0.0.1:")
    assert run(["serve", str(model), "--port", "0", "--rows", "40"]) == 0
    assert seen[1]["shown"] == {"what": DRAWN, "rows": 40, "drawn": True}
    assert run(["serve", str(files / "numbers.safetensors"), "--port", "0"]) == 0
    assert "have no distribution to draw new ones from" in seen[2]["without_map"]
    assert "where a browser finds the explorer" in capfd.readouterr().err
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rows", "1"], "--rows was given as 1"),
        (["--colour", "town"], "give --data, or leave it out"),
        (["--data", "nothing.csv"], "nothing.csv"),
        (["--data", "rows.csv", "--colour", "nothing"], "nothing"),
    ],
)
def test_options_that_are_none(files, here, refused, words, says):
    write_table(rows(2, 30), TABLE, here / "rows.csv")
    refused("serve", files / "table.safetensors", "--port", "0", *words, says=says)


# --- in a browser ----------------------------------------------------------------------------------------------------


def spots(n: int, seed: int) -> np.ndarray:
    """Images (n, 12, 12) of one bright spot each, somewhere."""
    at = np.random.default_rng(seed).uniform(3, 9, (n, 2, 1, 1))
    y, x = np.mgrid[:12, :12]
    return np.rint(255 * np.exp(-((y - at[:, 0]) ** 2 + (x - at[:, 1]) ** 2) / 4)).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Small models: of images with codes of 2 and of 8 numbers, and detectors of a table and of images."""
    folder = tmp_path_factory.mktemp("explored")
    np.save(folder / "spots.npy", spots(300, 0))
    for size in (2, 8):
        words = ["train", str(folder / "spots.npy"), "-o", str(folder / f"codes{size}.safetensors"), "--epochs", "12"]
        changes = ["network=mlp", "network.width=24", f"latent.size={size}", "likelihood=gaussian"]
        assert run([*words, "--preset", "variational", "--set", *changes]) == 0
    table = fit_detector(rows(0, 600), TABLE, "detector-without-network", seed=0)
    save_detector(table, folder / "table.safetensors")
    return folder


@pytest.fixture
def visit(chromium):
    """Open a page; at the end nothing may have been complained of on its console."""
    complaints, contexts = [], []

    def opened(address, size=DESKTOP, scheme="light", expected=()):
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        known = (*expected, "willReadFrequently")  # of the canvases that tests read, and the page does not

        def heard(text):
            if not any(word in text for word in known):
                complaints.append(text)

        page.on("console", lambda message: heard(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: heard(str(error)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def explored(trained):
    """The address of the explorer of a model, with its data."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def of(name, **options):
            loaded = open_loaded(trained / f"{name}.safetensors")
            if loaded.schema.is_image:
                dataset = Dataset(spots(80, 1)[:, None], loaded.schema, None, "")
            else:
                dataset = Dataset(rows(5, 40), TABLE, None, "")
            shown = rows_shown(loaded, "spots.npy", dataset, "label", None, 100)
            return stack.enter_context(serving(application(loaded, explorer=Explorer(loaded, shown), **options)))

        yield of


PIXELS = "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"


def pixels(page, canvas="#seen-example .large canvas") -> np.ndarray:
    return np.array(page.locator(canvas).evaluate(PIXELS))


def frames(page) -> list[float]:
    return page.evaluate("performance.getEntriesByName('decode').map((one) => one.duration)")


def settle(page, least: int) -> None:
    """Wait until so many frames have been decoded."""
    until(page, f"performance.getEntriesByName('decode').length >= {least}")


def drop(page, image: np.ndarray) -> None:
    """Drop an image file on the page."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    page.evaluate(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], "own.png", { type: "image/png" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        base64.b64encode(file.getvalue()).decode(),
    )


@pytest.mark.parametrize("name", ["codes2", "codes8"])
def test_a_person_moves_through_the_codes(explored, visit, name, capsys):
    page = visit(explored(name))
    settle(page, 1)
    page.wait_for_selector("#near-tiles button")
    first = pixels(page)
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(box["x"] + 60 + 40 * step, box["y"] + 60 + 30 * step)
    page.mouse.up()
    settle(page, 3)
    dragged = pixels(page)
    assert (first != dragged).any()
    assert page.locator("#seen-told").inner_text() == "a code between those of the data"

    slider = page.locator("#units input").first
    before = slider.input_value()
    slider.focus()
    shown = len(frames(page))
    for _ in range(10):
        page.keyboard.press("ArrowRight" if float(before) <= 0 else "ArrowLeft")
    settle(page, shown + 1)
    assert slider.input_value() != before
    assert (pixels(page) != dragged).any()

    page.locator("#map").focus()
    shown, moved = len(frames(page)), pixels(page)
    for _ in range(5):
        page.keyboard.press("ArrowUp")
    settle(page, shown + 1)
    assert (pixels(page) != moved).any()
    page.keyboard.press("Enter")
    until(page, "document.getElementById('seen-told').textContent.startsWith('row ')")

    drop(page, spots(1, 9)[0])
    until(page, "document.getElementById('seen-told').textContent.startsWith('own.png')")
    assert "mean squared error 0.0" in page.locator("#seen-told").inner_text()
    close(pixels(page, ".beside canvas >> nth=0").reshape(12, 12, 4)[:, :, 0], spots(1, 9)[0])
    found = np.array(frames(page))
    with capsys.disabled():
        print(f"\n{name}: {len(found)} frames, median {np.median(found):.1f} ms, p95 {np.quantile(found, 0.95):.1f} ms")


def test_ways_draws_and_files(explored, visit):
    page = visit(explored("codes8"))
    settle(page, 1)
    page.click("#end-A")
    page.fill("#row", "7")
    page.locator("#row").blur()
    until(page, "document.getElementById('seen-told').textContent.startsWith('row 7')")
    page.click("#end-B")
    ends = page.evaluate(
        """async () => Promise.all([0, 7].map(async (place) =>
           (await (await fetch(`/explorer/row?place=${place}`)).json()).code))"""
    )
    page.wait_for_selector("#share:enabled")
    page.locator("#share").focus()
    for _ in range(3):
        page.keyboard.press("PageUp")  # by tenths
    share = int(page.locator("#share").input_value()) / 100
    with page.expect_download() as download:
        page.click("#save-code")
    code = json.loads(open(download.value.path()).read())  # noqa: PTH123, SIM115
    between = spherical(*map(torch.tensor, ends), torch.tensor([[share]]))[0]
    np.testing.assert_allclose(list(code.values()), between, rtol=1e-3, atol=1e-3)

    page.wait_for_selector("#draw-tiles button")
    drawn = pixels(page, "#draw-tiles canvas >> nth=0")
    page.click("#draw")
    while (pixels(page, "#draw-tiles canvas >> nth=0") == drawn).all():
        page.wait_for_timeout(30)
    page.locator("#draw-tiles button").first.click()
    until(page, "document.getElementById('seen-told').textContent.startsWith('draw 1')")
    with page.expect_download() as download:
        page.click("#save-picture")
    saved = np.asarray(Image.open(download.value.path()))
    assert saved.shape[:2] == (12, 12)


def test_a_table_is_scored(explored, visit):
    page = visit(explored("table"))
    page.wait_for_selector("#shares tr")
    assert page.locator("#verdict").inner_text() == "as usual"
    assert page.locator("#map-panel").is_hidden()
    page.get_by_label("amount").fill("1e9")
    until(page, "document.getElementById('verdict').textContent === 'anomaly'")
    assert "amount = 1e9" in page.locator("#reason").inner_text()
    assert float(page.locator("#p-value").inner_text()) < 0.02  # one of 61
    assert page.locator("#shares tbody th").first.inner_text() == "amount"
    page.get_by_label("amount").fill("many")
    page.wait_for_selector("#trouble:visible")
    assert page.locator("#trouble").inner_text() == "amount was given as many; it takes a number"
    page.locator("#unusual button").first.click()
    page.wait_for_selector("#trouble", state="hidden")


def test_the_token_is_asked_for(explored, visit):
    page = visit(explored("table", token=TOKEN), expected=["401"])
    page.wait_for_selector("#token:visible")
    page.get_by_label("Token").fill("no-such-token")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('token-told').textContent.includes('missing or wrong')")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#shares tr")
    assert page.locator("#token").is_hidden()
    assert "token" not in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_room_for_it(explored, visit, scheme):
    page = visit(explored("codes8"), PHONE, scheme)
    page.wait_for_selector("#near-tiles button")
    settle(page, 1)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    paper = page.evaluate("getComputedStyle(document.getElementById('map-panel')).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    page.evaluate("window.scrollTo(0, 500)")  # what is decoded stays in sight
    assert page.locator("#seen-panel").bounding_box()["y"] == pytest.approx(0, abs=2)
