"""`pose-train init --from-mmpose`: MMPose's configs and checkpoints in, configs of ours out.

The configs are written here, in the form that MMPose documents and with the values it published.
"""

import contextlib
import dataclasses
import re
from pathlib import Path
from string import Template
from typing import Any

import pytest
import torch

from pose_backbones import create_model
from pose_train import load_config
from pose_train.__main__ import main
from pose_train.config.schema import Config, ConfigError
from pose_train.mmpose.convert import config_from_mmpose

DETECTIONS = "person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
AIC_TO_COCO = [6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15]  # keypoint i of AIC is that of COCO
RUNTIME = "default_scope = 'mmpose'\ntrain_cfg = dict(by_epoch=True)\nload_from = None\n"


def hrnet(width: int) -> str:
    """Return the backbone of HRNet as both versions write it."""
    stages = [
        "stage1=dict(num_modules=1, block='BOTTLENECK', num_blocks=(4, ), num_channels=(64, ))"
    ]
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        channels = tuple(width * 2**i for i in range(stage))
        stages.append(
            f"stage{stage}=dict(num_modules={modules}, num_branches={stage}, block='BASIC', "
            f"num_blocks={(4,) * stage}, num_channels={channels})"
        )
    return f"dict(type='HRNet', in_channels=3, extra=dict({', '.join(stages)}))"


BACKBONES = {
    "hourglass": "dict(type='HourglassNet', num_stacks=1)",
    "cpm": "dict(type='CPM', in_channels=3, out_channels=17, feat_channels=128, num_stages=6)",
    "hrnet": hrnet(32),
}
HEADS_1X = {
    "hourglass": "type='CPMHead', in_channels=256, out_channels=17, num_stages=1,",
    "cpm": "type='CPMHead', in_channels=17, out_channels=17, num_stages=6, final_layer=None,",
    "hrnet": "type='HeatmapHead', in_channels=32, out_channels=17,",
}
# Row -> network, input size, heatmap size, sigma, batch.
TOPDOWN = {
    "hourglass52_coco_256x256": ("hourglass", (256, 256), (64, 64), 2, 32),
    "hourglass52_coco_384x384": ("hourglass", (384, 384), (96, 96), 3, 32),
    "cpm_coco_256x192": ("cpm", (192, 256), (24, 32), 2, 64),
    "cpm_coco_384x288": ("cpm", (288, 384), (36, 48), 3, 32),
    "hrnet_w32_coco_aic_merge_256x192": ("hrnet", (192, 256), (48, 64), 2, 64),
    "hrnet_w32_coco_aic_combine_256x192": ("hrnet", (192, 256), (48, 64), 2, 64),
}
# Row -> width, side of the input, batch.
BOTTOMUP = {
    "higherhrnet_w32_coco_512x512": (32, 512, 24),
    "higherhrnet_w32_coco_640x640": (32, 640, 16),
    "higherhrnet_w48_coco_512x512": (48, 512, 16),
}


TEXTS = Path(__file__).parent / "mmpose"


def write_out(name: str, **values: object) -> str:
    return Template((TEXTS / name).read_text(encoding="utf-8")).substitute(
        detections=DETECTIONS, **values
    )


def topdown_1x(row: str) -> str:
    network, size, maps, sigma, batch = TOPDOWN[row]
    parts = {"backbone": BACKBONES[network], "head": HEADS_1X[network], "aic": with_aic(row)}
    return write_out("topdown_1x.txt", size=size, maps=maps, sigma=sigma, batch=batch, **parts)


def with_aic(row: str) -> str:
    if "aic" not in row:
        return ""
    count = 19 if "combine" in row else 17
    mapping = list(enumerate(AIC_TO_COCO + ([17, 18] if count == 19 else [])))
    own = (
        f"[dict(type='KeypointConverter', num_keypoints=19, mapping={[(i, i) for i in range(17)]})]"
    )
    return f"""
dataset_aic = dict(
    type='AicDataset', data_root='data/aic/', data_mode='topdown',
    ann_file='keypoint_train_annotations_20170909.json',
    data_prefix=dict(img='keypoint_train_images_20170902/'),
    pipeline=[dict(type='KeypointConverter', num_keypoints={count}, mapping={mapping})])
train_set = dict(
    type='CombinedDataset', metainfo=dict(from_file='configs/_base_/datasets/coco_aic.py'),
    datasets=[dict(train_set, pipeline={own if count == 19 else []}), dataset_aic],
    pipeline=train_pipeline, test_mode=False)
"""


