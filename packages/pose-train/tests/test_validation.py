"""What a run does beside AP: the loss of the evaluated set, stopping early, no evaluation."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pose_data import synthesize
from pose_train import Predictor, load_config
from pose_train.__main__ import main
from pose_train.config.schema import Config
from pose_train.recipes import bottomup, topdown
from pose_train.recipes.data import load_sets
from pose_train.training import loop

CPU = torch.device("cpu")
TINY = """
model:
  options: {width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}
  input_size: [64, 64]
  name: NAME
recipe: RECIPE
train: {epochs: 2, batch_size: 4, lr: 1e-2, warmup_steps: 2, num_workers: 0, device: cpu, ema: 0.5}
eval: {every: 1, batch_size: 2}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("validation") / "data"
    return synthesize(out, num_train=4, num_val=3, image_size=(96, 64), seed=3)


@pytest.fixture
def file(tmp_path: Path, data: Path) -> Callable[[str, str], Path]:
    """Write the config of a recipe."""

    def write(recipe: str, name: str) -> Path:
        path = tmp_path / f"{recipe}.yaml"
        text = TINY.replace("RECIPE", recipe).replace("NAME", name)
        path.write_text(f"data: {{root: {data}}}\n{text}")
        return path

    return write


def metrics(run_dir: Path, kind: str = "val") -> list[dict[str, Any]]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def averaged(run_dir: Path, net: torch.nn.Module) -> torch.nn.Module:
    """Return the network with the weights that were evaluated last."""
    net.load_state_dict(
        torch.load(run_dir / "checkpoint_last.pth", weights_only=True)["state_dict"]
    )
    return net.eval()


def batches_of_one(dataset: Any) -> list[dict[str, Any]]:
    return [torch.utils.data.default_collate([dataset[i]]) for i in range(len(dataset))]


