"""Write the golden model file and what it must answer; later versions keep loading it and keep answering the same.

    python tests/golden/make.py

Run it for a new format only, under a new number: the files of old formats stay as they are.
"""

import json
from pathlib import Path

import numpy as np
import torch

from narrows.data.schema import infer_schema
from narrows.evaluate import evaluate
from narrows.fit import fit
from narrows.inference import bounds, codes, reconstructed, samples
from narrows.persist import FORMAT, Fitted, save
from narrows.plan import Plan
from narrows.records import plain

FOLDER = Path(__file__).parent
NAMES = ("height", "width", "mass", "age", "price")


def table(n: int) -> np.ndarray:
    """Rows without a generator of random numbers, which a later NumPy might change."""
    i, j = np.arange(n)[:, None], np.arange(len(NAMES))[None]
    noise = np.sin(i * i * 1.7 + j * j)
    return (np.sin(i * 0.37) * (j + 1) + np.cos(i * 0.21) * (4 - j) + 0.3 * noise + 2 * j).astype("float32")


def answers(fitted: Fitted) -> dict:
    values = torch.from_numpy(table(6))
    return {
        "codes": codes(fitted.model, values).tolist(),
        "reconstructed": reconstructed(fitted.model, values).tolist(),
        "bounds": bounds(fitted.model, values).tolist(),
        "samples": samples(fitted.model, 3, seed=7).tolist(),
        "evaluation": plain(evaluate(fitted, torch.from_numpy(table(40)), draws=5)),
        "preset": fitted.preset,
        "schema": plain(fitted.schema.to_json()),
        "parts": fitted.model.recipe.spec(),
        "findings": fitted.record["findings"],
    }


def main() -> None:
    rows = table(100)
    settings = {"network.width": 6, "latent.size": 2, "likelihood.by_cell": True}
    plan = Plan(epochs=200, batch_size=10, rate=0.01, patience=200, average=0.9, precision="float32", device="cpu")
    fitted = fit(rows, infer_schema(rows, names=NAMES), "variational", settings, plan)
    kept = {**fitted.record, "history": fitted.record["history"][-2:], "seconds": 0.0}
    path = FOLDER / f"model-v{FORMAT}.safetensors"
    save(Fitted(fitted.model, fitted.preset, fitted.baseline, kept), path)
    path.with_suffix(".json").write_text(json.dumps(answers(fitted), indent=1) + "\n")


if __name__ == "__main__":
    main()
