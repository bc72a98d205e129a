"""The verb detect, from a table with text and gaps to scores, verdicts and reasons."""

import csv
import json

import numpy as np
import pytest

from narrows import AnomalyDetector, read

FAST = "detector-without-network"


@pytest.fixture(scope="module")
def flows(tmp_path_factory):
    """Normal flows to train on, and a table whose last ten rows are strange."""
    folder = tmp_path_factory.mktemp("flows")
    random = np.random.default_rng(0)
    services = np.array(["http", "dns", "smtp"])

    def write(name, n, strange):
        kind = random.integers(0, 3, n)
        sent = np.exp(random.normal(size=n) + 2 * kind)
        lines = [
            f"{bytes_out:.6g},{services[k]},{'' if random.random() < 0.05 else k + 1}"
            for bytes_out, k in zip(sent, kind, strict=True)
        ]
        lines += ["9.1e6,dns,2", "5,gopher,1"] * (strange // 2)
        (folder / name).write_text("bytes_out,service,hops\n" + "\n".join(lines) + "\n")

    write("normal.csv", 1500, 0)
    write("new.csv", 200, 10)
    return folder


@pytest.fixture(scope="module")
def detector(flows, request):
    from narrows.cli import run

    assert run(["train", str(flows / "normal.csv"), "--preset", FAST, "-o", str(flows / "d.safetensors")]) == 0
    return flows / "d.safetensors"


def scored(path):
    with path.open() as lines:
        return list(csv.DictReader(lines))


def test_strange_rows_are_marked_with_a_reason(detector, flows, tmp_path, done):
    told = json.loads(done("detect", str(detector), str(flows / "new.csv"), "-o", str(tmp_path / "s.csv"), "--json"))
    rows = scored(tmp_path / "s.csv")
    assert list(rows[0]) == ["row", "score", "p_value", "anomaly", "reason"]
    assert [int(row["row"]) for row in rows] == list(range(210))
    assert all(row["anomaly"] == "1" for row in rows[-10:])
    assert rows[-2]["reason"].startswith("bytes_out = 9.1e6, expected ")
    assert "service = a value not seen in training, expected " in rows[-1]["reason"]
    assert told["anomalies"] == sum(row["anomaly"] == "1" for row in rows)
    assert sum(row["anomaly"] == "1" for row in rows[:-10]) <= 10
    assert told["calibration_rows"] == 150
    assert all((row["anomaly"] == "1") == (float(row["p_value"]) <= 0.01) for row in rows)


def test_columns_in_another_order_score_the_same(detector, flows, tmp_path, done):
    lines = (flows / "new.csv").read_text().splitlines()
    turned = [",".join(reversed(line.split(","))) for line in lines]
    (tmp_path / "turned.csv").write_text("\n".join(turned) + "\n")
    for name, data in (("a.csv", flows / "new.csv"), ("b.csv", tmp_path / "turned.csv")):
        done("detect", str(detector), str(data), "-o", str(tmp_path / name))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_contributions_add_up(detector, flows, tmp_path, done):
    done("detect", str(detector), str(flows / "new.csv"), "-o", str(tmp_path / "s.csv"), "--contributions")
    for row in scored(tmp_path / "s.csv"):
        shares = [float(row[f"share of {name}"]) for name in ("bytes_out", "service", "hops")]
        assert sum(shares) == pytest.approx(float(row["score"]), rel=1e-6, abs=1e-9)


def test_python_gives_the_same_scores(detector, flows, tmp_path, done):
    done("detect", str(detector), str(flows / "new.csv"), "-o", str(tmp_path / "s.csv"))
    again = AnomalyDetector.load(detector)
    data = read(str(flows / "new.csv"), schema=again.fitted_.schema)
    written = [float(row["score"]) for row in scored(tmp_path / "s.csv")]
    np.testing.assert_allclose(-again.score_samples(data), written, rtol=1e-9)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--false-alarm-rate", "0.001"], "needs 999 calibration rows, and 150 were held out"),
        (["--false-alarm-rate", "0"], "give a share of the normal rows above 0"),
        (["--false-alarm-rate", "often"], "it takes a number"),
    ],
)
def test_refuses_a_rate_that_cannot_be_kept(detector, flows, tmp_path, refused, words, said):
    target = tmp_path / "s.csv"
    assert said in refused("detect", str(detector), str(flows / "new.csv"), "-o", str(target), *words)
    assert not target.exists()


def test_refuses_what_means_nothing_to_a_detector(flows, tmp_path, refused):
    words = ("train", str(flows / "normal.csv"), "-o", str(tmp_path / "d.safetensors"))
    assert "--epochs was given" in refused(*words, "--preset", "detector", "--epochs", "3")
    assert "--set was given" in refused(*words, "--preset", "detector", "--set", "latent.size=3")
    assert "--contaminated is for detectors" in refused(*words, "--contaminated")


def test_a_model_is_no_detector(tmp_path, done, refused):
    done("train", "digits", "-o", str(tmp_path / "m.safetensors"), "--minutes", "0.001")
    told = refused("detect", str(tmp_path / "m.safetensors"), "digits", "-o", str(tmp_path / "s.csv"))
    assert "is not a narrows detector file" in told


def test_no_rate_is_promised_after_contaminated_training(flows, tmp_path, done):
    model = str(tmp_path / "d.safetensors")
    done("train", str(flows / "normal.csv"), "--preset", FAST, "--contaminated", "-o", model)
    words = ("detect", model, str(flows / "new.csv"), "-o", str(tmp_path / "s.csv"), "--json")
    assert json.loads(done(*words))["guarantee"].startswith("none")
    assert "on average over batches" not in json.loads(done(*words, "--discoveries"))["guarantee"]
