"""Pairs of what stands between a model and people or programs: lines that come, requests, and a page."""

from __future__ import annotations

import csv
import http.client
import io
import itertools
import json
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from binary_images import images
from pairs import Pair, fitted_detector, mlp, saved, taking

if TYPE_CHECKING:
    import uvicorn

TRAINED, STREAMED = 2_000, 2_500
CONNECTIONS, ASKED = 16, 160
FRAMES = 50
JSON = {"Content-Type": "application/json"}
PATIENCE = 30.0  # seconds for a server to start or to end


def stream() -> Pair:
    """Lines of a stream scored and learnt from, beside a loop that reads, scores and trains a plain network."""
    from narrows.apps.stream import Incoming
    from narrows.apps.stream import stream as streamed
    from narrows.detection.files import save_detector
    from stream import COLUMNS, NAMES, rows

    folder = tempfile.TemporaryDirectory()
    model, given, told = (Path(folder.name) / name for name in ("detector.safetensors", "rows.csv", "told.jsonl"))
    save_detector(fitted_detector("detector-fast", rows(TRAINED, 1)), model)
    np.savetxt(given, rows(STREAMED, 2), "%.6g", ",", header=",".join(NAMES), comments="")
    layers = mlp(COLUMNS, 48, 32, 48, COLUMNS)
    optimizer = torch.optim.SGD(layers.parameters(), 1e-3)

    def reference() -> None:
        with given.open() as source, told.open("w") as output:
            lines = csv.reader(source)
            next(lines)
            while some := list(itertools.islice(lines, 256)):
                x = torch.tensor([list(map(float, line)) for line in some])
                errors = (layers(x) - x).square().sum(1)
                optimizer.zero_grad()
                errors.mean().backward()
                optimizer.step()
                output.writelines(json.dumps({"score": error}) + "\n" for error in errors.tolist())

    ours = taking(STREAMED, lambda: streamed(model, told, learn=True, incoming=Incoming(given)))
    return Pair(ours, taking(STREAMED, reference), keeps=folder)


class Server:
    """A server of a model file in a thread of this process, which ends with it.

    Parameters
    ----------
    path : Path
        Of the model or detector.
    connections : int
        That are kept open.
    """

    def __init__(self, path: Path, connections: int) -> None:
        import uvicorn

        from narrows.serve.application import application
        from narrows.serve.limits import Limits
        from narrows.serve.running import configured, listening
        from narrows.serve.verbs import open_loaded

        opened, server = listening("127.0.0.1", 0), uvicorn.Server(configured(application(open_loaded(path)), Limits()))
        thread = threading.Thread(target=server.run, args=([opened],), daemon=True)
        thread.start()
        port = opened.getsockname()[1]
        self._lines = [http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE) for _ in range(connections)]
        weakref.finalize(self, _end, server, thread, self._lines)
        until = time.monotonic() + PATIENCE
        while not server.started:
            if time.monotonic() > until or not thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.01)

    def ask(self, path: str, bodies: Sequence[bytes]) -> None:
        """Have bodies answered, on each connection one at a time."""
        for start in range(0, len(bodies), len(self._lines)):
            busy = list(zip(self._lines, bodies[start:], strict=False))
            for line, body in busy:
                line.request("POST", path, body, JSON)
            for line, _ in busy:
                answer = line.getresponse()
                said = answer.read()
                if answer.status != http.HTTPStatus.OK:
                    raise RuntimeError(f"the server answered {answer.status}: {said.decode()}")


def _end(server: uvicorn.Server, thread: threading.Thread, lines: Sequence[http.client.HTTPConnection]) -> None:
    for line in lines:
        line.close()
    server.should_exit = True
    thread.join(PATIENCE)


def serve() -> Pair:
    """Rows scored by a server, a request each on 16 connections, beside the function behind it, row by row."""
    from narrows.apps.detect import findings
    from narrows.detection.files import save_detector
    from narrows.serve.verbs import BLOCK
    from stream import rows

    with tempfile.TemporaryDirectory() as folder:
        path, fitted = Path(folder) / "detector.safetensors", fitted_detector("detector", rows(TRAINED, 1))
        save_detector(fitted, path)
        server = Server(path, CONNECTIONS)
    asked = rows(ASKED, 2)
    bodies = [json.dumps(row).encode() for row in asked.tolist()]

    def reference() -> None:
        for row in torch.from_numpy(asked)[:, None]:
            findings(fitted, row, block=BLOCK)

    return Pair(taking(ASKED, lambda: server.ask("/detect", bodies)), taking(ASKED, reference), keeps=server)


def explore() -> Pair:
    """Codes made into images by a server, one after the other, beside the decoder alone and its pixels as JSON."""
    from narrows.persist import load

    with tempfile.TemporaryDirectory() as folder:
        path, _ = saved(folder, "variational", images(100), "network=mlp", "latent.size=2")
        server, network = Server(path, 1), load(path).model.network
    codes = torch.randn(FRAMES, 1, 2)
    bodies = [json.dumps(code).encode() for code in codes[:, 0].tolist()]

    @torch.inference_mode()
    def reference() -> None:
        for code in codes:
            json.dumps(network.decode(code).tolist())

    return Pair(taking(FRAMES, lambda: server.ask("/decode", bodies)), taking(FRAMES, reference), keeps=server)


def report() -> Pair:
    """The page about a model of images, beside Pillow, which writes as many images as PNG."""
    from PIL import Image

    from narrows.apps.report import report

    folder, data = tempfile.TemporaryDirectory(), images(100)
    reals, page = Path(folder.name) / "rows.npy", Path(folder.name) / "report.html"
    np.save(reals, data / np.float32(2))
    path, _ = saved(folder.name, "variational", np.load(reals), "network=mlp", "latent.size=8")
    pictures = [Image.fromarray(image) for image in 255 * data]

    def reference() -> None:
        for picture in pictures:
            picture.save(io.BytesIO(), "PNG", optimize=True)

    ours = taking(len(data), lambda: report((path,), str(reals), page))
    return Pair(ours, taking(len(data), reference), keeps=folder)


PAIRS: dict[str, Callable[[], Pair]] = {
    "stream": stream,
    "serve": serve,
    "explore": explore,
    "report": report,
}