def topdown_0x(row: str) -> str:
    network, size, maps, sigma, batch = TOPDOWN[row]
    parts = {"backbone": BACKBONES[network], "stages": 6 if network == "cpm" else 1}
    sizes = {"size": list(size), "maps": list(maps)}
    return write_out("topdown_0x.txt", sigma=sigma, batch=batch, **sizes, **parts)


def bottomup_0x(row: str) -> str:
    width, side, batch = BOTTOMUP[row]
    sizes = {"side": side, "half": side // 2, "quarter": side // 4}
    parts = {"width": width, "backbone": hrnet(width)}
    return write_out("bottomup_0x.txt", batch=batch, **sizes, **parts)


def convert(folder: Path, text: str) -> tuple[Config, list[str]]:
    """Return the config that comes out of a text, and the notes above it."""
    info = "dataset_info = dict(dataset_name='coco', keypoint_info={0: dict(name='nose', id=0)})\n"
    (folder / "default_runtime.py").write_text(RUNTIME + info)
    (folder / "theirs.py").write_text(text)
    made = config_from_mmpose(folder / "theirs.py")
    (folder / "mine.yaml").write_text(made)
    head = [
        line.removeprefix("# ").removeprefix("  ")
        for line in made.split("\nrecipe:")[0].splitlines()
    ]
    notes = "\n".join(head[5:]).removeprefix("- ").replace("\n- ", "\0").replace("\n", " ")
    assert all(len(line) <= 100 for line in made.splitlines()[3:])
    return load_config(folder / "mine.yaml"), notes.split("\0") if notes else []


def plain(config: Config) -> dict[str, Any]:
    """Return a config without what says where it is from."""
    return dataclasses.asdict(dataclasses.replace(config, out="", preset=None))


@pytest.mark.parametrize(
    ("row", "text"),
    [
        *[pytest.param(row, topdown_1x(row), id=f"{row}-1.x") for row in TOPDOWN],
        *[pytest.param(r, topdown_0x(r), id=f"{r}-0.x") for r in TOPDOWN if "aic" not in r],
        *[pytest.param(row, bottomup_0x(row), id=f"{row}-0.x") for row in BOTTOMUP],
    ],
)  # fmt: skip
def test_rows_of_the_zoo(row: str, text: str, tmp_path: Path) -> None:
    config, notes = convert(tmp_path, text)
    preset = load_config(row)
    # MMPose scales the rate only if it is asked to.
    train = dataclasses.replace(preset.train, base_batch_size=None)
    assert plain(config) == plain(dataclasses.replace(preset, train=train))
    expected = {"auto_scale_lr.base_batch_size = 512"} if "train_dataloader" in text else set()
    expected |= {"training started from https:"} if row in BOTTOMUP else set()
    assert {note.partition(" has an effect")[0].partition("//")[0] for note in notes} == expected


HRNET_1X, CPM_0X = topdown_1x("hrnet_w32_coco_aic_merge_256x192"), topdown_0x("cpm_coco_256x192")
HIGHER = bottomup_0x("higherhrnet_w32_coco_512x512")


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "old", "new", "key", "value"),
    [
        (HRNET_1X, "sigma=2", "sigma=3, unbiased=True", "codec.refine", "dark"),
        (HRNET_1X, "sigma=2", "sigma=3, unbiased=True, blur_kernel_size=17", "codec.blur_size", 17),
        (HRNET_1X, "'MSRAHeatmap'", "'UDPHeatmap'", "codec.udp", True),
        (CPM_0X, "'default'", "'unbiased'", "codec.refine", "dark"),
        (CPM_0X, "sigma=2", "sigma=2, unbiased_encoding=True", "codec.unbiased", True),
        (CPM_0X, "modulate_kernel=11", "use_udp=True", "codec.udp", True),
        (HRNET_1X, "    dict(type='RandomHalfBody'),\n", "", "train.augment.half_body_prob", 0.0),
        (HRNET_1X, "'RandomFlip'", "'RandomFlip', prob=0.25", "train.augment.flip_prob", 0.25),
        (HRNET_1X, "'RandomBBoxTransform'", "'RandomBBoxTransform', scale_factor=(0.8, 1.2)",
         "train.augment.scale", 0.2),
        (CPM_0X, "rot_factor=40", "rot_factor=15, rot_prob=0.1", "train.augment.rotate", 30),
        (CPM_0X, "num_joints_half_body=8", "num_joints_half_body=5",
         "train.augment.half_body_min_keypoints", 6),
        (CPM_0X, "    dict(type='TopDownGetBboxCenterScale', padding=1.25),\n"
         "    dict(type='TopDownRandomShiftBboxCenter', shift_factor=0.16, prob=0.3),\n", "",
         "train.augment.shift_prob", 0.3),
        (HRNET_1X, "'Adam'", "'AdamW'", "train.weight_decay", 0.01),
        (HRNET_1X, "'Adam'", "'SGD', momentum=0.8", "train.momentum", 0.8),
        (HRNET_1X, "type='MultiStepLR', begin=0", "type='CosineAnnealingLR', T_max=210",
         "train.schedule", "cosine"),
        (HRNET_1X, "lr=5e-4)", "lr=5e-4), clip_grad=dict(max_norm=35)", "train.clip_grad", 35),
        (HRNET_1X, "lr=5e-4)", "lr=5e-4), type='AmpOptimWrapper'", "train.amp", "fp16"),
        (CPM_0X, "total_epochs", "fp16 = dict(loss_scale=512.)\ntotal_epochs", "train.amp", "fp16"),
        (CPM_0X, "warmup='linear'", "warmup=None", "train.warmup_steps", 0),
        (HRNET_1X, "auto_scale_lr", "custom_hooks = [dict(type='EMAHook', momentum=0.01)]\na",
         "train.ema", 0.99),
        (HRNET_1X, "auto_scale_lr", "randomness = dict(seed=5)\na", "seed", 5),
        (HRNET_1X, "'HRNet'", "'HRNet', norm_cfg=dict(type='SyncBN'), with_cp=True",
         "train.sync_bn", True),
        (HRNET_1X, "'HRNet'", "'HRNet', with_cp=True", "model.options", {"grad_checkpoint": True}),
        (HRNET_1X, "bbox_file=", "bbox=", "eval.boxes", "gt"),
        (CPM_0X, "use_gt_bbox=False", "use_gt_bbox=True", "eval.boxes", "gt"),
        (CPM_0X, "det_bbox_thr=0.0", "det_bbox_thr=0.4", "data.detections.score_threshold", 0.4),
        (HRNET_1X, "'CocoMetric'", "'CocoMetric', nms_mode='soft_oks_nms'", "eval.nms", "soft"),
        (CPM_0X, "soft_nms=False", "soft_nms=True", "eval.nms", "soft"),
        (CPM_0X, "oks_thr=0.9", "oks_thr=0.8", "eval.nms_threshold", 0.8),
        (HRNET_1X, "flip_test=True, ", "", "eval.flip_test", False),
        (CPM_0X, "flip_test=True, ", "", "eval.flip_test", True),
        (HRNET_1X, "'data/coco/", "'/d/coco/", "data.root", "/d/coco"),
        (HRNET_1X, "    datasets=", "    sample_ratio_factor=[1.0, 0.5], datasets=",
         "data.extra.aic.ratio", 0.5),
        (CPM_0X, "data_root = 'data/coco'", "data_root = 'work/x'", "data.root", "work/x"),
        (CPM_0X, "{data_root}/val2017", "elsewhere/val", "data.root", "."),
        (CPM_0X, "feat_channels=128", "feat_channels=64", "model.options",
         {"feat_channels": 64, "stem_channels": 128}),
        (HRNET_1X, "num_modules=4", "num_modules=2", "model.options",
         {"num_modules": [1, 2, 3], "width": 32}),
        (HIGHER, "num_deconv_filters=[32]", "num_deconv_filters=[48]", "model.options",
         {"deconv_channels": 48, "width": 32}),
        (HIGHER, "scale_type='short'", "scale_type='long'", "train.scene.side", "long"),
        (HIGHER, "test_scale_factor=[1]", "test_scale_factor=[0.5, 1, 2]", "eval.multi_scale",
         (0.5, 1, 2)),
        (HIGHER, "    dict(type='BottomUpRandomFlip', flip_prob=0.5), ", "    ",
         "train.scene.flip_prob", 0.0),
        (HIGHER, "tag_threshold=1,", "tag_threshold=2,", "grouping.tag_threshold", 2),
        (HIGHER, "pull_loss_factor=[0.001,", "pull_loss_factor=[0.01,", "loss.pull", 0.01),
    ],
)  # fmt: skip
def test_values(text: str, old: str, new: str, key: str, value: Any, tmp_path: Path) -> None:
    found: Any = convert(tmp_path, changed(text, old, new))[0]
    for name in key.split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    assert found == (str(tmp_path) if value == "." else value)


