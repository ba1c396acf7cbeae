"""The README's promises: its code and commands are sound, its links lead somewhere, its counts are the records'."""

import pathlib
import re

import matplotlib.pyplot as plt
import numpy
import pytest
import torch
from sklearn.datasets import make_moons

import ledger
import page
from authors_network import as_theirs
from sbgm import RefineNet, geometric_sigmas, load_images, load_network
from sbgm.__main__ import main

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
USING = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
TEXTS = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for folder in (".", "docs", "notebooks")
    for name in sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob("*.md"))
}


def code_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.S)


def block_of_own_images(words: str) -> str:
    """The one block of Python on the page of own images that holds these words."""
    (code,) = (block for block in code_blocks(TEXTS["docs/own_images.md"]) if words in block)
    return code


def write_photographs(folder: pathlib.Path) -> None:
    """Twelve pictures of 48 × 40 pixels of noise in the folder `photographs`."""
    (folder / "photographs").mkdir()
    for i, pixels in enumerate(numpy.random.default_rng(0).integers(256, size=(12, 40, 48, 3), dtype=numpy.uint8)):
        plt.imsave(folder / "photographs" / f"{i}.png", pixels)


def commands(text: str) -> list[str]:
    """The lines of a text's blocks without a language, and what is between its backticks, without comments."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    lines += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    return [line.partition("  #")[0].strip() for line in lines]


def slug(heading: str) -> str:
    """The fragment by which GitHub links to a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_lines_run_as_printed_sample_both_moons_and_draw_them(tmp_path, monkeypatch):
    (code,) = code_blocks(README)
    assert len([line for line in code.splitlines() if line]) == 14  # as the words above them say
    monkeypatch.chdir(tmp_path)
    plt.close("all")
    names = {}
    exec(code, names)
    plt.close("all")
    # the picture that README shows has its dots in the same places, by their share in each square of 16 × 16 pixels
    drawn, shown = (
        (plt.imread(path)[..., :3].min(axis=2) < 0.9).reshape(30, 16, 40, 16).mean(axis=(1, 3))
        for path in (tmp_path / "moons.png", ROOT / "data" / "results" / "moons.png")
    )
    assert numpy.corrcoef(drawn.ravel(), shown.ravel())[0, 1] > 0.9
    moons, labels = make_moons(5000, noise=0.05, random_state=0)
    distances, nearest = torch.cdist(names["samples"], torch.tensor(moons).float()).min(dim=1)
    # the network is learned: samples lie on a moon, whose width is .05, and either moon has its share
    assert float((distances < 0.1).float().mean()) >= 0.98
    assert abs(float(torch.tensor(labels)[nearest].float().mean()) - 0.5) < 0.1


def test_own_images_are_trained_on_and_an_own_sampler_draws_as_printed(tmp_path, monkeypatch, capsys):
    """The training is of two steps, and of a smaller network."""
    printed = 'settings_of("photographs")'
    training = block_of_own_images(printed)
    sampler = block_of_own_images("def mine(")
    monkeypatch.chdir(tmp_path)
    pixels = numpy.random.default_rng(0).integers(256, size=(40, 3, 40, 48), dtype=numpy.uint8)
    numpy.savez("photographs.npz", images=pixels, labels=numpy.arange(40) % 2)
    small = 'settings_of("photographs", network="DigitNetwork", steps=2, batch_size=4, precision="fp32")'
    exec(training.replace(printed, small), {})
    assert load_network("runs/mine")(torch.rand(1, 3, 32, 32), 1.0).shape == (1, 3, 32, 32)
    names = {}
    exec(sampler, names)
    digits = load_images("mnist_small", "test")[:16]
    assert names["images"].shape == digits.shape
    assert plt.imread(tmp_path / "mine.png").shape[:2] == (5 * (2 * 29 + 1), 5 * (8 * 29 + 1))
    assert float(names["images"].mean()) == pytest.approx(float(digits.mean()), abs=0.05)


def test_an_own_network_is_trained_and_drawn_from_as_printed(tmp_path, monkeypatch):
    """In two steps, and by one Langevin step a level."""
    code = block_of_own_images("class Mine(")
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path)
    for printed, quick in (("steps=2_000", "steps=2, batch_size=4"), ("n_steps=100", "n_steps=1")):
        assert printed in code
        code = code.replace(printed, quick)
    names = {}
    exec(code, names)
    assert names["images"].shape == (16, 3, 32, 32)
    assert (tmp_path / "own.png").is_file()


