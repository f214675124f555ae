"""Everything about a GPU in one go, as a dated page; small on a CPU.

Nothing is downloaded: weights and images are drawn, and the published presets give the shapes.
Speeds are those of `bench`; beside them memory, what waits for the GPU, how far its maps and codecs
are from the CPU's, its maps from stored numbers where there are some, and a short training to AP.
A part that fails says so in its row, and the others go on.
"""

import gc
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import default_collate
from torch.utils.data._utils.pin_memory import pin_memory

import pose_codecs.torch as device_codecs
from pose_codecs import AssociativeEmbedding, MSRAHeatmap, encode_people
from pose_codecs.msra import Refine
from pose_train import __version__
from pose_train.config.load import load_config
from pose_train.config.schema import Config, ConfigError, Synthetic
from pose_train.cores import find_cores, find_device
from pose_train.distributed import Ranks
from pose_train.files.write import write_text
from pose_train.inference.forward import torch_backend
from pose_train.inference.network import Backend
from pose_train.recipes import RECIPES
from pose_train.recipes.data import draw_images, load_sets
from pose_train.training.bench import bench, measure
from pose_train.training.loop import batch_losses, optimizer_step, run
from pose_train.training.parity import TOLERANCES, Case, difference, read_cases
from pose_train.training.prepare import prepare_training
from pose_train.words import note

Row = dict[str, Any]  # what is in a line of a table, by column
STORED = "Maps beside stored ones of the reference implementations"
# Preset, and the batch of one card.
NETWORKS = {
    "hrnet_w32_coco_256x192": 64,
    "hrnet_w48_coco_384x288": 32,
    "higherhrnet_w32_coco_512x512": 16,
}
# On a CPU, where the point is that every part runs.
SMALL = {"demo": 4, "demo_higherhrnet": 2}
TINY = (
    "model.options={width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
    *("model.input_size=[64, 64]", "model.heatmap_size=null", "model.heatmap_sizes=[]"),
)
VARIANTS = {
    "float32": (),
    "TF32": (),
    "TF32, channels first": ("train.channels_last=false",),
    "bf16": ("train.amp=bf16",),
    "bf16, compiled": ("train.amp=bf16", "train.compile=true"),
}


class Suite(NamedTuple):
    """What was measured: tables of rows, by title; the page of them, and where it was written."""

    tables: dict[str, list[Row]]
    page: str
    file: Path

    @property
    def has_failed(self) -> bool:
        """Whether a part of it has."""
        return any("error" in row for rows in self.tables.values() for row in rows)


