"""Every verb over HTTP gives what the command line writes, in every format; and refuses in the same sentence."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import csv as arrow_csv
from served import TABLE, images, objects, rows

from narrows import AnomalyDetector, Autoencoder
from narrows.apps.signatures import summary_of
from narrows.cli import VERBS as LINES_OF_COMMAND
from narrows.cli import run
from narrows.data.writers import mixed_table, write_table
from narrows.serve import Limits
from narrows.serve.answers import ARROW, JSON, LINES, PNG
from narrows.serve.verbs import VERBS


def close(one, other):
    np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), rtol=1e-5, atol=1e-5)


def arrow_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def read_arrow(body: bytes) -> pa.Table:
    return pa.ipc.open_stream(body).read_all()


def post(client, verb, body, media=JSON, accept=None, **query):
    headers = {"Content-Type": media} | ({"Accept": accept} if accept else {})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/{verb}", content=content, headers=headers, params=query)


@pytest.fixture
def array(tmp_path):
    """What the command line writes as an array."""

    def of(*words) -> np.ndarray:
        assert run([*map(str, words), "-o", str(tmp_path / "o.npy")]) == 0
        return np.load(tmp_path / "o.npy")

    return of


@pytest.fixture
def written(files, tmp_path):
    """What the command line writes of the rows."""

    def of(verb: str, model: str, raw: np.ndarray, *words: str) -> list[dict]:
        write_table(raw, TABLE, tmp_path / "rows.csv")
        line = [verb, str(files / f"{model}.safetensors"), str(tmp_path / "rows.csv"), "-o", str(tmp_path / "o.csv")]
        assert run([*line, *words]) == 0
        return arrow_csv.read_csv(tmp_path / "o.csv").to_pylist()

    return of


def test_detect_is_the_command_line_and_python(client, files, written):
    raw = rows(1, 150)
    raw[3, 0] = 1e9
    own = written("detect", "detector", raw, "--contributions")
    answer = post(client("detector"), "detect", objects(raw), contributions="true").json()
    assert [list(row) for row in answer] == [[name for name in own[0] if name != "row"]] * 150
    for name in ("score", "p_value", "anomaly", "share of amount", "share of town"):
        close([row[name] for row in answer], [row[name] for row in own])
    assert [row["reason"] for row in answer] == [row["reason"] or "" for row in own]
    assert answer[3]["anomaly"] == 1
    assert answer[3]["reason"].startswith("amount = 1e")
    python = AnomalyDetector.load(files / "detector.safetensors")
    close([row["score"] for row in answer], -python.score_samples(mixed_table(raw, TABLE)))


def test_a_row_by_itself_is_answered_by_itself_and_as_in_any_batch(client):
    raw = objects(rows(1, 30))
    together = post(client("detector"), "detect", raw).json()
    for row, own in zip(raw, together, strict=True):
        alone = post(client("detector"), "detect", row).json()
        close(alone["score"], own["score"])
    as_array = [raw[0][column.name] for column in TABLE.columns]
    assert post(client("detector"), "detect", as_array).json() == post(client("detector"), "detect", raw[0]).json()
    assert post(client("detector"), "detect", [as_array]).json() == [post(client("detector"), "detect", raw[0]).json()]


def test_discoveries_look_at_the_whole_batch(client, written):
    raw = rows(1, 150)
    raw[:20, 0] = 1e9
    own = written("detect", "detector", raw, "--discoveries", "--false-alarm-rate", "0.1")
    query = {"discoveries": "true", "false_alarm_rate": "0.1"}
    answer = post(client("detector"), "detect", objects(raw), **query).json()
    assert [row["anomaly"] for row in answer] == [row["anomaly"] for row in own]


def test_embed_reconstruct_and_impute_are_the_command_line(client, written, files):
    raw = rows(1, 120)
    own = written("embed", "table", raw)
    answer = post(client("table"), "embed", objects(raw)).json()
    for name in ("z0", "z1"):
        close([row[name] for row in answer], [row[name] for row in own])
    python = Autoencoder.load(files / "table.safetensors").transform(mixed_table(raw, TABLE))
    close([list(row.values()) for row in answer], python)
    own = written("reconstruct", "table", raw)
    answer = post(client("table"), "reconstruct", objects(raw)).json()
    close([row["amount"] for row in answer], [row["amount"] for row in own])
    assert [row["town"] for row in answer] == [row["town"] for row in own]
    own = written("impute", "table", raw, "--draws", "50")
    answer = post(client("table"), "impute", objects(raw), draws="50").json()
    close([row["visits"] for row in answer], [row["visits"] for row in own])
    given = np.isnan(raw[:, 0])
    assert [row["amount_spread"] is not None for row in answer] == given.tolist()
    spread = [row["amount_spread"] for row in answer if row["amount_spread"] is not None]
    np.testing.assert_allclose(spread, [row["amount_spread"] for row in own if row["amount_spread"]], rtol=1e-4)
    assert not any(value is None for row in answer for name, value in row.items() if "spread" not in name)


def test_decode_is_the_command_line_and_the_way_back_from_embed(client, files, array, tmp_path):
    own = post(client("images"), "reconstruct", images(1, 3).tolist()).json()
    codes_of = post(client("images"), "embed", images(1, 3).tolist()).json()
    close(post(client("images"), "decode", codes_of).json(), own)
    flat = np.array([list(code.values()) for code in codes_of])
    close(post(client("images"), "decode", flat.tolist()).json(), own)
    np.save(tmp_path / "codes.npy", flat)
    close(array("decode", files / "images.safetensors", tmp_path / "codes.npy"), own)
    made = post(client("images"), "decode", flat[0].tolist(), accept=PNG)
    close(np.asarray(Image.open(io.BytesIO(made.content))), own[0])
    table = pa.table({"z1": flat[:, 1], "z0": flat[:, 0]})
    found = read_arrow(post(client("images"), "decode", arrow_of(table), ARROW).content)
    close(found["example"].to_pylist(), np.reshape(own, (3, -1)))
    lines = b"\n".join(json.dumps(code).encode() for code in [*flat.tolist(), [1.0]])
    answers = [json.loads(line) for line in post(client("images"), "decode", lines, LINES).text.splitlines()]
    close([one["example"] for one in answers[:3]], own)
    assert "an array of 1 cells, not 2" in answers[3]["error"]
    row = post(client("table"), "decode", {"z0": 0, "z1": 0}).json()
    assert list(row) == [column.name for column in TABLE.columns]


@pytest.mark.parametrize(
    ("model", "verb", "says"),
    [("compressor", "embed", "is no code, so there is none to write"), ("sparse", "generate", "codes have no")],
)
def test_what_a_model_cannot_do_is_said_before_it_is_asked(client, model, verb, says):
    """A page that shows what a model can do asks for nothing else."""
    assert client(model).get("/ready").json() == {"status": "ready"}
    assert says in client(model).get("/model").json()["verbs"][verb]
    answer = post(client(model), verb, png(images(1, 1)[0]) if verb == "embed" else b"", JSON)
    assert (answer.status_code, says in answer.json()["detail"]) == (422, True), answer.json()


def test_codes_that_are_none_are_refused(client):
    for body, says in (
        ([1, 2, 3], "an array of 3 cells, not 2"),
        ([1, None], "z1"),
        ([1e39, 0], "beyond 3.4e38"),
        ({"z0": 1}, "lacks 'z1'"),
        (["a", "b"], "z0"),
    ):
        answer = post(client("images"), "decode", body)
        assert (answer.status_code, says in answer.json()["detail"]) == (422, True), answer.json()
    few = client("images", Limits(max_pixels=640))
    assert post(few, "decode", [[0, 0]] * 10).status_code == 200
    assert "at most 10" in post(few, "decode", [[0, 0]] * 11).json()["detail"]


def test_arrow_comes_and_goes(client):
    raw = rows(1, 90)
    answer = post(client("detector"), "detect", arrow_of(mixed_table(raw, TABLE)), ARROW)
    assert answer.headers["content-type"] == ARROW
    own = post(client("detector"), "detect", objects(raw)).json()
    close(read_arrow(answer.content)["score"], [row["score"] for row in own])
    answer = post(client("detector"), "detect", arrow_of(mixed_table(raw, TABLE)), ARROW, f"{JSON}, */*;q=0.1")
    close([row["score"] for row in answer.json()], [row["score"] for row in own])


def test_a_stream_is_answered_line_by_line(client):
    raw = objects(rows(1, 70))
    lines = [json.dumps(row) for row in raw]
    lines[5] = '{"amount": 1}'
    lines[6] = "{"
    lines[7] = "[[1, 2, 3, 4]]"
    answer = post(client("detector"), "detect", ("\n".join(lines) + "\n\n").encode(), LINES)
    assert answer.headers["content-type"] == LINES
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["row"] for one in told] == list(range(70))
    assert told[5]["error"] == "a row lacks 'visits'"
    assert "cannot be read as JSON" in told[6]["error"]
    assert {place for place, one in enumerate(told) if "error" in one} == {5, 6, 7}
    own = post(client("detector"), "detect", raw).json()
    close(
        [one["score"] for one in told if "score" in one],
        [own[place]["score"] for place in range(70) if not 5 <= place < 8],
    )


def png(image: np.ndarray) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(image).save(sink, "PNG")
    return sink.getvalue()


def test_images_come_as_png_json_and_arrow(client, files, tmp_path, array):
    given = images(1, 5)
    np.save(tmp_path / "given.npy", given)
    own = array("embed", files / "images.safetensors", tmp_path / "given.npy")
    many = post(client("images"), "embed", given.tolist()).json()
    close([[row["z0"], row["z1"]] for row in many], own)
    one = post(client("images"), "embed", png(given[2]), PNG, JSON).json()
    close([one["z0"], one["z1"]], own[2])
    cells = pa.FixedSizeListArray.from_arrays(pa.array(given.reshape(-1)), 64)
    answer = post(client("images"), "embed", arrow_of(pa.table({"x": cells})), ARROW, JSON).json()
    close([[row["z0"], row["z1"]] for row in answer], own)
    made = post(client("images"), "reconstruct", png(given[2]), PNG)
    assert made.headers["content-type"] == PNG
    rebuilt = post(client("images"), "reconstruct", given[2].tolist()).json()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(made.content))), rebuilt)
    line = post(client("images"), "reconstruct", json.dumps(given[2].tolist()).encode(), LINES)
    assert json.loads(line.text)["example"] == rebuilt
    table = read_arrow(post(client("images"), "reconstruct", given.tolist(), JSON, ARROW).content)
    assert table["example"][2].as_py() == np.ravel(rebuilt).tolist()


@pytest.mark.parametrize("shape", [(8, 8), (11, 7), (12, 9, 3), (12, 9, 4)])
def test_denoise_takes_images_of_any_size(client, files, tmp_path, shape):
    noisy = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "noisy.png").write_bytes(png(noisy))
    line = ["denoise", str(files / "denoiser.safetensors"), str(tmp_path / "noisy.png"), "-o", str(tmp_path / "o.png")]
    assert run(line) == 0
    made = post(client("denoiser"), "denoise", png(noisy), PNG)
    assert made.headers["content-type"] == PNG
    own = np.asarray(Image.open(tmp_path / "o.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(made.content))), own)
    if len(shape) == 2:
        exact = post(client("denoiser"), "denoise", noisy.astype(float).tolist()).json()
        np.testing.assert_allclose(np.clip(exact, 0, 255), own, atol=0.5 + 1e-4)
        assert post(client("denoiser"), "denoise", [noisy.tolist()] * 2).json() == [own.tolist()] * 2


def test_hidden_pixels_are_null(client, files, tmp_path, array):
    given = images(1, 2).astype(float)
    given[:, 2, 3:6] = np.nan
    np.save(tmp_path / "g.npy", given)
    own = array("denoise", files / "filler.safetensors", tmp_path / "g.npy")
    sent = [[[None if cell != cell else cell for cell in row] for row in image] for image in given.tolist()]
    close(post(client("filler"), "denoise", sent).json(), own)
    refused = post(client("filler"), "denoise", png(images(1, 1)[0]), PNG)
    assert "learnt to fill in hidden pixels" in refused.json()["detail"]


def test_generate_is_the_command_line(client, files, array):
    own = array("generate", files / "images.safetensors", "-n", 3, "--seed", 5)
    made = client("images").post("/generate", params={"n": 3, "seed": 5}).json()
    np.testing.assert_array_equal(made, own)
    one = client("images").post("/generate", params={"n": 1}, headers={"Accept": PNG})
    assert Image.open(io.BytesIO(one.content)).size == (8, 8)
    table = client("table").post("/generate", params={"n": 2, "draw": "true"}).json()
    assert set(table[0]) == {column.name for column in TABLE.columns}


def test_plain_numbers(client):
    answer = post(client("numbers"), "embed", {"a": 1, "b": 2.5, "c": -1, "d": 7}).json()
    assert answer == post(client("numbers"), "embed", [1, 2.5, -1]).json()
    assert set(post(client("numbers"), "reconstruct", [[1, 2, 3]]).json()[0]) == {"a", "b", "c"}


# --- refusals --------------------------------------------------------------------------------------------------------


def said_by_the_command_line(capfd, *words) -> str:
    capfd.readouterr()
    assert run([str(word) for word in words]) == 2
    return capfd.readouterr().err.removeprefix("narrows: error: ").strip()


@pytest.mark.parametrize(
    ("model", "verb", "body", "query"),
    [
        ("table", "detect", [], {}),
        ("detector", "embed", [], {}),
        ("table", "denoise", [], {}),
        ("denoiser", "decode", [], {}),
        ("numbers", "impute", [], {}),
        ("detector", "detect", [], {"false_alarm_rate": "x"}),
        ("detector", "detect", [], {"false_alarm_rate": "0.6"}),
        ("table", "impute", [], {"draws": "-1"}),
        ("images", "generate", None, {"n": "0"}),
        ("images", "generate", None, {"seed": "-1"}),
        ("images", "generate", None, {"temperature": "-1"}),
        ("images", "generate", None, {"label": "x"}),
        ("numbers", "generate", None, {}),
    ],
)
def test_a_refusal_is_the_sentence_of_the_command_line(client, files, here, capfd, model, verb, body, query):
    write_table(rows(1, 5), TABLE, Path("rows.csv"))
    np.save("images.npy", images(0, 3))
    np.save("numbers.npy", np.zeros((2, 3)))
    data = {"numbers": "numbers.npy", "images": "images.npy"}.get(model, "rows.csv")
    flags = [word for name, value in query.items() for word in (f"--{name.replace('_', '-')}", value)]
    flags = ["-n" if flag == "--n" else flag for flag in flags]
    name = Path(f"{model}.safetensors")
    name.write_bytes((files / name).read_bytes())
    given = [] if verb == "generate" else [data]
    output = "o.npy" if verb == "denoise" or model == "images" else "o.csv"
    own = said_by_the_command_line(capfd, verb, name, *given, "-o", output, *flags)
    answer = post(client(model), verb, b"" if body is None else body, **query)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["detail"]) == (422, own)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"amount": 1}, "a row lacks 'visits'"),
        ([1, 2, 3], "holds an array of 3 cells, not 4"),
        ([], "hold no rows"),
        ("text", "neither a JSON object nor an array"),
        ([{"amount": "x", "visits": 1, "town": "Rome", "member": "no"}], "'x'"),
        ([[[1], 1, "Rome", "no"]], "amount"),
        ([[10**400, 1, "Rome", "no"]], "cannot be read as rows"),
        ([[1, 1, {"a": 1}, "no"]], "town"),
        ([[1, 1, "Rome", "no"]] * 1001, "at most 1000"),
    ],
)
def test_rows_that_are_none_are_refused(client, body, says):
    answer = post(client("detector", Limits(max_rows=1000)), "detect", body)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_options_that_are_none_are_refused(client):
    row = objects(rows(1, 1))
    for query, says in (
        ({"flase_alarm_rate": "1"}, "did you mean 'false_alarm_rate'"),
        ({"contributions": "perhaps"}, "it takes true or false"),
        ({"output": "/etc/passwd"}, "unknown option"),
    ):
        answer = post(client("detector"), "detect", row, **query)
        assert answer.status_code == 422
        assert says in answer.json()["detail"]
    doubled = client("detector").post("/detect?discoveries=1&discoveries=0", json=row)
    assert "given twice" in doubled.json()["detail"]


def test_formats_that_are_none_are_refused(client):
    row = json.dumps(objects(rows(1, 1))).encode()
    assert post(client("detector"), "detect", row, "text/csv").status_code == 415
    assert client("detector").post("/detect", content=row).status_code == 415
    assert post(client("detector"), "detect", row, JSON, "text/html").status_code == 406
    assert post(client("detector"), "detect", row, JSON, PNG).status_code == 422
    assert post(client("detector"), "detect", b"[NaN]").status_code == 400
    assert post(client("detector"), "detect", b"\xff").status_code == 400
    assert post(client("detector"), "detect", png(images(0, 1)[0]), PNG).status_code == 422
    assert post(client("images"), "embed", [[1, 2], [3, 4]]).status_code == 422
    assert post(client("images"), "embed", [[1, 2], [3]]).status_code == 422
    packed = client("detector").post("/detect", content=row, headers={"Content-Type": JSON, "Content-Encoding": "gzip"})
    assert packed.status_code == 415
    assert client("detector").get("/detect").status_code == 405
    assert client("detector").get("/nothing").status_code == 404


# --- what the server says of itself ----------------------------------------------------------------------------------


def test_pages(client, files):
    assert client("detector").get("/health").json() == {"status": "alive"}
    assert client("detector").get("/ready").json() == {"status": "ready"}
    page = client("detector").get("/model").json()
    assert page["file"] == "detector.safetensors"
    assert str(files) not in json.dumps(page)
    assert [name for name, why in page["verbs"].items() if why is None] == ["detect"]
    assert page["columns"][2] == {"name": "town", "kind": "category", "categories": ["Rome", "Oslo", "Lima"]}
    assert [name for name, why in client("table").get("/model").json()["verbs"].items() if why is None] == [
        "embed",
        "decode",
        "reconstruct",
        "impute",
        "generate",
    ]
    post(client("detector"), "detect", objects(rows(1, 3)))
    figures = client("detector").get("/metrics").text
    assert 'narrows_requests_total{route="/detect",status="200"}' in figures
    assert "narrows_pass_rows_count" in figures


def test_routes_are_read_from_the_applications(client):
    page = client("detector").get("/openapi.json").json()
    for name, verb in VERBS.items():
        assert name in LINES_OF_COMMAND
        operation = page["paths"][f"/{name}"]["post"]
        assert operation["summary"] == summary_of(verb.application)
        assert [one["name"] for one in operation["parameters"]] == list(verb.options)
    (rate,) = (one for one in page["paths"]["/detect"]["post"]["parameters"] if one["name"] == "false_alarm_rate")
    assert rate["schema"] == {"type": "number", "default": 0.01}
    assert rate["description"].startswith("Share of normal rows that may be marked")
