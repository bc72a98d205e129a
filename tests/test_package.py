"""The package itself: few public names, each imported when first asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import narrows
from narrows.data.dataset import Dataset


def run_python(code: str) -> str:
    home = str(Path(narrows.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")])}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return ran.stdout


def test_importing_the_package_imports_no_library():
    code = "import sys, narrows; print(*sorted({'torch', 'sklearn', 'numpy', 'typer'} & set(sys.modules)))"
    assert run_python(code) == "\n"


def test_public_names_are_few_and_there():
    assert len(narrows.__all__) <= 20
    assert set(narrows.__all__) <= set(dir(narrows))
    for name in narrows.__all__:
        assert getattr(narrows, name) is not None
        assert not (Path(narrows.__file__).parent / f"{name}.py").exists()
    assert issubclass(narrows.InputError, ValueError)
    assert narrows.Dataset is Dataset
    with pytest.raises(AttributeError, match="nothing"):
        _ = narrows.nothing


def test_help_needs_no_library_of_numbers():
    code = (
        "import sys; from narrows.cli import run; status = run(['--help']);"
        "print(status, *sorted({'torch', 'sklearn', 'numpy', 'pyarrow', 'PIL'} & set(sys.modules)))"
    )
    assert run_python(code).splitlines()[-1] == "0"


def test_a_plan_needs_no_torch():
    assert run_python("import sys, narrows; narrows.Plan(epochs=3); print('torch' in sys.modules)") == "False\n"
