"""ImageNet weights in the trunks, without a network connection."""

import sys
from typing import Any
from urllib.error import URLError

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet18, resnet50

from model.build import build_pcvos
from model.config import PCVOS_LITE, PCVOS_R50
from model.errors import MissingPackage, WeightsError
from model.network.resnet import ResNetTrunk, TrunkValueEncoder
from model.training import pretrained
from model.training.pretrained import initial_model, load_imagenet_trunks
from tests.support.training import tiny_recipe


class _Published:
    """Stands for torchvision's weights, downloaded."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def get_state_dict(self, *, check_hash: bool, weights_only: bool) -> dict[str, Any]:
        assert check_hash
        assert weights_only
        return self.network.state_dict()


def test_the_papers_trunks_compute_what_torchvisions_do(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = resnet50(weights=None).eval(), resnet18(weights=None).eval()
    for name, network in (("ResNet50_Weights", large), ("ResNet18_Weights", small)):
        stand_in = type("Weights", (), {"IMAGENET1K_V1": _Published(network)})
        monkeypatch.setattr(pretrained, name, stand_in)
    model = build_pcvos(PCVOS_R50)
    value_encoder = model.value_encoder
    assert isinstance(value_encoder, TrunkValueEncoder)
    masks_before = value_encoder.trunk.conv1.weight[:, 3:].clone()
    load_imagenet_trunks(model)
    assert torch.equal(value_encoder.trunk.conv1.weight[:, 3:], masks_before)
    frames = torch.randn(1, 3, 32, 32)
    unmasked = torch.cat((frames, torch.zeros(1, 2, 32, 32)), 1)
    trunk = model.key_encoder.trunk
    assert isinstance(trunk, ResNetTrunk)
    with torch.no_grad():
        for ours, x, theirs in ((trunk, frames, large), (value_encoder.trunk, unmasked, small)):
            y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(frames))))
            for layer, found in zip(("layer1", "layer2", "layer3"), ours(x), strict=True):
                y = getattr(theirs, layer)(y)
                torch.testing.assert_close(found, y)


def test_lite_takes_its_trunk_from_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)

    def create(name: str, *, pretrained: bool) -> nn.Module:
        assert (name, pretrained) == ("tf_efficientnet_lite0", True)
        return network

    model = build_pcvos(PCVOS_LITE)
    monkeypatch.setattr(timm, "create_model", create)
    load_imagenet_trunks(model)
    ours = model.key_encoder.trunk.net.state_dict()  # type: ignore[union-attr]
    theirs = network.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_without_a_connection_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    config = tiny_recipe(None)
    initial_model(config, "random")
    monkeypatch.setattr(pretrained, "load_imagenet_trunk", offline)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    real = timm.create_model
    monkeypatch.setattr(
        timm,
        "create_model",
        lambda name, **options: (
            network if options.get("pretrained") is True else real(name, **options)
        ),
    )
    with pytest.raises(WeightsError, match="cannot download ImageNet weights for pcvos-lite") as e:
        initial_model(config, "imagenet")
    assert "--init" in str(e.value.hint)


def test_without_timm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackage, match="needs timm") as caught:
        initial_model(tiny_recipe(None), "imagenet")
    assert caught.value.exit_code == 2
    assert caught.value.hint == "pip install 'pcvos[train]'"
