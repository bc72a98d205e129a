"""What tests of the server share: rows, images, and a server in a process of its own."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from narrows.data.schema import Column, Schema, mixed_schema
from narrows.export.rows import drawn_rows

TABLE = mixed_schema(
    (
        Column("amount", "numeric"),
        Column("visits", "count"),
        Column("town", "category", ("Rome", "Oslo", "Lima")),
        Column("member", "binary", ("no", "yes")),
    )
)
IMAGES = Schema((1, 8, 8), 0.0, 255.0, 1.0, "hw")
ENDS = torch.tensor([20.0, 0.0, 0.0, 0.0]), torch.tensor([80.0, 9.0, 2.0, 1.0])


def rows(seed: int, n: int = 200) -> np.ndarray:
    """Raw rows of the table, some with gaps, and none with a value that no training row had."""
    drawn = drawn_rows(TABLE, *ENDS, seed).numpy()[:n]
    for place, column in enumerate(TABLE.columns):
        if column.categories:
            drawn[:, place] = np.where(drawn[:, place] >= len(column.categories), 0, drawn[:, place])
    return drawn


def objects(raw: np.ndarray) -> list[dict]:
    """Raw rows as JSON has them."""
    made = []
    for row in raw.tolist():
        cells = {}
        for column, cell in zip(TABLE.columns, row, strict=True):
            known = cell == cell
            cells[column.name] = (column.categories[int(cell)] if column.categories else cell) if known else None
        made.append(cells)
    return made


def images(seed: int, n: int = 20) -> np.ndarray:
    """Raw images (n, height, width)."""
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8), dtype=np.uint8)


class Server:
    """``narrows serve`` in a process of its own."""

    def __init__(self, model: Path, *words: str) -> None:
        line = [sys.executable, "-m", "narrows", "serve", str(model), "--port", "0", *words]
        self.process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        assert found, said + self.process.stderr.read()
        self.port = int(found[1])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, body: bytes, path: str = "/detect", media: str = "application/json") -> tuple[int, dict, bytes]:
        """One honest request, over a connection of its own."""
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\nConnection: close\r\n"
        with self.connect() as line:
            line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return answer(line)

    def is_well(self) -> bool:
        """Whether the next honest request is answered."""
        status, _, body = self.ask(json.dumps(objects(rows(1, 1))[0]).encode())
        return status == 200 and set(json.loads(body)) == {"score", "p_value", "anomaly", "reason"}

    def stop(self) -> tuple[int, str]:
        """End it; return its status and what else it said."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def answer(line: socket.socket) -> tuple[int, dict, bytes]:
    """Read an answer to its end: status, headers, body; status 0 if there is none."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := line.recv(2**16):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]) if received else 0, headers, body
