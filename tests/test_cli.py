"""The command line itself: words, options, help, exit status, and what it says when it is refused or stopped."""

import dataclasses
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

import narrows
from narrows import cli
from narrows.cli import VERBS, application, run, spread


def started(*words, **options):
    """Run the command line in a process of its own."""
    line = [sys.executable, "-m", "narrows", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, **options)


# --- verbs and help --------------------------------------------------------------------------------------------------


def test_help_lists_every_verb(done):
    listed = done("--help")
    assert all(f"\n  {verb} " in listed for verb in VERBS)
    assert done() == done("-h") == listed


def test_version(done):
    assert done("--version") == f"narrows {narrows.__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_explains_every_option(verb, done):
    text = " ".join(done(verb, "--help").split())
    module, name = VERBS[verb]
    function = getattr(__import__(f"narrows.apps.{module}", fromlist=[name]), name)
    options = typer.main.get_command(application([verb])).commands[verb].params
    assert options
    for option in options:
        assert option.help
        assert option.help in text
        assert all(flag in text for flag in option.opts if flag.startswith("-"))
    assert inspect.cleandoc(function.__doc__).split("\n\n")[0].replace("\n", " ") in text
    assert "`" not in text
    assert "<" not in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_parameter_and_field_has_an_option(verb):
    module, name = VERBS[verb]
    function = getattr(__import__(f"narrows.apps.{module}", fromlist=[name]), name)
    expected = {"json"}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        kind = parameter.annotation
        expected |= (
            {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else {parameter.name}
        )
    options = typer.main.get_command(application([verb])).commands[verb].params
    assert {option.name for option in options} == expected


def test_help_names_choices_defaults_and_what_is_required(done):
    text = " ".join(done("train", "--help").split())
    assert "Usage: narrows train [OPTIONS] DATA" in text
    for words in (
        "-o, --output PATH",
        "--batch-size N|full",
        "--optimizer adam|adamw|sgd",
        "--rate X|auto",
        "--schedule cosine|constant|plateau",
        "--values binary|levels|counts|reals",
        "[default: 128]",
        "[default: 0]",
        "[required]",
    ):
        assert words in text
    assert "None" not in text


def test_help_and_early_refusals_need_no_torch():
    script = """
import sys
from narrows.cli import run
for words in (["--help"], ["--version"], *([verb, "--help"] for verb in sys.argv[1:])):
    assert run(words) == 0
assert run(["train", "nofile", "-o", "m"]) == 2
print(sorted({"torch", "sklearn", "pyarrow", "PIL"} & set(sys.modules)), file=sys.stderr)
"""
    line = [sys.executable, "-c", script, *VERBS]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("train d --set a=1 b=2 -o m", "train d --set a=1 --set b=2 -o m"),
        ("train --set a=1 b=2 d -o m", "train --set a=1 --set b=2 d -o m"),
        ("train --set=a=1 b=2", "train --set=a=1 --set b=2"),
        ("train d --set a=1 --epochs 3 b=2", "train d --set a=1 --epochs 3 b=2"),
        ("train --set a=1 --set b=2 c=3", "train --set a=1 --set b=2 --set c=3"),
        ("data a=b", "data a=b"),
        ("train d --set", "train d --set"),
    ],
)
def test_one_set_takes_several_settings(given, expected):
    assert spread(given.split()) == expected.split()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("trian digits -o m", "unknown verb 'trian'; did you mean 'train'?"),
        ("train", "missing argument 'DATA'; see narrows train --help"),
        ("train digits", "missing option '--output' / '-o'; see narrows train --help"),
        ("train digits extra -o m", "unexpected extra argument"),
        ("train digits -o m --epoch 1", "no such option: --epoch (Possible options: --epochs)"),
        ("--jsn", "no such option: --jsn"),
        ("evaluate m digits --values reals", "no such option: --values"),
        ("train digits -o m --epochs x", "--epochs was given as 'x'; it takes a whole number"),
        ("train digits -o m --epochs 1.5", "--epochs was given as '1.5'; it takes a whole number"),
        ("train digits -o m --epochs 0", "epochs was given as 0; it must be at least 1"),
        ("train digits -o m --epochs 2 --minutes 2", "both epochs and minutes were given"),
        ("train digits -o m --minutes -1", "minutes was given as -1.0; it must be above 0"),
        ("train digits -o m --minutes nan", "minutes was given as nan"),
        ("train digits -o m --minutes inf", "minutes was given as inf"),
        ("train digits -o m --minutes soon", "--minutes was given as 'soon'; it takes a number"),
        ("train digits -o m --batch-size 0", "batch size was given as 0; it must be at least 1"),
        ("train digits -o m --batch-size ful", "batch size was given as 'ful'; it takes a whole number or full"),
        ("train digits -o m --rate banana", "rate was given as 'banana'; it takes a number or auto"),
        ("train digits -o m --rate 0", "rate was given as 0.0; it must be above 0"),
        ("train digits -o m --rate inf", "rate was given as inf"),
        ("train digits -o m --validation 2", "validation was given as 2.0; it must be at most 0.9"),
        ("train digits -o m --validation nan", "validation was given as nan"),
        ("train digits -o m --average 1", "average was given as 1.0"),
        ("train digits -o m --patience 0", "patience was given as 0"),
        ("train digits -o m --seed -1", "seed was given as -1; it must be at least 0"),
        ("train digits -o m --seed 99999999999999999999", "seed was given as 99999999999999999999; it must be at most"),
        ("train digits -o m --resume", "--resume needs --checkpoint"),
        ("train digits -o m --momentum 0.5", "momentum belongs to optimizer sgd"),
        ("train digits -o m --momentum -1 --optimizer sgd", "momentum was given as -1.0"),
        ("train digits -o m --optimizer adma", "unknown optimizer 'adma'; did you mean 'adam'?"),
        ("train digits -o m --schedule cosin", "unknown schedule 'cosin'; did you mean 'cosine'?"),
        ("train digits -o m --precision flot32", "unknown precision 'flot32'; did you mean 'float32'?"),
        ("train digits -o m --binarize treshold", "did you mean 'threshold'?"),
        ("train digits -o m --values level", "unknown kind of values 'level'"),
        ("train digits -o m --device cdu", "there is no device 'cdu' here; take --device cpu, or auto"),
        ("train digits -o m --device meta", "there is no device 'meta' here"),
        ("train digits -o m --preset variationl", "unknown preset 'variationl'; did you mean 'variational'?"),
        ("train digits -o m --set laten=point", "unknown axis 'laten'; did you mean 'latent'?"),
        ("train digits -o m --set latent=gausian", "unknown latent 'gausian'; did you mean 'gaussian'?"),
        ("train digits -o m --set latent.siz=4", "unknown parameter of latent point 'siz'; did you mean 'size'?"),
        ("train digits -o m --set latent.size=abc", "latent.size was given as 'abc'"),
        ("train digits -o m --set latent.size=0", "latent.size was given as 0; it must be at least 1"),
        ("train digits -o m --set latent", "setting 'latent' has no value"),
        ("train digits -o m --set", "'--set' requires an argument"),
        ("train digits -o m --set gradient.args=1", "unknown parameter of gradient pathwise 'args'"),
        ("train digits -o m --set objective=iwae", "take latent=gaussian or objective=elbo"),
        ("train digits -o m --set likelihood=bernoulli", "likelihood bernoulli (BCE) scores binary data"),
        ("demo --minutes 0", "minutes was given as 0.0; it must be above 0"),
        ("demo --seed -3", "seed was given as -3"),
        ("evaluate m digits --draws -1", "draws was given as -1"),
        ("evaluate m digits --rows -1", "rows was given as -1"),
        ("generate m -o s.png -n 0", "n was given as 0; it must be at least 1"),
        ("generate m -o s.png -n many", "-n was given as 'many'; it takes a whole number"),
        ("generate m -o s.png --seed -1", "seed was given as -1"),
        ("report digits -o r.html", "missing argument 'MODELS"),
        ("report m digits -o r.png", "r.png has the suffix '.png'; a report is .html"),
        ("report m digits -o r.html --rows -1", "rows was given as -1"),
        ("data --key x", "there are no data to read with these options"),
    ],
)
def test_refused_words(refused, line, says):
    refused(*line.split(), says=says)


