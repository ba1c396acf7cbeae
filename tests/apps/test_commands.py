"""The command line's options: every command that is printed somewhere parses, and messages name flags."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sbgm
from sbgm import __main__ as cli

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = (
    "*.md", "data/**/*.md", "data/results/*.json", "docs/**/*.md", "evidence/*.md", "evidence/claims/*/record.json",
    "notebooks/*.md", "notebooks/**/*.ipynb",
)  # fmt: skip
PAGES = [path for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]
COMMAND = re.compile(rf"(?:python -m |bin/|`|^)sbgm ((?:{'|'.join(cli.COMMANDS)})\b[^`\n]*)", re.MULTILINE)
# commands and options in a sentence
MENTIONS = {
    "train", "train FOLDER", "download NAME", "sample", "sample --seed",
}  # fmt: skip


def strings(value: object) -> list[str]:
    """All text in a JSON document; a list of nothing but text is one text."""
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return ["".join(value)]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] if isinstance(value, str) else [text for part in parts for text in strings(part)]


def commands() -> list[str]:
    """Every command on the pages, with the variables of the shell functions on model cards filled in."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for part in [text] if path.suffix == ".md" else strings(json.loads(text)):
            found += COMMAND.findall(part.replace("\\\n", " "))
    found = [re.sub(r"\$\{\w+:\+(.+?)\}", r"\1", words).replace('"$@"', "--out runs/x") for words in found]
    found = [re.sub(r"\$\d", "1", words) for words in found]
    return sorted({re.split(r"#|;|, ", words)[0].strip() for words in found} - MENTIONS)


EXAMPLES = [import_module(f"sbgm.apps.{name}").EXAMPLE.removeprefix("sbgm ") for name in cli.COMMANDS]


def test_there_are_commands_to_try():
    assert {words.split()[0] for words in commands()} >= {"train", "sample"}
    assert len(commands()) >= 25


@pytest.mark.parametrize("words", [*commands(), *EXAMPLES])
def test_a_printed_command_parses(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photographs", "fashion", "horses", "FOLDER"):  # a user's own
        (tmp_path / name).mkdir()
    arguments = shlex.split(words)
    assert cli.parser_of(arguments[0]).parse_args(arguments[1:])


@pytest.mark.parametrize("words", cli.COMMANDS)
def test_every_command_says_what_it_takes_through_a_console_without_greek(words, monkeypatch):
    """Windows' consoles speak cp1252; what it lacks is shown as a question mark."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file := io.BytesIO(), "cp1252"))
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main([*words.split(), "--help"])
    sys.stdout.flush()
    said = file.getvalue().decode("cp1252")
    assert f"usage: sbgm {words}" in said
    assert "?" in said or words != "train"


@pytest.mark.parametrize(
    ("option", "said"), [("--help", "sbgm COMMAND --help lists"), ("--version", f"sbgm {sbgm.__version__}")]
)
def test_help_and_version_come_without_torch(option, said, tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemExit('torch is loaded')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    assert said in subprocess.check_output([sys.executable, "-m", "sbgm", option], env=environment, text=True)


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("sample README.md --out x", "NETWORK must be"),
        (
            "sample own_network --out x --device mps",
            "--device must be one of this machine's, such as cpu, got mps",
        ),
        ("train tests/apps --out x", "DATA must hold at least 8 images"),
        ("sample none.safetensors --out x", "nor a run's folder"),
        ("train digits --out x --channels 1", "--channels must be at least 2, got 1"),
        ("sample digits_mlp --out x --label 3", "label must be None, because this network was made without classes"),
        ("sample own_network --out x --label 11", "label must be a class from 0 to 9, or 10 for any"),
        (
            "train digits --out tests",
            "tests holds files; to continue a run there, add --resume",
        ),
        ("train tests --out tests/x", "--out must lie outside of"),
        ("train digits --out x --from README.md", "--from must be a whole safetensors file, but README.md is not"),
        ("sample mnist_ncs --out x", "mnist_ncsnv2, mnist_one_level, own_network; did you mean 'mnist_ncsn'?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words, message, capsys):
    assert cli.main(shlex.split(words)) == 1
    *warnings, line = capsys.readouterr().err.splitlines()
    assert re.fullmatch(f"sbgm: .*{re.escape(message)}.*", line)
    assert all("are passed over" in warning for warning in warnings)  # of what is no picture in a folder
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "usage: sbgm"),
        ("sample", "the following arguments are required: NETWORK, --out"),
        ("tran mnist", "invalid choice: 'tran'"),
        ("train mnits --out x", "did you mean 'mnist'?"),
        ("sample own_network --out x --levels 1", "error: --levels must be at least 2, got 1"),
        ("sample own_network --out x --label 3 --guidance -1", "--guidance must be finite and at least 0, got -1"),
        ("train digits --out x --ema 2", "error: --ema must be at least 0 and below 1, got 2"),
        (
            "sample mnist_ncsn --out x --sampler ancestral --n-steps 3",
            "error: --n-steps must be left out with ancestral, which has no such setting, got 3",
        ),
        ("sample digits_mlp --out x --guidance 2", "error: --guidance must come with --label, got 2.0 alone"),
        ("train digits --out x --size 30", "error: --size must be a multiple of 4, got 30"),
        ("train digits --out x --precision fp31", "invalid choice: 'fp31'"),
        ("train digits --out x --lr 3", "unrecognized arguments: --lr 3"),
        ("train digits --out x --sigma-min 2", "error: --sigma-min must be smaller than sigma_max = 1.0, got 2.0"),
        ("sample x --out x --labels red", "usage: sbgm sample"),
        ("train no.png --out x", "cifar10, or a folder, got 'no.png'"),
    ],
)
def test_a_value_is_refused_by_its_flag(words, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(shlex.split(words))
    assert message in (said := capsys.readouterr().err)
    assert said.count("\n") == 2  # the usage, and what is wrong
