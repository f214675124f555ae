"""The top-down recipe, in reading order: data, model, training loop, evaluation, report."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from pose_backbones import create_model, load_checkpoint
from pose_codecs import MSRAHeatmap
from pose_data import COCO, Persons, TopDown, synthesize
from pose_eval import Report, evaluate
from pose_train.config import Config, ConfigError, Model
from pose_train.data import count_shared_images, eval_loader, load_persons, train_loader
from pose_train.losses import keypoint_mse
from pose_train.predict import normalize, predict_results
from pose_train.read_config import to_yaml
from pose_train.report import write_report
from pose_train.rundir import append_metrics, create_run_dir, save_checkpoint, write_text
from pose_train.schedule import learning_rate


@dataclass(frozen=True)
class Outcome:
    """What a finished run has to show: the last epoch's evaluation and the page about it."""

    evaluation: Report
    report: Path


def run(config: Config) -> Outcome:
    """Train, evaluate and leave a run directory.

    Raises ConfigError, DatasetError or CheckpointError; a mistake in the config, the model or the
    user's data shows before a directory is made.
    """
    if config.recipe != "topdown":
        raise ConfigError(f"recipe {config.recipe} cannot be trained yet")
    torch.manual_seed(config.seed)
    device = _device(config.train.device)
    net, heatmap_size = _create_net(config.model)
    net.to(device)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on CPU and GPU
    run_dir, train_persons, val_persons = _prepare(config)

    codec = MSRAHeatmap(
        config.model.input_size,
        heatmap_size,
        sigma=config.codec.sigma,
        refine=config.codec.refine,
    )
    train_set = TopDown(
        train_persons, config.model.input_size, codec.encode, config.train.augment, config.seed
    )
    train_set[0]  # compiles the codec here, once, before the workers are forked
    loader = train_loader(train_set, config.train.batch_size, config.train.num_workers)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.train.lr, fused=True)

    step, best_ap = 0, -1.0
    for epoch in range(1, config.train.epochs + 1):
        record = _train_epoch(config, net, optimizer, loader, epoch, step, device)
        step = record["step"]
        append_metrics(run_dir, record)
        print(_epoch_line(record, config.train.epochs), flush=True)
        if epoch % config.eval.every and epoch < config.train.epochs:
            continue
        rows, evaluation = _evaluate(config, net, val_persons, codec, device)
        append_metrics(run_dir, {"kind": "val", "epoch": epoch, "step": step} | evaluation.stats)
        print(f"epoch {epoch}: AP {_ap(evaluation):.3f}", flush=True)
        checkpoint = {
            "state_dict": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch,
            "step": step,
            "ap": _ap(evaluation),
            "config": to_yaml(config),
        }
        save_checkpoint(run_dir / "checkpoint_last.pth", checkpoint)
        if _ap(evaluation) > best_ap:
            best_ap = _ap(evaluation)
            save_checkpoint(run_dir / "checkpoint_best.pth", checkpoint)
    write_text(run_dir / "results.json", json.dumps(rows))
    return Outcome(evaluation, write_report(run_dir, evaluation, val_persons, rows))


def _create_net(model: Model) -> tuple[nn.Module, tuple[int, int]]:
    """Build the network and try it on an empty picture, so that sizes fit before a run starts."""
    w, h = model.input_size
    try:
        net = create_model(model.name, num_keypoints=COCO.num_keypoints, **model.options)
        with torch.inference_mode():
            output = net.eval()(torch.zeros(1, 3, h, w))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model: {error}") from error
    if output.tags:
        raise ConfigError(f"model.name {model.name} is a bottom-up network; this recipe is topdown")
    height, width = output.heatmaps[-1].shape[-2:]
    given = model.heatmap_size
    if given is not None and given != (width, height):
        raise ConfigError(
            f"model.heatmap_size is {list(given)}, but {model.name} makes heatmaps of "
            f"{[width, height]} from an input of {[w, h]}"
        )
    if model.weights is not None:
        print(load_checkpoint(net, model.weights))
    return net, (width, height)


