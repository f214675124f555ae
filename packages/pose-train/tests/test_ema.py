"""The average of the weights."""

import pytest
import torch
from torch import nn

from pose_train.training.optim import Ema


def trained(net: nn.Module, seed: int) -> None:
    """Change all weights and statistics of a net."""
    torch.manual_seed(seed)
    net.train()
    net(torch.randn(4, 3, 5, 5))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))


def new_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def test_it_is_the_average_with_a_ramp() -> None:
    net = new_net()
    ema = Ema(net, 0.25)
    expected = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for n, decay in enumerate([2 / 11, 0.25, 0.25], start=1):
        trained(net, n)
        ema.update()
        for name, value in net.state_dict().items():
            old = expected[name]
            new = decay * old + (1 - decay) * value if value.is_floating_point() else value.clone()
            expected[name] = new
    torch.testing.assert_close(ema.tensors, expected)
    assert ema.tensors["1.num_batches_tracked"].item() == 3


def test_applied_gives_the_weights_back_bit_by_bit() -> None:
    net = new_net()
    ema = Ema(net, 0.9)
    trained(net, 1)
    own = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with ema.applied():
        assert all(tensor.equal(ema.tensors[name]) for name, tensor in net.state_dict().items())
    assert all(tensor.equal(own[name]) for name, tensor in net.state_dict().items())
    with pytest.raises(KeyboardInterrupt), ema.applied():
        raise KeyboardInterrupt
    assert all(tensor.equal(own[name]) for name, tensor in net.state_dict().items())


def test_resuming_is_exact() -> None:
    net = new_net()
    ema = Ema(net, 0.999)
    trained(net, 1)
    ema.update()
    state = {**ema.state_dict(), "tensors": {k: v.clone() for k, v in ema.tensors.items()}}
    other = new_net()
    resumed = Ema(other, 0.999)
    resumed.load_state_dict(state)
    other.load_state_dict(net.state_dict())  # as a checkpoint is restored: after Ema was made
    for each, model in ((ema, net), (resumed, other)):
        trained(model, 2)
        each.update()
    assert ema.updates == resumed.updates == 2
    assert all(tensor.equal(resumed.tensors[name]) for name, tensor in ema.tensors.items())


def test_updates_do_not_look_the_tensors_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    net = new_net()
    ema = Ema(net, 0.5)
    trained(net, 1)
    expected = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    monkeypatch.setattr(nn.Module, "state_dict", None)
    ema.update()
    weight = ema.tensors["0.weight"]
    assert torch.equal(ema.tensors["1.num_batches_tracked"], expected["1.num_batches_tracked"])
    assert (weight - expected["0.weight"]).abs().max() > 0, "an average, not a copy"
    with ema.applied():
        assert torch.equal(net.get_parameter("0.weight"), weight)


def test_wrong_decays_and_states_are_errors() -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1, such as 0\.999, got 1"):
        Ema(new_net(), 1)
    ema = Ema(new_net(), 0.9)
    with pytest.raises(ValueError, match="another model"):
        ema.load_state_dict({"decay": 0.9, "updates": 1, "tensors": {}})
