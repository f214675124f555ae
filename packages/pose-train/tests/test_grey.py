"""Networks of one channel: every command, and starting from weights of three."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pose_backbones import create_model, load_checkpoint
from pose_train import Predictor
from pose_train.__main__ import main
from pose_train.config.load import load_config
from pose_train.inference.export import export
from pose_train.inference.forward import normalize
from pose_train.inference.load import load_trained

OPTIONS = "width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1"
SMALL = [
    *("data.synthetic=null", f"model.options={{{OPTIONS}, in_channels: 1}}"),
    *("model.input_size=[64, 64]", "train.epochs=1", "train.lr_steps=[]", "train.num_workers=0"),
    *("train.batch_size=2", "train.warmup_steps=0", "train.device=cpu"),
]
RECIPES = {
    "topdown": ["demo", *SMALL, "model.heatmap_size=[16, 16]"],
    "bottomup": ["demo_higherhrnet", *SMALL, "model.heatmap_sizes=[[16, 16], [32, 32]]"],
}


@pytest.fixture(scope="module", params=RECIPES)
def grey_run(
    request: pytest.FixtureRequest, drawn_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What `pose-train run` leaves of a network of one channel."""
    out = tmp_path_factory.mktemp("grey") / request.param
    assert main(["run", *RECIPES[request.param], f"data.root={drawn_data}", f"out={out}"]) == 0
    return out


def test_a_run(grey_run: Path) -> None:
    weights = torch.load(grey_run / "checkpoint_last.pth", weights_only=True)["state_dict"]
    assert weights["backbone.conv1.weight"].shape == (8, 1, 3, 3)
    assert load_config(grey_run / "config.yaml").model.channels == 1
    assert (grey_run / "report.html").is_file()


def test_resume_test_and_bench(grey_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(grey_run)]) == 0
    assert "AP50" in capsys.readouterr().out
    assert main(["bench", str(grey_run / "config.yaml"), "--seconds", "0.1"]) == 0
    assert main(["resume", str(grey_run), "train.epochs=2"]) == 0


def test_check(grey_run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "batch.png"
    assert main(["check", str(grey_run / "config.yaml"), "--out", str(picture)]) == 0
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    is_grey = (drawn == drawn[..., :1]).all(axis=2)
    assert 0.3 < is_grey.mean() < 0.99, "skeletons and targets are in colour"


def test_predict(grey_run: Path, drawn_data: Path, tmp_path: Path) -> None:
    command = ["predict", str(grey_run), str(drawn_data / "val2017"), "--out", str(tmp_path)]
    assert main(command) == 0
    drawn = cv2.imread(str(next(tmp_path.glob("*.jpg"))))
    assert drawn is not None
    assert not (drawn == drawn[..., :1]).all(), "the picture keeps its colours"
    if load_config(grey_run / "config.yaml").recipe == "topdown":
        assert len(json.loads((tmp_path / "predictions.json").read_text())) == 4


def test_a_colour_image_is_seen_as_its_luma(grey_run: Path, drawn_data: Path) -> None:
    predictor = Predictor(grey_run, device="cpu")
    colour = cv2.imread(str(next((drawn_data / "val2017").iterdir())))
    assert colour is not None
    grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    found = predictor([colour, grey, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)], heatmaps=True)
    maps = [people.heatmaps.maps for people in found if people.heatmaps is not None]
    for other in maps[1:]:
        np.testing.assert_allclose(maps[0], other, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")  # torch 2.15
def test_export(grey_run: Path, tmp_path: Path) -> None:
    """Of one channel in, and the metadata say so."""
    trained, path = load_trained(grey_run, device="cpu"), tmp_path / "net.pt"
    assert "differs from the network by" in export(trained, path, "torchscript")
    images = torch.randint(0, 256, (3, 64, 64, 1), dtype=torch.uint8)
    facts = {"about.json": ""}
    loaded = torch.jit.load(path, _extra_files=facts)
    with torch.inference_mode():
        expected = trained.net(normalize(images)).heatmaps[-1]
        maps = loaded(images)[1 if trained.config.recipe == "bottomup" else 0]
    torch.testing.assert_close(maps, expected, atol=1e-5, rtol=1e-4)
    assert json.loads(facts["about.json"])["channels"] == "1"


def test_starting_from_weights_of_three_channels(
    run_dir: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and a grey image is found as the network of three found it."""
    note = "of 3 channels, for grey images summed into 1: 1 (backbone.conv1.weight)"
    plan = [*RECIPES["topdown"], f"data.root={drawn_data}", f"out={tmp_path / 'run'}"]
    assert main(["run", *plan, f"model.weights={run_dir}"]) == 0
    assert note in capsys.readouterr().out

    torch.manual_seed(0)
    file = tmp_path / "smooth.pth"
    net = create_model("hrnet", **load_config(run_dir / "config.yaml").model.options)
    load_checkpoint(net, run_dir / "checkpoint_best.pth")
    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d):  # as they were drawn, maps hardly vary
            torch.nn.init.kaiming_normal_(layer.weight)
    with torch.inference_mode():
        for _ in range(9):
            net.train()(torch.randn(4, 3, 64, 64))
    torch.save({"state_dict": net.state_dict()}, file)
    grey = cv2.imread(str(next((drawn_data / "val2017").iterdir())), cv2.IMREAD_GRAYSCALE)
    found = []
    for channels in (3, 1):
        overrides = [f"model.options.in_channels={channels}"]
        trained = load_trained(run_dir, weights=file, overrides=overrides, device="cpu")
        assert any(note in each for each in trained.notes) == (channels == 1)
        people = Predictor(trained)(grey, heatmaps=True)
        assert people.heatmaps is not None
        found.append(people.heatmaps.maps)
    far = np.abs(found[0] - found[1]).mean()
    assert 0 < far < 0.1 * found[0].std(axis=(2, 3)).mean()


def test_normalisation_of_grey() -> None:
    """By the luma of ImageNet's statistics; RGB as it was."""
    images = torch.randint(0, 256, (2, 4, 5, 1), dtype=torch.uint8)
    expected = (images.permute(0, 3, 1, 2).float() - 117.0376) / 57.5303
    torch.testing.assert_close(normalize(images), expected, atol=0, rtol=0)
    rgb = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    mean, std = torch.tensor((123.675, 116.28, 103.53)), torch.tensor((58.395, 57.12, 57.375))
    assert torch.equal(normalize(rgb), ((rgb.float() - mean) / std).permute(0, 3, 1, 2))
