"""Measure how much of our code a reader meets: files, import layers, functions on three paths.

    python tests/measure_house.py [--walk]

A path runs in a process of its own, under a profiler that notes every function of ours that is
entered, in any thread. Module and class bodies, lambdas, comprehensions, compiled kernels,
generated `__init__`s, what a package does to import a name at its first use and what says which
words a command takes (`add_arguments`, a table) do not count. With --walk, the files of each path
are listed in the order in which they are first entered, as ARCHITECTURE.md has them;
`test_house.py` holds the figures to their budgets.
"""

import argparse
import ast
import contextlib
import inspect
import io
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "packages"
TINY = (
    *("data.synthetic.num_train=8", "data.synthetic.num_val=2", "train.epochs=1"),
    *("train.lr_steps=[]", "train.num_workers=0", "train.batch_size=4", "train.num_threads=1"),
)
IMPORTING = ("__getattr__", "__setattr__")  # of packages
Walk = dict[str, list[str]]  # functions by file, both in the order in which they are entered


class Reached(Exception):
    """The end of the path that is followed."""


def source_files(package: str) -> list[Path]:
    """Return the Python files of a package."""
    return sorted((PACKAGES / package / "src").rglob("*.py"))


def source_lines(packages: Iterable[str]) -> int:
    """Return how many lines the sources of packages have."""
    files = [file for package in packages for file in source_files(package)]
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def longest_import_chain(package: str) -> list[str]:
    """Return the longest chain of modules that import each other, at their top level.

    Raises ValueError for a circle.
    """
    source = PACKAGES / package / "src"
    modules = {_module_name(file, source): file for file in source_files(package)}
    imports = {name: _imports(file, name, set(modules)) for name, file in modules.items()}
    longest: dict[str, list[str]] = {}

    def chain(name: str, above: tuple[str, ...] = ()) -> list[str]:
        if name in above:
            raise ValueError(f"import circle: {' -> '.join((*above, name))}")
        if name not in longest:
            below = [chain(other, (*above, name)) for other in imports[name]]
            longest[name] = [name, *max(below, key=len, default=[])]
        return longest[name]

    return max(map(chain, modules), key=len)


def _module_name(file: Path, source: Path) -> str:
    parts = file.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(file: Path, own: str, modules: set[str]) -> list[str]:
    """Return the modules of its package that a file imports at its top level."""
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = {f"{node.module}.{each.name}" for each in node.names} & modules
            found |= names or {node.module}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return sorted((found & modules) - {own})


def follow(work: Callable[[], Any], last: str = "") -> Walk:
    """Run `work` and return the functions of ours that it enters.

    last: the function that ends the path when it returns.
    """
    import numba  # noqa: F401  # kernels are compiled at once

    seen: dict[CodeType, None] = {}
    aside: FrameType | None = None  # an `add_arguments`

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal aside
        code = frame.f_code
        if aside is not None:
            aside = None if event == "return" and frame is aside else aside
        elif event == "call" and code.co_name == "add_arguments":
            aside = frame
        elif event == "call":
            seen.setdefault(code)
        elif event == "return" and frame.f_code.co_name == last:
            raise Reached

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        with contextlib.suppress(Reached):
            work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    walk: Walk = {}
    for code in seen:
        is_function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
        if code.co_name in IMPORTING or "jit" in Path(code.co_filename).stem:
            continue
        if is_function and code.co_filename.startswith(str(PACKAGES)):
            file = "/".join(Path(code.co_filename).relative_to(PACKAGES).parts[2:])
            walk.setdefault(file, []).append(code.co_qualname)
    return walk


def predict_walk(folder: Path) -> Walk:
    """Follow `pose-train predict RUN IMAGE`."""
    import pose_train.inference.predict  # noqa: F401  # what modules do at import does not count
    from pose_train.__main__ import main

    main(["run", "demo", f"out={folder / 'run'}", *TINY])
    image = next((folder / "run/data/val2017").iterdir())
    return follow(lambda: main(["predict", str(folder / "run"), str(image), "--out", str(folder)]))


def start_walk(folder: Path) -> Walk:
    """Follow `pose-train run demo` to its first loss; pose-data draws the images before."""
    import pose_train.training.loop  # noqa: F401  # what modules do at import does not count
    from pose_train.__main__ import main

    run = ["run", "demo", f"out={folder / 'run'}", *TINY]
    return follow(lambda: main(run), last="keypoint_mse")


def sample_walk(folder: Path) -> Walk:
    """Follow training samples of the demo to their loss, without the network's own layers."""
    import torch
    from torch.utils.data import default_collate

    from pose_train import RECIPES, load_config
    from pose_train.recipes.data import draw_images, load_sets
    from pose_train.training.loop import batch_losses

    config, cpu = load_config("demo", TINY), torch.device("cpu")
    assert config.data.synthetic is not None
    draw_images(config.data.synthetic, folder / "data", config.seed)
    persons = load_sets(config.data, config.eval, folder / "data", "persons").train
    recipe = RECIPES[config.recipe]
    net, codec = recipe.build(config, persons.skeleton.num_keypoints)
    samples = recipe.samples(config, persons, codec, cpu, True)

    def work() -> None:
        batch = default_collate([samples[1, index] for index in range(4)])
        batch_losses(config, net, codec, batch, cpu)

    return without_networks(follow(work))


WALKS = {"predict": predict_walk, "start": start_walk, "sample": sample_walk}


def count_functions(walk: Walk) -> int:
    """Return how many functions a walk enters."""
    return sum(map(len, walk.values()))


def without_networks(walk: Walk) -> Walk:
    """Return a walk without pose-backbones, which builds networks and reads checkpoints."""
    return {file: names for file, names in walk.items() if not file.startswith("pose_backbones")}


def walk_of(name: str) -> Walk:
    """Follow a path of WALKS in a process of its own."""
    command = [sys.executable, __file__, "--path", name]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    walk: Walk = json.loads(ended.stdout.splitlines()[-1])
    return walk


def loaded_by_predictor() -> list[str]:
    """Return the modules of pose_train that importing Predictor loads."""
    code = "import sys; from pose_train import Predictor; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return sorted(name for name in ended.stdout.split() if name.startswith("pose_train"))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--walk", action="store_true", help="list the files of each path")
    parser.add_argument("--path", choices=WALKS, help="follow one path, print JSON")
    args = parser.parse_args()
    if args.path:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            walk = WALKS[args.path](Path(folder))
        print(json.dumps(walk))
        return
    print(f"pose-train: {len(source_files('pose-train'))} files")
    try:
        chain = longest_import_chain("pose-train")
        print(f"longest chain of imports: {len(chain)}: {' '.join(chain)}")
    except ValueError as error:
        print(error)
    for name in WALKS:
        walk = walk_of(name)
        own = without_networks(walk)
        print(
            f"{name}: {len(walk)} files, {count_functions(walk)} functions; without building and "
            f"loading a network {len(own)}, {count_functions(own)}"
        )
        if args.walk:
            print(
                "".join(f"  {file}: {', '.join(names)}\n" for file, names in walk.items()), end=""
            )
    loaded = loaded_by_predictor()
    print(f"importing Predictor loads {len(loaded)} modules: {', '.join(loaded)}")
    for packages in (["pose-train", "pose-backbones", "pose-codecs"], ["pose-data"], ["pose-eval"]):
        print(f"{' + '.join(packages)}: {source_lines(packages):,} lines")


if __name__ == "__main__":
    main()