def test_the_loss_of_the_evaluated_persons(
    file: Callable[[str, str], Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of the training samples there would be without augmentation, of the averaged weights."""
    path, out = file("topdown", "hrnet"), tmp_path / "run"
    assert main(["run", str(path), f"out={out}"]) == 0
    (_, record), config = metrics(out), load_config(out / "config.yaml", ["train.augment=null"])
    assert f"epoch 2: AP {record['AP']:.3f}  val loss {record['loss']:.5f}\n" in (
        capsys.readouterr().out
    )
    net, codec = topdown.build(config, 17)
    val = load_sets(config.data, config.eval, data, "persons").val
    assert val is not None
    samples = topdown.samples(config, val, codec, CPU, True)
    assert samples.augment is None
    averaged(out, net)
    with torch.no_grad():
        losses = [
            loop.batch_losses(config, net, codec, b, CPU)["loss"] for b in batches_of_one(samples)
        ]
    assert record["loss"] == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
    page = (out / "report.html").read_text()
    assert ">training<" in page
    assert ">validation<" in page


def test_the_losses_of_the_evaluated_pictures(
    file: Callable[[str, str], Path], data: Path, tmp_path: Path
) -> None:
    path, out = file("bottomup", "higherhrnet"), tmp_path / "run"
    assert main(["run", str(path), f"out={out}"]) == 0
    record = metrics(out)[-1]
    still = "train.scene={flip_prob: 0, rotate: 0, scale: [1, 1], translate: 0}"
    config = load_config(out / "config.yaml", [still])
    net, codec = bottomup.build(config, 17)
    val = load_sets(config.data, config.eval, data, "images").val
    assert val is not None
    averaged(out, net)
    batches = batches_of_one(bottomup.samples(config, val, codec, CPU, True))
    with torch.no_grad():
        losses = [loop.batch_losses(config, net, codec, batch, CPU) for batch in batches]
    for name in ("loss", "heatmap_loss", "push_loss", "pull_loss"):
        mean = float(torch.stack([each[name] for each in losses]).mean())
        assert record[name] == pytest.approx(mean, rel=1e-5), name


def test_it_changes_nothing_else(file: Callable[[str, str], Path], tmp_path: Path) -> None:
    path, states = file("topdown", "hrnet"), []
    for switch in ("true", "false"):
        out = tmp_path / switch
        assert main(["run", str(path), f"out={out}", f"eval.loss={switch}"]) == 0
        states.append(torch.load(out / "checkpoint_last.pth", weights_only=True))
    for part in ("state_dict", "train_state_dict"):
        assert all(torch.equal(t, states[1][part][n]) for n, t in states[0][part].items())
    assert torch.equal(states[0]["rng"], states[1]["rng"])
    with_loss, without = (metrics(tmp_path / switch) for switch in ("true", "false"))
    assert [r | {"loss": w["loss"]} for r, w in zip(without, with_loss, strict=True)] == with_loss


def test_a_network_of_more_keypoints_than_are_evaluated(
    file: Callable[[str, str], Path], data: Path, tmp_path: Path
) -> None:
    """Those that the set lacks weigh nothing, as in training; they still count in the mean."""
    other = tmp_path / "other"
    shutil.copytree(data, other)
    annotations = other / "annotations/person_keypoints_train2017.json"
    content = json.loads(annotations.read_text())
    content["categories"][0]["keypoints"].append("tail")
    for annotation in content["annotations"]:
        annotation["keypoints"] += [1, 1, 2]
    annotations.write_text(json.dumps(content))
    for recipe, name in (("topdown", "hrnet"), ("bottomup", "higherhrnet")):
        out = tmp_path / recipe
        more = [f"data.extra={{tails: {{root: {other}}}}}", "data.mix=combine", "train.epochs=1"]
        assert main(["run", str(file(recipe, name)), f"out={out}", *more]) == 0
        (record,) = metrics(out)
        assert 0 < record["loss"] < 1


@pytest.fixture
def aps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace AP: by these numbers, one after the other."""
    values: list[float] = []
    original = loop.evaluate_rows

    def evaluate_rows(*args: Any) -> Any:
        report = original(*args)
        report.stats["AP"] = values.pop(0) if values else report.stats["AP"]
        return report

    monkeypatch.setattr(loop, "evaluate_rows", evaluate_rows)
    return values


def test_stopping_early(
    file: Callable[[str, str], Path],
    tmp_path: Path,
    aps: list[float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Zeros at the start do not count, equal values do; a resume goes on where it is told to."""
    path, out = file("topdown", "hrnet"), tmp_path / "run"
    aps += [0.0, 0.0, 0.0, 0.2, 0.3, 0.1, 0.2]
    command = ["run", str(path), f"out={out}", "train.epochs=9", "train.patience=2"]
    assert main(command) == 0
    sentence = (
        "stopped early after epoch 7: no better AP in 2 evaluations; the best was AP 0.300 after "
        "epoch 5, in checkpoint_best.pth"
    )
    printed = capsys.readouterr().out
    assert printed.count(sentence) == 1
    assert len(metrics(out)) == 7
    assert torch.load(out / "checkpoint_best.pth", weights_only=True)["best_epoch"] == 5

    assert main(["resume", str(out)]) == 0
    assert sentence in capsys.readouterr().out
    assert len(metrics(out)) == 7, "neither trained nor evaluated again"

    aps += [0.25, 0.3, 0.3]
    assert main(["resume", str(out), "train.patience=3"]) == 0
    assert "after epoch 8: no better AP in 3 evaluations" in capsys.readouterr().out
    assert main(["resume", str(out), "train.epochs=10"]) == 0
    printed = capsys.readouterr().out
    assert "train.epochs was raised: evaluations without a better AP are counted anew" in printed
    assert "stopped early" not in printed
    assert [record["epoch"] for record in metrics(out)] == list(range(1, 11))
    best = torch.load(out / "checkpoint_best.pth", weights_only=True)
    assert (best["best_epoch"], best["epoch"]) == (10, 10), "of equal ones the newer"


def test_less_patience_in_a_resume_ends_the_run(
    file: Callable[[str, str], Path],
    tmp_path: Path,
    aps: list[float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = file("topdown", "hrnet"), tmp_path / "run"
    aps += [0.5, 0.4, 0.3]
    assert main(["run", str(path), f"out={out}", "train.epochs=3", "train.patience=5"]) == 0
    assert main(["resume", str(out), "train.epochs=8", "train.patience=2"]) == 0
    assert "stopped early after epoch 3: no better AP in 2" in capsys.readouterr().out
    assert len(metrics(out)) == 3


def test_training_without_evaluation(
    file: Callable[[str, str], Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "data.val={annotations: nowhere.json, images: nowhere}"
    for recipe, name in (("topdown", "hrnet"), ("bottomup", "higherhrnet")):
        out = tmp_path / recipe
        command = ["run", str(file(recipe, name)), f"out={out}", "eval=null", nowhere]
        assert main(command) == 0
        printed = capsys.readouterr().out
        assert ", none to evaluate" in printed
        last = "not evaluated (eval: null); weights in checkpoint_last.pth  report "
        assert printed.splitlines()[-1] == f"{last}{out / 'report.html'}"
        assert metrics(out) == []
        assert not (out / "checkpoint_best.pth").exists()
        page = (out / "report.html").read_text()
        assert "eval: null" in page
        assert page.count("<svg") == len(list(out.glob("curve_*.svg"))) >= 3
        assert Predictor(out).network.usage.weights == str(out / "checkpoint_last.pth")
        assert main(["resume", str(out)]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith(last)
    # The network can still be tested, and the run evaluated.
    found = "data.val={annotations: annotations/person_keypoints_val2017.json, images: val2017}"
    assert main(["test", str(out), found]) == 0
    assert f"{out / 'checkpoint_last.pth'} on " in capsys.readouterr().out
    assert main(["resume", str(out), found, "eval.every=1"]) == 0
    assert [record["epoch"] for record in metrics(out)] == [2]
    assert (out / "checkpoint_best.pth").exists()


@pytest.mark.parametrize("count", [1, 3])
def test_few_persons(
    count: int, file: Callable[[str, str], Path], data: Path, tmp_path: Path
) -> None:
    """Down to one; with 3 and a batch of 2 the last batch holds one."""
    annotations = data / "annotations/person_keypoints_train2017.json"
    content = json.loads(annotations.read_text())
    content["annotations"] = content["annotations"][:count]
    root = tmp_path / "few"
    (root / "annotations").mkdir(parents=True)
    (root / "train2017").symlink_to(data / "train2017")
    (root / "annotations" / annotations.name).write_text(json.dumps(content))
    path, out = file("topdown", "hrnet"), tmp_path / "run"
    same = f"{{annotations: annotations/{annotations.name}, images: train2017}}"
    own = [f"data.root={root}", f"data.val={same}", "train.batch_size=2"]
    assert main(["run", str(path), f"out={out}", *own]) == 0
    assert [record["step"] for record in metrics(out)] == [-(-count // 2), -(-count // 2) * 2]


def test_rates_follow_their_factors(file: Callable[[str, str], Path], tmp_path: Path) -> None:
    """Through warm-up and schedule, and with the factors of today after a resume."""
    out = tmp_path / "run"
    command = ["run", str(file("topdown", "hrnet")), f"out={out}", "eval=null"]
    assert main([*command, "train.lr_mult={backbone: 0.5}", "train.epochs=1"]) == 0
    assert rates(out) == {1.0: metrics(out, "train")[-1]["lr"], 0.5: rates(out)[1.0] * 0.5}
    more = ["train.epochs=2", "train.lr_mult={backbone: 0.1}", "train.lr_steps=[1]"]
    assert main(["resume", str(out), *more]) == 0
    assert rates(out)[1.0] == pytest.approx(1e-3)
    assert rates(out)[0.1] == pytest.approx(1e-4)


def rates(run_dir: Path) -> dict[float, float]:
    """Return the learning rate of each factor."""
    content = torch.load(run_dir / "checkpoint_last.pth", weights_only=True)
    return {group["lr_mult"]: group["lr"] for group in content["optimizer"]["param_groups"]}


def test_what_freezing_does_is_said(
    file: Callable[[str, str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["run", str(file("topdown", "hrnet")), f"out={out}", "eval=null"]
    options = ["train.freeze={backbone: 1}", "train.freeze_bn=true"]
    assert main([*command, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    config: Config = load_config(out / "config.yaml")
    net, _ = topdown.build(config, 17)
    count = sum(p.numel() for name, p in net.named_parameters() if name.startswith("backbone."))
    assert lines.count(f"backbone: {count:,} parameters frozen until epoch 1") == 1
    assert lines.count("batch norms keep their statistics") == 1
    timed = [line.partition("  ")[2] for line in lines]
    assert timed.count(f"backbone: {count:,} parameters train from epoch 2 on") == 1
    state = torch.load(out / "checkpoint_last.pth", weights_only=True)["train_state_dict"]
    assert not state["backbone.bn1.running_mean"].any()