@pytest.mark.parametrize(
    ("text", "old", "new", "note"),
    [
        (HRNET_1X, "bgr_to_rgb=True", "bgr_to_rgb=False",
         "model.data_preprocessor.bgr_to_rgb = False; here always True: RESULTS WILL DIFFER"),
        (HRNET_1X, "mean=[123.675, 116.28, 103.53],", "", "model.data_preprocessor.mean is not "
         "given; here ImageNet's: RESULTS WILL DIFFER"),
        (CPM_0X, "std=[0.229, 0.224, 0.225]", "std=[1, 1, 1]",
         "data.train.pipeline.8.std (and 1 more) = [1, 1, 1]; here always [58.395, 57.12, 57.375]: "
         "RESULTS WILL DIFFER"),
        (HRNET_1X, "shift_heatmap=True", "shift_heatmap=False",
         "model.test_cfg.shift_heatmap = False; here True"),
        (HRNET_1X, "dict(type='PackPoseInputs')", "dict(type='PhotometricDistortion')",
         "test_dataloader.dataset.pipeline.3 (and 1 more) = PhotometricDistortion()"),
        (HRNET_1X, "gamma=0.1", "gamma=0.5", "param_scheduler.1.gamma = 0.5; here always 0.1"),
        (HRNET_1X, "type='MultiStepLR', begin=0, end=210, milestones=[170, 200], gamma=0.1",
         "type='PolyLR', power=0.9", "param_scheduler.1 = PolyLR(...)"),
        (HRNET_1X, "'Adam'", "'Lion'", "optim_wrapper.optimizer = Lion; here Adam, AdamW, SGD"),
        (HRNET_1X, "lr=5e-4)", "lr=compute())",
         "theirs.py line 3, `optim_wrapper = dict(optimizer=dict(type='Adam'...`: "
         "a call other than dict(...)"),
        (HRNET_1X, "lr=5e-4)", "lr=compute())",
         "train.lr is not given; here 0.0005"),
        (HRNET_1X, "_base_ = ", "custom_imports = dict(imports=['mine'])\n_base_ = ",
         "custom_imports = {'imports': ['mine']}"),
        (HRNET_1X, "(0, 6), ", "", "train_dataloader.dataset.datasets.1: keypoints are matched by "
         "name here; see data.same"),
        (HRNET_1X, "type='CocoMetric'", "type='CocoMetric', score_mode='bbox'",
         "test_evaluator.score_mode = 'bbox'; here always 'bbox_keypoint': RESULTS WILL DIFFER"),
        (HIGHER, "align_corners=False", "align_corners=True",
         "model.test_cfg.align_corners = True; here always False: RESULTS WILL DIFFER"),
        (HIGHER, "max_num_people=30)", "max_num_people=10)",
         "data.train.pipeline.5.max_num_people = 10; here 30"),
        (CPM_0X, "'TopDownCocoDataset'", "'TopDownMpiiDataset'",
         "data.train = TopDownMpiiDataset(...); here its annotations must be in COCO's form"),
    ],
)  # fmt: skip
def test_notes(text: str, old: str, new: str, note: str, tmp_path: Path) -> None:
    assert note in convert(tmp_path, changed(text, old, new))[1]


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (HRNET_1X, "type='HRNet'", "type='ResNet', depth=50", r"ResNet \+ HeatmapHead is none of"),
        (HRNET_1X, "type='HeatmapHead'", "type='RTMCCHead'", r"HRNet \+ RTMCCHead is none of"),
        (HRNET_1X, "    head=", "    neck=dict(type='FPN'), head=", r"HRNet \+ FPN \+ HeatmapHead"),
        (HRNET_1X, " deconv_out_channels=None,", "",
         r"model\.head\.deconv_out_channels of HeatmapHead is \[256, 256, 256\]; heads here have"),
        (CPM_0X, "num_deconv_layers=0, ", "", r"keypoint_head\.num_deconv_layers of .* is 3;"),
        (HRNET_1X, "stage4=", "stage5=", r"model\.backbone\.extra must have stage1 to stage4"),
        (HRNET_1X, "'MSRAHeatmap'", "'MegviiHeatmap', kernel_size=3", "the codec is MegviiHeatmap"),
        (HRNET_1X, "'MSRAHeatmap'", "'UDPHeatmap', heatmap_type='combined'", "with combined maps"),
        (CPM_0X, "sigma=2", "kernel=11, encoding='Megvii'", "heatmaps are Megvii GaussianHeatmap"),
        (CPM_0X, "sigma=2", "target_type='CombinedTarget'", "heatmaps are MSRA CombinedTarget"),
        (HRNET_1X, "input_size=(192, 256), ", "", r"model\.head\.decoder\.input_size is missing"),
        (HRNET_1X, "lr=5e-4", "lr=-1",
         r"the converted config is not valid: train\.lr must be above 0"),
        (HRNET_1X, "max_epochs=210", "max_epochs=[[]]", r"train_cfg\.max_epochs is \[\], where"),
        (HRNET_1X, "model = ", "net = ", r"no model\.backbone with a model\.head"),
    ],
)  # fmt: skip
def test_refusals(text: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        convert(tmp_path, changed(text, old, new))
    assert len(str(caught.value).splitlines()) == 1
    assert str(tmp_path / "theirs.py") in str(caught.value)


@pytest.mark.parametrize("text", [HRNET_1X, CPM_0X, HIGHER], ids=["1.x", "0.x", "bottom-up"])
@pytest.mark.parametrize("value", ["None", "[[]]", "'x'"])
def test_wrong_values_are_errors_of_ours(text: str, value: str, tmp_path: Path) -> None:
    convert(tmp_path, text)  # leaves the base
    number = r"(?<=[=,\[( ])[\d.]+(?=[,)\]])"
    wrong = [
        re.sub(rf"(?<=[=,\[( ]){re.escape(each)}(?=[,)\]])", value, text)
        for each in set(re.findall(number, text))
    ]
    wrong += [
        text.replace(f"{part}=dict", f"{part}={value}, {part}_=dict")
        for part in set(re.findall(r"\w+(?==dict)", text))
    ]
    wrong.append(
        text.replace("'RandomBBoxTransform'", f"'RandomBBoxTransform', scale_factor=({value}, 1)")
    )
    for each in wrong:
        (tmp_path / "theirs.py").write_text(each)
        with contextlib.suppress(ConfigError):
            config_from_mmpose(tmp_path / "theirs.py")


def test_comments_stay_comments(tmp_path: Path) -> None:
    text = changed(HRNET_1X, "optim_wrapper", "load_from = '''a\\nb\\u2028c\\x00'''\noptim_wrapper")
    config, notes = convert(tmp_path, text.replace("'RandomFlip'", "'x\\ntrain:\\n  epochs: 5'"))
    assert config.train.epochs == 210
    assert any(note.startswith("training started from a") for note in notes)


@pytest.mark.parametrize(
    ("text", "old"),
    [
        (HRNET_1X, "in_channels=3, extra"),
        (CPM_0X, "in_channels=3, out"),
        (HIGHER, "in_channels=3, extra"),
    ],
    ids=["1.x", "0.x", "bottom-up"],
)
def test_one_channel(text: str, old: str, tmp_path: Path) -> None:
    """Its statistics are others than ours, which is said; that images are grey is not."""
    text = changed(text, old, old.replace("3", "1"))
    for three, one in (("123.675, 116.28, 103.53", "127.5"), ("0.485, 0.456, 0.406", "0.5")):
        text = text.replace(three, one)
    for kind in ("LoadImage", "LoadImageFromFile"):
        text = text.replace(f"type='{kind}'", f"type='{kind}', color_type='grayscale'")
    config, notes = convert(tmp_path, text)
    assert config.model.channels == 1
    (mean,) = [note for note in notes if ".mean" in note]
    assert mean.endswith("here always [117.0376]: RESULTS WILL DIFFER")
    assert not [note for note in notes if "color_type" in note or "in_channels" in note]
    with pytest.raises(ConfigError, match=r"in_channels must be 3 \(RGB\) or 1 \(grey\), got 4"):
        convert(tmp_path, text.replace(old.replace("3", "1"), old.replace("3", "4")))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of a narrow HRNet whose config names a class of the user's."""
    net = create_model("hrnet", width=8, num_modules=[1, 1, 1], num_blocks=1)
    text = topdown_1x("cpm_coco_256x192").replace("./default_runtime.py", "x.py")
    text = text.replace("type='CPM'", "type='mine.NarrowNet'").replace("(24, 32)", "(48, 64)")
    meta = {"mmpose_version": "1.3.2", "cfg": text}
    file = tmp_path_factory.mktemp("checkpoint") / "narrow.pth"
    torch.save({"meta": meta, "state_dict": net.state_dict()}, file)
    return file


def test_the_network_of_a_checkpoint_is_that_of_its_tensors(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(tmp_path / "coco")
    assert main(["init", "--from-mmpose", str(checkpoint), "--data-root", root]) == 0
    text = capsys.readouterr().out
    assert f"# pose-train test my.yaml --weights {checkpoint}\n" in text
    (tmp_path / "mine.yaml").write_text(text)
    config = load_config(tmp_path / "mine.yaml")
    assert config.model.name == "hrnet"
    assert config.model.options == {"width": 8, "num_modules": [1, 1, 1], "num_blocks": 1}
    assert (config.model.input_size, config.model.heatmap_size) == ((192, 256), (48, 64))
    assert config.data.root == root
    assert config.data.detections.file == DETECTIONS


def test_a_checkpoint_without_config_or_of_another_network(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    state = {"backbone.conv1.weight": torch.zeros(3), "head.x": torch.zeros(3)}
    torch.save({"meta": {"mmpose_version": "1.3.2"}, "state_dict": state}, file)
    with pytest.raises(ConfigError, match=r"x\.pth has no config in it .* give the \.py"):
        config_from_mmpose(file)
    for text, message in (
        (HRNET_1X.replace("'HRNet'", "'ResNet'"), r"ResNet \+ HeatmapHead is none of"),
        (HRNET_1X, "its tensors are not those of the network"),
    ):
        meta = {"mmpose_version": "1.3.2", "cfg": text}
        torch.save({"meta": meta, "state_dict": state}, file)
        with pytest.raises(ConfigError, match=message):
            config_from_mmpose(file)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["init"], "give either ANNOTATIONS, "),
        (["init", "a.json", "--from-mmpose", "b.py"], "or --from-mmpose FILE"),
        (["init", "--from-mmpose", "b.py", "--model", "cpm"], "--model is for ANNOTATIONS"),
        (["init", "--from-mmpose", "b.py", "--val-images", "x"], "--val-images is for ANNOTATIONS"),
        (["init", "a.json", "--data-root", "x"], "--data-root is for --from-mmpose"),
        (["init", "--from-mmpose", "b.py"], "b.py cannot be read: No such file"),
    ],
)
def test_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(words)
    except SystemExit as error:
        code = int(error.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err
