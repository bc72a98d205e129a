"""Rows, settings and models that sparse codes are not made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from inputs.arrays import npy
from inputs.case import Case, file
from inputs.rows import as_csv, new

# What the runner lays into the folder before the file is made.
DICTIONARY = "dictionary.safetensors"
SMALL = ("latent.size=8", "latent.k=2")


def numbers(rows: int = 60, columns: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)


def rows(change: Callable[[np.ndarray], np.ndarray] = np.asarray) -> Callable[[Path], Path]:
    """A sound file of numbers, or of what was made of them."""
    return file(lambda: npy(change(numbers())), "rows.npy")


def setting(name: str, *settings: str, refused: str) -> Case:
    """Sound rows, and a dictionary that there cannot be."""
    return Case(f"a dictionary: {name}", rows(), refused, verb="dictionary", options=("--set", *SMALL, *settings))


def taught(name: str, make: Callable[[Path], Path], refused: str = "", treatment: str = "") -> Case:
    """Rows that a sound dictionary is to be learnt from."""
    return Case(f"for a dictionary: {name}", make, refused, treatment, verb="dictionary", options=("--set", *SMALL))


def coded(name: str, make: Callable[[Path], Path], *options: str, refused: str = "", treatment: str = "") -> Case:
    """Rows whose sparse codes are to be written."""
    return Case(f"sparse codes: {name}", make, refused, treatment, verb="codes", options=options)


CASES = (
    setting("more numbers kept than there are codes", "latent.k=9", refused="latent.k was given as 9"),
    setting("a negative number kept", "latent.k=-1", refused="latent.k was given as -1"),
    setting("half a number kept", "latent.k=2.5", refused="latent.k"),
    setting("a text as the number kept", "latent.k=few", refused="latent.k"),
    Case(
        "a dictionary: no number kept",
        rows(),
        verb="dictionary",
        options=("--set", "latent.size=8", "latent.k=0"),
        treatment="a quarter of the codes are kept",
    ),
    setting("no codes", "latent.size=0", refused="latent.size was given as 0"),
    setting("a billion billion codes", f"latent.size={10**18}", refused="do not fit into memory"),
    setting("dead after -1 examples", "latent.dead_after=-1", refused="latent.dead_after was given as -1"),
    setting("a unit on in more rows than there are", "latent.floor=1.5", refused="latent.floor was given as 1.5"),
    setting("steps backward", "network.steps=-1", refused="network.steps was given as -1"),
    setting("a threshold of 0", "network.threshold=0", refused="network.threshold was given as 0"),
    Case(
        "a dictionary: codes of two numbers each",
        rows(),
        "take latent=batch-top-k, or network=mlp",
        verb="dictionary",
        options=("--set", "latent=gaussian"),
    ),
    setting("a likelihood of levels", "likelihood=logistic", refused="take likelihood="),
    setting("nested codes and one draw", "latent=matryoshka", refused="objective.samples"),
    setting("a window wider than its threshold", "latent=jump-relu", "latent.window=3", refused="latent.window"),
    taught("texts", file(npy(np.array([["x", "y"], ["z", "w"]])), "rows.npy"), "holds text such as"),
    taught("a table with a column of text", file("a,b\n1,x\n2,y\n3,x\n4,y\n"), "take likelihood=columns"),
    taught("cut short", file(npy(numbers())[:-9], "rows.npy"), "which it does not hold"),
    taught("one row", rows(lambda x: x[:1]), "2"),
    taught("NaN", rows(lambda x: np.where(x > 2, np.nan, x)), "NaN or infinite values"),
    taught("rows that are all alike", rows(np.ones_like), "there is nothing to learn"),
    taught("fewer rows than codes", rows(lambda x: x[:6]), treatment="learnt"),
    Case(
        "sparse codes: of a model whose codes are dense",
        file(as_csv(new()), "new.csv"),
        "codes are dense",
        verb="dense",
    ),
    coded("to a file that has no place for them", rows(), "-o", "codes.npy", refused="written as .npz or .csv"),
    coded("to a picture", rows(), "-o", "codes.png", refused="written as .npz or .csv"),
    coded("to a name without a suffix", rows(), "-o", "codes", refused="has the suffix (none)"),
    coded("to a folder that there is not", rows(), "-o", "none/codes.npz", refused="there is no folder none"),
    coded("of rows of another width", rows(lambda x: x[:, :4]), refused="5 columns"),
    coded("of rows cut short", file(npy(numbers())[:-9], "rows.npy"), refused="which it does not hold"),
    coded("of texts", file("a,b,c,d,e\n1,2,3,4,x\n", "rows.csv"), refused="x"),
    coded("of NaN", rows(lambda x: np.where(x > 2, np.nan, x)), refused="NaN or infinite values"),
    coded("of one row", rows(lambda x: x[:1]), treatment="written"),
    coded("of numbers far from all that it knows", rows(lambda x: x * np.float32(1e30)), treatment="written"),
)