def suite(seconds: float, out: Path, parity: Path | None = None) -> Suite:
    """Run all parts; write the page, and its JSON beside it, into a folder.

    seconds: for each of the speeds, at most 5. parity: a folder of stored numbers, by default that
    of PARITY_DIR. Raises ConfigError where one that is given holds none.
    """
    device = find_device("auto", 0)
    on_gpu = device.type == "cuda"
    cases = _cases(parity, small=not on_gpu)
    networks, seconds = (NETWORKS, min(seconds, 5.0)) if on_gpu else (SMALL, 0.2)
    variants = VARIANTS if on_gpu else {"float32": (), "bf16": ("train.amp=bf16",)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = Synthetic(256, 8, (640, 480)) if on_gpu else Synthetic(8, 8, (96, 96))
        draw_images(images, folder / "data", 0)
        step, forward, waits, maps = (list[Row]() for _ in range(4))
        for preset, batch in networks.items():
            config, row = _config(preset, batch, folder), {"network": preset, "batch": batch}
            for name, options in variants.items():
                own = _config(preset, batch, folder, *options)
                step.append(_tried(row | {"variant": name}, _speeds, own, name, folder, seconds))
            for amp in ("off", "bf16"):
                forward.append(_tried(row | {"amp": amp}, _forward, config, amp, seconds))
            waits.append(_tried(row, _waits, config, folder, device))
            maps.append(_tried(row, _maps, config, device))
        tables = {
            "Training step": step,
            "Forward alone": forward,
            "What waits for the GPU in a step": waits,
            "Maps beside those of the CPU": maps,
            STORED: [
                _tried({"kind": case.kind, "case": case.name}, _stored, case, device)
                for case in cases
            ],
            "Codecs beside numpy's": _codecs(device, small=not on_gpu),
            "A short training": [_tried({"config": "demo"}, _training, folder, not on_gpu)],
        }
    tables = {title: rows for title, rows in tables.items() if rows}
    page = _page(tables, device)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"gpu-suite-{date.today()}.md"
    write_text(file, page)
    write_text(file.with_suffix(".json"), json.dumps(tables, indent=1))
    return Suite(tables, page, file)


def _config(preset: str, batch: int, folder: Path, *options: str) -> Config:
    """Return the preset, on the drawn images and without weights."""
    own = (f"data.root={folder / 'data'}", "data.synthetic=null", "model.weights=null", "eval=null")
    sets = [
        f"data.{part}={{annotations: annotations/person_keypoints_{name}.json, images: {name}}}"
        for part, name in (("train", "train2017"), ("val", "val2017"))
    ]
    loading = (f"train.batch_size={batch}", "train.num_workers=4", "train.device=auto")
    tiny = TINY if preset in SMALL else ()
    return load_config(preset, [*own, *sets, *loading, *tiny, *options])


def _tried(row: Row, work: Callable[..., Row], *args: Any) -> Row:
    """Return a row with what work(*args) adds to it; what it raises stands in the row.

    What is compiled or left over from other rows is dropped first: torch compiles the same code but
    a few times, and memory would be counted as this row's.
    """
    torch.compiler.reset()
    gc.collect()
    torch.cuda.empty_cache()
    note(", ".join(map(str, row.values())), to=sys.stderr)
    try:
        return row | work(*args)
    except Exception as error:  # the other parts are worth having
        return row | {"error": f"{type(error).__name__}: {error}".partition("\n")[0]}


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def _speeds(config: Config, variant: str, folder: Path, seconds: float) -> Row:
    """Return images per second of loader, step and both, and the memory of the GPU."""
    device = find_device("auto", 0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with _tf32(variant != "float32"):
        speeds = bench(config, seconds, folder, Ranks(), device)
    row: Row = {f"{name}, images/s": round(speed, 1) for name, speed in speeds.items()}
    row["share of the loader"] = round(max(0.0, 1 - speeds["both"] / speeds["step"]), 3)
    if device.type == "cuda":
        row["GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return row


def _forward(config: Config, amp: str, seconds: float) -> Row:
    """Return images per second of the network alone, as run, compiled, and with CUDA graphs.

    Compiled on a GPU with bf16 alone: each takes a minute or more, and the whole is to take 25.
    """
    device, row = find_device("auto", 0), Row()
    modes = {"as it is": None, "compiled": "default", "CUDA graphs": "reduce-overhead"}
    for name, mode in modes.items():
        if mode is not None and (device.type != "cuda" or amp == "off"):
            continue
        net = RECIPES[config.recipe].build(config, 17)[0].to(device)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if mode is not None:
            net.compile(mode=mode)
        work = _repeated(torch_backend(net, device, amp), _pixels(config))
        row[f"{name}, images/s"] = round(measure(work, seconds, device, Ranks()), 1)
    return row


def _repeated(backend: Backend, batch: torch.Tensor) -> Iterator[int]:
    while True:
        backend.run(batch, False)
        yield len(batch)


def _pixels(config: Config) -> torch.Tensor:
    """Return a batch of noise as the network takes it."""
    w, h = config.model.input_size
    shape = config.train.batch_size, h, w, config.model.channels
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def _waits(config: Config, folder: Path, device: torch.device) -> Row:
    """Take two steps, of which the second must not wait for the GPU; it raises where it does."""
    recipe = RECIPES[config.recipe]
    persons = load_sets(config.data, config.eval, folder / "data", recipe.unit).train
    net, codec = recipe.build(config, persons.skeleton.num_keypoints)
    training, forward = prepare_training(config, net, Ranks(), device)
    samples = recipe.samples(config, persons, codec, device, True)
    batch = default_collate([samples[(1, i)] for i in range(2)])
    if device.type == "cuda":  # as the loader does: a copy from other memory waits
        batch = pin_memory(batch)  # type: ignore[no-untyped-call]
    for mode in ("default", "error"):
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode(mode)
        try:
            loss = batch_losses(config, forward, codec, batch, device)["loss"]
            training.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            optimizer_step(training, config.train.lr, config.train.clip_grad)
        finally:
            if device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
    return {"waits": "nothing" if device.type == "cuda" else "not told on a CPU"}


def _maps(config: Config, device: torch.device) -> Row:
    """Return how far the maps of the same weights and noise are apart, in float32."""
    torch.manual_seed(0)
    net = RECIPES[config.recipe].build(config, 17)[0].eval()
    for parameter in net.parameters():  # as drawn at first, they make maps of nearly nothing
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
    pixels = _pixels(config)[:2]
    cpu = torch_backend(net, torch.device("cpu")).run(pixels, False)[0].heatmaps[-1]
    with _tf32(False):
        own = torch_backend(net.to(device), device).run(pixels, False)[0].heatmaps[-1].cpu()
    difference = float((own - cpu).abs().max() / cpu.abs().max())
    return {"largest difference over largest value": difference}


def _cases(folder: Path | None, *, small: bool) -> list[Case]:
    """Return the stored cases of forward; small: the one of each kind with the smallest input.

    folder: None is PARITY_DIR, which may hold none. Raises ConfigError where one that is given
    does.
    """
    where = folder or os.environ.get("PARITY_DIR")
    cases = read_cases(Path(where)) if where else []
    if folder is not None and not cases:
        raise ConfigError(
            f"--parity {folder}: there are no numbers of forward in topdown/forward or bottomup"
        )
    return list({case.kind: case for case in reversed(cases)}.values()) if small else cases


def _stored(case: Case, device: torch.device) -> Row:
    """Return how far the maps of a device are from the stored ones, in float32; and the limit."""
    with _tf32(False):
        found = difference(case, device)
    allowed = TOLERANCES[case.kind]
    row: Row = {"largest difference over largest value": found, "allowed": allowed}
    return row if found <= allowed else row | {"error": "more than allowed"}


def _codecs(device: torch.device, *, small: bool) -> list[Row]:
    """Return the time of each codec on the device and in numpy, and how far they are apart."""
    rng = np.random.default_rng(0)
    batch, size, people = (4, (64, 64), 2) if small else (64, (512, 512), 20)
    rows = []
    points = rng.uniform(0, 190, (batch, 17, 2)).astype(np.float32)
    refinements: tuple[Refine, ...] = ("quarter", "dark")
    for codec in (MSRAHeatmap((192, 256), (48, 64), refine=refine) for refine in refinements):
        maps, _ = codec.encode(points, np.ones((batch, 17), np.float32))
        on_device = torch.from_numpy(maps).to(device)
        plain = partial(_keypoints, codec.decode, maps)
        other = partial(_keypoints, partial(device_codecs.decode_msra, codec), on_device)
        title = f"MSRA decode, {codec.refine}, batch {batch}"
        rows.append(_tried({"codec": title}, _compared, plain, other))
    ae = AssociativeEmbedding(size, (size,))
    persons = rng.uniform(8, size[0] - 8, (people, 17, 2)).astype(np.float32)
    heat = encode_people(persons, np.ones((people, 17), np.float32), size, 2.0)
    tags = rng.normal(0, 0.1, heat.shape).astype(np.float32)
    for p, person in enumerate(persons.astype(int)):
        tags[np.arange(17), person[:, 1], person[:, 0]] = 2.0 * p
    on = torch.from_numpy(heat).to(device)[None], torch.from_numpy(tags).to(device)[None]
    plain = partial(_keypoints, ae.decode, heat, tags)
    other = partial(_keypoints, lambda *maps: device_codecs.decode_people(ae, *maps)[0], *on)
    title = f"AE decode, {size[0]}x{size[1]}, {people} people"
    rows.append(_tried({"codec": title}, _compared, plain, other))
    return rows


def _keypoints(decode: Callable[..., Any], *maps: Any) -> Any:
    """Return the keypoints on the host, which waits for them."""
    keypoints = decode(*maps)[0]
    return keypoints.cpu().numpy() if isinstance(keypoints, torch.Tensor) else keypoints


def _compared(plain: Callable[[], Any], other: Callable[[], Any]) -> Row:
    """Return milliseconds of both, the least of five after a first call, and their difference."""
    row = Row()
    for name, work in (("numpy, ms", plain), ("device, ms", other)):
        work()
        times = []
        for _ in range(5):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        row[name] = round(1000 * min(times), 3)
    row["largest difference, pixels"] = float(np.abs(plain() - other()).max())
    return row


def _training(folder: Path, small: bool) -> Row:
    """Train the demo, and return its AP and the minutes that it took."""
    tiny = ("data.synthetic.num_train=8", "data.synthetic.num_val=2", "train.epochs=1")
    options = (*TINY, *tiny, "train.lr_steps=[]", "train.num_workers=0") if small else ()
    started = time.perf_counter()
    outcome = run(load_config("demo", [f"out={folder / 'run'}", *options]))
    minutes = round((time.perf_counter() - started) / 60, 2)
    assert outcome is not None
    return {"AP": outcome.evaluation and outcome.evaluation.ap, "minutes": minutes}


def _page(tables: dict[str, list[Row]], device: torch.device) -> str:
    """Return the Markdown page."""
    gpu = f"{torch.cuda.get_device_name(device)}; " if device.type == "cuda" else ""
    lines = [
        f"# `pose-train bench --suite gpu`, {date.today()}\n",
        f"{gpu}{find_cores()}; Python {platform.python_version()}, torch {torch.__version__}, CUDA "
        f"{torch.version.cuda}, pose-train {__version__}. Drawn weights and images; one run.",
    ]
    if not gpu:
        lines.append("\n**No GPU: small networks on the CPU, to see that every part runs.**")
    if STORED not in tables:
        lines.append("\nNo stored numbers (--parity DIR): maps were compared with the CPU's alone.")
    for title, rows in tables.items():
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines += [f"\n## {title}\n", f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        lines += [f"| {' | '.join(str(row.get(c, '')) for c in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"
