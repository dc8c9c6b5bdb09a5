"""Collecting features of a network: hook, modes, gradients, errors."""

import pytest
import torch
from collapsed import gaussian
from tolerances import EXACT
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ufm
from ufm.metrics import collect, nc, nc_network
from ufm.metrics.moments import Weighting


def network():
    torch.manual_seed(1)
    body = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5))
    return nn.Sequential(body, nn.Linear(16, 3))


def data(batch_size=8, shuffle=False):
    X = gaussian(50, 5, seed=1).float()
    y = torch.cat([torch.arange(3), torch.randint(0, 3, (47,))])
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(TensorDataset(X, y), batch_size, shuffle=shuffle, generator=generator)
    return loader, X, y


def features(model, X):
    with torch.no_grad():
        return model.eval()[0](X)


@pytest.mark.parametrize("batch_size", [1, 8, 50])
def test_record_of_a_network_equals_that_of_its_arrays(batch_size):
    model = network()
    loader, X, y = data(batch_size, shuffle=True)
    for weighting in Weighting:
        record = nc_network(model, model[1], loader, weighting=weighting)
        H = features(model, X).mT
        expected = nc(model[1].weight, H, y, model[1].bias, weighting=weighting)
        # float32 features differ in the last bits with the batch size.
        assert record.as_row() == pytest.approx(expected.as_row(), rel=1e-4, abs=1e-6)
        assert record.nc4_agree < 1


def test_input_of_the_head_is_output_of_the_body():
    model = network()
    loader, _, _ = data()
    before = collect(model, model[1], loader, K=3)
    after = collect(model, model[0], loader, K=3, side="output", pooled=True)
    assert after.is_pooled
    torch.testing.assert_close(before.mean, after.mean, rtol=0, atol=0)
    torch.testing.assert_close(before.scatter.sum(0), after.scatter[0], rtol=EXACT, atol=EXACT)


def test_modes_gradients_and_running_statistics_are_left_alone():
    model = network()
    model.train()
    model[0][1].eval()  # a frozen batch norm
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    collect(model, model[1], data()[0], K=3)
    assert [module.training for module in model.modules()] == modes
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    assert all(p.grad is None for p in model.parameters())
    assert not model[1]._forward_hooks


def test_everything_is_restored_after_an_error():
    model = network()
    loader, _, _ = data()
    with pytest.raises(ValueError, match=r"y must lie in 0..K-1 = 0..1"):
        collect(model, model[1], loader, K=2)
    assert model.training
    assert model[0][3].training
    assert not model[1]._forward_hooks


def test_convolutional_features_are_flattened():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(32, 2))
    x, y = gaussian(6, 1, 4, 4, seed=1).float(), torch.arange(6) % 2
    stats = collect(model, model[0], [(x, y)], K=2, side="output")
    assert stats.mean.shape == (2, 32)


def test_layers_that_do_not_run_once_are_refused():
    model = network()
    loader, _, _ = data()
    with pytest.raises(ValueError, match="layer must run once a call of the model, got 0 runs"):
        collect(model, nn.Linear(2, 2), loader, K=3)
    shared = nn.Linear(5, 5)
    with pytest.raises(ValueError, match="got 2 runs"):
        collect(nn.Sequential(shared, shared), shared, loader, K=3)
    with pytest.raises(ValueError, match="loader must yield at least one batch"):
        collect(model, model[1], [], K=3)


def test_head_without_bias():
    model = nn.Sequential(nn.Flatten(), nn.Linear(5, 3, bias=False))
    loader, X, y = data()
    record = nc_network(model, model[1], loader)
    expected = nc(model[1].weight, X.mT, y)
    assert record.as_row() == pytest.approx(expected.as_row(), rel=EXACT)


@pytest.mark.parametrize("kind", ["etf", "unit", "bias", "nearest", "rotated", "multicenter"])
def test_heads_of_the_package_are_measured_behind_their_transformation(kind):
    """NC4 sees the head's own answers; a wrong bias or scale would not agree with them."""
    torch.manual_seed(0)
    head = {
        "etf": lambda: ufm.ETFHead(16, 3, E_H=4.0),
        "unit": lambda: ufm.LearnableHead(16, 3, unit=True),
        "bias": lambda: ufm.LearnableHead(16, 3),
        "nearest": lambda: ufm.NearestETFHead(16, 3),
        "rotated": lambda: ufm.RotatedHead(16, 3),
        "multicenter": lambda: ufm.MultiCenterHead(16, ufm.MultiCenter((1, 2, 3), 0.3)),
    }[kind]()
    body = nn.Sequential(nn.Linear(5, 16), nn.ReLU())
    loader, X, y = data()
    if kind == "nearest":
        head.follow(head.features(body(X)).detach() + 0.5, y)  # a centre that is not zero
    model = nn.Sequential(body, head).eval()
    record = nc_network(model, head, loader)
    with torch.no_grad():
        H, answers = head.features(body(X)), model(X).argmax(-1)
        W, b = head.linear_rule()
    assert torch.equal((H @ W.mT + (0 if b is None else b)).argmax(-1), answers)
    expected = nc(W, H.mT, y, b)
    assert record.as_row() == pytest.approx(expected.as_row(), rel=1e-4, abs=1e-5)


def test_another_head_is_refused():
    model = network()
    unchecked = getattr(nc_network, "__wrapped__", nc_network)
    with pytest.raises(ValueError, match=r"Linear or a head of ufm\.heads, got a BatchNorm1d"):
        unchecked(model, model[0][1], data()[0])
