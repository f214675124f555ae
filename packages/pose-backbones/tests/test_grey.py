"""Networks of one channel that start from weights of three."""

import numpy as np
import pytest
import torch
from torch import nn

from pose_backbones import (
    GREY_MEAN,
    GREY_STD,
    MEAN,
    STD,
    CheckpointError,
    HRNet,
    create_model,
    identify,
    load_checkpoint,
)
from pose_backbones.__main__ import main

HRNET = {"width": 8, "stem_channels": 8, "num_modules": (1, 1, 1), "num_blocks": 1}
NETWORKS = {
    "hrnet": HRNET,
    "higherhrnet": HRNET,
    "hourglass": {"stage_channels": (8, 8, 16), "stage_blocks": (1, 1, 1)},
    "hourglass_ae": {"num_stacks": 1, "stage_channels": (16, 16, 16)},
    "cpm": {"feat_channels": 16, "stem_channels": 8, "num_stages": 2},
}
SIDE = 128


def in_colour(name):
    """Return a network in evaluation whose maps follow the image, as after a training."""
    torch.manual_seed(0)
    net = create_model(name, num_keypoints=5, **NETWORKS[name])
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.inference_mode():
        net.train()(torch.randn(2, 3, SIDE, SIDE))
    return net.eval()


def grey_image():
    """Return grey values (1, 1, h, w), smooth and noisy, from 0 to 255."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    values = 128 + 100 * np.sin(9 * x + 4 * y) + rng.normal(0, 25, (SIDE, SIDE))
    return torch.from_numpy(values.clip(0, 255).round()).float()[None, None]


def normalised(image, mean, std):
    shape = 1, -1, 1, 1
    return (image - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)


def both_inputs():
    image = grey_image()
    three = normalised(image.expand(-1, 3, -1, -1), MEAN, STD)
    return three, normalised(image, GREY_MEAN, GREY_STD)


def save(folder, net, **more):
    path = folder / "weights.pth"
    torch.save({"state_dict": net.state_dict(), **more}, path)
    return path


def test_grey_statistics_are_the_luma_of_those_of_rgb():
    luma = np.array([0.299, 0.587, 0.114])
    assert GREY_MEAN[0] == pytest.approx(luma @ MEAN, abs=1e-4)
    assert GREY_STD[0] == pytest.approx(luma @ STD, abs=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_grey_image_gives_what_its_three_channels_gave(name, tmp_path):
    net = in_colour(name)
    grey = create_model(name, num_keypoints=5, in_channels=1, **NETWORKS[name]).eval()
    report = load_checkpoint(grey, save(tmp_path, net))
    firsts = [n for n, t in grey.state_dict().items() if t.ndim == 4 and t.shape[1] == 1]
    assert len(firsts) == (2 if name == "cpm" else 1)
    assert report.notes == (
        f"of 3 channels, for grey images summed into 1: {len(firsts)} ({', '.join(firsts)})",
    )
    assert not report.misshaped
    plain = create_model(name, num_keypoints=5, in_channels=1, **NETWORKS[name]).eval()
    state = net.state_dict()
    plain.load_state_dict(state | {n: state[n].sum(dim=1, keepdim=True) for n in firsts})
    inputs = both_inputs()
    with torch.inference_mode():
        three = net(inputs[0]).heatmaps[-1]
        far, far_plain = (
            float((three - each(inputs[1]).heatmaps[-1]).abs().mean()) for each in (grey, plain)
        )
    follows = float(three.std(dim=(2, 3)).mean())  # how much the maps vary over the image
    assert follows > 0.1 * float(three.std())
    assert far < 0.1 * follows, "weights that no training has smoothed amplify the border"
    assert far < 0.3 * far_plain, "which does not take the normalisation into account"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_first_layer_differs_at_the_border_alone(name, tmp_path):
    """Zeros around the image stand for the means, which differ a little."""
    net = in_colour(name)
    grey = create_model(name, num_keypoints=5, in_channels=1, **NETWORKS[name]).eval()
    load_checkpoint(grey, save(tmp_path, net))
    maps = []
    for each, inputs in zip((net, grey), both_inputs(), strict=True):
        first = each.backbone
        hrnet = hasattr(first, "conv1")
        convolution = first.conv1 if hrnet else first.stem[0].conv
        norm = first.bn1 if hrnet else first.stem[0].bn
        with torch.inference_mode():
            maps.append(norm(convolution(inputs)))
    far = (maps[0] - maps[1]).abs() / maps[0].std()
    assert far[..., 5:-5, 5:-5].max() < 1e-4
    assert 1e-4 < far.max() < 0.3


def test_a_bare_backbone(tmp_path):
    net = in_colour("hrnet")
    torch.manual_seed(1)
    options = {name: value for name, value in HRNET.items() if name != "width"}
    backbone = HRNet(8, in_channels=1, **options).eval()
    report = load_checkpoint(backbone, save(tmp_path, net))
    assert "1 (conv1.weight)" in report.notes[0]
    three, one = both_inputs()
    with torch.inference_mode():
        expected, found = net.backbone(three)[0], backbone(one)[0]
    assert (expected - found).abs().mean() < 0.01 * expected.std()


def test_half_precision_and_a_training_step(tmp_path):
    """Halves in the file become the model's floats, whose batch norms go on learning."""
    net = in_colour("hrnet")
    exact, grey = (create_model("hrnet", num_keypoints=5, in_channels=1, **HRNET) for _ in range(2))
    load_checkpoint(exact, save(tmp_path, net))
    load_checkpoint(grey, save(tmp_path, net.half()))
    weights = [each.backbone.conv1.weight for each in (exact, grey)]
    assert weights[1].dtype == torch.float32
    torch.testing.assert_close(*weights, atol=2e-3, rtol=2e-3)
    means = [each.backbone.bn1.running_mean for each in (exact, grey)]
    torch.testing.assert_close(*means, atol=5e-3, rtol=5e-3)
    before = means[1].clone()
    grey.train()(both_inputs()[1]).heatmaps[-1].sum().backward()
    assert weights[1].grad.abs().max() > 0
    assert not torch.equal(grey.backbone.bn1.running_mean, before)


def test_weights_of_one_channel(tmp_path):
    """As MMPose saves them; they fit as they are, and no network of three."""
    net = create_model("hrnet", **HRNET, in_channels=1)
    assert net.state_dict()["backbone.conv1.weight"].shape == (8, 1, 3, 3)
    path = save(tmp_path, net, meta={"mmpose_version": "1.3.2"})
    same = create_model("hrnet", **HRNET, in_channels=1)
    report = load_checkpoint(same, path)
    assert (report.format, report.notes) == ("mmpose-1.x", ())
    assert torch.equal(same.backbone.conv1.weight, net.backbone.conv1.weight)
    assert identify(net.state_dict())[0].options["in_channels"] == 1
    message = r"backbone.conv1.weight \[8, 1, 3, 3\], model \[8, 3, 3, 3\]"
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(create_model("hrnet", **HRNET), path)


@pytest.mark.parametrize(("channels", "input_"), [(1, "grey"), (3, "RGB")])
def test_info_of_a_file_says_how_its_input_is_normalised(channels, input_, tmp_path, capsys):
    net = create_model("hrnet", in_channels=channels, **HRNET)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    assert main(["info", str(tmp_path / "net.pth")]) == 0
    mean, std = (GREY_MEAN[0], GREY_STD[0]) if channels == 1 else (MEAN, STD)
    expected = f"input: {input_} in 0..255, minus mean {mean}, divided by standard deviation {std}"
    assert expected in capsys.readouterr().out.splitlines()
