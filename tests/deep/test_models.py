"""Networks: published parameter counts, counts by hand, shapes, memory formats, one graph."""

from __future__ import annotations

import builtins
import io

import pytest
import torch
from tolerances import EXACT

from deep.models import MLP, DenseNet, LeNet, ResNet, ResNetImageNet, WideResNet, build
from ufm._spec import decode, digest, encode


# Small members of every family.
SMALL = (
    ResNet(8),
    ResNet(8, (4, 7, 12)),
    WideResNet(10, 1),
    WideResNet(10, 2, leak=0.1, momentum=0.001, raw_transitions=True),
    DenseNet(16, 4),
    ResNetImageNet(18),
    MLP((20, 12)),
    LeNet(),
)


def parameters(network, *, channels=3, size=32, K=0):
    with torch.device("meta"):
        backbone = build(network, channels=channels, size=size)
    head = (network.width + 1) * K
    return sum(p.numel() for p in backbone.parameters()) + head


# Published figures include the linear head: He et al. 2016 Table 6 (.27 .46 .66 .85 1.7 M),
# Zagoruyko and Komodakis Table 5, Huang et al. Table 2; exact where an implementation is public.
@pytest.mark.parametrize(
    ("network", "K", "count"),
    [
        (ResNet(20), 10, 269_722),
        (ResNet(32), 10, 464_154),
        (ResNet(44), 10, 658_586),
        (ResNet(56), 10, 853_018),
        (ResNet(110), 10, 1_727_962),
        (ResNetImageNet(18), 10, 11_173_962),
        (ResNetImageNet(50), 10, 23_520_842),
        (WideResNet(28, 10), 10, 36_479_194),
        (WideResNet(28, 8), 10, 23_354_842),
        (WideResNet(16, 8), 10, 10_961_370),
        (DenseNet(100, 12), 10, 769_162),
    ],
)
def test_published_counts(network, K, count):
    assert parameters(network, K=K) == count


@pytest.mark.parametrize(
    ("network", "millions"), [(DenseNet(250, 24), 15.3), (DenseNet(190, 40), 25.6)]
)
def test_published_counts_of_densenet(network, millions):
    assert round(parameters(network, K=10) / 1e6, 1) == millions


def norm(channels):
    return 2 * channels


def by_hand_resnet(network, channels):
    m, inside = (network.depth - 2) // 6, network.widths[0]
    total = 9 * channels * inside + norm(inside)
    for w in network.widths:
        total += 9 * (inside * w + (2 * m - 1) * w * w) + 2 * m * norm(w)
        inside = w
    return total


def by_hand_wide(network, channels):
    m, inside = (network.depth - 4) // 6, 16
    total = 9 * channels * inside
    for stage, w in enumerate((16 * network.k, 32 * network.k, 64 * network.k)):
        total += 9 * (inside * w + (2 * m - 1) * w * w) + (2 * m - 1) * norm(w)
        total += 0 if stage and network.raw_transitions else norm(inside)
        total += inside * w if inside != w else 0
        inside = w
    return total + norm(inside)


def by_hand_dense(network, channels):
    g, inside = network.growth, 2 * network.growth
    total = 9 * channels * inside
    for block in range(3):
        if block:
            kept = int(inside * network.reduction)
            total += norm(inside) + inside * kept
            inside = kept
        for _ in range((network.depth - 4) // 6):
            total += norm(inside) + inside * 4 * g + norm(4 * g) + 9 * 4 * g * g
            inside += g
    return total + norm(inside)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("network", "by_hand"),
    [
        (ResNet(32, (32, 64, 128)), by_hand_resnet),
        (ResNet(14, (4, 7, 12)), by_hand_resnet),
        (WideResNet(16, 1), by_hand_wide),
        (WideResNet(16, 2, raw_transitions=True), by_hand_wide),
        (DenseNet(150, 12), by_hand_dense),
        (DenseNet(22, 5, 0.3), by_hand_dense),
    ],
)
def test_counts_by_hand(network, by_hand, channels):
    assert parameters(network, channels=channels) == by_hand(network, channels)


def test_small_counts():
    assert parameters(LeNet(), channels=1, size=28, K=10) == 61_706
    assert parameters(LeNet(), channels=1, size=32, K=10) == 61_706
    assert parameters(MLP((5, 3)), channels=2, size=4) == 33 * 5 + 6 * 3


def test_published_widths():
    assert DenseNet().width == 510
    assert DenseNet(growth=32).width == 1360
    assert ResNet(32, (32, 64, 128)).width == 128
    assert WideResNet(28, 8).width == 512


