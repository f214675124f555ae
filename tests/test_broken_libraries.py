"""A library that is missing or broken is one sentence, `doctor` goes on, and the rest works."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What the dynamic loader says in a container without libxcb and libGL.
NO_LIBRARY = "libGL.so.1: cannot open shared object file: No such file or directory"
FAILURES = {
    "cv2": f'raise ImportError("{NO_LIBRARY}")',
    "numba": 'raise ImportError("Numba needs NumPy 2.3 or less. Got NumPy 2.4.")',
    "orjson": "raise SystemExit(3)",
    "pycocotools": 'raise ValueError("numpy.dtype size changed")',
    "torch": 'raise OSError("libcudart.so.13: cannot open shared object file")',
}


def run_broken(
    folder: Path, failures: dict[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a command where these modules raise when they are imported."""
    for name, code in failures.items():
        (folder / "broken" / name).mkdir(parents=True)
        (folder / "broken" / name / "__init__.py").write_text(code)
    paths = [str(folder / "broken"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )


@pytest.fixture
def annotations(tmp_path: Path) -> str:
    points = [10, 12, 2, 20, 15, 2, 30, 18, 1]
    row = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": points, "bbox": [5, 5, 40, 30]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "annotations": [row | {"num_keypoints": 3, "area": 600.0, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cat", "keypoints": ["nose", "left_ear", "right_ear"]}],
    }
    (tmp_path / "good.json").write_text(json.dumps(content))
    return "good.json"


@pytest.mark.parametrize("failures", [FAILURES, {"cv2": FAILURES["cv2"]}])
def test_doctor_survives(tmp_path: Path, failures: dict[str, str]) -> None:
    done = run_broken(tmp_path, failures, "pose_train", "doctor", "--json")
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    facts = json.loads(done.stdout)
    broken = [text for text in facts["problems"] if "cannot be imported" in text]
    names = {"opencv-python" if name == "cv2" else name for name in failures}
    assert {text.partition(" ")[0] for text in broken} >= names
    assert facts["samples_per_second"] is None
    assert facts["versions"]["numpy"]


def test_doctor_as_text(tmp_path: Path) -> None:
    done = run_broken(tmp_path, FAILURES, "pose_train", "doctor")
    problem = f"cannot be imported: ImportError: OpenCV cannot be loaded: {NO_LIBRARY}. "
    assert f"problem: opencv-python {problem}" in done.stdout
    assert "problem: torch cannot be imported: OSError: libcudart.so.13" in done.stdout
    assert "problems found" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("command", ["check", "stats"])
def test_annotations_are_read_without_opencv(
    tmp_path: Path, annotations: str, command: str
) -> None:
    words = [command, annotations, *["."] * (command == "stats")]
    done = run_broken(tmp_path, {"cv2": FAILURES["cv2"]}, "pose_data", *words)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["pose_data", "synth", "drawn", "--train", "1", "--val", "1"],
        ["pose_train", "run", "demo", "out=first"],
    ],
)
def test_pixels_need_opencv(tmp_path: Path, words: list[str]) -> None:
    done = run_broken(tmp_path, {"cv2": FAILURES["cv2"]}, *words)
    assert done.returncode == 1
    sentence = done.stderr.splitlines()[-1]
    command = words[0].replace("_", "-")
    assert sentence.startswith(f"{command}: error: OpenCV cannot be loaded: {NO_LIBRARY}. ")
    assert "apt-get install libgl1 libglib2.0-0" in sentence
    assert "pip uninstall -y opencv-python && pip install opencv-python-headless" in sentence
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [["pose_train", "run", "demo"], ["pose_backbones", "info", "hrnet_w32"]]
)
def test_other_libraries_are_one_sentence(tmp_path: Path, words: list[str]) -> None:
    failure = 'raise ImportError("libcudart.so.13: cannot open shared object file")'
    done = run_broken(tmp_path, {"torch": failure}, *words)
    assert done.returncode == 1
    command = words[0].replace("_", "-")
    assert done.stderr.splitlines()[-1].startswith(f"{command}: error: libcudart.so.13: cannot")
    assert "Traceback" not in done.stderr
