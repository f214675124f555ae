"""Optimizers and freezing."""

import pytest
import torch
from torch import nn

from pose_train.training.optim import (
    carry_over,
    create_optimizer,
    freeze,
    parameter_groups,
    set_training,
    trained_names,
)


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


def test_frozen_until_an_epoch() -> None:
    """The longest pattern decides: the stem for one epoch, its norm for three, a bias for ever."""
    net, plan = small_net(), {"0": 1, "0.1": 3, "0.0.bias": None}
    assert freeze(net, plan) == ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"]
    set_training(net)
    assert not net[0][1].training  # type: ignore[index]
    for epoch in (2, 3):
        assert freeze(net, plan, epoch) == ["0.0.bias", "0.1.weight", "0.1.bias"]
    assert freeze(net, plan, 4) == ["0.0.bias"]
    assert [n for n, p in net.named_parameters() if not p.requires_grad] == ["0.0.bias"]
    set_training(net)
    assert net[0][1].training  # type: ignore[index]


def test_batch_norms_may_keep_their_statistics_and_train() -> None:
    net = small_net()
    set_training(net, freeze_bn=True)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    steps(net, create_optimizer("adam", net, 1e-2))
    after = net.state_dict()
    for name in ("2.running_mean", "2.running_var", "2.num_batches_tracked"):
        assert torch.equal(after[name], before[name])
    assert not torch.equal(after["2.weight"], before["2.weight"])


def test_factors_on_the_rate() -> None:
    net = small_net()
    names = {id(p): name for name, p in net.named_parameters()}
    groups = parameter_groups(net, 0.1, {"0": 0.1, "0.1": 0.5})
    found = {
        (group["lr_mult"], group["weight_decay"]): [names[id(p)] for p in group["params"]]
        for group in groups
    }
    assert found == {
        (1.0, 0.1): ["1.weight"],
        (1.0, 0.0): ["1.bias", "2.weight", "2.bias"],
        (0.5, 0.0): ["0.1.weight", "0.1.bias"],
        (0.1, 0.1): ["0.0.weight"],
        (0.1, 0.0): ["0.0.bias"],
    }
    assert [group["lr_mult"] for group in parameter_groups(net, 0.0)] == [1.0]
    with pytest.raises(ValueError, match=r"'1\.gain' matches no parameter; their names begin with"):
        parameter_groups(net, 0.0, {"1.gain": 2.0})


def test_averages_are_carried_over_by_name() -> None:
    """Also where the groups are others, and what is new starts afresh."""
    net = plain_net()
    freeze(net, {"2.bias": 1})
    old = create_optimizer("adam", net, 1e-2)
    steps(net, old)
    freeze(net, {"2.bias": 1}, 2)
    new = create_optimizer("adam", net, 1e-2, weight_decay=0.1, lr_mult={"0": 0.1})
    assert carry_over(new, net, old.state_dict(), trained_names(old, net)) == ["2.bias"]
    assert trained_names(new, net) == ["2.weight", "2.bias", "0.weight", "0.bias"]
    parameters = dict(net.named_parameters())
    for name in ("0.weight", "0.bias", "2.weight"):
        torch.testing.assert_close(new.state[parameters[name]], old.state[parameters[name]])
    assert parameters["2.bias"] not in new.state
