"""Optimizers and freezing."""

import pytest
import torch
from torch import nn

from pose_train.optim import create_optimizer, freeze, parameter_groups, set_training


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(stem, nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))


def plain_net() -> nn.Sequential:
    """Return a net without norms: a bias before one has a gradient of rounding errors alone."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))


def steps(net: nn.Module, optimizer: torch.optim.Optimizer, count: int = 3) -> list[torch.Tensor]:
    torch.manual_seed(1)
    for _ in range(count):
        optimizer.zero_grad()
        net(torch.randn(2, 3, 8, 8)).square().sum().backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in net.parameters()]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_steps_are_those_of_torch(name: str) -> None:
    net, other = plain_net(), plain_net()
    plain = {
        "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
        "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.0),
        "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.5),
    }
    ours = steps(net, create_optimizer(name, net, 1e-2, momentum=0.5))  # type: ignore[arg-type]
    theirs = steps(other, plain[name](other.parameters()))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_weights_decay_biases_and_norms_do_not() -> None:
    net = small_net()
    decaying, others = parameter_groups(net, 0.1)
    assert [p.ndim for p in decaying["params"]] == [4, 4]
    assert {p.ndim for p in others["params"]} == {1}
    assert others["weight_decay"] == 0
    before = [parameter.detach().clone() for parameter in net.parameters()]
    optimizer = create_optimizer("adamw", net, 0.5, weight_decay=0.1)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for old, new in zip(before, net.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old * (0.95 if old.ndim > 1 else 1.0))


def test_an_unknown_optimizer_is_an_error() -> None:
    with pytest.raises(ValueError, match="must be adam, adamw or sgd, got 'lamb'"):
        create_optimizer("lamb", small_net(), 1e-3)  # type: ignore[arg-type]


def test_frozen_layers_keep_weights_and_statistics() -> None:
    net = small_net()
    assert freeze(net, ["0"]) == ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"]
    set_training(net)
    assert [net[0][1].training, net[2].training] == [False, True]  # type: ignore[index]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    steps(net, create_optimizer("adam", net, 1e-2))
    changed = {name for name, value in net.state_dict().items() if not value.equal(before[name])}
    assert {name.split(".")[0] for name in changed} == {"1", "2"}


def test_a_batch_norm_frozen_in_part_still_trains() -> None:
    net = small_net()
    assert freeze(net, ["*.1.weight", "1.bia?"]) == ["0.1.weight", "1.bias"]
    set_training(net)
    assert net[0][1].training  # type: ignore[index]


def test_patterns_that_freeze_nothing_or_all_are_errors() -> None:
    net = small_net()
    with pytest.raises(ValueError, match=r"'stem\*' matches no parameter.* 0\.0, 0\.1, 1\.bias"):
        freeze(net, ["0", "stem*"])
    freeze(net, ["*"])
    with pytest.raises(ValueError, match="nothing to train"):
        create_optimizer("adam", net, 1e-3)
