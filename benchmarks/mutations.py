"""10,000 random mutations of compressed files: refused in a sentence or decoded right, and salvaged chunk by chunk.

A file of each kind of codec, in several chunks, has bits flipped, ends cut off, bytes inserted and deleted, stretches
of other files spliced in, chunks put into another order, or is decoded by another model of the same kind. Each is
decoded as it is, and salvaged. What is given out must be what the file that it came from holds in that place; an error
must be one that a person is told in a sentence. A chunk counts as intact if its bytes, from marker to digest, are still
there in a row, and must then be salvaged, as long as one of the two copies of the file's header is left.

    python benchmarks/mutations.py

trains two small models on the embedded images, and records in ``results/mutations.json`` how many mutations of each
sort ended how, the longest time, and the most memory beside that of the honest file; it fails if a single one ended
wrongly. With other ``--mutations`` or another ``--seed`` it prints and does not record.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from narrows.coding.container import Reader
from narrows.coding.salvage import salvage
from narrows.compression.archive import Archive, written
from narrows.compression.compressor import Compressor, Work
from narrows.compression.files import compressor_for
from narrows.data.frames import Block, Form, Frames
from narrows.data.named import load
from narrows.errors import InputError
from narrows.fit import fit
from narrows.plan import Plan
from record import record

MUTATIONS = 10_000
SECONDS = 10.0  # of the processor that the work on one file may take
DATA = "fashion-sample"
CHUNKS, EXAMPLES = 6, 4
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "local": ("compressor", {"likelihood.reach": 2, "likelihood.width": 16, "likelihood.depth": 2}),
    "bits-back": ("variational", {"network": "mlp", "network.width": 64, "latent.size": 8}),
}
SOUND = ("refused", "right", "recovered", "nothing left")

Random = np.random.Generator


@dataclass(frozen=True)
class Whole:
    """A file as it was written, with the examples of each of its chunks."""

    file: bytes
    blocks: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, codec: Compressor, blocks: list[np.ndarray]) -> Whole:
        names = [tuple(f"{place}/{i}.png" for i in range(len(block))) for place, block in enumerate(blocks)]
        given = list(map(Block, blocks, names))
        frames = Frames(codec.schema, Form("folder"), sum(map(len, blocks)), (), lambda: iter(given))
        file = io.BytesIO()
        list(written(file, codec, frames, Work()))
        return cls(file.getvalue(), tuple(blocks))

    def chunks(self) -> dict[int, tuple[bytes, np.ndarray]]:
        """Bytes and examples of each chunk, by the number of its first example."""
        entries = Reader.open(self.file).entries
        raw = [self.file[entry.offset : entry.offset + entry.length] for entry in entries]
        return {entry.first: (bytes_, x) for entry, bytes_, x in zip(entries, raw, self.blocks, strict=True)}


@dataclass(frozen=True)
class Case:
    """A file to be mutated, its codec, another codec of the kind, and files from which stretches are taken."""

    codec: Compressor
    other: Compressor
    whole: Whole
    donors: tuple[Whole, ...]

    @classmethod
    def of(cls, codec: Compressor, other: Compressor, images: np.ndarray, examples: int = EXAMPLES) -> Case:
        """Images (n, c, height, width) in chunks: a file, another by the same codec, and one by the other."""
        blocks = [images[at : at + examples] for at in range(0, len(images), examples)]
        third = len(blocks) // 3
        noise = np.random.default_rng(0).integers(0, codec.schema.levels, blocks[0].shape, dtype=np.uint8)
        first, second = [*blocks[:third], noise], blocks[third : 2 * third]
        donors = (Whole.of(codec, second), Whole.of(other, blocks[2 * third :]))
        return cls(codec, other, Whole.of(codec, first), donors)


def stretch(r: Random, size: int) -> slice:
    """A stretch of a file, as often of some bytes as of most of it."""
    length = min(int(np.exp(r.uniform(0, np.log(size + 1)))), size)
    start = int(r.integers(size - length + 1))
    return slice(start, start + length)


def flipped(r: Random, case: Case) -> bytes:
    file = bytearray(case.whole.file)
    for at in r.integers(len(file), size=r.integers(1, 9)):
        file[at] ^= 1 << int(r.integers(8))
    return bytes(file)


def cut(r: Random, case: Case) -> bytes:
    file, at = case.whole.file, int(r.integers(len(case.whole.file)))
    return file[at:] if r.random() < 0.3 else file[:at]


def inserted(r: Random, case: Case) -> bytes:
    file, at = case.whole.file, int(r.integers(len(case.whole.file) + 1))
    some = r.bytes(int(r.integers(1, 65))) if r.random() < 0.5 else file[stretch(r, len(file))]
    return file[:at] + some + file[at:]


def deleted(r: Random, case: Case) -> bytes:
    file, gone = case.whole.file, stretch(r, len(case.whole.file))
    return file[: gone.start] + file[gone.stop :]


def spliced(r: Random, case: Case) -> bytes:
    """Bytes of another file in place of some, at the same place in it or at another."""
    file, donor = case.whole.file, case.donors[int(r.integers(len(case.donors)))].file
    gone = stretch(r, len(file))
    taken = gone if r.random() < 0.5 else stretch(r, len(donor))
    return file[: gone.start] + donor[taken] + file[gone.stop :]


def swapped(r: Random, case: Case) -> bytes:
    """Chunks in another order, now and then one of them of another file, or one twice."""
    entries = Reader.open(case.whole.file).entries
    chunks = [chunk for chunk, _ in case.whole.chunks().values()]
    donor = [chunk for chunk, _ in case.donors[int(r.integers(len(case.donors)))].chunks().values()]
    place = int(r.integers(len(chunks)))
    more = [[], [donor[int(r.integers(len(donor)))]], [chunks[place]]][int(r.integers(3))]
    chunks[place : place + len(more)] = more
    order = r.permutation(len(chunks))
    ends = case.whole.file[: entries[0].offset], case.whole.file[entries[-1].offset + entries[-1].length :]
    return ends[0] + b"".join(chunks[i] for i in order) + ends[1]


SORTS: dict[str, Callable[[Random, Case], bytes]] = {
    "bits flipped": flipped,
    "cut": cut,
    "inserted": inserted,
    "deleted": deleted,
    "spliced": spliced,
    "chunks swapped": swapped,
    "another model": lambda _, case: case.whole.file,
}


@dataclass
class Trial:
    """What was given out, how it ended, and the seconds of the processor and the most bytes of memory that it took."""

    reader: Reader | None = None
    blocks: list[np.ndarray] = field(default_factory=list)
    error: Exception | None = None
    seconds: float = 0.0
    peak: int = 0


def tried(codec: Compressor, file: bytes, opening: Callable[[bytes], Reader]) -> Trial:
    """Decode as far as it goes."""
    trial, began = Trial(), time.process_time()
    tracemalloc.start()
    try:
        trial.reader = opening(file)
        for block in Archive.of(trial.reader).blocks(codec, Work()):
            trial.blocks.append(block.values)
    except Exception as error:  # of whatever class: that is the question
        trial.error = error
    trial.peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    trial.seconds = time.process_time() - began
    return trial


class Judge:
    """Tells how a trial ended; 2x the memory of the honest file is allowed."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.wholes = {Reader.open(whole.file).prefix.raw: whole.chunks() for whole in (case.whole, *case.donors)}
        honest = [tried(case.codec, case.whole.file, opening) for opening in (Reader.open, salvage)]
        self.honest_peak = max(trial.peak for trial in honest)
        self.slowest = self.largest = 0.0

    def decoded(self, trial: Trial) -> str:
        """How decoding a file as it is ended."""
        known = self.known(trial)
        all_there = 0 < len(known) == len(trial.blocks)
        return self.spoilt(trial) or ("refused" if trial.error else "right" if all_there else "wrong")

    def salvaged(self, trial: Trial, file: bytes, codec: Compressor) -> str:
        """How salvaging it ended: whether all chunks were recovered that are still there."""
        if codec is not self.case.codec or (trial.error and not any(prefix in file for prefix in self.wholes)):
            return self.spoilt(trial) or ("nothing left" if trial.error else "wrong")
        intact = {first for first, (raw, _) in self.known(trial).items() if raw in file}
        found = {entry.first for entry in trial.reader.entries} if trial.reader else set()
        # Chunks of another model are there as well, and it is right that they are refused.
        foreign = trial.error is not None and found and "another model" in str(trial.error)
        missed = found != intact or (trial.error is not None and not foreign)
        return self.spoilt(trial) or ("missed" if missed else "refused" if foreign else "recovered")

    def known(self, trial: Trial) -> dict[int, tuple[bytes, np.ndarray]]:
        """Chunks of the file whose header was found."""
        return self.wholes.get(trial.reader.prefix.raw, {}) if trial.reader else {}

    def spoilt(self, trial: Trial) -> str | None:
        """What must not be, in whatever way it ended."""
        known = self.known(trial)
        firsts = [entry.first for entry in trial.reader.entries] if trial.reader else []
        right = all(
            first in known and np.array_equal(known[first][1], block)
            for first, block in zip(firsts, trial.blocks, strict=False)
        )
        self.slowest = max(self.slowest, trial.seconds)
        self.largest = max(self.largest, trial.peak / self.honest_peak)
        ends = {
            "wrong": not right,
            f"crashed: {type(trial.error).__name__}": not isinstance(trial.error, InputError | None),
            "slow": trial.seconds > SECONDS,
            "large": trial.peak > 2 * self.honest_peak,
        }
        return next((end for end, so in ends.items() if so), None)


