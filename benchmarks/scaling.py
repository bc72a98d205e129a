"""The figures of docs/scale.md: what records hold, and the arithmetic from them to 10^9 and 10^12 rows.

The arithmetic takes the model of train_speed, a VAE 784-512-(2 x 16)-512-784, on rows of 784 bytes. Assumed, not
measured: a network of 10 Gbit/s, 50 us for a turn of an all-reduce in a ring, the pace at which statistics are read.
"""

from __future__ import annotations

from statistics import median

from sections import Figures, Rows, machine, recorded

CELLS, CODE = 784, 16
LAYERS = ((CELLS, 512), (512, 2 * CODE), (CODE, 512), (512, CELLS))
WEIGHTS = sum(before * after + after for before, after in LAYERS)
OPERATIONS = 6  # a weight, row and step: 2 forward, 4 backward
SENT = 2 * 4 * WEIGHTS  # bytes of each of many workers in an all-reduce, at most
NETWORK = 1.25e9  # bytes a second
TURN = 50e-6  # seconds
STATISTICS = 1e9  # bytes a second
BLOCK, PLACE = 1024, 8  # rows of a block, bytes of its place in the order
KINDS = ("sparse", "basic", "denoising", "variational", "convolutional")
KINDS_EXAMPLES = 5 * 54_000  # five epochs without the tenth that is held out


class Pace:
    """How fast the model trains: seconds of a step by its batch, and rows a second of one core."""

    def __init__(self) -> None:
        self.page = recorded("train_speed")
        self.small, self.large = (self.page["figures"][f"batch_{n}"]["narrows_images_per_second"] for n in (100, 512))
        self.core = self.large // 2
        self.step_small, self.step_large = 100 / self.small, 512 / self.large
        self.row = (self.step_large - self.step_small) / 412
        self.step = self.step_small - 100 * self.row
        self.gflops = OPERATIONS * WEIGHTS * self.large / 1e9


def ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}"


def tiny(figure: float) -> str:
    digits, _, power = f"{figure:.1e}".partition("e")
    return f"{digits}e{int(power)}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def hours(seconds: float) -> float:
    return seconds / 3600


def gloo() -> Figures:
    page = recorded("distributed")["figures"]
    curve, usual, kill = page["curve"], page["curve_of_the_usual_width"], page["kill"]
    return {
        "steps": f"{curve['steps']}",
        "first": f"{curve['nats_at_the_first_step']:,.0f}",
        "last": f"{curve['nats_at_the_last_step']:,.0f}",
        "nats": tiny(curve["largest_relative_difference_nats"]),
        "weights": tiny(curve["largest_difference_of_weights"]),
        "checkpoint": f"{kill['checkpoint_step']}",
        "tensors": f"{kill['tensors']}",
        "killed_steps": f"{kill['steps']:,}",
        "rows": f"{page['shards']['rows_without_it']}",
        "usual_nats": tiny(usual["largest_relative_difference_nats"]),
        "usual_rate": tiny(usual["largest_relative_difference_rate"]),
        "machine": machine(recorded("distributed")),
    }


def unstored() -> Figures:
    page = recorded("more_than_memory")
    figures = page["figures"]
    train, score = figures["train"], figures["score"]
    return {
        "gigabytes": f"{figures['gigabytes']:.0f}",
        "train": f"{train['mib_largest']:.0f}",
        "train_spread": f"{train['mib_spread_over_the_second_half']:.1f}",
        "score": f"{score['mib_largest']:.0f}",
        "score_slope": f"{score['mib_a_gb_over_the_second_half']:+.2f}",
        "machine": machine(page),
        "minutes": f"{page['seconds'] / 60:.0f}",
    }


def cost() -> Figures:
    page = recorded("scale")
    figures = page["figures"]
    models: Rows = []
    for alone, shared in zip(figures["by_model"][::2], figures["by_model"][1::2], strict=True):
        seconds = [f"{one['seconds_per_million']:,.0f}" for one in (alone, shared)]
        memory = [f"{one['peak_mib']:,.0f}" for one in (alone, shared)]
        models.append([alone["model"], f"{alone['parameters']:,}", *seconds, *memory])
    rows: Rows = [
        [
            *(f"{one[key]:,}" for key in ("rows", "columns", "parameters")),
            f"{one['seconds_per_million']:.1f}",
            f"{one['peak_mib']:.0f}",
        ]
        for one in figures["by_rows"]
    ]
    widths: Rows = [
        [
            f"{one['width']:,}",
            f"{one['parameters']:,}",
            f"{one['seconds_per_million']:.0f}",
            f"{one['peak_mib']:.0f}",
        ]
        for one in figures["by_width"]
    ]
    return {"machine": machine(page), "models": models, "widths": widths, "rows": rows}


