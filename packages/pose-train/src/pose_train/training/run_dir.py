"""A run and its directory: what stays the same while a run lasts, and what it writes."""

import dataclasses
import importlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pose_data import open_pack
from pose_data.shares import Unit
from pose_train.config.load import to_yaml
from pose_train.config.schema import Config, ConfigError, RunError
from pose_train.distributed import Ranks, gather
from pose_train.files.write import RunDirError, claim, write_file, write_text, writing
from pose_train.inference.evaluate import Rows, check_evaluation
from pose_train.inference.weights import BEST, LAST
from pose_train.progress import Pace, StopRequest
from pose_train.recipes.data import (
    Sets,
    check_images,
    check_pack,
    describe,
    draw_images,
    load_sets,
)
from pose_train.training.checkpoints import Training, keep_newest, save_checkpoint
from pose_train.words import duration, note

METRICS, RESULTS = "metrics.jsonl", "results.json"
LOCK = ".lock"  # held by the process that trains there
SIGMAS = "sigmas.json"  # of the keypoints, by name: pose-eval takes them from a run directory
Logger = Callable[[dict[str, Any]], None]  # takes a record of metrics.jsonl


class NonFiniteError(RunError):
    """The loss or the weights became NaN or infinite; the message says where."""


@dataclass(frozen=True)
class Run:
    """What stays the same during a run."""

    config: Config
    about: dict[str, Any]  # what every checkpoint says of the run: its config, the skeleton
    dir: Path
    sets: Sets
    ranks: Ranks
    device: torch.device
    stop: StopRequest
    loggers: list[Logger]
    pace: Pace = field(default_factory=Pace)
    notes_shown: set[str] = field(default_factory=set)  # those that come once in a run


def load_given_sets(config: Config, unit: Unit) -> Sets | None:
    """Load the sets of data.root; None where they are yet to be drawn. unit: the recipe's.

    What would keep results from being evaluated shows now, not after the first epochs.
    """
    check_extras(config)
    if config.data.root is None:
        return None
    sets = load_sets(config.data, config.eval, Path(config.data.root), unit)
    if config.data.packed is not None:
        check_pack(config, open_pack(config.data.packed), sets.train, unit)
    if sets.val is not None:
        check_images(sets.val)
        check_evaluation(sets.train.skeleton, sets.val, unit)
    return sets


def open_run(
    config: Config,
    unit: Unit,
    sets: Sets | None,
    ranks: Ranks,
    device: torch.device,
    stop: StopRequest,
    resume: bool,
    held: ExitStack,
) -> Run:
    """Make the run directory, and the images if they are to be drawn; or open what is there.

    held: keeps the directory's lock to the end of the run; where it resumes, it has it.
    """
    path, text = Path(config.out), to_yaml(config)
    if ranks.is_first and not resume:
        create_run_dir(config.out)
        held.enter_context(lock_run_dir(path))
        if config.data.synthetic is not None:
            draw_images(config.data.synthetic, path / "data", config.seed)
    gather(None, ranks)  # the others wait until the images are there
    if sets is None:
        sets = load_sets(config.data, config.eval, path / "data", unit)
    loggers: list[Logger] = []
    if ranks.is_first:
        write_text(path / "config.yaml", text)
        write_text(path / SIGMAS, json.dumps(_sigmas(sets), indent=1, ensure_ascii=False))
        note(describe(sets))
        loggers = open_loggers(config, path, dataclasses.asdict(config))
    plain = json.loads(json.dumps(dataclasses.asdict(sets.train.skeleton)))
    about = {"config": text, "skeleton": plain}
    return Run(config, about, path, sets, ranks, device, stop, loggers)


@contextmanager
def lock_run_dir(path: Path) -> Iterator[None]:
    """Keep other processes from training in a run directory; raises RunDirError where one does.

    Removes checkpoints that a killed process has not written to their end.
    """
    with writing(path / LOCK):
        file = (path / LOCK).open("w", encoding="utf-8")
    claim(file, path / LOCK, f"another process trains in {path}: wait for its end, or stop it")
    for left in path.glob(".checkpoint_*.tmp.pth"):
        left.unlink()
    with file:
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open files
                (path / LOCK).unlink()


def _sigmas(sets: Sets) -> dict[str, float]:
    skeletons = [persons.skeleton for persons in (sets.train, sets.val) if persons is not None]
    return {
        name: sigma
        for skeleton in skeletons
        for name, sigma in zip(skeleton.keypoints, skeleton.sigmas, strict=True)
    }


