"""Describe models and weights in lines and tables, from the code itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pose_backbones.grey import GREY_MEAN, GREY_STD, MEAN, STD
from pose_backbones.names import list_models
from pose_backbones.weights import local_weights, places
from pose_backbones.zoo import HUB, ZOO, Weights

NORMALIZATION = f"RGB in 0..255, minus mean {MEAN}, divided by standard deviation {STD}"
GREY_NORMALIZATION = (
    f"grey in 0..255, minus mean {GREY_MEAN[0]}, divided by standard deviation {GREY_STD[0]}"
)


def measure(name: str, input_size: tuple[int, int]) -> tuple[int, float]:
    """Return the parameters of a model and its GFLOPs for one image of this (w, h).

    One multiplication with its addition counts once, as in the tables of the papers.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from pose_backbones.models import create_model

    width, height = input_size
    with torch.device("meta"), torch.no_grad():
        model = create_model(name).eval()
        images = torch.empty(1, 3, height, width)
        with FlopCounterMode(display=False) as counter:
            model(images)
    parameters = sum(p.numel() for p in model.parameters())
    return parameters, counter.get_total_flops() / 2e9


def _published(name: str) -> dict[str, Weights]:
    return {key: weights for key, weights in ZOO.items() if weights.model == name}


def _sizes(name: str) -> list[tuple[int, int]]:
    """Return the (w, h) of a model's published weights, or the usual one where there are none."""
    from pose_backbones.models import family_of

    sizes = {weights.input_size for weights in _published(name).values()}
    return sorted(sizes) or [family_of(name)[0].input_size]


def describe(name: str) -> str:
    """Return a few lines about one model."""
    facts = model_facts(name)
    settled = f" with {_words(facts['settled'])}" * bool(facts["settled"])
    lines = [
        f"{name}: {facts['kind']}, {' and '.join(facts['parts'])}{settled}",
        f"input: (B, 3, H, W), {NORMALIZATION}",
        f"input with in_channels=1: (B, 1, H, W), {GREY_NORMALIZATION}",
        f"options: {_words(facts['options'])}",
    ]
    for size in facts["sizes"]:
        width, height = size["input_size"]
        figures = f"{size['gflops']:.1f} GFLOPs, {size['parameters'] / 1e6:.1f} M parameters"
        lines.append(f"{width}x{height}: {figures}")
    return "\n".join([*lines, f"weights: {', '.join(facts['weights']) or 'none published'}"])


def model_facts(name: str) -> dict[str, Any]:
    """Return what is known of a model: parts, options, cost at each usual size, weights."""
    from pose_backbones.models import family_of, model_options

    family, settled = family_of(name)
    sizes = []
    for size in _sizes(name):
        parameters, gflops = measure(name, size)
        sizes.append({"input_size": size, "parameters": parameters, "gflops": gflops})
    return {
        "name": name,
        "kind": family.kind,
        "parts": [part.__name__ for part in family.parts],
        "settled": settled,
        "options": {"num_keypoints": 17} | model_options(name),
        "sizes": sizes,
        "weights": list(_published(name)),
    }


def _words(options: Mapping[str, object]) -> str:
    return ", ".join(f"{option}={value!r}" for option, value in options.items())


def describe_weights(name: str) -> str:
    """Return what is known of published weights, a line per fact."""
    weights = ZOO[name]
    facts = {
        **vars(weights),
        "hub": ", ".join(map(str, weights.hub)) or "none",
        "file": weights.file,
        "sha256_prefix": weights.sha256_prefix or "unknown",
    }
    for key in ("stats", "stats_multi_scale"):
        figures = (facts[key] or {}).items()
        facts[key] = ", ".join(f"{figure} {value:.3f}" for figure, value in figures) or "none"
    facts["input"] = NORMALIZATION
    return "\n".join(f"{key}: {value}" for key, value in facts.items())


def weights_facts(name: str) -> dict[str, Any]:
    """Return what is known of published weights; here: the path of their file, None without it."""
    weights, here = ZOO[name], local_weights(name)
    return {
        "name": name,
        **vars(weights),
        "hub": list(map(str, weights.hub)),
        "sha256_prefix": weights.sha256_prefix or None,
        "here": None if here is None else str(here),
    }


def models_table(pattern: str = "*") -> str:
    """Return the table of models in the README: one row per model and published weights."""
    rows = ["| model | input (w x h) | parameters | GFLOPs | weights | AP | multi-scale AP |"]
    rows.append("|---|---|---|---|---|---|---|")
    for name in list_models(pattern):
        for size in _sizes(name):
            parameters, gflops = measure(name, size)
            figures = f"{size[0]}x{size[1]} | {parameters / 1e6:.1f} M | {gflops:.1f}"
            ours = {key: w for key, w in _published(name).items() if w.input_size == size}
            for key, w in ours.items():
                multi = f"{w.stats_multi_scale['AP']:.3f}" if w.stats_multi_scale else "-"
                rows.append(f"| `{name}` | {figures} | `{key}` | {w.stats['AP']:.3f} | {multi} |")
            if not ours:
                rows.append(f"| `{name}` | {figures} | - | - | - |")
    return "\n".join(rows)


def zoo_table() -> str:
    """Return the published weights as aligned columns, with what is here of them, and notes."""
    rows = [["NAME", "INPUT", "AP", "AR", "AP-MS", "AR-MS", "LICENCE", "SOURCE", "SIZE", "FILE"]]
    licences = list(dict.fromkeys(w.licence for w in ZOO.values()))
    for key, w in ZOO.items():
        multi = w.stats_multi_scale or {}
        stats = (*(w.stats[name] for name in ("AP", "AR")), multi.get("AP"), multi.get("AR"))
        figures = ("-" if value is None else f"{value:.3f}" for value in stats)
        here = local_weights(key)
        size, file = ("not here", w.file) if here is None else (_megabytes(here), str(here))
        input_size = f"{w.input_size[0]}x{w.input_size[1]}"
        origin = (str(1 + licences.index(w.licence)), HUB if w.source == HUB else "publisher")
        rows.append([key, input_size, *figures, *origin, size, file])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    notes = [
        "INPUT: width x height. AP, AR: as published, on COCO val2017 with flip test; "
        "-MS: at 2, 1 and 0.5 times the size.",
        f"SIZE: of the file, if it is in {' or '.join(places())}.",
        "SOURCE: hub is huggingface.co, with pip install 'pose-backbones[hub]'; publisher is "
        "download.openmmlab.com, which is down at times.",
        *(f"LICENCE {number}: {text}." for number, text in enumerate(licences, 1)),
    ]
    return "\n".join([*lines, "", *notes])


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
