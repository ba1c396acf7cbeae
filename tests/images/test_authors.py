"""The authors' file: what comes back from it, and what is refused in one line that says what to do."""

import pickle

import pytest
import torch

from authors_network import as_theirs
from sbgm import RefineNet, geometric_sigmas, load_authors
from seeds import seeded

SIGMAS = geometric_sigmas(1.0, 0.01, 10)


def random_network(image_channels=1):
    network = RefineNet(SIGMAS, 2, image_channels, generator=seeded())
    with torch.no_grad():
        for p in network.parameters():  # norms that differ from level to level
            p.add_(torch.randn(p.shape, generator=seeded(1)))
    return network


@pytest.mark.parametrize("as_in_2019", [False, True])
@pytest.mark.parametrize(("image_channels", "image_shape"), [(1, (1, 28, 28)), (3, (3, 32, 32)), (2, None)])
def test_the_authors_file_in_the_format_of_any_year_gives_the_network(
    tmp_path, image_channels, image_shape, as_in_2019
):
    network = random_network(image_channels)
    optimiser = torch.optim.Adam(network.parameters())
    sum(p.sum() for p in network.parameters()).backward()
    optimiser.step()
    states = [as_theirs(network), optimiser.state_dict()]
    torch.save(states, tmp_path / "checkpoint.pth", _use_new_zipfile_serialization=not as_in_2019)
    before = torch.get_rng_state()
    loaded = load_authors(tmp_path / "checkpoint.pth")
    assert torch.equal(torch.get_rng_state(), before)
    wanted = network.state_dict()
    assert loaded.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in loaded.state_dict().items())
    x = torch.rand(2, image_channels, 8, 8, generator=seeded())
    assert torch.equal(loaded(x, SIGMAS[[0, 9]]), network(x, SIGMAS[[0, 9]]))
    assert (loaded.arguments, loaded.ladder, loaded.image_shape) == (network.arguments, network.ladder, image_shape)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


# --- refused ---------------------------------------------------------------------------------------------------------

END = "module.end_conv.weight"
NORM = "module.res1.0.normalize1.embed.weight"


def refusal(path):
    """What is said of a file, after the words that all refusals begin with."""
    with pytest.raises(ValueError, match=r"^path must be a checkpoint.pth of the authors' NCSN \(docs/.*\), but") as e:
        load_authors(path)
    assert e.value.__context__ is None or e.value.__suppress_context__  # torch advises to run the file's code
    said = str(e.value).partition(f"but {path} ")[2]
    assert "\n" not in said
    return said


class Running:
    """What creates a file as it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("as_in_2019", [False, True])
def test_a_file_that_would_run_code_runs_none(tmp_path, as_in_2019):
    path = tmp_path / "checkpoint.pth"
    states = [as_theirs(random_network()), Running(tmp_path / "ran")]
    torch.save(states, path, _use_new_zipfile_serialization=not as_in_2019)
    assert refusal(path) == "is damaged, or holds more than numbers"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("as_in_2019", [False, True])
def test_a_file_that_is_cut_short_is_refused(tmp_path, as_in_2019):
    path = tmp_path / "checkpoint.pth"
    torch.save([as_theirs(random_network())], path, _use_new_zipfile_serialization=not as_in_2019)
    whole = path.read_bytes()
    for length in (0, 1, 10, 1_000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert refusal(path) == "is damaged, or holds more than numbers"


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>", pickle.dumps([{"a": 1.0}], protocol=2), b"PK\x03\x04"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "checkpoint.pth").write_bytes(content)
    assert refusal(tmp_path / "checkpoint.pth") == "is damaged, or holds more than numbers"


@pytest.mark.parametrize(
    "states", [{}, [], 3, None, [3], [[torch.ones(1)]], [{0: torch.ones(1)}], as_theirs(random_network())]
)
def test_other_things_than_their_list_are_refused(tmp_path, states):
    torch.save(states, tmp_path / "checkpoint.pth")
    assert refusal(tmp_path / "checkpoint.pth") == "holds no list whose first entry has a network's tensors by name"


def as_ncsnv2(tensors):
    """In place of each norm's table of levels three vectors; and the ladder."""
    for name in [name for name in tensors if name.endswith("embed.weight")]:
        parts = zip(("gamma", "alpha", "beta"), tensors.pop(name)[0].chunk(3), strict=True)
        tensors |= {name.replace("embed.weight", part): value.clone() for part, value in parts}
    tensors["module.sigmas"] = torch.ones(232)


LACKS_BEGIN = "lacks module.begin_conv.weight, (C, channels, 3, 3) with C ≥ 2"
DIFFERS = "has another network: its"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (as_ncsnv2, "holds a network whose norms know no noise level, such as NCSNv2"),
        (lambda tensors: tensors.clear(), LACKS_BEGIN),
        *[
            (lambda tensors, shape=shape: tensors.update({"module.begin_conv.weight": torch.ones(shape)}), LACKS_BEGIN)
            for shape in ((), (4,), (1, 1, 3, 3), (2, 0, 3, 3))
        ],
        (lambda tensors: tensors.pop(END), f"{DIFFERS} {END} is absent, not (1, 2, 3, 3)"),
        (
            lambda tensors: tensors.update({"end_conv.bias": torch.ones(1)}),
            f"{DIFFERS} end_conv.bias is (1,), not absent",
        ),
        (
            lambda tensors: tensors.update({"module.sigmas": torch.ones(10)}),
            f"{DIFFERS} module.sigmas is (10,), not absent",
        ),
        (lambda tensors: tensors.update({NORM: torch.ones(5, 6)}), f"{DIFFERS} {NORM} is (5, 6), not (10, 6)"),
    ],
)
def test_another_network_is_refused_by_where_it_differs(tmp_path, change, said):
    tensors = as_theirs(random_network())
    change(tensors)
    torch.save([tensors], tmp_path / "checkpoint.pth")
    assert refusal(tmp_path / "checkpoint.pth") == said


@pytest.mark.parametrize(
    "value",
    [
        "text",
        torch.ones(1, 2, 3, 3, dtype=torch.int64),
        torch.ones(1, 2, 3, 3, dtype=torch.complex64),
        torch.ones(1, 2, 3, 3, dtype=torch.float16),
        torch.full((1, 2, 3, 3), torch.nan),
        torch.ones(()).expand(1, 2, 3, 3),  # one number that would be eighteen
        torch.ones(1, 2, 3, 3).transpose(2, 3),
        torch.ones(1, 2, 3, 3, device="meta"),
        torch.ones(1, 2, 3, 3).to_sparse(),
    ],
)
def test_what_is_no_plain_tensor_of_numbers_is_refused(tmp_path, value):
    torch.save([as_theirs(random_network()) | {END: value}], tmp_path / "checkpoint.pth")
    assert refusal(tmp_path / "checkpoint.pth") == f"has no plain tensor of finite float32 numbers in {END}"
