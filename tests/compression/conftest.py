"""Small codecs that need no training: the golden ones, of grey images of 8 x 8 pixels, and the images they know."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from narrows.coding.framing import VERSION
from narrows.compression.compressor import Compressor
from narrows.compression.files import load_codec

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def golden() -> ModuleType:
    """How golden codecs and images were made."""
    spec = importlib.util.spec_from_file_location("make_codecs", GOLDEN / "make_codecs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", params=["local", "local-bits-back", "bits-back"])
def codec(request) -> Compressor:
    """A codec of each kind."""
    return load_codec(GOLDEN / f"{request.param}-v{VERSION}.codec")
