"""Who may import whom: the four packages below pose-train are leaves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Besides the standard library and itself. Extras are imported inside functions or in their own
# module, and are listed with the file that may import them.
ALLOWED = {
    "pose_backbones": {"torch", "numpy", "safetensors"},
    "pose_codecs": {"numpy", "numba"},
    "pose_data": {"numpy", "cv2", "pycocotools", "orjson"},
    "pose_eval": {"numpy", "orjson"},
    "pose_train": {
        *("torch", "numpy", "cv2", "yaml", "tqdm"),
        *("pose_backbones", "pose_codecs", "pose_data", "pose_eval"),
    },
}
EXTRAS = {
    "pose_codecs/torch.py": {"torch"},
    "pose_data/formats/yolo.py": {"yaml"},
    "pose_train/files/video.py": {"av"},
    "pose_train/commands/export.py": {"onnx"},
    "pose_train/inference/onnx.py": {"onnxruntime"},
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
        ("pose_eval", {"torch", "cv2", "numba"}),
        ("pose_data", {"torch", "numba"}),
        ("pose_codecs", {"torch", "cv2"}),
        ("pose_backbones", {"cv2", "numba"}),
        ("pose_train.__main__", {"torch"}),
    ],
)
def test_import_stays_light(package: str, heavy: set[str]) -> None:
    code = f"import {package}, sys; print(' '.join(set(sys.modules) & {heavy!r}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert loaded.split() == []