def _prepare(config: Config) -> tuple[Path, Persons, Persons]:
    """Make the run directory and load (or draw) the training and the evaluation set."""
    made = config.data.synthetic
    if made is None:
        assert config.data.root is not None  # Config saw to it
        root = Path(config.data.root)
        train, val = load_persons(root, config.data.train), load_persons(root, config.data.val)
        run_dir = create_run_dir(config.out)
    else:
        run_dir = create_run_dir(config.out)
        root = run_dir / "data"
        print(f"drawing {made.num_train} + {made.num_val} pictures into {root}", flush=True)
        synthesize(
            root,
            num_train=made.num_train,
            num_val=made.num_val,
            image_size=made.image_size,
            seed=config.seed,
        )
        train, val = load_persons(root, config.data.train), load_persons(root, config.data.val)
    write_text(run_dir / "config.yaml", to_yaml(config))
    print(f"{len(train)} persons to train on, {len(val)} to evaluate", flush=True)
    shared = count_shared_images(train, val)
    if shared:
        print(f"note: {shared} pictures are in both sets; the AP shows how well they are fitted")
    return run_dir, train, val


def _train_epoch(
    config: Config,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[dict[str, Any]],
    epoch: int,
    step: int,
    device: torch.device,
) -> dict[str, Any]:
    """Run one epoch from optimizer step `step` on; return its metrics."""
    net.train()
    loader.batch_sampler.epoch = epoch  # type: ignore[union-attr]
    loss_sum, images, waited = 0.0, 0, 0.0
    bar = tqdm(total=len(loader), desc=f"epoch {epoch}/{config.train.epochs}", leave=False)
    started = mark = time.perf_counter()
    for batch in loader:
        waited += time.perf_counter() - mark
        lr = learning_rate(
            config.train.lr,
            epoch=epoch,
            step=step,
            warmup_steps=config.train.warmup_steps,
            lr_steps=config.train.lr_steps,
        )
        for group in optimizer.param_groups:
            group["lr"] = lr
        targets, weights = batch["heatmaps"].to(device), batch["weights"].to(device)
        output = net(normalize(batch["image"].to(device)))  # heatmaps: stages of (B, K, h, w)
        # Every stage learns the same target: intermediate supervision.
        loss = torch.stack([keypoint_mse(h, targets, weights) for h in output.heatmaps]).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1

        value = loss.item()
        if not math.isfinite(value):
            raise ConfigError(f"the loss became {value} at step {step}; try a smaller train.lr")
        loss_sum += value * len(targets)
        images += len(targets)
        mark = time.perf_counter()
        bar.set_postfix_str(
            f"loss {loss_sum / images:.5f}, lr {lr:.1e}, {images / (mark - started):.0f} images/s, "
            f"data {waited / (mark - started):.0%}"
        )
        bar.update()
    bar.close()
    elapsed = time.perf_counter() - started
    return {
        "kind": "train",
        "epoch": epoch,
        "step": step,
        "lr": lr,
        "loss": loss_sum / images,
        "images_per_s": images / elapsed,
        "data_share": waited / elapsed,
    }


def _evaluate(
    config: Config, net: nn.Module, persons: Persons, codec: MSRAHeatmap, device: torch.device
) -> tuple[list[dict[str, Any]], Report]:
    """Predict every ground-truth box; return the result rows and what pose-eval says of them."""
    dataset = TopDown(persons, config.model.input_size)
    rows = predict_results(
        net,
        eval_loader(dataset, config.eval.batch_size, config.train.num_workers),
        persons,
        codec.decode,
        input_size=config.model.input_size,
        device=device,
        flip_test=config.eval.flip_test,
    )
    return rows, evaluate(rows, persons.annotation_file)


def _ap(evaluation: Report) -> float:
    """Return AP; 0 where the ground truth has nothing to find."""
    return evaluation.stats["AP"] or 0.0


def _epoch_line(record: dict[str, Any], epochs: int) -> str:
    return (
        f"epoch {record['epoch']}/{epochs}  loss {record['loss']:.5f}  lr {record['lr']:.1e}  "
        f"{record['images_per_s']:.0f} images/s  waited for data {record['data_share']:.0%}"
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"train.device {name!r} cannot be used: {reason}") from None
    return torch.device(name)
