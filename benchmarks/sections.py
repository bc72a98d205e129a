"""The figures of each section of the READMEs and of docs/peers.md, as text, by name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from record import RESULTS


@dataclass(frozen=True)
class Phrase:
    """Words with figures in them, since another language says other words around the same figures."""

    words: str
    figures: tuple[str | Phrase, ...]


Cell = str | Phrase
Rows = list[list[Cell]]
Figures = dict[str, Cell | Rows]


def recorded(name: str) -> dict[str, Any]:
    page: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return page


def all_recorded(names: Iterable[str], prefix: str) -> dict[str, dict[str, Any]]:
    """The pages of those names that have one, of which there is one at least."""
    pages = {name: recorded(prefix + name) for name in names if (RESULTS / f"{prefix}{name}.json").exists()}
    if not pages:
        raise FileNotFoundError(2, "no record", f"{prefix}*.json")
    return pages


def machine(page: dict[str, Any]) -> Phrase:
    cores = page["machine"]["cores"]
    return Phrase("{} core, {}" if cores == 1 else "{} cores, {}", (f"{cores}", page["machine"]["processor"]))


def machines(pages: Iterable[dict[str, Any]]) -> Phrase:
    """Every machine of these pages once."""
    found = tuple(dict.fromkeys(machine(page) for page in pages))
    return Phrase("; ".join("{}" for _ in found), found)


def demo() -> Figures:
    page = recorded("fresh_clone")
    figures = page["figures"]["demo"]
    return {
        "machine": machine(page),
        "training_images": f"{figures['training_images']:,}",
        "test_images": f"{figures['test_images']:,}",
        "bound": f"{figures['bits_per_dim']:.2f}",
        "likelihood": f"{figures['log_likelihood_bits_per_dim']:.2f}",
        "error": f"{figures['reconstruction_error']:.4f}",
        "pca_error": f"{figures['pca_error']:.4f}",
        "mean_error": f"{figures['mean_error']:.4f}",
        "active": f"{figures['active_units']}",
        "units": f"{figures['code_size']}",
        "seconds": f"{figures['seconds']:.0f}",
        "training_seconds": f"{figures['training_seconds']:.0f}",
        "test_seconds": f"{page['figures']['test_seconds']:.0f}",
        "help_seconds": f"{page['figures']['help_seconds_median']:.2f}",
    }


def kinds() -> Figures:
    page = recorded("kinds")
    runs, losses = page["figures"], ("MSE", "BCE")
    first = runs["basic"]
    rows: Rows = [["mean image", *(f"{first[loss][0]['mean']:.4f}" for loss in losses)]]
    rows.append(["PCA", *(f"{first[loss][0]['pca']:.4f}" for loss in losses)])
    for kind in sorted(runs, key=lambda name: name == "convolutional"):
        seen = [[run["error"] for run in runs[kind][loss]] for loss in losses]
        rows.append([kind, *(f"{sum(one) / len(one):.4f} ± {(max(one) - min(one)) / 2:.4f}" for one in seen)])
    return {"protocol": page["protocol"], "rows": rows}


def speed() -> Figures:
    page = recorded("train_speed")
    figures = page["figures"]
    rows: Rows = []
    for batch in (100, 512):
        seen = figures[f"batch_{batch}"]
        speeds = [f"{seen[f'{name}_images_per_second']:,}" for name in ("narrows", "pythae", "tuned_loop")]
        ratios = [f"{seen[f'ratio_to_{name}']:.2f}" for name in ("pythae", "tuned_loop")]
        rows.append([f"{batch}", *speeds, *ratios])
    memory = recorded("train_memory")["figures"]["peak_mib"]
    return {
        "machine": machine(page),
        "rows": rows,
        "first_steps": f"{figures['batch_100']['ratio_to_pythae_of_the_first_600_steps']:.2f}",
        "memory": f"{memory['narrows']:.0f}",
        "memory_of_pythae": f"{memory['pythae']:.0f}",
    }


def detection() -> Figures:
    traffic, speed = recorded("traffic"), recorded("detection_speed")
    alarms, blame = recorded("false_alarms")["figures"], recorded("contributions")["figures"]["every"]
    flows, large = traffic["figures"]["nsl_kdd"], traffic["figures"]["kdd99_10_percent"]
    best = sorted(flows, key=lambda name: -flows[name]["auroc"])
    paces: Rows = [
        [name, f"{found['fit_cpu_seconds']:.1f}", f"{found['rows_a_second']:,}", f"{found['auroc']:.3f}"]
        for name, found in speed["figures"]["contenders"].items()
    ]
    firsts = (f"{found['set'].partition('_')[2] or found['set']} {found['ranked_first']:.1%}" for found in blame)
    return {
        "rows": [[name, f"{flows[name]['auroc']:.4f}", f"{flows[name]['average_precision']:.4f}"] for name in best],
        "large_rows": f"{large['rows']:,.0f}",
        "large_seconds": f"{large['seconds']:.0f}",
        "large_memory": f"{large['peak_memory_gib']:.1f}",
        "large_auroc": f"{large['auroc']:.3f}",
        "within": f"{alarms['within']}",
        "comparisons": f"{alarms['comparisons']}",
        "firsts": ", ".join(firsts),
        "machine": machine(speed),
        "paces": paces,
    }


def tables() -> Figures:
    names, scores = ("clean_capped", "contaminated_capped", "clean"), ("auroc", "average_precision")
    page, mixed, whole = (recorded(f"anomaly_{name}")["figures"] for name in names)
    known, others = page["means"], mixed["means"]
    rows: Rows = []
    for name in sorted(known, key=lambda one: -known[one]["auroc_where_all_are_done"]):
        cells = [f"{known[name][f'{one}_where_all_are_done']:.1f}" for one in scores]
        cells.append(f"{known[name]['median_seconds']:.1f}")
        cells += [f"{others[name][one]:.1f}" if name in others else "" for one in scores]
        rows.append([name, *cells])
    gain = whole["narrows_against"]["1-NN"]
    return {
        "rows": rows,
        "done": f"{page['sets_done_by_all']}",
        "sets": f"{page['sets']}",
        "mixed_sets": f"{mixed['sets']}",
        **{f"gain_{one}": f"{gain[one]['gain']:+.1f}" for one in scores},
        **{f"without_{one}": f"{gain[one]['gain_without_the_set_that_gains_most']:+.1f}" for one in scores},
    }


def streams() -> Figures:
    page = recorded("stream")
    figures = page["figures"]
    paced = next(run for run in figures["learning"] if run["rows_per_second"] == 5000)
    return {
        "median": f"{paced['delay_ms_50']:.0f}",
        "largest": f"{paced['delay_ms_largest']:.0f}",
        "fastest": f"{figures['rows_per_second_learning']:,}",
        "grown": f"{figures['memory']['mib_grown_after_the_first_tenth']:.1f}",
        "rows": f"{figures['memory']['rows']:,}",
        "machine": machine(page),
    }


def serving() -> Figures:
    page = recorded("serve")
    figures = page["figures"]
    seen, memory = figures["batching"], figures["memory"]
    return {
        "fastest": f"{seen['requests_a_second']:,.0f}",
        "median": f"{seen['milliseconds_50']:.0f}",
        "slow": f"{seen['milliseconds_99']:.0f}",
        "ratio": f"{figures['ratio']:.1f}",
        "grown": f"{memory['mib_grown_after_the_first_tenth']:.1f}",
        "minutes": f"{memory['minutes']:.0f}",
        "machine": machine(page),
    }


def imputation() -> Figures:
    contenders = ("narrows", "narrows, linear alone", "IterativeImputer", "KNNImputer", "mean and mode")
    rows: Rows = []
    for name, found in recorded("imputation")["figures"]["summary"].items():
        errors = [f"{found[one]['rmse_mean']:.3f}" for one in contenders]
        rows.append([name, *errors, f"{found['narrows']['coverage_90']:.2f}"])
        accuracy = [f"{found[one]['accuracy']:.3f}" if "accuracy" in found[one] else "" for one in contenders]
        if any(accuracy):
            rows.append([Phrase("{}, categories named right", (name,)), *accuracy[:-1], f"{accuracy[-1]} |"])
    return {"rows": rows}


COMPRESSED = {
    "fashion": "Fashion-MNIST, 10,000 test images",
    "fashion_fast": "the same, preset compressor-fast",
    "mnist": "MNIST, 10,000 test images",
    "frey_faces": "Frey faces, 400",
    "face_patches": "face patches, 50",
    "photographs": "photographs, CBSD68",
}


def compression() -> Figures:
    rows: Rows = []
    for name, page in all_recorded(COMPRESSED, "compression_").items():
        figures = page["figures"]
        sizes: dict[str, float] = {}
        for row in figures.get("others", []):
            family = row["format"].partition(",")[0]
            if row["bits_per_cell"]:
                sizes[family] = min(sizes.get(family, row["bits_per_cell"]), row["bits_per_cell"])
        beside = [f"{sizes[key]:.3f}" if key in sizes else "" for key in ("PNG", "WebP", "JPEG XL", "xz")]
        ours = [f"{figures[f'{size}bits_per_cell']:.3f}" for size in ("file_", "with_model_")]
        rate = [f"{figures[f'megabytes_a_second_{way}']:.2f}" for way in ("coding", "decoding")]
        rows.append([COMPRESSED[name], *ours, *beside, " / ".join(rate)])
    return {"machine": machine(recorded("compression_fashion")), "rows": rows}


DENOISED = {
    "fashion": "Fashion-MNIST, sigma 50",
    "photographs": "BSD68, grey, sigma 25",
    "salt": "BSD68, salt and pepper over 30 %",
    "masked": "BSD68, half of the pixels missing",
}


def noise() -> Figures:
    pages = all_recorded(DENOISED, "denoise_")
    rows: Rows = []
    for name, page in pages.items():
        found = {key: told for key, told in page["figures"].items() if isinstance(told, dict) and "psnr_db" in told}
        ours = Phrase("narrows, trained for {} min", (f"{page['figures']['minutes']:g}",))
        for key, told in sorted(found.items(), key=lambda pair: -pair[1]["psnr_db"]):
            seconds = f"{told['seconds_an_image']:.3f}" if "seconds_an_image" in told else ""
            method = ours if key == "narrows" else key
            rows.append([DENOISED[name], method, f"{told['psnr_db']:.2f}", f"{told['ssim']:.3f}", seconds])
    return {"machines": machines(pages.values()), "rows": rows}


FOUND = ("flat-64", "flat-128", "hierarchical-64", "hierarchical-128", "wide-128")


def sparse() -> Figures:
    pages = all_recorded(FOUND, "sparse_")
    rows: Rows = []
    for name, page in pages.items():
        told = page["figures"]
        shown = [f"{told[key]:.3f}" for key in ("mcc", "f1", "dead_share")]
        rows.append([name, *shown, f"{told['l0']:.1f}", f"{told['true_l0']:.1f}", f"{told['seconds']:.0f}"])
    rivals = all_recorded([f"others-{name}" for name in FOUND if not name.startswith("wide")], "sparse_")
    found = {
        rival: [page["figures"][rival]["f1"] for page in rivals.values()] for rival in ("dictionary_learning", "oracle")
    }
    spans = {rival: f"{min(f1):.2f} ... {max(f1):.2f}" for rival, f1 in found.items()}
    return {"machine": machine(next(iter(pages.values()))), "rows": rows, **spans}


SAMPLED = {
    "vae": "narrows, variational",
    "basic": "narrows, basic",
    "pythae-mlp-bce": "pythae, BCE",
    "pythae-mlp-mse": "pythae, MSE",
}
SAMPLED_FROM = {"normal": "N(0, I)", "scaled normal": "N(0, I), moved and scaled"}
SHOWN = ("frechet", "precision", "recall", "density", "coverage", "told_apart")
SAMPLED_IMAGES = {"fashion-mnist": "Fashion-MNIST", "mnist": "MNIST"}


def samples() -> Figures:
    """Of each data set, contender and sampler, means over the seeds; the distance with half its range."""
    rows: Rows = []
    pages = []
    for data, images in SAMPLED_IMAGES.items():
        told = []
        for contender, ours in SAMPLED.items():
            seeds = all_recorded(map(str, range(3)), f"generate_{data}_{contender}_")
            pages += seeds.values()
            runs = [page["figures"]["samples"] for page in seeds.values()]
            for sampler in runs[0]:
                told.append((ours, sampler, {key: [run[sampler][f"samples_{key}"] for run in runs] for key in SHOWN}))
        for ours, sampler, seen in sorted(told, key=lambda one: fmean(one[2]["frechet"])):
            distance = f"{fmean(seen['frechet']):.2f} ± {(max(seen['frechet']) - min(seen['frechet'])) / 2:.2f}"
            others = [f"{fmean(seen[key]):.2f}" for key in SHOWN[1:]]
            rows.append([images, ours, SAMPLED_FROM.get(sampler, sampler), distance, *others])
    return {"machine": machine(pages[0]), "rows": rows}


EMBEDDED = {
    "fashion_2": "Fashion-MNIST, 2 numbers",
    "fashion_map": "Fashion-MNIST, a map",
    "fashion_10": "Fashion-MNIST, 10 numbers",
    "fashion_16": "Fashion-MNIST, 16 numbers",
    "fashion_32": "Fashion-MNIST, 32 numbers",
    "mnist_30": "MNIST, 30 numbers",
}


def embedding() -> Figures:
    pages = all_recorded(EMBEDDED, "embed_")
    rows: Rows = []
    for name, page in pages.items():
        found = page["figures"]
        for method, key in (("narrows", "this_model"), ("kernel PCA", "kernel_PCA"), ("PCA", "PCA")):
            told = found[key]
            cells = [f"{told['squared_error']:.4f}", *(f"{told[one]:.3f}" for one in ("trustworthiness", "continuity"))]
            accuracies = [f"{told[one]:.3f}" for one in ("neighbour_accuracy", "probe_accuracy")]
            rows.append([EMBEDDED[name], f"{page['machine']['cores']}", method, *cells, *accuracies])
    return {"machines": machines(pages.values()), "rows": rows}


SECTIONS = (
    demo,
    kinds,
    speed,
    detection,
    tables,
    streams,
    serving,
    imputation,
    noise,
    sparse,
    embedding,
    samples,
    compression,
)
