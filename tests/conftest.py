"""What every test stands on: one thread, the same examples in every run, and the full data sets where they are."""

import os
import shutil
from pathlib import Path

# Before torch is imported; the processes that a test starts inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# Ray lets others go first (niceness 15): beside another process of tests its workers would hardly come to run.
os.environ.setdefault("RAY_worker_niceness", "0")

import hypothesis
import pytest
import torch

torch.set_num_threads(1)

# The same examples in every run: a failure is never a matter of luck, nor is a pass.
hypothesis.settings.register_profile("narrows", derandomize=True, deadline=None)
hypothesis.settings.load_profile("narrows")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put early modules first: whole modules are dealt out, and the longest should not be the last."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")  # no longer: as long as Playwright lives, no test beside it has an event loop
def chromium():
    """The system's browser, driven by Playwright; a test that asks for it is skipped where either is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("there is no chromium on the path")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="session")
def narrows_data() -> Path:
    """Folder of the full data sets; a test that asks for it is skipped where there is none."""
    if not os.environ.get("NARROWS_DATA"):
        pytest.skip("NARROWS_DATA is not set: it names the folder of the full data sets")
    folder = Path(os.environ["NARROWS_DATA"])
    if not folder.is_dir():
        pytest.skip(f"NARROWS_DATA names {folder}, which is no folder")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden and unfinished ones included, with what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(here, capfd):
    """Run a command line that must be refused: status 2, one line, nothing on standard output, no file touched."""
    from narrows.cli import run

    def check(*words: object, says: str = "") -> str:
        before = contents(here)
        capfd.readouterr()
        status = run([str(word) for word in words])
        out, err = capfd.readouterr()
        assert (status, out) == (2, "")
        assert err.startswith("narrows: error: ")
        assert err.endswith("\n")
        assert len(err.splitlines()) == 1
        assert contents(here) == before
        assert says in err
        return err

    return check


@pytest.fixture
def done(here, capfd):
    """Run a command line that must succeed in silence on standard error, and return what it printed."""
    from narrows.cli import run

    def check(*words: object) -> str:
        capfd.readouterr()
        status = run([str(word) for word in words])
        out, err = capfd.readouterr()
        assert (status, err) == (0, "")
        return out

    return check


SMALL = ["--epochs", "1", "--set", "network=mlp", "network.width=16"]


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder of tiny models trained from the command line, and the data of those that are not the digits'."""
    import numpy as np

    from narrows.cli import run

    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    rows = "".join(f"{a:.4f},{10 * b:.3f},{a + b:.4f}\n" for a, b in rng.normal(size=(40, 2)))
    (folder / "table.csv").write_text("a,b,c\n" + rows)
    bits = rng.random((40, 6, 6)) < 0.4
    np.save(folder / "bits.npy", bits)
    np.save(folder / "ink.npy", bits.astype(np.uint8) * 255)
    rows_of_colour = rng.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
    np.save(folder / "colour.npy", rows_of_colour)
    for name, data, preset in (
        ("digits", "digits", "variational"),
        ("point", "digits", "autoencoder"),
        ("table", folder / "table.csv", "variational"),
        ("bits", folder / "bits.npy", "variational"),
        ("ink", folder / "ink.npy", "variational"),
        ("colour", folder / "colour.npy", "variational"),
    ):
        words = ["train", str(data), "-o", str(folder / f"{name}.safetensors"), "--preset", preset]
        assert run([*words, *SMALL, "latent.size=4"]) == 0
    return folder
