"""Tensors and a JSON header in one safetensors file: models and checkpoints. Nothing is ever unpickled."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

import narrows
from narrows.atomic import writing
from narrows.baseline import Baseline, Typical, baseline_from
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.model import Model, Recipe
from narrows.tensors import under

FORMAT = 1
HEADER_KEY = "narrows"


@dataclass(frozen=True)
class Fitted:
    """A trained model with what a user of its file needs to know.

    Parameters
    ----------
    model : Model
        With its weights and fitted transform.
    preset : str
        The preset it was made from.
    baseline : Baseline, Typical or None
        Principal components of the training rows, at the same code size; of a mixed table its typical row.
    record : dict
        How it was trained: plan, history, findings, data, seconds, versions. Plain JSON values.
    """

    model: Model
    preset: str
    baseline: Baseline | Typical | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> Schema:
        """The schema of the raw data."""
        return self.model.schema


def save(fitted: Fitted, path: Path | str) -> None:
    """Write a trained model as one file, whole or not at all.

    Parameters
    ----------
    fitted : Fitted
        The model.
    path : Path or str
        By custom ``.safetensors``.
    """
    tensors = {f"model.{name}": tensor for name, tensor in fitted.model.state_dict().items()}
    if fitted.baseline is not None:
        tensors |= {f"baseline.{name}": tensor for name, tensor in fitted.baseline.tensors().items()}
    header = {
        "what": "model",
        "preset": fitted.preset,
        "spec": fitted.model.recipe.spec(),
        "schema": fitted.schema.to_json(),
        "binarize": fitted.model.transform.binarize,
        "record": fitted.record,
    }
    write_tensors(path, tensors, header)


def load(path: Path | str) -> Fitted:
    """Read a model file.

    Parameters
    ----------
    path : Path or str
        Written by `save`.

    Returns
    -------
    Fitted
        Its model is in evaluation mode.

    Raises
    ------
    InputError
        If there is no such file, or it is foreign, truncated, altered or of a newer format.
    """
    tensors, header = read_tensors(path, what="model")
    try:
        schema = Schema.from_json(header["schema"])
        # On the meta device nothing is allocated: a header cannot ask for more memory than the file brings.
        with torch.device("meta"):
            model = Model(Recipe.from_spec(header["spec"]), schema, binarize=header["binarize"])
        baseline = baseline_from(under("baseline.", tensors))
        fitted = Fitted(model.eval(), header["preset"], baseline, header["record"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} describes a model that this version cannot build ({_in_one_line(error)})") from None
    _fill(model, under("model.", tensors), path)
    return fitted


def write_tensors(path: Path | str, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header with a fingerprint of both, whole or not at all."""
    header = {"format": FORMAT, "version": narrows.__version__, **header}
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header["fingerprint"] = fingerprint(ready, header)
    text = json.dumps(header, allow_nan=False)
    with writing(path) as beside:
        try:
            safetensors.torch.save_file(ready, beside, metadata={HEADER_KEY: text})
        except safetensors.SafetensorError as error:
            raise OSError(errno.EIO, _in_one_line(error), str(path)) from None


def read_tensors(path: Path | str, *, what: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote and check that it is whole, unaltered and a ``what``.

    Raises
    ------
    InputError
        If it is not; one sentence says why.
    """
    path = Path(path)
    if not path.is_file():
        found = f"{path} is a folder" if path.is_dir() else f"there is no file {path}"
        raise InputError(f"{found}; give a {what} file that narrows train wrote")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER_KEY], parse_constant=_refuse)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, KeyError, ValueError, RecursionError):
        raise InputError(
            f"{path} is not a narrows {what} file, or was cut short; give one that narrows train wrote"
        ) from None
    if not isinstance(header, dict) or header.get("what") != what:
        raise not_a(what, path, isinstance(header, dict) and header.get("what") == "checkpoint")
    if isinstance(header.get("format"), int) and header["format"] > FORMAT:
        raise InputError(
            f"{path} is of format {header['format']}, written by narrows {header.get('version')}; this is "
            f"{narrows.__version__}, which reads formats up to {FORMAT}: upgrade to read it"
        )
    if header.pop("fingerprint", "none") != _fingerprint_of_read(tensors, header):
        raise InputError(f"{path} was altered after it was written; train again, or take a copy that is whole")
    return tensors, header


def not_a(what: str, path: object, checkpoint: bool = False) -> InputError:
    """Make the error for a file, by its name, that holds something else than a ``what``."""
    found = "is a checkpoint, not" if checkpoint else "is not"
    return InputError(f"{path} {found} a narrows {what} file; give one that narrows train wrote")


def holds(path: Path | str, what: str) -> bool:
    """Whether a file says that it is a ``what``; not so where it cannot be read, which `read_tensors` explains."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER_KEY], parse_constant=_refuse)
    except (OSError, safetensors.SafetensorError, KeyError, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("what") == what


def fingerprint(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """SHA-256 over the header and every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, allow_nan=False).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _fingerprint_of_read(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str | None:
    """The fingerprint, or None where the header holds numbers that `write_tensors` would not have written."""
    try:
        return fingerprint(tensors, header)
    except ValueError:
        return None


def _fill(model: Model, tensors: dict[str, Tensor], path: Path | str) -> None:
    """Put the file's tensors in the place of the model's, which have no memory yet."""
    expected = {name: (tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()}
    given = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    check_held(expected, given, "model", path)
    model.load_state_dict(tensors, assign=True)


def check_held(expected: Mapping[str, Any], given: Mapping[str, Any], what: str, path: Path | str) -> None:
    """Check by name that the tensors of a file are those that its header describes, in what both mappings say of them.

    Raises
    ------
    InputError
        If one is missing, one too many, or differs.
    """
    differing = [name for name in {**expected, **given} if expected.get(name) != given.get(name)]
    if differing:
        raise InputError(f"{path} does not hold the {what} that it describes ({min(differing)} differs); train again")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")
