"""The README: its snippets run, its table is what the code says."""

import json
import re
from pathlib import Path

import pytest

from pose_backbones import ZOO, list_models
from pose_backbones.__main__ import main

README = Path(__file__).parents[1] / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippets_run(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "README.md", "exec"), {})


def test_the_table_is_up_to_date(capsys):
    text = README.read_text()
    assert main(["list", "hrnet_w32", "--format", "md"]) == 0
    assert all(row in text for row in capsys.readouterr().out.splitlines())
    # The figures of the others take long to measure; their names and AP do not.
    for key, weights in ZOO.items():
        ap = weights.stats["AP"]
        assert re.search(rf"^\| `{weights.model}` .* `{key}` \| {ap:.3f} ", text, re.M)
    assert all(f"| `{name}` |" in text for name in list_models())


def test_info_and_bad_usage(capsys):
    assert main(["info", "HRNet-W32"]) == 0
    output = capsys.readouterr().out
    assert "hrnet_w32: top-down, HRNet with width=32\n" in output
    assert "RGB in 0..255, minus mean (123.675, 116.28, 103.53), divided by " in output
    assert "options: num_keypoints=17, in_channels=3, grad_checkpoint=False\n" in output
    assert "7.6 GFLOPs, 28.5 M parameters" in output
    assert main(["info", "cpm_coco_256x192"]) == 0
    output = capsys.readouterr().out
    assert "sha256_prefix: aa4ba095" in output
    assert "stats: AP 0.623, AP50 0.858, AP75 0.706, AR 0.685, AR50 0.902\n" in output
    assert main(["info", "HRNet-W32", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["options"] == {"num_keypoints": 17, "in_channels": 3, "grad_checkpoint": False}
    assert [size["input_size"] for size in facts["sizes"]] == [[192, 256], [288, 384]]
    assert facts["sizes"][0]["parameters"] == 28536113
    assert "hrnet_w32_coco_256x192" in facts["weights"]
    assert main(["info", "cpm_coco_256x192", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["sha256_prefix"], facts["stats"]["AR50"]) == ("aa4ba095", 0.902)
    assert main(["list", "hrnet_w4*", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["hrnet_w48", "hrnet_w48_ae"]
    assert main(["list", "hrnet_w4*"]) == 0
    assert capsys.readouterr().out == "hrnet_w48\nhrnet_w48_ae\n"
    for bad in (
        ["info", "hrnet_w33"],
        ["info", "none.pth"],
        ["convert", "none.pth", "x.pth"],
        ["convert", "none.pth", "x.safetensors", "--input-size", "big"],
    ):
        assert main(bad) == (1 if bad == ["info", "none.pth"] else 2)
        error = capsys.readouterr().err
        assert error.startswith("pose-backbones: error: ")
        assert error.count("\n") == 1
    assert main(["info", "none.pth", "--verbose"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last):\n")
    assert error.splitlines()[-1].startswith("pose-backbones: error: ")
