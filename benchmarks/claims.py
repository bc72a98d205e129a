"""Which claim is measured by which script: docs/benchmarks.md, written from the records and the heads of the scripts.

python benchmarks/claims.py
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from statistics import mean
from typing import Any

from record import RESULTS, ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
# Parts of other scripts, and what writes documents.
NO_BENCHMARKS = (
    "browsing",
    "chapters",
    "claims",
    "cut_fashion_sample",
    "load",
    "pairs",
    "pairs_coding",
    "pairs_files",
    "pairs_scoring",
    "pairs_serving",
    "pairs_training",
    "pythae_samples",
    "rank_plot",
    "readme",
    "record",
    "running",
    "scaling",
    "sections",
    "sparse_photographs",
    "sparse_speed",
    "sparse_world",
)
HEAD = """# Benchmarks

Written by `python benchmarks/claims.py` from the records in `benchmarks/results/` and from the heads of the scripts;
nothing here is typed by hand. A record holds all figures, the command, the commit, the machine, the versions and the
seconds that it took; the date is that of the measurement, and another machine has other figures. `make bench
BENCH=benchmarks/one.py` runs a script again. `NARROWS_DATA` is a folder of data sets (`mnist/`, `fashion_mnist/`, ...),
and each script says what else it needs.
"""


@dataclass(frozen=True)
class Claim:
    """What records of some name say, in words, and the figure that says it: a format of the figures, or a function."""

    records: str  # a pattern of stems
    what: str
    figure: str | Callable[[Mapping[str, Any]], str]


def _workers(f: Mapping[str, Any]) -> str:
    found = (f[name]["largest_relative_difference_nats"] for name in ("curve", "curve_of_the_usual_width") if name in f)
    return ", with 512 hidden units ".join(f"{difference:.0e}" for difference in found)


def _means(f: Mapping[str, Any]) -> str:
    def told(name: str, key: str) -> str:  # over the tables that all have finished
        found = f["means"][name]
        return f"{found.get(f'{key}_where_all_are_done', found[key]):.1f}"

    pairs = ((name, told(name, "auroc"), told(name, "average_precision")) for name in ("narrows", "1-NN"))
    return "; ".join(f"{name} AUROC {auroc}, average precision {precision}" for name, auroc, precision in pairs)


def _decibels(f: Mapping[str, Any]) -> str:
    told = {name: one["psnr_db"] for name, one in f.items() if isinstance(one, dict) and "psnr_db" in one}
    return "; ".join(f"{name} {value:.2f} dB" for name, value in sorted(told.items(), key=lambda pair: -pair[1]))


def _imputed(f: Mapping[str, Any]) -> str:
    names = ("narrows", "IterativeImputer", "KNNImputer")
    return "; ".join(f"{one} {mean(found[one]['rmse_mean'] for found in f['summary'].values()):.3f}" for one in names)


def _same_bytes(f: Mapping[str, Any]) -> str:
    told = {True: "the same bytes", False: "other bytes"}
    return "; ".join(f"{name}: {one['ways']} ways, {told[one['identical']]}" for name, one in f["models"].items())


def _kinds(f: Mapping[str, Any]) -> str:
    return "; ".join(f"{kind} {mean(run['error'] for run in runs['MSE']):.4f}" for kind, runs in f.items())


def _reached(f: Mapping[str, Any]) -> str:
    best = ((name, min(found["reached"], key=lambda one: one["test_nats"])) for name, found in f.items())
    return "; ".join(f"{name}: {one['estimator']}, {one['test_nats']:.1f} nats" for name, one in best)


def _stream(f: Mapping[str, Any]) -> str:
    paced = next(one for one in f["learning"] if one["rows_per_second"] == 5000)
    delays = f"delays of {paced['delay_ms_50']:.0f} ms in the median and {paced['delay_ms_largest']:.0f} ms at most"
    return f"{f['rows_per_second_learning']:,} rows a second flat out; at 5,000 a second {delays}"


def _resumed(f: Mapping[str, Any]) -> str:
    return f"{len(f['kills'])} kills, {len(f['differing'])} of {f['tensors']} tensors differ"


def _linear(f: Mapping[str, Any]) -> str:
    return f"within {max(abs(one['bound_less_log_likelihood_nats']) for one in f['learned_sigma']):.0e} nats"


def _gaps(f: Mapping[str, Any]) -> str:
    gaps = [one for found in f.values() if isinstance(found, list) for one in found]
    return "gaps of " + ", ".join(f"{one['gap_nats']:.3f} ± {one['gap_standard_error']:.3f}" for one in gaps) + " nats"


def _blamed(f: Mapping[str, Any]) -> str:
    return "; ".join(f"{one['set']} {one['ranked_first']:.1%}" for one in f["every"])


def _paces(f: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {one['rows_a_second']:,}" for name, one in f["contenders"].items())


def _accelerated(f: Mapping[str, Any]) -> str:
    whole = f["whole_test_set"]
    same = whole["file_sha256"] == whole["file_sha256_coded_again"]
    return f"SHA-256 of a file of {whole['images']:,} images: {'equal' if same else 'different'}"


def _mutated(f: Mapping[str, Any]) -> str:
    return f"{sum(f[kind]['mutations'] for kind in ('local', 'bits-back')):,} mutations, {f['faults']} faults"


def _goal(f: Mapping[str, Any]) -> str:
    goal = f["bar"]
    return f"{goal['figure'].replace('_', ' ')} {goal['reached']:.4f}; goal {goal['value']}"


def _distances(f: Mapping[str, Any]) -> str:
    return "; ".join(f"{sampler} {found['samples_frechet']:.2f}" for sampler, found in f["samples"].items())


def _noisy_codes(f: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {mean(seen):.3f}" for name, seen in f["accuracy"]["salt and pepper 30 %"].items())


def _opened(f: Mapping[str, Any]) -> str:
    requests = sum(len(one["requests_besides_the_page"]) for one in f["views"])
    differ = f"{len(f['figures_that_differ'])} of {f['figures_compared']} figures differ from those of evaluate"
    return f"{f['bytes'] / 1e6:.1f} MB, {requests} requests, {differ}"


def _in_a_browser(f: Mapping[str, Any]) -> str:
    return "; ".join(f"{what} {one['score']['largest_difference']:.0e} nats" for what, one in f.items())


_FRESH = "tests {test_seconds:.0f} s, demo {demo[seconds]:.0f} s, `narrows --help` {help_seconds_median:.2f} s"
_SPEED = "{batch_100[ratio_to_pythae]:.2f} times pythae (batch 100), {batch_512[ratio_to_pythae]:.2f} times (batch 512)"
_DESCENTS = (
    "full batch {full_batch[held_out_nats_lowest]:.0f}; mini-batch {mini_batch[held_out_nats_lowest]:.0f}; "
    "one at a time {one_at_a_time[held_out_nats_lowest]:.0f}"
)
_TRAFFIC = (
    "AUROC {nsl_kdd[narrows][auroc]:.4f}; 1-NN {nsl_kdd[1-NN][auroc]:.4f}; "
    "PyOD AutoEncoder {nsl_kdd[PyOD AutoEncoder][auroc]:.4f}"
)
_BITS_BACK = (
    "MNIST {mnist[file_above_float_minus_elbo_percent]:+.2f} %; "
    "Fashion-MNIST {fashion-mnist[file_above_float_minus_elbo_percent]:+.2f} %"
)
_PYTHAE = "{vae[cross_entropy_theirs_less_ours_nats][largest]:.0e} nats"
CLAIMS = (
    Claim("fresh_clone", "what a newcomer meets", _FRESH),
    Claim("kinds", "the seed kinds side by side: squared error", _kinds),
    Claim("train_speed", "images a second in training", _SPEED),
    Claim("train_speed_conv", "images a second in training, convolutions", _SPEED),
    Claim(
        "train_memory",
        "peak memory of training on 60,000 images",
        "{peak_mib[narrows]:.0f} MiB; pythae {peak_mib[pythae]:.0f}",
    ),
    Claim(
        "accelerator",
        "an epoch of 60,000 images on an accelerator",
        "{bars[epoch_ms][reached]:.0f} ms; {bars[times_pythae][reached]:.0f} times pythae",
    ),
    Claim("precision_bounds", "the bound in bfloat16 less that in float32", "{largest_difference_nats:.2f} nats"),
    Claim(
        "compiled_steps",
        "steps compiled by torch.compile, to ours",
        "an MLP {mlp_100[ratio_of_compiled_to_ours]:.2f} at 100, {mlp_512[ratio_of_compiled_to_ours]:.2f} at 512; "
        "convolutions {conv_100[ratio_of_compiled_to_ours]:.2f}, {conv_512[ratio_of_compiled_to_ours]:.2f}",
    ),
    Claim(
        "captured_steps",
        "steps captured and replayed: times as fast as computed anew",
        lambda f: "; ".join(f"{case.replace('_', ' ')} {told['ratio']:.2f}" for case, told in f.items()),
    ),
    Claim(
        "late_steps",
        "steps late in a training: times as fast as with subnormal numbers in them",
        lambda f: "; ".join(f"{case} {told['times_as_fast']:.2f}" for case, told in f.items()),
    ),
    Claim(
        "members",
        "eight models trained at once: times as fast as one after the other",
        lambda f: "; ".join(f"{case} {told['times_as_fast']:.2f}" for case, told in f.items()),
    ),
    Claim("descents", "three ways of descent: held-out nats", _DESCENTS),
    Claim("resume", "a killed training resumes bit for bit", _resumed),
    Claim("theory", "closed forms: KL beside quadrature", "within {kl_largest_gap_to_quadrature:.0e} nats"),
    Claim("linear_vae", "the bound of a linear VAE is the likelihood of probabilistic PCA", _linear),
    Claim("ais", "bounds from above and below meet", _gaps),
    Claim("pythae_weights", "pythae's weights under both packages: largest difference of cross-entropies", _PYTHAE),
    Claim("likelihood_*", "minus log p(x) of binary MNIST", "{nll_nats:.2f} nats ({draws:,} draws)"),
    Claim("gradient_variance", "estimators of the gradient: the best bound in equal time", _reached),
    Claim("anomaly_*", "anomalies in ADBench tables, without labels", _means),
    Claim("traffic", "anomalies in network traffic, from raw columns", _TRAFFIC),
    Claim("false_alarms", "stated false-alarm rates are kept", "{within} of {comparisons} shares in their interval"),
    Claim("contributions", "the column that was altered is blamed first", _blamed),
    Claim("detection_speed", "rows a second scored", _paces),
    Claim("stream", "a stream that is learnt from, on one core", _stream),
    Claim(
        "explorer",
        "a frame of the explorer while dragging",
        "{dragging[ms_median]:.0f} ms, 95 % within {dragging[ms_95]:.0f} ms",
    ),
    Claim("imputation", "gaps filled: error in standard deviations, mean of five tables", _imputed),
    Claim(
        "compression_*",
        "images without loss: bits a cell",
        "{file_bits_per_cell:.3f}, with its model {with_model_bits_per_cell:.3f}",
    ),
    Claim("bits_back", "bits-back: the file beside minus the elbo", _BITS_BACK),
    Claim("lossy", "bytes beside AVIF stripped of its headers", "{against[bare][optimum][AVIF][bd_rate]:+.0%}"),
    Claim("codec_identity", "the same bytes from any work", _same_bytes),
    Claim("codec_accelerator", "the same bytes from an accelerator", _accelerated),
    Claim("mutations", "damaged files are refused or decoded right", _mutated),
    Claim("denoise_codes", "codes of corrupted images: 5-NN accuracy under salt and pepper", _noisy_codes),
    Claim("denoise_*", "noise taken out", _decibels),
    Claim("embed_cells", "blood cells told from ten numbers: accuracy", "model {model:.3f}, PCA {pca:.3f}"),
    Claim("embed_*", "codes of a given size, against the goal", _goal),
    Claim("generate_*", "new images: squared Frechet distance by sampler", _distances),
    Claim("sparse_flat-*", "known features found again", "cosine {mcc:.3f}, F1 {f1:.3f}"),
    Claim("sparse_hierarchical-*", "known features found again", "cosine {mcc:.3f}, F1 {f1:.3f}"),
    Claim(
        "sparse_others-*",
        "the same by others: F1",
        "DictionaryLearning {dictionary_learning[f1]:.3f}; FastICA {fast_ica[f1]:.3f}; atoms of chance "
        "{random_atoms[f1]:.3f}; the true atoms {oracle[f1]:.3f}",
    ),
    Claim("sparse_wide-*", "units that are never on, of four times as many as features", "share {dead_share:.3f}"),
    Claim(
        "sparse_speed",
        "examples of a dictionary a second",
        "{examples_a_second:,.0f}, the products alone {limit_by_products:,.0f}",
    ),
    Claim(
        "guard",
        "pieces of work beside plain loops",
        lambda f: "; ".join(f"{name} {ratio:.2g}" for name, ratio in f["ratios"].items()),
    ),
    Claim("sparse_photographs", "a dictionary of patches", "{explained_variance:.2f} of the variance, {l0:.1f} on"),
    Claim(
        "distributed",
        "two workers beside one process: largest relative difference of the loss over 200 steps",
        _workers,
    ),
    Claim("report", "the report of the demo's model, opened without a network", _opened),
    Claim("web", "exported graphs in a browser beside Python: largest difference of a score", _in_a_browser),
    Claim(
        "larger_files",
        "tables and images larger than memory, in files: MiB of a process at one size, and at four times that",
        lambda f: "; ".join(
            f"{name} {f['1x'][name]['mib']}, {f['4x'][name]['mib']}" for name in f["mib_at_four_times_by_once"]
        ),
    ),
    Claim(
        "more_than_memory",
        "rows generated as they are read, trained on and scored: GB, largest MiB, MiB a GB in the second half",
        lambda f: "; ".join(
            f"{name} {f['gigabytes']:.0f} GB, {f[name]['mib_largest']:.0f} MiB, "
            f"{f[name]['mib_a_gb_over_the_second_half']:.2f}"
            for name in ("train", "score")
        ),
    ),
    Claim(
        "ray_shards",
        "shards under Ray, a worker killed: rows missing, rows twice, seconds",
        "{compared[rows_missing]}, {compared[rows_twice]} of {compared[rows]:,}; {ray[seconds]}, alone {seconds_alone}",
    ),
)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


def page() -> str:
    """The page as text."""
    records = [json.loads(path.read_text()) | {"name": path.stem} for path in RESULTS.glob("*.json")]
    scripts = [path for path in sorted((ROOT / "benchmarks").glob("*.py")) if path.stem not in NO_BENCHMARKS]
    parts = [
        HEAD,
        "## Claims and figures\n",
        "Every record, with one figure of it.\n",
        "| what is measured | figure | command | when, where |\n|---|---|---|---|",
        *map(_row, sorted(records, key=_order)),
        "\n## Scripts\n",
        "What each measures and how, in the words of its head.\n",
        *(f"### {path.stem}\n\n{_head(path)}\n" for path in scripts),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _order(record: Mapping[str, Any]) -> tuple[int, str]:
    """As the claims are; behind them what none of them knows."""
    known = (place for place, claim in enumerate(CLAIMS) if fnmatch(record["name"], claim.records))
    return next(known, len(CLAIMS)), record["name"]


def _row(record: Mapping[str, Any]) -> str:
    name, figures = record["name"], record["figures"]
    claim = next((one for one in CLAIMS if fnmatch(name, one.records)), Claim(name, "", "in the record"))
    figure = claim.figure.format_map(figures) if isinstance(claim.figure, str) else claim.figure(figures)
    # Some scripts were run in their own folder.
    command = record["command"].replace("python benchmarks/", "python ").replace("python ", "python benchmarks/", 1)
    when = f"{record['date'][:10]}, {_machine(record['machine'])}"
    return f"| {f'{claim.what} (`{name}`)' if claim.what else f'`{name}`'} | {figure} | `{command}` | {when} |"


def _machine(machine: Mapping[str, Any]) -> str:
    cores = machine["cores"]
    names = [machine[name] for name in ("processor", "accelerator") if machine.get(name)]
    return ", ".join([f"{cores} core{'s' * (cores != 1)}", *names])


def _head(path: Path) -> str:
    """A script's docstring: its first sentence as prose, all else as it stands."""
    first, _, rest = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")
    return f"{first}\n\n```text\n{rest}\n```" if rest else first


if __name__ == "__main__":
    main()