def test_the_authors_network_draws_as_printed(tmp_path, monkeypatch):
    """One of ours, of little width, in a file such as theirs."""
    (code,) = code_blocks(TEXTS["docs/authors_code.md"])
    monkeypatch.chdir(tmp_path)
    network = RefineNet(geometric_sigmas(1.0, 0.01, 10), 2, 3, generator=torch.Generator().manual_seed(0))
    torch.save([as_theirs(network), {}], "checkpoint.pth")
    exec(code, {})
    assert plt.imread("theirs.png").shape[:2] == (4 * 34, 4 * (4 * 33 + 1))


def test_a_run_is_followed_a_picture_is_filled_in_and_samples_are_judged_as_printed(tmp_path, monkeypatch, capsys):
    """By a network of two steps, and one Langevin step a level."""
    (follow,) = (block for block in code_blocks(USING) if "log.csv" in block)
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path)
    small = ["--network", "DigitNetwork", "--steps", "2", "--batch-size", "2", "--precision", "fp32", "--device", "cpu"]
    assert main(["train", "photographs", "--out", "runs/mine", *small]) == 0
    names = {}
    exec(follow, names)
    assert names["log"]["step"][-1] == 2
    assert names["network"](torch.rand(1, 3, 32, 32), 1.0).shape == (1, 3, 32, 32)
    fast = ["-n", "3", "--n-steps", "1", "--device", "cpu"]
    assert main(["sample", "runs/mine", "--out", "runs/mine_samples", *fast]) == 0
    fill = block_of_own_images("inpaint")
    assert "n_steps=100" in fill
    names = {}
    exec(fill.replace("n_steps=100", "n_steps=1"), names)
    difference = (names["fills"] - names["image"]).abs()
    assert difference.shape == (6, 3, 32, 32)
    assert float(difference[..., :15].max()) < 0.1 < float(difference[..., 17:].mean())  # σ_L is .01
    assert (tmp_path / "fills.png").is_file()
    exec(block_of_own_images("judge"), {})
    assert "median distance to nearest" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_target_of_make_every_tool_and_every_import_exists(name):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for line in commands(TEXTS[name]):
        assert re.findall(r"^make (?:[A-Z_]+=\S+ )*([a-z-]+)", line) in [[], *([target] for target in targets)], line
        for tool in re.findall(r"python ((?:tools|docs)/\w+\.py)", line):
            assert (ROOT / tool).is_file(), line
        for statement in re.findall(r'^python -c "(from \S+ import \w+)', line):
            exec(statement)


@pytest.mark.parametrize("name", TEXTS)
def test_every_local_link_leads_to_a_file_and_a_heading(name):
    for target, fragment in re.findall(r"\]\((?!https://)([^)#]*)#?([^)]*)\)", TEXTS[name]):
        path = ((ROOT / name).parent / target).resolve() if target else ROOT / name
        is_made = target in ("chapters.md", "formulas.md")  # when the site is built
        assert path.is_file() or is_made, target
        if fragment and path.suffix == ".md" and path.parent.name in ("docs", "notebooks"):
            text = path.read_text(encoding="utf-8")
            assert fragment in [slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.M)]


def test_the_ledger_and_its_count_are_those_the_records_give():
    records = ledger.load_records()
    shown = RESULTS.partition("<!-- ledger -->")[2].partition("<!-- /ledger -->")[0].strip()
    assert shown == page.count_line(records)
    table = (ledger.claims_folder().parent / "README.md").read_text(encoding="utf-8")
    assert table == page.ledger_page(records)


def test_the_signs_of_the_results_are_those_of_the_ledger():
    records = ledger.load_records()
    signs = re.findall(r"([●◐✕?] \*\*[a-z ]+\*\*)\s+\(\[(\w+)\]\(([^)]+)\)\)", RESULTS)
    assert len(signs) > 8
    for word, claim_id, target in signs:
        assert word == page.DECIDED[page.reads(records[claim_id])], claim_id
        assert target.endswith((f"claims/{claim_id}/record.json", f"results/{claim_id}.json"))


def test_the_map_of_the_paper_names_claims_of_the_ledger():
    lines = RESULTS.partition("## Map of the paper")[2].splitlines()
    named = [claim_id for line in lines for claim_id in re.findall(r"\b[SMLNIF]\d+\b", line.rpartition(" | ")[2])]
    assert len(named) == len({*named}) > 30
    assert {*named} <= ledger.claims().keys()
