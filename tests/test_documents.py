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
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_readme_python_runs() -> None:
    (code,) = blocks("README.md", "python")
    run(code)


def test_the_pipeline_of_the_page_on_embedding_runs() -> None:
    (code,) = blocks("docs/embedding.md", "python")
    run(code)


def test_the_kind_in_contributing_keeps_the_contract() -> None:
    (code,) = blocks("CONTRIBUTING.md", "python")
    run(code + KEEPS_THE_CONTRACT)


CHAPTERS = sorted((ROOT / "docs" / "theory").glob("*.md"))


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/embedding.md",
        "docs/export.md",
        "docs/serve.md",
        "docs/sparse.md",
        *(f"docs/theory/{path.name}" for path in CHAPTERS),
    ],
)
def test_linked_files_exist(document: str) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / document).read_text())
    assert all(((ROOT / document).parent / link).exists() for link in links), links


def test_every_module_has_its_place_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    modules = [
        path.stem for path in (ROOT / "src" / "narrows").iterdir() if not path.name.startswith(("_", "py.typed"))
    ]
    assert [name for name in modules if f"`{name}" not in text and f"{name}.py`" not in text] == []


def test_every_verb_of_the_readme_exists() -> None:
    from narrows.cli import VERBS

    verbs = re.findall(r"^(?:\$ |    )narrows ([\w-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(verbs) >= 5
    assert set(verbs) <= set(VERBS)


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
