"""What every test stands on: one thread, the same examples in every run, and the full data sets where they are."""

import os
from pathlib import Path

# Before torch is imported; the processes that a test starts inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import hypothesis
import pytest
import torch

torch.set_num_threads(1)

# The same examples in every run: a failure is never a matter of luck, nor is a pass.
hypothesis.settings.register_profile("narrows", derandomize=True, deadline=None)
hypothesis.settings.load_profile("narrows")


@pytest.fixture(scope="session")
def narrows_data() -> Path:
    """Folder of the full data sets; a test that asks for it is skipped where there is none."""
    if not os.environ.get("NARROWS_DATA"):
        pytest.skip("NARROWS_DATA is not set: it names the folder of the full data sets")
    folder = Path(os.environ["NARROWS_DATA"])
    if not folder.is_dir():
        pytest.skip(f"NARROWS_DATA names {folder}, which is no folder")
    return folder
