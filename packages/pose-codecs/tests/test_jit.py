"""Compiled kernels in forked and spawned processes, and where no cache can be written."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pose_codecs import AssociativeEmbedding, MSRAHeatmap, UDPHeatmap

CODEC = MSRAHeatmap((96, 128), (24, 32), refine="dark")


PEOPLE = AssociativeEmbedding((128, 128), [(32, 32)])


def there_and_back(seed):
    """Encode people drawn by a seed and decode them again, with every kind of codec."""
    rng = np.random.default_rng(seed)
    points, visible = rng.uniform(0, 96, (3, 17, 2)), np.ones((3, 17))
    found = []
    for codec in (CODEC, UDPHeatmap((96, 128), (24, 32))):
        for each in points:
            maps, weights = codec.encode(each, visible[0])
            found += [maps, weights, *codec.decode(maps)]
    maps, joints = PEOPLE.encode(points, visible)
    tags = rng.normal(size=(17, 32, 32, 1)).astype(np.float32)
    return [*found, maps[0], np.asarray(joints[0]), *PEOPLE.decode(maps[0], tags)]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_kernels_work_in_workers(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    expected = there_and_back(1)  # the kernels are in use before the workers start
    with multiprocessing.get_context(method).Pool(2) as pool:
        heatmaps = expected[0]
        for keypoints, scores in pool.map_async(CODEC.decode, [heatmaps] * 4).get(timeout=120):
            assert_same([keypoints, scores], expected[2:4])
        if method == "fork":  # a spawned one would have to import this file
            for found in pool.map_async(there_and_back, [1] * 4).get(timeout=120):
                assert_same(found, expected)


def test_kernels_work_in_threads_and_in_what_they_fork():
    """At once, from the first call on: numba's thread pools would end the process."""
    code = f"""
import multiprocessing, sys
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_jit import assert_same, there_and_back

with ThreadPoolExecutor(4) as pool:
    found = list(pool.map(there_and_back, [1, 2, 3, 4] * 6))
    with multiprocessing.get_context("fork").Pool(2) as forked:
        beside = forked.map_async(there_and_back, [1, 2, 3, 4])
        found += list(pool.map(there_and_back, [1, 2, 3, 4] * 6))
        found += beside.get(timeout=120)
alone = [there_and_back(seed) for seed in (1, 2, 3, 4)]
for place, each in enumerate(found):
    assert_same(each, alone[place % 4])
print(len(found))
"""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    assert run_python(code, PYTHONWARNINGS="ignore::DeprecationWarning") == ["52"]


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


def test_numba_is_loaded_once_a_kernel_is_called_often():
    code = """
import sys, numpy as np
import pose_codecs, pose_codecs.msra
print("torch" in sys.modules)
codec = pose_codecs.MSRAHeatmap((96, 128), (24, 32))
points = np.random.default_rng(0).uniform(-9, 130, (17, 2))
first = codec.encode(points, np.ones(17))
found = codec.decode(first[0])
pose_codecs.MSRAHeatmap((96, 128), (24, 32), refine="dark").decode(first[0])
pose_codecs.UDPHeatmap((96, 128), (24, 32)).decode(first[0])
people = pose_codecs.AssociativeEmbedding((96, 128), [(24, 32)])
people.decode(people.encode(points[None], np.ones((1, 17)))[0][0], np.zeros((17, 32, 24)))
print(hasattr(pose_codecs.msra._paste, "py_func"), "numba" in sys.modules)
for _ in range(100):
    again, found_again = codec.encode(points, np.ones(17)), codec.decode(first[0])
print(hasattr(pose_codecs.msra._paste, "py_func"), "numba" in sys.modules)
pairs = zip((*first, *found), (*again, *found_again))
print(all((a == b).all() and a.dtype == b.dtype for a, b in pairs))
"""
    assert run_python(code) == ["False"] * 3 + ["True"] * 3


def test_numba_is_loaded_for_a_large_problem_and_after_some_time():
    code = """
import sys, time, numpy as np
from pose_codecs import MSRAHeatmap, _jit, assign
assign(np.ones((50, 50)))
print("numba" in sys.modules)
_jit._spent = _jit.SECONDS - 1e-9
heatmaps = np.ones((17, 32, 24))
MSRAHeatmap((96, 128), (24, 32)).decode(heatmaps)
print("numba" in sys.modules)
MSRAHeatmap((96, 128), (24, 32)).decode(heatmaps)
print("numba" in sys.modules)
"""
    assert run_python(code) == ["False", "False", "True"]
    code = """
import sys, numpy as np
from pose_codecs import assign
assign(np.ones((50, 51)))
print("numba" in sys.modules)
"""
    assert run_python(code) == ["True"]


def test_kernels_equal_what_stands_in_for_them(tmp_path):
    results = []
    for kind in ("kernels", "plain"):
        path = tmp_path / f"{kind}.npz"
        subprocess.run(
            [sys.executable, Path(__file__).with_name("all_outputs.py"), path, kind], check=True
        )
        results.append(dict(np.load(path)))
    kernels, plain = results
    assert kernels.keys() == plain.keys()
    assert len(kernels) > 400
    for name, expected in kernels.items():
        assert plain[name].dtype == expected.dtype
        np.testing.assert_array_equal(plain[name], expected, strict=True)


def test_warmup_is_a_command():
    done = subprocess.run([sys.executable, "-m", "pose_codecs", "warmup"], check=False)
    assert done.returncode == 0


def test_kernels_work_without_a_writable_cache(tmp_path):
    """As in a read-only container: numba finds no place for its cache and refuses to cache."""
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    code = """
from numba.core.caching import CacheImpl
CacheImpl._locator_classes = []
import numpy as np
from pose_codecs import MSRAHeatmap, assign
assign([[0.0]])  # loads numba
heatmaps, weights = MSRAHeatmap((96, 128), (24, 32)).encode([[48.0, 64.0]], [1])
print(heatmaps.max(), weights[0])
"""
    assert run_python(code) == ["1.0", "1.0"]


def test_nothing_is_left_to_compile_after_warmup():
    code = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from pose_codecs import AssociativeEmbedding, MSRAHeatmap, UDPHeatmap, warmup

def compiled():
    modules = [m for name, m in sys.modules.items() if name.startswith("pose_codecs.")]
    kernels = {v for m in modules for v in vars(m).values() if isinstance(v, Dispatcher)}
    return sum(len(k.signatures) for k in kernels)

warmup()
before = compiled()
points, visible = np.random.default_rng(0).uniform(0, 60, (3, 17, 2)), np.ones((3, 17))
for codec in (
    MSRAHeatmap((64, 64), (32, 32)),
    MSRAHeatmap((64, 64), (32, 32), refine="dark", unbiased=True),
    UDPHeatmap((64, 64), (32, 32)),
):
    codec.decode(codec.encode(points, visible)[0])
people = AssociativeEmbedding((64, 64), [(32, 32)])
heatmaps, _ = people.encode(points, visible)
people.decode(heatmaps[0], np.zeros((17, 32, 32, 2)))
people.decode(np.minimum(heatmaps[0], 0.5), np.zeros((17, 32, 32, 2)))  # with equal values
print(before > 0, compiled() - before)
"""
    assert run_python(code) == ["True", "0"]
