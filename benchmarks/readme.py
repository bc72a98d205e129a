"""Put the recorded figures into the README and docs/peers.md, each beside the command that made them.

python benchmarks/readme.py          # writes the sections between the markers
"""

from __future__ import annotations

import json
from typing import Any

from record import RESULTS, ROOT

DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "peers.md")


def recorded(name: str) -> dict[str, Any]:
    page: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return page


def demo() -> str:
    page = recorded("fresh_clone")
    figures, shown = page["figures"]["demo"], page["figures"]
    rows = [
        ("bits a pixel, minus the bound on log p(x)", f"{figures['bits_per_dim']:.2f}"),
        ("bits a pixel, importance-sampled", f"{figures['log_likelihood_bits_per_dim']:.2f}"),
        ("squared error a pixel, on [0, 1]", f"{figures['reconstruction_error']:.4f}"),
        ("the same for PCA at the same code size", f"{figures['pca_error']:.4f}"),
        ("the same for the mean image", f"{figures['mean_error']:.4f}"),
        ("active units", f"{figures['active_units']} of {figures['code_size']}"),
        ("seconds, of which training", f"{figures['seconds']:.0f}, {figures['training_seconds']:.0f}"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"`make demo` trains a convolutional variational autoencoder on {figures['training_images']:,} embedded images "
        f"of clothes and measures it\non {figures['test_images']:,} others ({machine(page)}; "
        f"`python benchmarks/fresh_clone.py`):\n\n| | |\n|---|---|\n{table}\n\n"
        f"![real, reconstructed and generated clothes](docs/pictures/demo.png)\n\n"
        f"On that fresh clone `make test` took {shown['test_seconds']:.0f} s and `narrows --help` "
        f"{shown['help_seconds_median']:.2f} s."
    )


def kinds() -> str:
    page = recorded("kinds")
    runs = page["figures"]
    first = runs["basic"]
    rows = [("mean image", [f"{first[loss][0]['mean']:.4f}" for loss in ("MSE", "BCE")])]
    rows.append(("PCA", [f"{first[loss][0]['pca']:.4f}" for loss in ("MSE", "BCE")]))
    for kind in sorted(runs, key=lambda name: name == "convolutional"):
        cells = []
        for loss in ("MSE", "BCE"):
            seen = [run["error"] for run in runs[kind][loss]]
            cells.append(f"{sum(seen) / len(seen):.4f} ± {(max(seen) - min(seen)) / 2:.4f}")
        rows.append((kind, cells))
    table = "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)
    return (
        f"Squared error a pixel on [0, 1], Fashion-MNIST test images, code size 32; mean and half range over three "
        f"seeds. MSE: grey pixels,\n`likelihood=gaussian`; BCE: pixels made binary at half the range, "
        f"`likelihood=bernoulli`. "
        f"`python benchmarks/kinds.py` makes it\n({page['protocol']}).\n\n| | MSE | BCE |\n|---|---|---|\n{table}"
    )


def speed() -> str:
    page = recorded("train_speed")
    figures = page["figures"]
    rows = []
    for batch in (100, 512):
        seen = figures[f"batch_{batch}"]
        speeds = [f"{seen[f'{name}_images_per_second']:,}" for name in ("narrows", "pythae", "tuned_loop")]
        ratios = [f"{seen[f'ratio_to_{name}']:.2f}" for name in ("pythae", "tuned_loop")]
        rows.append(f"| {batch} | {' | '.join([*speeds, *ratios])} |")
    memory = figures["peak_memory_mib"]
    table = "\n".join(rows)
    return (
        f"The same MLP VAE (784-512-2x16-512-784, BCE, Adam, float32, 2 threads), images a second in training, each "
        f"package in turn in\none process ({machine(page)}; `python benchmarks/train_speed.py`, with pythae installed "
        f"beside):\n\n| batch | narrows | pythae | hand-written loop | to pythae | to the loop |\n"
        f"|---|---|---|---|---|---|\n"
        f"{table}\n\n"
        f"Ratios are medians of rounds. Peak memory for 60,000 images: {memory['narrows']} MiB, against "
        f"{memory['pythae']} MiB."
    )


def detection() -> str:
    traffic, speed = recorded("traffic"), recorded("detection_speed")
    alarms, blame = recorded("false_alarms")["figures"], recorded("contributions")["figures"]["every"]
    flows, large = traffic["figures"]["nsl_kdd"], traffic["figures"]["kdd99_10_percent"]
    best = sorted(flows, key=lambda name: -flows[name]["auroc"])
    rows = [f"| {name} | {flows[name]['auroc']:.4f} | {flows[name]['average_precision']:.4f} |" for name in best]
    paces = []
    for name, found in speed["figures"]["contenders"].items():
        cells = f"{found['fit_cpu_seconds']:.1f} | {found['rows_a_second']:,} | {found['auroc']:.3f}"
        paces.append(f"| {name} | {cells} |")
    firsts = ", ".join(
        f"{found['set'].partition('_')[2] or found['set']} {found['ranked_first']:.1%}" for found in blame
    )
    return "\n".join(
        [
            "NSL-KDD from its raw text columns, fitted to half of the normal rows, mean of three seeds; the others get "
            "one-hot columns",
            "(`python benchmarks/traffic.py`):\n",
            "| | AUROC | average precision |\n|---|---|---|",
            *rows,
            f"\nKDD Cup 99, 10 %: {large['rows']:,.0f} rows read, fitted and scored in {large['seconds']:.0f} s and "
            f"{large['peak_memory_gib']:.1f} GiB, AUROC {large['auroc']:.3f}. False alarms at 1, 5",
            f"and 10 % on fresh normal rows: {alarms['within']} of {alarms['comparisons']} shares within the interval "
            "that split-conformal promises (`python",
            "benchmarks/false_alarms.py`). A column of a normal row made extreme is blamed first: "
            f"{firsts} of the rows",
            "(`python benchmarks/contributions.py`).\n",
            f"100,000 rows of 30 numbers, {machine(speed)} (`python benchmarks/detection_speed.py`):\n",
            "| | CPU seconds to fit | rows a second scored | AUROC |\n|---|---|---|---|",
            *paces,
        ]
    )


def tables() -> str:
    names = ("clean_capped", "contaminated_capped", "clean")
    page, mixed, whole = (recorded(f"anomaly_{name}")["figures"] for name in names)
    known, others = page["means"], mixed["means"]
    rows = []
    for name in sorted(known, key=lambda one: -known[one]["auroc_where_all_are_done"]):
        cells = [f"{known[name][f'{one}_where_all_are_done']:.1f}" for one in ("auroc", "average_precision")]
        cells.append(f"{known[name]['median_seconds']:.1f}")
        cells += [f"{others[name][one]:.1f}" if name in others else "" for one in ("auroc", "average_precision")]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    gain = whole["narrows_against"]["1-NN"]
    without = [f"{gain[one]['gain_without_the_set_that_gains_most']:+.1f}" for one in ("auroc", "average_precision")]
    head = (
        "ADBench tables, three seeds, everything at its defaults, no labels, means in points, median seconds to fit "
        "and score. *Clean*: half of\nthe normal rows, 10,000 at most, train "
        "(`python benchmarks/anomaly.py --cap 10000`; "
        f"{page['sets_done_by_all']} of {page['sets']} tables, those that all\nfinished in 200 CPU seconds). "
        "Without the cap (`python benchmarks/anomaly.py`) narrows has "
        f"{gain['auroc']['gain']:+.1f} and {gain['average_precision']['gain']:+.1f} on 1-NN,\n"
        f"and {without[0]} and {without[1]} without the table that gains most. "
        "*Contaminated*: all rows train, anomalies among them\n"
        "(`python benchmarks/anomaly.py --protocol contaminated --cap 10000`; "
        f"{mixed['sets']} tables). What the detector is, and what was tried:\n"
        "[docs/detection.md](docs/detection.md).\n\n"
        "| | clean: AUROC | average precision | seconds | contaminated: AUROC | average precision |\n"
        "|---|---|---|---|---|---|"
    )
    return "\n".join([head, *rows])


def streams() -> str:
    page = recorded("stream")
    figures = page["figures"]
    paced = next(run for run in figures["learning"] if run["rows_per_second"] == 5000)
    memory = figures["memory"]
    delays = f"{paced['delay_ms_50']:.0f} ms in the median and {paced['delay_ms_largest']:.0f} ms at most"
    return (
        f"On one core, learning from every row: 5,000 rows of 30 numbers a second with delays of {delays},\n"
        f"{figures['rows_per_second_learning']:,} a second flat out; memory grew by "
        f"{memory['mib_grown_after_the_first_tenth']:.0f} MiB over {memory['rows']:,} rows ({machine(page)};\n"
        "`python benchmarks/stream.py`)."
    )


def serving() -> str:
    page = recorded("serve")
    figures = page["figures"]
    seen, memory = figures["batching"], figures["memory"]
    delays = f"half of them within {seen['milliseconds_50']:.0f} ms and 99 % within {seen['milliseconds_99']:.0f} ms"
    return (
        f"One row a request over 64 connections, from a second process on the same machine: "
        f"{seen['requests_a_second']:,.0f} requests a second\nto the default detector, {delays};\n"
        f"{figures['ratio']:.1f} times as many as without batching; memory grew by "
        f"{memory['mib_grown_after_the_first_tenth']:.0f} MiB over {memory['minutes']:.0f} minutes ({machine(page)};\n"
        f"`python benchmarks/serve.py`)."
    )


def imputation() -> str:
    page = recorded("imputation")
    contenders = ("narrows", "narrows, linear alone", "IterativeImputer", "KNNImputer", "mean and mode")
    rows = []
    for name, found in page["figures"]["summary"].items():
        errors = [f"{found[contender]['rmse_mean']:.3f}" for contender in contenders]
        accuracy = [f"{found[one]['accuracy']:.3f}" if "accuracy" in found[one] else "" for one in contenders]
        rows.append(f"| {name} | {' | '.join(errors)} | {found['narrows']['coverage_90']:.2f} |")
        if any(accuracy):
            rows.append(f"| {name}, categories named right | {' | '.join(accuracy)} | |")
    table = "\n".join(rows)
    return (
        f"Gaps: 20 % of the cells removed at random, root mean squared error in standard deviations of the column, "
        f"mean over columns and three\nseeds, everything at its defaults (`python benchmarks/imputation.py`; "
        f"[docs/imputation.md](docs/imputation.md)):\n\n"
        f"| | {' | '.join(contenders)} | inside 90 % intervals |\n|---|---|---|---|---|---|---|\n{table}"
    )


COMPRESSED = {
    "fashion": "Fashion-MNIST, 10,000 test images",
    "fashion_fast": "the same, preset compressor-fast",
    "mnist": "MNIST, 10,000 test images",
    "frey_faces": "Frey faces, 400",
    "face_patches": "face patches, 50",
    "photographs": "photographs, CBSD68",
}


def compression() -> str:
    rows = []
    done = {name: spoken for name, spoken in COMPRESSED.items() if (RESULTS / f"compression_{name}.json").exists()}
    for name, spoken in done.items():
        figures = recorded(f"compression_{name}")["figures"]
        sizes: dict[str, float] = {}
        for row in figures.get("others", []):
            family = row["format"].partition(",")[0]
            if row["bits_per_cell"]:
                sizes[family] = min(sizes.get(family, row["bits_per_cell"]), row["bits_per_cell"])
        beside = [f"{sizes[key]:.3f}" if key in sizes else "" for key in ("PNG", "WebP", "JPEG XL", "xz")]
        ours = [figures["file_bits_per_cell"], figures["with_model_bits_per_cell"]]
        rate = [figures[f"megabytes_a_second_{way}"] for way in ("coding", "decoding")]
        cells = [*(f"{bits:.3f}" for bits in ours), *beside, " / ".join(f"{one:.2f}" for one in rate)]
        rows.append(f"| {spoken} | {' | '.join(cells)} |")
    table = "\n".join(rows)
    return (
        "Bits a cell (a pixel, or a channel of one) without loss, whole files; PNG, WebP and JPEG XL at the better of "
        "one by one and as\nsheets of many; MB/s to code and to decode on two threads. Presets train for 15 minutes "
        f"at most ({machine(recorded('compression_fashion'))};\n`python benchmarks/compression.py`):\n\n"
        "| | narrows | with its model | PNG | WebP | JPEG XL | xz | MB/s |\n|---|---|---|---|---|---|---|---|\n"
        f"{table}"
    )


DENOISED = {
    "fashion": "Fashion-MNIST, sigma 50",
    "photographs": "BSD68, grey, sigma 25",
    "salt": "BSD68, salt and pepper over 30 %",
    "masked": "BSD68, half of the pixels missing",
}


def noise() -> str:
    pages = {name: recorded(f"denoise_{name}") for name in DENOISED if (RESULTS / f"denoise_{name}.json").exists()}
    if not pages:
        raise FileNotFoundError(2, "no record", "denoise_*.json")
    rows = []
    for name, page in pages.items():
        found = {key: told for key, told in page["figures"].items() if isinstance(told, dict) and "psnr_db" in told}
        for key, told in sorted(found.items(), key=lambda pair: -pair[1]["psnr_db"]):
            seconds = f"{told['seconds_an_image']:.2f}" if "seconds_an_image" in told else ""
            ours = f"{key}, trained for {page['figures']['minutes']:g} min" if key == "narrows" else key
            rows.append(f"| {DENOISED[name]} | {ours} | {told['psnr_db']:.2f} | {told['ssim']:.3f} | {seconds} |")
    table = "\n".join(rows)
    machines = "; ".join(dict.fromkeys(machine(page) for page in pages.values()))
    return (
        f"Mean PSNR in decibels and SSIM of test images, and seconds an image ({machines};\n"
        f"`python benchmarks/denoise.py`). BM3D and PCA-Wiener are told the "
        f"noise, what others let one choose is chosen on training images:\n\n"
        f"| noise | method | PSNR | SSIM | seconds |\n|---|---|---|---|---|\n{table}"
    )


FOUND = ("flat-64", "flat-128", "hierarchical-64", "hierarchical-128")


def sparse() -> str:
    pages = {name: recorded(f"sparse_{name}") for name in FOUND if (RESULTS / f"sparse_{name}.json").exists()}
    if not pages:
        return "Not measured yet (`python benchmarks/sparse.py`)."
    rows = []
    for name, page in pages.items():
        told = page["figures"]
        kept = " | ".join(f"{told[key]:.3f}" for key in ("mcc", "f1", "dead_share"))
        rows.append(f"| {name} | {kept} | {told['seconds']:.0f} |")
    table = "\n".join(rows)
    return (
        f"512 known features in 64 and 128 dimensions found again ({machine(next(iter(pages.values())))}; "
        f"`python benchmarks/sparse.py`):\n\n"
        f"| rows | cosine to the features, mean | F1 of which are on | dead | seconds |\n|---|---|---|---|---|\n{table}"
    )


def machine(page: dict[str, Any]) -> str:
    cores = page["machine"]["cores"]
    return f"{cores} core{'s' * (cores != 1)}, {page['machine']['processor']}"


def main() -> None:
    for path in DOCUMENTS:
        path.write_text(filled(path.read_text(), "docs/" if path.parent == ROOT else ""))


def filled(text: str, folder: str) -> str:
    """A document with what the sections say that it has marks of; from it, ``folder`` is where docs/ is."""
    for section in (demo, kinds, speed, detection, tables, streams, serving, imputation, noise, sparse, compression):
        opening, closing = (f"<!-- {slash}{section.__name__} -->" for slash in ("", "/"))
        before, mark, rest = text.partition(opening)
        if not mark:
            continue
        try:
            written = section().replace("docs/", folder)
        except FileNotFoundError as error:
            print(f"{section.__name__} stays as it is: there is no record {error.filename}")
            continue
        text = f"{before}{opening}\n{written}\n{closing}{rest.partition(closing)[2]}"
    return text


if __name__ == "__main__":
    main()
