"""The documents say what is so: their Python runs, the kind of CONTRIBUTING.md keeps the contract, files are linked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KEEPS_THE_CONTRACT = """
from narrows.checks import yield_checks
checks = list(yield_checks(Laplace))
assert len(checks) > 20
for name, check in checks:
    check()

import numpy as np
from scipy import stats
from narrows import Autoencoder
import torch
part = Laplace(b=0.5)
from narrows.data.schema import Schema
part.build(Schema((3,), -1.0, 1.0))
x, mean = np.array([[0.2, -1.0, 3.0]]), np.array([[0.0, 1.0, 2.5]])
ours = part(torch.tensor(mean[None, :, None])).log_prob(torch.tensor(x))
assert np.allclose(ours.numpy(), stats.laplace.logpdf(x, mean, 0.5).sum())
rows = np.random.default_rng(0).normal(size=(50, 4))
assert Autoencoder(settings=["likelihood=laplace"], epochs=1).fit(rows).transform(rows).shape == (50, 16)
"""


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md") if "pictures" not in path.parts)
DOCUMENTS = ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", *PAGES]
TO_A_SERVER = "docs/serve.md"  # its Python runs in tests/serve, where a server answers
WITH_PYTHON = [one for one in ("README.md", *PAGES) if one != TO_A_SERVER and blocks(one, "python")]


@pytest.mark.parametrize("document", ["README.md", "docs/embedding.md"])
def test_python_runs_in_a_process_of_its_own(document: str) -> None:
    (code,) = blocks(document, "python")
    run(code)


@pytest.mark.parametrize("document", sorted({*WITH_PYTHON} - {"README.md", "docs/embedding.md"}))
def test_python_of_the_documents_runs(document: str, here: Path) -> None:
    for code in blocks(document, "python"):
        exec(compile(code, document, "exec"), {"__name__": document})


def test_the_kind_in_contributing_keeps_the_contract() -> None:
    (code,) = blocks("CONTRIBUTING.md", "python")
    run(code + KEEPS_THE_CONTRACT)


CHAPTERS = sorted((ROOT / "docs" / "theory").glob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_linked_files_exist(document: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", (ROOT / document).read_text())
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []


def test_every_module_has_its_place_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    modules = [
        path.stem for path in (ROOT / "src" / "narrows").iterdir() if not path.name.startswith(("_", "py.typed"))
    ]
    assert [name for name in modules if f"`{name}" not in text and f"{name}.py`" not in text] == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_shows_what_its_study_made(path: Path) -> None:
    from narrows.apps.study import STUDIES

    text, made = path.read_text(), ROOT / "docs" / "pictures" / "study"
    assert path.stem in STUDIES
    assert f"$ narrows study {path.stem} -o docs/pictures/study\n" in text
    shown = set(re.findall(r"pictures/study/([\w-]+)\.png", text))
    assert shown == {picture.stem for picture in made.glob(f"{path.stem}-*.png")} != set()
    tables = re.findall(r"^\|.*\|$", (made / path.name).read_text(), re.MULTILINE)
    from_study = re.sub("<!-- images -->.*?<!-- /images -->", "", text, flags=re.DOTALL)
    shown_lines = re.findall(r"^\|.*\|$", from_study, re.MULTILINE)
    assert shown_lines
    assert set(shown_lines) <= set(tables)


def test_every_study_has_its_chapter() -> None:
    from narrows.apps.study import STUDIES

    assert {path.stem for path in CHAPTERS} == set(STUDIES)
