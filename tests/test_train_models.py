"""The papers' networks: sizes, inputs, freezing, weights, files."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from realtime_mer.errors import ConfigError, ModelError
from realtime_mer.recognize.spec import ModelSpec
from train import checkpoint, models
from train.models import create, freezing, weights
from train.models.heads import ARC_SCALE

LARGE = {"resnet101", "resnet152", "alexnet", "alexnet-2012"}  # seconds each; resnet50 stands for their kind


@pytest.mark.parametrize("name", sorted(set(models.MODELS) - LARGE))
def test_every_network_gives_finite_logits_for_each_sample(name: str) -> None:
    entry = models.MODELS[name]
    size = entry.size if entry.keep else min(entry.size, 64)
    model = create(name, 5, size=size).eval()
    with torch.inference_mode():
        logits = model(torch.rand(2, *models.input_shape(name, size)))
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()


def test_efficient_me_has_exactly_the_published_sizes() -> None:
    """Ab Razak and Sahran's 867k and 68k are counted as Keras does."""
    assert models.keras_parameters(create("efficient-me", 3)) == 868_314
    assert models.keras_parameters(create("efficient-me-tr3", 3)) == 68_772


@pytest.mark.parametrize(
    ("name", "published"), [("alexnet-2012", 60_965_224), ("googlenet-2015", 6_998_552), ("squeezenet-1.0", 1_248_424)]
)
def test_the_classic_networks_have_the_published_sizes(name: str, published: int) -> None:
    """Of the originals, with their 1000 classes: Caffe's model files say so."""
    assert models.parameters(create(name, 1000)) == published


def test_the_last_relu_of_squeezenet_lets_no_class_below_zero() -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 3, 64, 64)
    plain, relu = (create(name, 5, size=64).eval()(x) for name in ("squeezenet", "squeezenet-relu"))
    assert (plain < 0).any()
    assert (relu >= 0).all()


