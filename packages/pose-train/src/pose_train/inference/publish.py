"""Publish a trained network on the Hugging Face hub: weights, config, skeleton and a model card."""

import dataclasses
import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import yaml
from safetensors.torch import save_file

from pose_backbones import ZOO
from pose_backbones.hub import hub_error
from pose_train import __version__
from pose_train.config.load import to_yaml
from pose_train.config.schema import AnnotationSet, Config, ConfigError, Log, RunError, Train
from pose_train.files.write import write_text
from pose_train.inference.weights import CONFIG, INSTALL, PREFIX, PUBLISHED, SKELETON

if TYPE_CHECKING:
    from pose_train.inference.load import Trained


def publish(
    trained: "Trained", repo: str, *, private: bool = False, license: str | None = None
) -> str:
    """Upload a network to the repository USER/NAME of the hub and return its URL.

    The repository is made if there is none. private: nobody else sees it. license: of the weights,
    by the hub's name for it, such as apache-2.0, for the model card. Raises ConfigError for another
    form of name, a repository that is public where `private` is wanted, or without the extra;
    RunError where it fails.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise ConfigError(f"the repository must look like USER/NAME, got {repo!r}")
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise ConfigError(f"publishing needs the hub's client, and {INSTALL}") from None
    api = HfApi(library_name="pose-train", library_version=__version__)
    with tempfile.TemporaryDirectory() as folder:
        write_network(trained, Path(folder), repo, license)
        try:
            url = api.create_repo(repo, private=private, exist_ok=True)
            is_public = private and not api.model_info(repo).private
            if not is_public:
                api.upload_folder(
                    repo_id=repo, folder_path=folder, commit_message="Upload with pose-train"
                )
        except Exception as error:  # of httpx, of requests, or its own, by its version
            raise RunError(f"cannot publish {repo}: {hub_error(error)}") from error
    if is_public:
        raise ConfigError(
            f"{repo} exists and is public: make it private on the hub, or leave out --private"
        )
    return str(url)


def write_network(trained: "Trained", folder: Path, repo: str, license: str | None) -> None:
    """Write the files that are published into a folder; nothing in them is of this machine."""
    tensors = {n: t.detach().cpu().contiguous() for n, t in trained.net.state_dict().items()}
    save_file(tensors, folder / PUBLISHED, {"format": "pt", "pose_train": __version__})
    write_text(folder / CONFIG, to_yaml(shareable(trained.config)))
    skeleton = dataclasses.asdict(trained.skeleton)
    write_text(folder / SKELETON, json.dumps(skeleton, indent=1, ensure_ascii=False))
    write_text(folder / "README.md", model_card(trained, repo, license))


def shareable(config: Config) -> Config:
    """Return a config without what is of one machine: folders, device, processes, loggers."""
    data = config.data
    extra = {
        name: replace(source, root=None, train=_without_folders(source.train))
        for name, source in data.extra.items()
    }
    boxes = data.detections.file
    detections = replace(data.detections, file=None if boxes is None else _relative(boxes))
    data = replace(
        data,
        root=None if data.synthetic is not None else "data",
        train=_without_folders(data.train),
        val=_without_folders(data.val),
        extra=extra,
        detections=detections,
    )
    train = replace(
        config.train, device=Train.device, num_workers=Train.num_workers, num_threads=None
    )
    model = replace(config.model, weights=None, reinit_head=False)
    return replace(config, data=data, train=train, model=model, log=Log(), out="")


def _without_folders(files: AnnotationSet) -> AnnotationSet:
    return AnnotationSet(_relative(files.annotations), _relative(files.images))


def _relative(path: str) -> str:
    """Return a path as it is if it lies below the data's root, else its name alone."""
    pure = PurePath(path)
    return pure.name if pure.is_absolute() or ".." in pure.parts else path


def model_card(trained: "Trained", repo: str, license: str | None) -> str:
    """Return the README.md of a repository: what it is, how to use it, numbers, data, licence."""
    config, skeleton = trained.config, trained.skeleton
    width, height = config.model.input_size
    stats = _stats(trained)
    kind = "bottom-up" if config.recipe == "bottomup" else "top-down"
    head: dict[str, Any] = {
        "library_name": "pose-train",
        "pipeline_tag": "keypoint-detection",
        "tags": ["pose-estimation", config.model.name, kind],
    }
    if license is not None:
        head["license"] = license
    if stats:
        head["model-index"] = [_index(repo, config, stats)]
    sections = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n# {repo.partition('/')[2]}",
        f"A {kind} pose network, `{config.model.name}`, input {width}x{height} (w x h), for "
        f"{skeleton.num_keypoints} keypoints: {', '.join(skeleton.keypoints)}.",
        "## How to use",
        f'```sh\npip install "pose-train[hub]"\n'
        f"pose-train predict {PREFIX}{repo} photo.jpg --out found\n```",
        f'```python\nfrom pose_train import Predictor\n\npeople = Predictor("{PREFIX}{repo}")'
        '("photo.jpg")\n```',
        f"## Numbers\n\n{_numbers(config, stats, trained.epoch)}",
        f"## Data\n\n{_data(config)}",
        f"## Licence\n\n{license or 'Not stated: ask the author before you use these weights.'}",
    ]
    return "\n\n".join(sections) + "\n"


def _stats(trained: "Trained") -> dict[str, float]:
    """Return the numbers of the run's own evaluation of these weights; {} if there is none."""
    metrics = trained.weights.parent / "metrics.jsonl"
    if trained.epoch is None or not metrics.is_file():
        return {}
    records = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    own = [r for r in records if r["kind"] == "val" and r["epoch"] == trained.epoch]
    names = [name for name in (own[-1] if own else ()) if name.startswith(("AP", "AR"))]
    return {name: own[-1][name] for name in names if own[-1][name] is not None}


def _index(repo: str, config: Config, stats: dict[str, float]) -> dict[str, Any]:
    """Return the numbers as the hub wants them in the head of a model card."""
    dataset = PurePath(config.data.val.annotations).name
    result = {
        "task": {"type": "keypoint-detection"},
        "dataset": {"name": dataset, "type": config.data.format},
        "metrics": [{"type": name, "value": value} for name, value in stats.items()],
    }
    return {"name": repo.partition("/")[2], "results": [result]}


def _numbers(config: Config, stats: dict[str, float], epoch: int | None) -> str:
    if not stats:
        return "No evaluation of these weights was found beside them."
    evaluation = config.chosen_eval
    flips = "with" if evaluation.flip_test else "without"
    boxes = {"gt": "annotated boxes", "detections": "a detector's boxes", "image": "whole images"}
    given = "" if config.recipe == "bottomup" else f", {boxes[evaluation.boxes]}"
    return (
        f"On `{PurePath(config.data.val.annotations).name}` after epoch {epoch}, "
        f"{flips} flip test{given}:\n\n"
        f"| {' | '.join(stats)} |\n|{'---|' * len(stats)}\n"
        f"| {' | '.join(f'{value:.3f}' for value in stats.values())} |"
    )


def _data(config: Config) -> str:
    data = config.data
    if data.synthetic is not None:
        return f"Trained on {data.synthetic.num_train} drawn images of people."
    sets = {f"{data.format}": data.train} | {n: e.train for n, e in data.extra.items()}
    names = (f"`{PurePath(files.annotations).name}` ({name})" for name, files in sets.items())
    text = f"Trained on {', '.join(names)}."
    start = config.model.weights
    if start is not None:
        licence = f" ({ZOO[start].licence})" if start in ZOO else ""
        text += f" Training started from `{PurePath(start).name}`{licence}."
    return text
