"""Our EfficientNet-Lite0 is timm's."""

import pytest
import timm
import torch
from torch import nn

from model.network.efficientnet import EfficientNetLite0, EfficientNetLite0Trunk


def pair() -> tuple[EfficientNetLite0, nn.Module]:
    """Return our network and timm's with the same random weights and statistics."""
    torch.manual_seed(0)
    theirs = timm.create_model(
        "tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)
    )
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    ours = EfficientNetLite0(4)
    state = {n: t for n, t in theirs.state_dict().items() if n in ours.state_dict()}
    ours.load_state_dict(state)
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("size", [(64, 96), (33, 50)])
def test_features_are_timms_to_the_bit(size: tuple[int, int]) -> None:
    ours, theirs = pair()
    frames = torch.randn(2, 3, *size)
    with torch.no_grad():
        found, expected = ours(frames), theirs(frames)
    assert len(found) == len(expected) == 4
    assert [f.shape[1] for f in found] == list(ours.widths)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@torch.no_grad()
def test_features_that_are_known_are_not_made_again() -> None:
    ours, _ = pair()
    frames = torch.randn(2, 3, 64, 96)
    every = ours(frames)
    for count in range(1, 5):
        found = ours(frames * float("nan"), every[:count])
        assert all(torch.equal(a, b) for a, b in zip(found, every, strict=True))


@torch.no_grad()
def test_fewer_strides_are_the_first_ones() -> None:
    ours, _ = pair()
    three = EfficientNetLite0(3)
    three.load_state_dict({n: ours.state_dict()[n] for n in three.state_dict()})
    three.eval()
    frames = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(three(frames), ours(frames), strict=False))


def test_gradients_are_timms() -> None:
    ours, theirs = pair()
    frames = torch.randn(1, 3, 32, 32)
    for network in (ours, theirs):
        sum(f.square().mean() for f in network(frames)).backward()
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad)


def test_parameters_have_timms_names_and_order() -> None:
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    ours = list(EfficientNetLite0().state_dict())
    assert ours == list(theirs)[: len(ours)]


@torch.no_grad()
def test_random_weights_have_timms_spread() -> None:
    torch.manual_seed(0)
    theirs = dict(timm.create_model("tf_efficientnet_lite0").named_parameters())
    for name, parameter in EfficientNetLite0().named_parameters():
        if "conv" in name:
            assert (parameter.std() / theirs[name].std()).item() == pytest.approx(1, rel=0.15), name
        else:
            assert torch.equal(parameter, theirs[name]), name


def test_a_trunk_takes_the_whole_published_network() -> None:
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = [n for n in theirs.state_dict() if n.startswith(("conv_stem", "bn1", "blocks"))]
    published = {f"net.{n}": theirs.state_dict()[n] for n in names}
    trunk = EfficientNetLite0Trunk()
    trunk.load_state_dict(dict(published))
    assert len(trunk.state_dict()) < len(published)
    assert all(torch.equal(t, published[n]) for n, t in trunk.state_dict().items())