def create_run_dir(out: str) -> Path:
    """Make an empty run directory; raises ConfigError where something is already there."""
    path = Path(out)
    try:
        if path.is_dir() and not any(path.iterdir()):
            write_file(path / ".writable", lambda file: file.write(b""))
            (path / ".writable").unlink()
            return path
        path.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(
            f"{path} already holds something, perhaps another run; choose another with out=DIR"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot create the run directory {path}: {error.strerror}") from error
    return path


def say(run: Run, text: str) -> None:
    """Print a line with the time, once for all processes."""
    if run.ranks.is_first:
        note(f"{time.strftime('%H:%M:%S')}  {text}")


def say_stopped_early(run: Run, training: Training) -> None:
    """Say after which epoch the patience was at its end, and which was the best."""
    progress = training.progress
    after = f" after epoch {progress.best_epoch}" if progress.best_epoch else ""  # 0 in old files
    say(
        run,
        f"stopped early after epoch {progress.epochs_begun}: no better AP in {progress.since_best} "
        f"evaluations; the best was AP {progress.best_ap:.3f}{after}, in {BEST}",
    )


def about_run(run: Run, training: Training, seconds: float) -> list[tuple[str, str]]:
    """Return names and values of what a reader wants to know of a run; seconds: of its epochs."""
    config, progress, persons = run.config, training.progress, run.sets.train
    parameters = sum(parameter.numel() for parameter in training.net.parameters())
    facts = [
        ("model", f"{config.model.name}, {parameters / 1e6:.1f} M parameters"),
        ("preset", config.preset or ""),
        ("trained on", f"{len(persons):,} {persons.noun} of {persons.annotation_file.name}"),
        ("started from", config.model.weights or "scratch"),
        ("epochs", f"{progress.epochs_begun} of {config.train.epochs}"),
        ("time", duration(seconds)),
        ("best", f"AP {progress.best_ap:.3f} after epoch {progress.best_epoch}"),
        ("date", time.strftime("%Y-%m-%d")),
    ]
    if not progress.best_epoch:
        facts = [fact for fact in facts if fact[0] != "best"]
    return [(name, value) for name, value in facts if value]


def save(run: Run, training: Training, name: str = LAST) -> None:
    """Save a checkpoint in the run directory; only the first process does.

    Raises NonFiniteError for weights that are not: a finite loss may have had a gradient that was
    not, and the checkpoint from before must stay.
    """
    if not run.ranks.is_first:
        return
    progress = training.progress
    if not _is_finite(training.net):
        raise NonFiniteError(
            f"weights became NaN or infinite in epoch {progress.epoch}, batch {progress.batch} or "
            f"shortly before; {how_to_go_on(run)}"
        )
    save_checkpoint(run.dir / name, training, run.about)


def save_epoch(run: Run, training: Training, epoch: int) -> None:
    """Save the end of an epoch: as the last checkpoint, and numbered where the config asks."""
    save(run, training)
    every = run.config.checkpoints.every
    if every and epoch % every == 0 and run.ranks.is_first:
        save(run, training, f"checkpoint_{epoch:04d}.pth")
        keep_newest(run.dir, run.config.checkpoints.keep)


def how_to_go_on(run: Run) -> str:
    """Return what to do where numbers are no longer finite."""
    lr = run.config.train.lr / 2
    return f"{LAST} is from before that: try `pose-train resume {run.dir} train.lr={lr:.2g}`"


def _is_finite(net: nn.Module) -> bool:
    largest = torch._foreach_norm([p.detach() for p in net.parameters()], float("inf"))
    return bool(torch.stack(list(largest)).isfinite().all())


def record(run: Run, training: Training, values: dict[str, Any]) -> None:
    """Write one record of metrics, in metrics.jsonl and to the loggers; raises RunDirError."""
    training.progress.records += 1
    if not run.ranks.is_first:
        return
    path = run.dir / METRICS
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")
    for log in run.loggers:
        log(values)


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Return the records of metrics.jsonl in order, without those that are damaged.

    Raises RunDirError where it cannot be read.
    """
    path, records = run_dir / METRICS, []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise RunDirError(f"cannot read {path}: {error.strerror}") from error
    for line in lines:
        with suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and {"kind", "epoch", "step"} <= record.keys():
                records.append(record)
    return records


def cut_metrics(run: Run, training: Training) -> None:
    """Keep the records of before the checkpoint that a run goes on from; say if some are lost.

    Raises RunDirError.
    """
    wanted = training.progress.records
    records = read_metrics(run.dir)[:wanted]
    if len(records) < wanted:
        lost = f"{wanted - len(records)} of {wanted} records in {run.dir / METRICS}"
        say(run, f"note: {lost} are lost or damaged")
    training.progress.records = len(records)
    write_text(run.dir / METRICS, "".join(f"{json.dumps(each)}\n" for each in records))


def read_results(run_dir: Path) -> Rows | None:
    """Return the rows of the last evaluation; None where they are not there, or damaged."""
    try:
        rows = json.loads((run_dir / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return rows if isinstance(rows, list) else None


def check_extras(config: Config) -> None:
    """Raise ConfigError for an extra that the config asks for and that is not installed."""
    wanted = {"log.tensorboard": config.log.tensorboard, "log.wandb": config.log.wandb is not None}
    for key, is_wanted in wanted.items():
        extra = key.removeprefix("log.")
        if is_wanted and importlib.util.find_spec(extra) is None:
            raise ConfigError(
                f"{key} needs {extra}, which is not installed: pip install 'pose-train[{extra}]'"
            )


def open_loggers(config: Config, run_dir: Path, settings: dict[str, Any]) -> list[Logger]:
    """Return what every record goes to besides metrics.jsonl; check_extras comes first.

    settings: the config as plain values, which Weights & Biases shows beside the curves.
    """
    loggers: list[Logger] = []
    if config.log.tensorboard:
        loggers.append(_tensorboard(run_dir))
    if config.log.wandb is not None:
        loggers.append(_wandb(config.log.wandb, run_dir, settings))
    return loggers


def scalars(values: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a record as KIND/NAME, as both programs group them."""
    return {
        f"{values['kind']}/{name}": float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and name != "step"
    }


def _tensorboard(run_dir: Path) -> Logger:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run_dir / "tensorboard"))

    def log(values: dict[str, Any]) -> None:
        for name, value in scalars(values).items():
            writer.add_scalar(name, value, values["step"])
        writer.flush()

    return log


def _wandb(project: str, run_dir: Path, settings: dict[str, Any]) -> Logger:
    wandb: Any = importlib.import_module("wandb")
    # The same id for the same directory, so that a resumed run continues its curves.
    run = wandb.init(
        project=project,
        id=run_dir.resolve().name,
        name=run_dir.name,
        dir=str(run_dir),
        config=settings,
        resume="allow",
    )

    def log(values: dict[str, Any]) -> None:
        run.log(scalars(values), step=values["step"])

    return log
