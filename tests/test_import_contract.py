"""Who may import whom: the four packages below pose-train are leaves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pose_data.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[1]

# Besides the standard library and itself. Extras are imported inside functions or in their own
# module, and are listed with the file that may import them.
ALLOWED = {
    "pose_backbones": {"torch", "numpy", "safetensors"},
    "pose_codecs": {"numpy", "numba"},
    "pose_data": {"numpy", "pycocotools", "orjson"},
    "pose_eval": {"numpy", "orjson"},
    "pose_train": {
        *("torch", "numpy", "yaml", "tqdm"),
        *("pose_backbones", "pose_codecs", "pose_data", "pose_eval"),
    },
}
EXTRAS = {
    "pose_backbones/__main__.py": {"argcomplete"},
    "pose_data/__main__.py": {"argcomplete"},
    "pose_eval/__main__.py": {"argcomplete"},
    "pose_train/__main__.py": {"argcomplete"},
    "pose_backbones/hub.py": {"huggingface_hub"},
    "pose_codecs/torch.py": {"torch"},
    "pose_data/opencv.py": {"cv2"},  # the others take it from there: it says what is missing
    "pose_data/formats/yolo.py": {"yaml"},
    "pose_train/files/video.py": {"av"},
    "pose_train/inference/export.py": {"onnx"},
    "pose_train/inference/detr.py": {"transformers", "huggingface_hub"},
    "pose_train/inference/weights.py": {"huggingface_hub"},
    "pose_train/inference/onnx.py": {"onnxruntime"},
    "pose_train/inference/publish.py": {"huggingface_hub", "safetensors"},
}


def imported_packages(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_only_what_it_may(package: str) -> None:
    source = ROOT / "packages" / package.replace("_", "-") / "src"
    files = sorted(source.rglob("*.py"))
    assert files
    for file in files:
        name = file.relative_to(source).as_posix()
        allowed = ALLOWED[package] | EXTRAS.get(name, set()) | {package}
        foreign = imported_packages(file) - allowed - sys.stdlib_module_names
        assert not foreign, f"{name} imports {', '.join(sorted(foreign))}"


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("pose_eval", {"torch", "cv2", "numba", "numpy"}),
        ("pose_data", {"torch", "numba", "cv2", "numpy"}),
        ("pose_codecs", {"torch", "cv2", "numba", "numpy"}),
        ("pose_backbones", {"cv2", "numba", "torch"}),
        ("pose_train.__main__", {"torch", "numpy"}),
    ],
)
def test_import_stays_light(package: str, heavy: set[str]) -> None:
    code = f"import {package}, sys; print(' '.join(set(sys.modules) & {heavy!r}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert loaded.split() == []


@pytest.mark.parametrize(
    "command",
    [
        "pose_backbones --help",
        "pose_backbones zoo --help",
        "pose_backbones list",
        "pose_codecs --help",
        "pose_codecs warmup --help",
        "pose_data --help",
        *(f"pose_data {command} --help" for command in COMMANDS),
        "pose_eval --help",
        "pose_eval compare --help",
        "pose_train --help",
        "pose_train run --help",
        "pose_train predict --help",
    ],
)
def test_help_waits_for_no_heavy_import(command: str) -> None:
    code = f"""
import runpy, sys
sys.argv = ["", *{command.split()[1:]!r}]
try:
    runpy.run_module({command.split()[0]!r}, run_name="__main__")
except SystemExit as done:
    assert not done.code
print()
print(*({{"torch", "numpy", "numba", "cv2", "yaml", "huggingface_hub"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


# The folders of pose-train, report.py, and which others each may import; commands/ may import all.
# inference/ knows nothing of training, so that who predicts loads no optimizers and process groups;
# only its load.py knows recipes, because a checkpoint names one.
FOLDERS = {
    "config": set[str](),
    "files": {"config"},
    "inference": {"config", "files", "recipes"},
    "recipes": {"config", "inference"},
    "report": {"config", "files", "inference"},
    "training": {"config", "files", "inference", "recipes", "report"},
    "mmpose": {"config"},
}
SOURCE = ROOT / "packages/pose-train/src/pose_train"


def imported_folders(file: Path) -> set[str]:
    modules = [
        node.module.split(".")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module is not None
    ]
    return {parts[1] for parts in modules if parts[0] == "pose_train" and len(parts) > 1} & {
        *FOLDERS,
        "commands",
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_import_only_those_below(folder: str) -> None:
    files = sorted([*(SOURCE / folder).rglob("*.py"), *SOURCE.glob(f"{folder}.py")])
    assert files
    for file in files:
        others = imported_folders(file) - FOLDERS[folder] - {folder}
        assert not others, f"{file.relative_to(SOURCE)} imports {', '.join(sorted(others))}"
        if folder == "inference" and file.name != "load.py":
            assert "recipes" not in imported_folders(file), file.name


def test_predictor_loads_nothing_of_training() -> None:
    """Neither its import nor a network of torch's does."""
    code = (
        "import sys; from pose_train import Predictor; import pose_train.inference.load; "
        "print(*(name for name in sys.modules if name.startswith('pose_train.training')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