def measure(case: Case, mutations: int, seed: int) -> dict[str, Any]:
    """How so many mutations of a file ended, by sort."""
    r, judge = np.random.default_rng(seed), Judge(case)
    ended: dict[str, dict[str, Counter[str]]] = {sort: {"decoded": Counter(), "salvaged": Counter()} for sort in SORTS}
    for place in range(mutations):
        sort = list(SORTS)[place % len(SORTS)]
        file = SORTS[sort](r, case)
        codec = case.other if sort == "another model" else case.codec
        decoded, salvaged = tried(codec, file, Reader.open), tried(codec, file, salvage)
        ended[sort]["decoded"][judge.decoded(decoded)] += 1
        ended[sort]["salvaged"][judge.salvaged(salvaged, file, codec)] += 1
    ends = sum((ends for sort in ended.values() for ends in sort.values()), Counter())
    return {
        "file_bytes": len(case.whole.file),
        "chunks": len(case.whole.blocks),
        "mutations": mutations,
        "ended": ended,
        "faults": sum(count for end, count in ends.items() if end not in SOUND),
        "slowest_seconds": round(judge.slowest, 3),
        "honest_peak_bytes": judge.honest_peak,
        "largest_peak_of_honest": round(judge.largest, 3),
    }


def trained(kind: str, seed: int) -> Compressor:
    """A small model of the embedded images."""
    preset, settings = MODELS[kind]
    images = load(DATA, "train")
    model = fit(images.examples.values[:, None], images.schema, preset, settings, Plan(epochs=3, seed=seed)).model
    return compressor_for(model.eval())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=MUTATIONS, help="of all kinds of codecs together")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    images = load(DATA, "test").examples.values[: 3 * CHUNKS * EXAMPLES, None]
    cases = {kind: Case.of(trained(kind, 0), trained(kind, 1), images) for kind in MODELS}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures: dict[str, Any] = {}
    for kind, case in cases.items():
        figures[kind] = measure(case, options.mutations // len(cases), options.seed)
        print(kind, figures[kind], file=sys.stderr, flush=True)
    figures["faults"] = sum(found["faults"] for found in figures.values())
    # Of all of them together: most is what tracemalloc keeps of each for itself.
    figures["resident_growth_mib"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    if (options.mutations, options.seed) == (MUTATIONS, 0):
        protocol = (
            f"{CHUNKS + 1} chunks of {EXAMPLES} images of {DATA}:test, one of them noise; each sort in turn; "
            f"at most {SECONDS:g} s and twice the honest file's memory, as tracemalloc sees it"
        )
        record("mutations", figures, seconds=time.perf_counter() - began, protocol=protocol)
    print(json.dumps(figures, indent=2))
    if figures["faults"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