def growth() -> Figures:
    pace, kinds, memory = Pace(), recorded("kinds"), recorded("train_memory")["figures"]["peak_mib"]["narrows"]
    normals = recorded("scale")["figures"]["rates"]["normals_a_second"]
    drawn = {cells: normals / cells for cells in (CODE, CELLS)}
    others: Rows = []
    for kind in KINDS:
        seconds = [run["seconds"] for run in kinds["figures"][kind]["MSE"]]
        told = ", ".join(f"{one:.0f}" for one in sorted(seconds))
        others.append([f"{kind}", f"{median(seconds) / KINDS_EXAMPLES * 1e6:,.0f}", told])
    sending = SENT / NETWORK
    return {
        "machine": machine(pace.page),
        "large": f"{pace.large:,}",
        "small": f"{pace.small:,}",
        "large_million": f"{1e6 / pace.large:.0f}",
        "small_million": f"{1e6 / pace.small:.0f}",
        "kinds_machine": machine(kinds),
        "kinds": others,
        "weights": f"{WEIGHTS:,}",
        "operations": f"{OPERATIONS * WEIGHTS / 1e6:.1f}",
        "gflops": f"{pace.gflops:.0f}",
        "gflops_core": f"{pace.gflops / 2:.0f}",
        "million_weights": f"{1e6 * OPERATIONS * 1e6 / (pace.gflops / 2 * 1e9):.0f}",
        "step_small": ms(pace.step_small),
        "step_large": ms(pace.step_large),
        "step": ms(pace.step),
        "row": f"{1e6 * pace.row:.0f}",
        "memory": f"{memory:.0f}",
        "sent_by_two": f"{SENT / 2e6:.1f}",
        "sent": f"{SENT / 1e6:.1f}",
        "sending": ms(sending),
        "share": percent(pace.step_large / (pace.step_large + sending)),
        "share_of_more": percent(4 * pace.step_large / (4 * pace.step_large + sending)),
        "normals": f"{normals / 1e6:.0f}",
        "rates_machine": machine(recorded("scale")),
        "codes": f"{drawn[CODE] / 1e6:.1f}",
        "codes_cores": f"{drawn[CODE] / pace.core:,.0f}",
        "pixels": f"{drawn[CELLS] / 1e3:,.0f},000",
        "pixels_cores": f"{drawn[CELLS] / pace.core:,.0f}",
    }


def billion() -> Figures:
    pace, rates = Pace(), recorded("scale")["figures"]["rates"]
    rows, cores, batch, share = 10**9, 128, 16_384, 2048
    work = share / (16 * pace.core)
    noise = batch * CODE / rates["normals_a_second"]
    sending = 7 / 8 * SENT / NETWORK
    step, steps = work + noise + sending, rows / batch
    reading = rows * CELLS
    first = reading / rates["sha256_bytes_a_second"] + 2 * reading / STATISTICS
    return {
        "core": f"{pace.core:,}",
        "large": f"{pace.large:,}",
        "seconds": f"{rows / pace.core:,.0f}",
        "hours": f"{hours(rows / pace.core):.0f}",
        "both": f"{hours(rows / pace.large):.1f}",
        "together": f"{rows / (cores * pace.core) / 60:.1f}",
        "steps": f"{steps:,.0f}",
        "work": ms(work),
        "noise": ms(noise),
        "normals": f"{rates['normals_a_second'] / 1e6:.0f}",
        "sending": ms(sending),
        "step": ms(step),
        "minutes": f"{steps * step / 60:.1f}",
        "share": percent(work / step),
        "pass_seconds": f"{steps * step:,.0f}",
        "reading": f"{reading / 8 / (steps * step) / 1e6:.0f}",
        "hashed": f"{rates['sha256_bytes_a_second'] / 1e9:.1f}",
        "first": f"{first / 60:.0f}",
        "order": f"{PLACE * rows / BLOCK / 1e6:.0f}",
    }


def trillion() -> Figures:
    pace, rates = Pace(), recorded("scale")["figures"]["rates"]
    rows, machines, cores = 10**12, 1000, 16
    core_hours = hours(rows / pace.core)
    ring = SENT / NETWORK + 2 * (machines - 1) * TURN
    few, many = (share / (cores * pace.core) for share in (2048, 65_536))
    noise = machines * 65_536 * CODE / rates["normals_a_second"]
    scored = recorded("detection_speed")["figures"]["contenders"]["narrows detector-fast"]["rows_a_second"]
    return {
        "core": f"{pace.core:,}",
        "core_seconds": f"{rows / pace.core / 1e7:.1f}",
        "core_hours": f"{core_hours:,.0f}",
        "hours": f"{core_hours / (machines * cores):.2f}",
        "few": ms(few),
        "sending": ms(SENT / NETWORK),
        "turns": f"{2 * (machines - 1) * TURN * 1e3:.0f}",
        "step": f"{1e3 * (few + ring):.0f}",
        "share": percent(few / (few + ring)),
        "many": f"{1e3 * many:.0f}",
        "ring": f"{1e3 * ring:.0f}",
        "share_of_many": percent(many / (many + ring)),
        "steps": f"{rows / (machines * 65_536):,.0f}",
        "reading": f"{rows * CELLS / machines / (core_hours / (machines * cores) * 3600) / 1e6:.0f}",
        "order": f"{PLACE * rows / BLOCK / 1e9:.0f}",
        "normals": f"{rates['normals_a_second'] / 1e6:.0f}",
        "noise": f"{noise:.1f}",
        "noise_times": f"{noise / many:.0f}",
        "checkpoint": f"{24 * WEIGHTS / 1e6:.0f}",
        "applied": f"{core_hours / 3:,.0f}",
        "scored": f"{scored:,}",
        "scored_hours": f"{hours(rows / scored) * 2:,.0f}",
    }


SCALE = (gloo, unstored, cost, growth, billion, trillion)
