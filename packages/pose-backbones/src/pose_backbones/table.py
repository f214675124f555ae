"""Describe models and weights in tables, from the code itself."""

from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from pose_backbones.models import MODELS, list_models
from pose_backbones.weights import local_weights, weights_folders
from pose_backbones.zoo import ZOO

# The (w, h) each model is measured at where no published weights say.
DEFAULT_SIZES = {
    "higherhrnet": (512, 512),
    "hourglass": (256, 256),
    "hrnet": (192, 256),
    "hrnet_w48": (192, 256),
    "hrnet_ae": (512, 512),
    "hrnet_w32_ae": (512, 512),
    "hrnet_w48_ae": (512, 512),
    "hourglass_ae": (512, 512),
}


def measure(name: str, input_size: tuple[int, int]) -> tuple[int, float]:
    """Return the parameters of a model and its GFLOPs for one image of this (w, h).

    One multiplication with its addition counts once, as in the tables of the papers.
    """
    width, height = input_size
    with torch.device("meta"), torch.no_grad():
        model = MODELS[name]().eval()
        images = torch.empty(1, 3, height, width)
        with FlopCounterMode(display=False) as counter:
            model(images)
    parameters = sum(p.numel() for p in model.parameters())
    return parameters, counter.get_total_flops() / 2e9


def describe(name: str) -> str:
    """Return a few lines about one model."""
    sizes = {w.input_size for w in ZOO.values() if w.model == name} or {DEFAULT_SIZES[name]}
    lines = [f"{name}: {MODELS[name].__doc__}".splitlines()[0]]
    for width, height in sorted(sizes):
        parameters, gflops = measure(name, (width, height))
        lines.append(f"{width}x{height}: {gflops:.1f} GFLOPs, {parameters / 1e6:.1f} M parameters")
    weights = [key for key, w in ZOO.items() if w.model == name]
    return "\n".join([*lines, f"weights: {', '.join(weights) or 'none published'}"])


def models_table(pattern: str = "*") -> str:
    """Return the table of models in the README: one row per model and published weights."""
    rows = ["| model | input (w x h) | parameters | GFLOPs | weights | AP | multi-scale AP |"]
    rows.append("|---|---|---|---|---|---|---|")
    for name in list_models(pattern):
        published = {key: w for key, w in ZOO.items() if w.model == name}
        sizes = {w.input_size for w in published.values()} or {DEFAULT_SIZES[name]}
        figures = {size: _figures(name, size) for size in sizes}
        for key, w in published.items():
            multi = f"{w.stats_multi_scale['AP']:.3f}" if w.stats_multi_scale else "-"
            rows.append(f"| {figures[w.input_size]} | `{key}` | {w.stats['AP']:.3f} | {multi} |")
        if not published:
            rows.append(f"| {figures[DEFAULT_SIZES[name]]} | - | - | - |")
    return "\n".join(rows)


def _figures(name: str, size: tuple[int, int]) -> str:
    parameters, gflops = measure(name, size)
    return f"`{name}` | {size[0]}x{size[1]} | {parameters / 1e6:.1f} M | {gflops:.1f}"


def zoo_table() -> str:
    """Return the published weights as aligned columns, with what is here of them, and notes."""
    rows = [["NAME", "INPUT", "AP", "AR", "AP-MS", "AR-MS", "LICENCE", "SIZE", "FILE"]]
    licences = list(dict.fromkeys(w.licence for w in ZOO.values()))
    for key, w in ZOO.items():
        multi = w.stats_multi_scale or {}
        stats = (*(w.stats[name] for name in ("AP", "AR")), multi.get("AP"), multi.get("AR"))
        figures = ("-" if value is None else f"{value:.3f}" for value in stats)
        here = local_weights(key)
        size, file = ("not here", w.file) if here is None else (_megabytes(here), str(here))
        input_size = f"{w.input_size[0]}x{w.input_size[1]}"
        rows.append([key, input_size, *figures, str(1 + licences.index(w.licence)), size, file])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(n) for c, n in zip(r, widths, strict=True)).rstrip() for r in rows]
    notes = [
        "INPUT: width x height. AP, AR: as published, on COCO val2017 with flip test; "
        "-MS: at 2, 1 and 0.5 times the size.",
        f"SIZE: of the file, if it is in {' or '.join(map(str, weights_folders()))}.",
        *(f"LICENCE {number}: {text}." for number, text in enumerate(licences, 1)),
    ]
    return "\n".join([*lines, "", *notes])


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