@pytest.mark.parametrize("network", SMALL, ids=lambda n: type(n).__name__)
def test_features(network):
    size = 12 if isinstance(network, LeNet) else 8
    torch.manual_seed(0)
    backbone = build(network, channels=1, size=size)
    x = torch.randn(6, 1, size, size)
    before = x.clone()
    features = backbone(x)
    assert features.shape == (6, network.width)
    assert backbone.width == network.width
    assert torch.equal(x, before)  # nothing in place reaches the input
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


@pytest.mark.parametrize("network", SMALL, ids=lambda n: type(n).__name__)
def test_memory_format_does_not_matter(network):
    size = 12 if isinstance(network, LeNet) else 8
    backbone = build(network, channels=3, size=size).double()
    x = torch.randn(4, 3, size, size, dtype=torch.float64)
    plain = backbone(x)
    backbone.to(memory_format=torch.channels_last)
    other = backbone(x.to(memory_format=torch.channels_last))
    assert torch.allclose(plain, other, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("network", SMALL[2:], ids=lambda n: type(n).__name__)
def test_one_graph(network):
    size = 12 if isinstance(network, LeNet) else 8
    backbone = build(network, channels=1, size=size).eval()
    x = torch.randn(4, 1, size, size)
    compiled = torch.compile(backbone, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), backbone(x))
    backbone.train()
    compiled(x).sum().backward()


@pytest.mark.parametrize("network", SMALL, ids=lambda n: type(n).__name__)
def test_state_goes_through_a_file(network):
    size = 12 if isinstance(network, LeNet) else 8
    first, second = (build(network, channels=1, size=size) for _ in range(2))
    x = torch.randn(4, 1, size, size)
    first(x)
    assert not torch.equal(first.eval()(x), second.eval()(x))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(first(x), second(x))


def test_start_is_seeded_and_fan_out():
    def start():
        torch.manual_seed(3)
        return build(WideResNet(10, 4), channels=3, size=32)

    one, two = start(), start()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    # The first convolution of stage two has 64 channels in and 128 out: fan in and out differ.
    weight = next(m for m in one.modules() if getattr(m, "stride", 0) == (2, 2)).weight
    assert weight.shape == (128, 64, 3, 3)
    assert float(weight.detach().square().mean()) == pytest.approx(2 / (9 * 128), rel=0.02)


def test_option_a_shortcut_keeps_every_other_position_and_pads_with_zeros():
    block = build(ResNet(8), channels=1, size=8).body[1]  # 16 to 32 channels
    x = torch.randn(2, 16, 6, 6)
    y = block.shortcut(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_raw_transitions_skip_the_activation():
    network = WideResNet(10, 2, leak=0.1, momentum=0.001, raw_transitions=True)
    backbone = build(network, channels=1, size=8)
    x = torch.randn(2, 32, 8, 8)
    block = backbone.body[1]
    by_hand = block.conv2(block.second(block.conv1(x))) + block.shortcut(x)
    assert torch.equal(block(x), by_hand)
    assert not isinstance(backbone.body[0].first, torch.nn.Identity)
    norms = [m for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {m.momentum for m in norms} == {0.001}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet(33), "6m \\+ 2"),
        (lambda: ResNet(32, (16, 32)), "3 numbers"),
        (lambda: ResNet(32, (16, 32, 8)), "fall"),
        (lambda: WideResNet(29, 8), "6m \\+ 4"),
        (lambda: WideResNet(28, 8, momentum=1.5), "momentum"),
        (lambda: DenseNet(reduction=0.0), "reduction"),
        (lambda: ResNetImageNet(34), "18 or 50"),
        (lambda: ResNetImageNet(50, "big"), "stem"),
        (lambda: MLP(()), "widths"),
        (lambda: build(LeNet(), channels=1, size=8), "at least 12 pixels for LeNet, got 8"),
        (lambda: build(ResNet(), channels=1, size=2), "at least 4"),
        (lambda: build(ResNet(), channels=0, size=8), "channels"),
        (lambda: build(ResNetImageNet(50, "imagenet"), channels=1, size=64), "channels must be 3"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_missing_torchvision_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("torchvision"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="ufm\\[vision\\]"):
        build(ResNetImageNet(50, "imagenet"), channels=3, size=64)


def test_torchvision_network():
    pytest.importorskip("torchvision")
    network = ResNetImageNet(50, "imagenet")
    assert parameters(network, size=64, K=1000) == 25_557_032


@pytest.mark.parametrize("network", SMALL, ids=lambda n: type(n).__name__)
def test_specs_are_keys(network):
    assert decode(encode(network)) == network
    assert len({digest(n) for n in SMALL}) == len(SMALL)