def compressed_file(path: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """Writes random sparse weights as Han et al. 2016 store them; gives them under torchvision's names."""
    random = np.random.default_rng(seed)
    shapes = {name: tuple(t.shape) for name, t in torchvision.models.squeezenet1_0().state_dict().items()}
    state, counts, layers = {}, [], []
    for name in (n for n in shapes if n.endswith("weight")):
        size, table = math.prod(shapes[name]), random.normal(0, 0.05, 256).astype(np.float32)
        table[0] = 0.0
        apart = random.integers(0, 16, size)
        places = np.cumsum(apart + 1) - 1
        places, apart = places[places < size], apart[places < size]
        codes = random.integers(1, 256, len(places)).astype(np.uint8)
        even = np.append(apart, 0)[: 2 * ((len(apart) + 1) // 2)]
        bias = random.normal(0, 0.1, shapes[name.removesuffix("weight") + "bias"]).astype(np.float32)
        packed = (even[::2] + 16 * even[1::2]).astype(np.uint8)
        layers.append(table.tobytes() + bias.tobytes() + codes.tobytes() + packed.tobytes())
        counts.append(len(places))
        whole = np.zeros(size, np.float32)
        whole[places] = table[codes]
        state[name] = torch.from_numpy(whole.reshape(shapes[name]))
        state[name.removesuffix("weight") + "bias"] = torch.from_numpy(bias)
    path.write_bytes(np.array(counts, np.uint32).tobytes() + b"".join(layers))
    return state


def test_compressed_weights_give_what_they_gave_on_their_own_input(tmp_path: Path, monkeypatch) -> None:
    """They were made for BGR, 0 to 255, minus a mean; ours take RGB, 0 to 1, scaled as ImageNet."""
    state = compressed_file(tmp_path / "compressed_SqueezeNet.net")
    monkeypatch.setenv(weights.FOLDER, str(tmp_path))
    assert weights.available("squeezenet-1.0")
    torch.manual_seed(0)
    ours = create("squeezenet-1.0", 4, size=96, weights="imagenet").eval()
    theirs = torchvision.models.squeezenet1_0().eval()
    theirs.load_state_dict(state)
    x = torch.rand(2, 3, 96, 96)
    bgr = 255 * x.flip(1) - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
    with torch.inference_mode():
        expected, found = theirs.features(bgr), ours.net.features(ours.scale(x))
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("harm", ["short", "long", "text"])
def test_a_damaged_compressed_file_is_one_line(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "compressed_SqueezeNet.net"
    compressed_file(path)
    content = {"short": path.read_bytes()[:-5], "long": path.read_bytes() + b"x", "text": b"hello"}[harm]
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not the compressed SqueezeNet"):
        create("squeezenet-1.0", 3, size=64, weights=str(path))


def test_ststnet_is_as_small_as_published() -> None:
    model = create("ststnet", 3)
    convolutions = [p for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear) for p in m.parameters()]
    assert sum(p.numel() for p in convolutions) == 1651
    assert models.parameters(model) == 1683  # with batch norm; printed: 1.67k


@pytest.mark.parametrize("size", [28, 64, 128])
def test_flow_networks_fit_any_side(size: int) -> None:
    for name in ("ststnet", "off-apexnet"):
        model = create(name, 3, feature=models.FLOW, size=size).eval()
        assert model(torch.randn(1, 3, size, size)).shape == (1, 3)


def test_motion_enters_unscaled_and_pictures_as_imagenet() -> None:
    x = torch.rand(1, 3, 8, 8)
    motion = create("mobilenet-v2", 3, feature=models.FLOW, size=32)
    picture = create("mobilenet-v2", 3, size=32)
    assert torch.equal(motion.scale(x), x)
    assert picture.scale(torch.tensor([0.485, 0.456, 0.406])[None, :, None, None]).abs().max() < 1e-6


def test_the_3d_stem_joins_three_frames_without_padding_in_time() -> None:
    model = create("hata-resnet", 3, stem="3d", size=64).eval()
    assert model.stem(torch.rand(2, 3, 64, 64)).shape == (2, 64, 32, 32)
    x = torch.rand(1, 3, 64, 64)
    assert not torch.allclose(model(x), model(x.flip(1)))  # the order of the frames matters


def test_attention_branch_gives_its_map() -> None:
    model = create("hata-resnet", 3, attention=True, size=64).eval()
    x = torch.rand(2, 3, 64, 64)
    logits, side, attention = model.branches(x)
    assert logits.shape == side.shape == (2, 3)
    assert attention.shape == (2, 1, 4, 4)
    assert ((attention >= 0) & (attention <= 1)).all()
    assert torch.equal(model(x), logits)


def test_arcface_head_gives_scaled_cosines() -> None:
    logits = create("efficient-me-tr3", 4, head="arcface", size=32).eval()(torch.rand(3, 3, 32, 32))
    assert logits.abs().max() <= ARC_SCALE + 1e-4


def test_the_same_seed_gives_the_same_network() -> None:
    torch.manual_seed(3)
    first = create("resnet10", 3, size=32)
    torch.manual_seed(3)
    second = create("resnet10", 3, size=32)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(("share", "frozen"), [(0.0, 0), (0.2, 4), (0.5, 10), (1.0, 21)])
def test_freezing_rounds_down_and_takes_batch_norm_along(share: float, frozen: int) -> None:
    model = create("resnet18", 3, size=32)  # 20 convolutions and one linear layer
    held = freezing.freeze(model, share)
    learnable = [m for m in model.modules() if isinstance(m, freezing.LEARNABLE)]
    assert len(learnable) == 21
    still = [m for m in learnable if not m.weight.requires_grad]
    assert still == learnable[:frozen]
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    model.train()
    freezing.hold(held)
    assert sum(not m.training for m in norms) == sum(not m.weight.requires_grad for m in norms) == min(frozen, 20)


def test_a_frozen_layer_does_not_move_and_its_statistics_neither() -> None:
    torch.manual_seed(0)
    model = create("mobilenet-v2", 2, size=32)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    held = freezing.freeze_body(model)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model.train()
    freezing.hold(held)
    nn.functional.cross_entropy(model(torch.rand(4, 3, 32, 32)), torch.tensor([0, 1, 0, 1])).backward()
    optimizer.step()
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"net.classifier.1.weight", "net.classifier.1.bias"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet17", {}),
        ("resnet18", {"head": "quantum"}),
        ("resnet18", {"stem": "3d"}),
        ("resnet18", {"attention": True}),
        ("resnet18", {"feature": "maps-uvs/1"}),
        ("hata-resnet", {"stem": "3d", "feature": "apex-rgb/1"}),
    ],
)
def test_what_cannot_be_made_is_one_clear_line(name: str, options: dict) -> None:
    with pytest.raises(ConfigError) as caught:
        create(name, 3, **options)
    assert "\n" not in str(caught.value)


def test_weights_that_were_asked_for_are_never_silently_random(monkeypatch, tmp_path) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv(weights.FOLDER, str(tmp_path))
    for name in ("resnet18", "resnet10"):
        with pytest.raises(ModelError, match="are not here"):
            create(name, 3, weights="imagenet")


def test_weights_come_from_the_named_folder_and_leave_the_head_alone(monkeypatch, tmp_path) -> None:
    torch.manual_seed(1)
    given = create("resnet18", 1000).net.state_dict()
    torch.save(given, tmp_path / "resnet18-f37072fd.pth")
    monkeypatch.setenv(weights.FOLDER, str(tmp_path))
    torch.manual_seed(2)
    model = create("resnet18", 3, weights="imagenet")
    assert torch.equal(model.net.conv1.weight, given["conv1.weight"])
    assert model.net.fc.weight.shape == (3, 512)
    hata = create("hata-resnet", 3, weights="imagenet", attention=True)
    assert torch.equal(hata.last[0].conv1.weight, given["layer4.0.conv1.weight"])


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="do not fit"):
        create("resnet10", 3, weights=str(tmp_path / "w.pth"))
    with pytest.raises(ModelError, match="does not exist"):
        create("resnet10", 3, weights=str(tmp_path / "none.pth"))


