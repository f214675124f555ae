"""What docs/ tells its readers to type works, and what it says of presets and rows is so."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pages
import pytest

from pose_backbones import ZOO
from pose_data import TopDown, load_coco
from pose_train import load_config

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
OTHERS = [*ROOT.glob("*.md"), *ROOT.glob("packages/*/README.md")]


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_what_is_typed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    pages.run_page(text)


@pytest.mark.parametrize(
    "page", [*DOCS, *OTHERS], ids=lambda page: f"{page.parent.name}-{page.stem}"
)
def test_names_and_links(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    pages.check_spans(text)
    pages.check_links(page)
    for block in [*pages.blocks(text, "sh"), *pages.blocks(text, "")]:
        for line in pages.commands(block):
            pages.check_command(line)


@pytest.mark.filterwarnings("default")  # Ray warns of its own options
def test_many_images_with_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the development environment has no Ray")
    monkeypatch.chdir(tmp_path)
    compare = """
names = [sorted(row["file_name"] for row in found) for found in (rows, by_ray)]
assert names[0] == names[1]
ray.shutdown()
"""
    text = text_of("many-images.md") + f"\n```py\n{compare}```\n"
    pages.run_page(text.replace("```py\n", "```python\n"))


def test_the_smallest_annotation_file(tmp_path: Path) -> None:
    content = json.loads(pages.blocks(text_of("your-own-data.md"), "json")[0])
    (tmp_path / "mice.json").write_text(json.dumps(content))
    (tmp_path / content["images"][0]["file_name"]).write_bytes(
        cv2.imencode(".jpg", np.zeros((480, 640, 3), np.uint8))[1].tobytes()
    )
    mice = load_coco(tmp_path / "mice.json", tmp_path)
    assert mice.visible.tolist() == [[2, 2, 0]]
    assert mice.skeleton.flip_pairs == ((1, 2),)
    assert len(TopDown(mice, (192, 256))[0]["image"]) == 256


def test_every_page_is_reached_from_the_readme() -> None:
    pages_reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        for target in re.findall(r"\]\((?!\w+:)([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
            if (there := (page.parent / target).resolve()) not in pages_reached:
                pages_reached.add(there)
                left.append(there)
    assert len(DOCS) >= 6
    assert set(DOCS) <= pages_reached


def rows(page: str, name: str) -> list[list[str]]:
    """Return the table rows of a page that are about one row of the zoo."""
    lines = [line for line in text_of(page).splitlines() if line.startswith(f"| `{name}`")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("name", ZOO)
def test_published_rows(name: str) -> None:
    """The tables repeat what the zoo and the presets say; nobody has to remember that."""
    row, plan = ZOO[name], load_config(name).train
    ap = [f"{row.stats[key]:.3f}" for key in ("AP", "AR")]
    several = row.stats_multi_scale
    last = f"{several['AP']:.3f}" if several else ""
    assert rows("coming-from-mmpose.md", name) == [[f"`{name}`", *ap, last, f"`{row.file}`"]]

    stated = rows("reproduce.md", name)
    expected = [[f"`{name}`", *(f"{v:.3f}" for v in row.stats.values())]]
    if several:
        expected.append([f"`{name}`, multi-scale", *(f"{v:.3f}" for v in several.values())])
    assert stated[:-1] == expected
    assert stated[-1][1:3] == [str(plan.epochs), str(8 * plan.batch_size)]
    samples, hours = (cell.replace(" ", "") for cell in stated[-1][3:])
    if samples.isdigit():
        assert hours == f"{int(samples) * plan.epochs / 3600:.0f}/R"


@pytest.mark.parametrize("name", ZOO)
def test_every_row_is_fetched_tested_and_trained(name: str) -> None:
    blocks = pages.blocks(text_of("reproduce.md"), "sh")
    lines = [line for block in blocks for line in pages.commands(block)]
    for command in (r"zoo fetch .*", r"pose_train test ", r"pose_train run "):
        assert any(re.search(rf"{command}\b{name}\b", line) for line in lines), command
    if ZOO[name].stats_multi_scale:
        assert any(line.endswith(f"test {name} --multi-scale") for line in lines)


def test_a_page_that_is_wrong_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for wrong in (
        "```bash\npose-train configurations\n```\n",
        "```bash\npose-train run nothing\n```\n",
        "```bash\nls\n```\n",
        "```console\n$ pose-train configs\nno such preset\n```\n",
        "```python\nassert False\n```\n",
    ):
        with pytest.raises((AssertionError, SystemExit)):
            pages.run_page(wrong)
    for wrong in (
        "pose-train rum demo",
        "pose-trian run demo",
        "pose-train run demo train.epoch=3",
        "pose-train run people.yaml trian.epochs=3",
        "pose-train test demo --multiscale",
        "pose-eval a.json",
        "pose-data show a.json",
        "torchrun --nproc-per-nodes 8 -m pose_train run demo",
        "torchrun --nproc-per-node 8 -m pose_train run demo train.epochs=many",
    ):
        with pytest.raises(AssertionError):
            pages.check_command(wrong)
    for wrong in ("see `train.lrate`", "`pose-train train my.yaml`"):
        with pytest.raises(AssertionError):
            pages.check_spans(wrong)
    page = tmp_path / "page.md"
    for wrong in ("[a](nothing.md)", "[a](page.md#nothing)", "[a](#nothing)"):
        page.write_text(f"# Title\n{wrong}")
        with pytest.raises(AssertionError):
            pages.check_links(page)