def test_the_line_of_an_error_is_one_and_harmless(refused):
    assert "\x1b" not in refused("train", "no\nsuch\x1b[2J file", "-o", "m", says="no such file or data set")


# --- how it ends -----------------------------------------------------------------------------------------------------


def test_exit_status_in_a_process_of_its_own(tmp_path):
    ended = started("train", "nofile.csv", "-o", "m.safetensors", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("narrows: error: no such file or data set: 'nofile.csv'")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
    ended = started("data", "--json", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {"fashion-sample", "digits"} <= {row["name"] for row in json.loads(ended.stdout)}


def test_damaged_tiff_adds_no_line_of_its_library(tmp_path):
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "scans").mkdir()
    image.new("RGB", (64, 64), (1, 2, 3)).save(tmp_path / "scans" / "a.tif", compression="tiff_lzw")
    whole = (tmp_path / "scans" / "a.tif").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:8] + b"\xff" * 200):
        (tmp_path / "scans" / "a.tif").write_bytes(damaged)
        ended = started("data", tmp_path / "scans")
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        assert ended.stderr.startswith("narrows: error: 'a.tif' cannot be read as an image")


def test_standard_output_full_closed_or_gone():
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "narrows", "data"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 2
    assert (
        ended.stderr
        == "narrows: error: could not read or write: No space left on device; nothing was left half-written\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "narrows", "data"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")
    ended = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m narrows data >&-"], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_interrupted_in_training(refused, monkeypatch):
    from narrows.train import Run

    taken = Run.update

    def update(self, raw):
        if self.step == 5:
            raise KeyboardInterrupt
        return taken(self, raw)

    monkeypatch.setattr(Run, "update", update)
    words = ["train", "digits", "-o", "m.safetensors", "--epochs", "2", "--set", "network=mlp", "network.width=16"]
    assert refused(*words) == "narrows: error: interrupted; nothing was left half-written\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_interrupted_by_the_keyboard(tmp_path):
    words = ["train", "digits", "-o", "m", "--minutes", "5", "--log", "log", "--set", "network=mlp", "network.width=16"]
    # What a shell starts in the background is deaf to an interrupt, and so is all that it starts, unless it says so.
    heard = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from narrows.cli import main; main()"
    )
    line = [sys.executable, "-c", heard, *words]
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not ((tmp_path / "log").exists() and (tmp_path / "log").read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err == "narrows: error: interrupted; nothing was left half-written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "do not fit into memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "do not fit into memory"),
        (PermissionError(13, "Permission denied", "x.png"), "could not read or write x.png: Permission denied"),
        (OSError("a library's own words"), "could not read or write: a library's own words"),
    ],
)
def test_what_the_machine_refuses(refused, monkeypatch, error, says):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr("narrows.data.named.named_sets", fail)
    refused("data", says=says)


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr("narrows.data.named.named_sets", fail)
    with pytest.raises(ZeroDivisionError):
        run(["data"])


def test_main_takes_words(monkeypatch):
    monkeypatch.setattr(cli, "run", len)
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 0