SPEC = ModelSpec("test", "1", ("a", "b", "c"), "apex-rgb/1", (3, 32, 32))


def test_a_model_file_gives_back_the_same_network(tmp_path) -> None:
    model = create("efficient-me-lite", 3, size=32).eval()
    file = tmp_path / "model.pt"
    checkpoint.save(file, "efficient-me-lite", {"size": 32, "weights": "imagenet"}, model.state_dict(), SPEC)
    again, spec = checkpoint.load(file)
    x = torch.rand(2, 3, 32, 32)
    assert spec == SPEC
    assert torch.equal(again(x), model(x))


class _Bomb:
    def __reduce__(self):  # what a pickle runs when it is opened
        return (exec, ("raise SystemExit('code ran')",))


@pytest.mark.parametrize("content", [b"", b"not a model", pickle.dumps(_Bomb())])
def test_a_foreign_file_runs_nothing_and_is_refused(tmp_path, content: bytes) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(content)
    with pytest.raises(ModelError):
        checkpoint.load(file)


def test_a_zipped_pickle_with_code_is_refused(tmp_path) -> None:
    file = tmp_path / "model.pt"
    torch.save({"format": 1, "spec": _Bomb()}, file)
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoint.load(file)


def test_a_model_file_of_another_shape_is_refused(tmp_path) -> None:
    file = tmp_path / "model.pt"
    checkpoint.save(file, "resnet10", {}, {"x": torch.zeros(1)}, SPEC)
    with pytest.raises(ModelError, match="does not fit"):
        checkpoint.load(file)


@pytest.mark.parametrize("name", ["mobilenet-v3-small", "efficient-me", "efficient-me-lite"])
def test_halved_motion_of_one_length_does_not_depend_on_how_far_the_skin_moved(name: str) -> None:
    model = create(name, 3, feature="flow-uvs/1", size=128, unit_motion=True).eval()
    whole = torch.randn(2, 3, 128, 128)
    kept = models.kept(name, True)
    assert kept is not None
    half = torch.from_numpy(kept(whole.numpy()))
    assert half.shape == (2, 3, 64, 64)
    with torch.no_grad():
        answer = model(whole)
        assert torch.allclose(model(half), answer, atol=1e-4)  # what is kept in training is what the file averages
        assert torch.allclose(model(5 * whole), answer, atol=1e-3)
    assert models.kept(name, False) is None
    with pytest.raises(ConfigError, match="unit_motion needs the feature"):
        create(name, 3, unit_motion=True)
    with pytest.raises(ConfigError, match="scales its own input"):
        create("flow-default", 3, unit_motion=True)


def test_the_shipped_default_can_be_trained_on_and_names_its_people() -> None:
    torch.manual_seed(0)
    fresh = create("flow-default", 3)
    tuned = create("flow-default", 3, weights="default")
    assert not torch.equal(fresh.first.weight, tuned.first.weight)
    network, spec = checkpoint.load(weights.SHIPPED)
    assert torch.equal(tuned.first.weight, network.network.network.first.weight)  # heads and gate are left out
    assert weights.people("default") == spec.people
    assert "casme2/sub01" in spec.people
    other = create("flow-default", 5, weights="default")  # of other classes: all but the last layer
    assert torch.equal(other.first.weight, tuned.first.weight)
    with pytest.raises(ModelError, match="another network"):
        create("ststnet", 3, weights="default")
