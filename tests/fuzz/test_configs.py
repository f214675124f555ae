"""Configs of ours, as YAML, and of MMPose, as Python that is never run."""

import ast
from pathlib import Path
from random import Random

import pytest
import yaml
from harness import fuzzed
from hypothesis import note
from mutations import damaged, dumps, mutated

from pose_train import load_config
from pose_train.config.load import parse_config, shipped_configs, to_yaml
from pose_train.config.schema import ConfigError
from pose_train.mmpose.convert import config_from_mmpose

PRESETS = [yaml.safe_load(path.read_text()) for path in shipped_configs().values()]
# Two configs of MMPose, 1.x and 0.x, as its documentation has them.
THEIRS = [
    """
sets = dict(type='CocoDataset', data_root='data/coco/', ann_file='annotations/train.json',
            data_prefix=dict(img='train2017/'), pipeline=[dict(type='RandomFlip', prob=0.5),
            dict(type='RandomBBoxTransform', scale_factor=(0.8, 1.2)),
            dict(type='TopdownAffine', input_size=(192, 256))])
codec = dict(type='MSRAHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2)
widths = [16 * 2**0, 32]
model = dict(
    type='TopdownPoseEstimator', data_preprocessor=dict(mean=[123.675, 116.28, 103.53]),
    backbone=dict(type='HourglassNet', num_stacks=1),
    head=dict(type='CPMHead', in_channels=256, out_channels=17, num_stages=1, decoder=codec),
    test_cfg=dict(flip_test=True, shift_heatmap=True))
train_dataloader = dict(batch_size=32, dataset=sets)
test_dataloader = dict(batch_size=32, dataset=dict(sets, ann_file='annotations/val.json'))
optim_wrapper = dict(optimizer=dict(type='Adam', lr=5e-4))
param_scheduler = [dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),
                   dict(type='MultiStepLR', begin=0, end=210, milestones=[170, 200], gamma=0.1)]
train_cfg = dict(max_epochs=210)
custom_imports = dict(imports=['os', 'antigravity'], allow_failed_imports=False)
""",
    """
data_root = 'data/coco'
optimizer = dict(type='Adam', lr=5e-4)
lr_config = dict(policy='step', warmup='linear', warmup_iters=500, step=[170, 200])
total_epochs = 210
data_cfg = dict(image_size=[192, 256], heatmap_size=[24, 32], num_joints=17, num_output_channels=17)
model = dict(
    type='TopDown',
    backbone=dict(type='CPM', in_channels=3, out_channels=17, feat_channels=128, num_stages=6),
    keypoint_head=dict(type='TopdownHeatmapMultiStageHead', in_channels=17, out_channels=17,
                       num_stages=6, num_deconv_layers=0, extra=dict(final_conv_kernel=0)),
    test_cfg=dict(flip_test=True, post_process='default', shift_heatmap=True))
pipeline = [dict(type='TopDownGetRandomScaleRotation', rot_factor=40, scale_factor=0.5),
            dict(type='TopDownGenerateTarget', sigma=2)]
data = dict(samples_per_gpu=64,
            train=dict(type='TopDownCocoDataset', ann_file=f'{data_root}/annotations/a.json',
                       img_prefix=f'{data_root}/train2017/', data_cfg=data_cfg, pipeline=pipeline),
            test=dict(type='TopDownCocoDataset', ann_file=f'{data_root}/annotations/b.json',
                      img_prefix=f'{data_root}/val2017/', data_cfg=data_cfg, pipeline=pipeline))
""",
]
ODD = (
    """
None|True|''|[]|{}|dict()|-1|0|1e308 * 10|10 ** 400|9 ** 9|float('nan')|[None]|'x' * 100000
dict(type='X')|'../../etc/passwd'|__import__('os').mkdir('ran')|[*x]|lambda: 0|f'{1:.3f}'|1j|b'x'
...|(1, 2, 3)|{1: 2}|{None: 1}|'\\ud800'|'\\0'|'\\x1b[2J'|1e16|2 ** 63|[[[]]]|'a.b'|'nan'|not x
_base_.model|model|_base_|open('/etc/passwd').read()|'a\\nb: !!python/object:os.system'
""".strip()
    .replace("\n", "|")
    .split("|")
)


def changed(text: str, rng: Random) -> str:
    """Return Python with some expressions put into the places of others."""
    tree = ast.parse(text)
    for _ in range(rng.randint(1, 3)):
        places = [
            (parent, name, index)
            for parent in ast.walk(tree)
            for name, value in ast.iter_fields(parent)
            for index, item in enumerate(value if isinstance(value, list) else [value])
            if isinstance(item, ast.expr) and getattr(item, "ctx", None) is None
        ]
        parent, name, index = rng.choice(places)
        value = getattr(parent, name)
        new = ast.parse(rng.choice(ODD), mode="eval").body
        if isinstance(value, list) and isinstance(parent, ast.List) and rng.randrange(4) == 0:
            del value[index]
        elif isinstance(value, list):
            value[index] = new
        else:
            setattr(parent, name, new)
    try:
        return ast.unparse(tree)
    except ValueError:  # an f-string of something that is none
        return text


def test_the_configs_can_be_read(tmp_path: Path) -> None:
    for text in THEIRS:
        (tmp_path / "theirs.py").write_text(text)
        parse_config(config_from_mmpose(tmp_path / "theirs.py"), "mine")


@fuzzed(150)
def test_ours(tmp_path: Path, rng: Random) -> None:
    text = dumps(mutated(rng.choice(PRESETS), rng))  # JSON is YAML
    if rng.randrange(4) == 0:
        text = damaged(text.encode("utf-8", "replace"), rng).decode("utf-8", "replace")
    note(text)
    file = tmp_path / "my.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        config = load_config(file)
    except ConfigError:
        return
    assert parse_config(to_yaml(config), "again") == config


@fuzzed(150)
def test_those_of_mmpose(tmp_path: Path, rng: Random, monkeypatch: pytest.MonkeyPatch) -> None:
    text = rng.choice(THEIRS)
    if rng.randrange(4):
        text = changed(text, rng)
    else:
        text = damaged(text.encode(), rng).decode("utf-8", "replace")
    note(text)
    file = tmp_path / "theirs.py"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    monkeypatch.chdir(tmp_path)
    try:
        made = config_from_mmpose(file)
    except ConfigError:
        made = None
    assert not (tmp_path / "ran").exists()
    if made is not None:
        (tmp_path / "mine.yaml").write_text(made, encoding="utf-8")
        load_config(tmp_path / "mine.yaml")
