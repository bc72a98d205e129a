"""Small tables, images, models and detectors that exported graphs are tested on."""

import csv
import io
import tarfile
from pathlib import Path

import torch

from narrows.data.schema import Column, Schema, mixed_schema
from narrows.export.rows import drawn_rows
from narrows.export.runtime import PROGRAM, SCRIPT
from narrows.model import Model
from narrows.persist import Fitted, save
from narrows.presets import choose

TABLE = mixed_schema(
    (
        Column("amount", "numeric"),
        Column("visits", "count"),
        Column("town", "category", ("Rome", "Oslo", "Lima")),
        Column("member", "binary", ("no", "yes")),
    )
)
IMAGES = Schema((1, 12, 12), 0.0, 255.0, 1.0, "hw")
ENDS = torch.tensor([20.0, 0.0, 0.0, 0.0]), torch.tensor([80.0, 9.0, 2.0, 1.0])
# What stands for onnxruntime-web.
RUNS = "/* ONNX Runtime Web v9.9.9 */\nvar a={};export{a as default,a as env};\n//# sourceMappingURL=x.map\n"
HELD = {SCRIPT: RUNS.encode(), PROGRAM: b"\0asm" * 9}


def table(seed: int) -> torch.Tensor:
    return drawn_rows(TABLE, *ENDS, seed)


def images(seed: int) -> torch.Tensor:
    return drawn_rows(IMAGES, torch.tensor(0.0), torch.tensor(255.0), seed)


def untrained(path: Path, preset: str, schema: Schema, rows: torch.Tensor, *changes: str) -> Model:
    model = Model(choose(preset, schema, changes), schema)
    model.adapt(rows)
    save(Fitted(model.eval(), preset), path)
    return model


def write_csv(path: Path, rows: torch.Tensor) -> None:
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(column.name for column in TABLE.columns)
        for row in rows.tolist():
            names = [[*column.categories, "none of them"] for column in TABLE.columns]
            cells = (n[int(x)] if len(n) > 1 and x == x else x for x, n in zip(row, names, strict=True))
            lines.writerow("" if cell != cell else cell for cell in cells)


def packed(path: Path, held: dict[str, bytes]) -> Path:
    """Write files as an npm package has them."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in held.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
