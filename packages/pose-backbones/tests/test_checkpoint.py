"""Foreign names, other numbers of keypoints, what does not fit; converting."""

import json

import pytest
import torch
from safetensors import safe_open

from pose_backbones import (
    CheckpointError,
    HRNet,
    convert,
    create_model,
    load_checkpoint,
)
from pose_backbones.__main__ import main

SMALL = {"width": 8, "stem_channels": 8, "num_modules": (1, 1, 1), "num_blocks": 1}


def small(num_keypoints=17):
    return create_model("hrnet", num_keypoints=num_keypoints, **SMALL)


def save(folder, state, **more):
    path = folder / "weights.pth"
    torch.save({"state_dict": state, **more} if more else state, path)
    return path


def renamed(model, old, new):
    return {
        name.replace(old, new, 1) if name.startswith(old) else name: tensor
        for name, tensor in model.state_dict().items()
    }


def assert_loaded(model, source):
    expected = source.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "rename", "more"),
    [
        ("pose-backbones", lambda m: m.state_dict(), {}),
        ("mmpose-1.x", lambda m: m.state_dict(), {"meta": {"mmpose_version": "1.3.2"}}),
        ("mmpose-0.x", lambda m: renamed(m, "head.", "keypoint_head."), {"meta": {}}),
        ("mmpose-0.x", lambda m: renamed(m, "head.", "keypoint_head."), {}),
        (
            "official-hrnet",
            lambda m: {n.split(".", 1)[1]: t for n, t in m.state_dict().items()},
            {},
        ),
        (
            "official-hrnet",
            lambda m: {"module." + n.split(".", 1)[1]: t for n, t in m.state_dict().items()},
            {"epoch": 3},
        ),
    ],
)
def test_formats_are_told_by_their_names(tmp_path, kind, rename, more):
    source, model = small(), small()
    report = load_checkpoint(model, save(tmp_path, rename(source), **more))
    assert report.format == kind
    number = len(source.state_dict())
    assert str(report) == f"{kind}: {number} matched, 0 missing, 0 unexpected, 0 misshaped"
    assert repr(report) == f"LoadReport({report})"
    assert_loaded(model, source)


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "model.", "net.", "network.", "_orig_mod.", "1."),
        *("module._orig_mod.", "_orig_mod.module.", "_forward_module.module."),
    ],
)
def test_prefixes_of_wrappers(tmp_path, prefix):
    source = small()
    for names in (source.state_dict(), renamed(source, "head.", "keypoint_head.")):
        model = small()
        state = {prefix + name: tensor for name, tensor in names.items()}
        assert load_checkpoint(model, save(tmp_path, state)).notes == ()
        assert_loaded(model, source)


def test_what_stands_beside_the_weights_is_left_out_and_noted(tmp_path):
    source, model = small(), small()
    lightning = {f"model.{name}": tensor for name, tensor in source.state_dict().items()}
    path = save(tmp_path, {**lightning, "criterion.weight": torch.ones(17)}, global_step=3)
    report = load_checkpoint(model, path)
    assert report.notes == ("left out what is beside the network: 1 (criterion.weight)",)
    assert str(report).endswith("; left out what is beside the network: 1 (criterion.weight)")
    assert_loaded(model, source)

    model, state = small(), dict(source.state_dict())
    state |= {"total_ops": torch.zeros(1), "backbone.bn1.total_params": torch.zeros(1)}
    report = load_checkpoint(model, save(tmp_path, state))
    note = "left out counters: 2 (total_ops, backbone.bn1.total_params)"
    assert report.notes == (note,)
    assert_loaded(model, source)

    model = small()
    averaged = torch.optim.swa_utils.AveragedModel(source).state_dict()
    report = load_checkpoint(model, save(tmp_path, {}, state_dict_ema=averaged))
    assert report.notes == (
        "took the averaged weights in state_dict_ema",
        "left out counters: 1 (n_averaged)",
    )
    assert_loaded(model, source)


def test_the_wrapper_of_libreyolo(tmp_path):
    source, model = small(), small()
    official = {n.split(".", 1)[1]: t for n, t in source.state_dict().items()}
    about = {"schema_version": 1, "model_family": "hrnet", "size": "w32", "task": "pose", "nc": 1}
    names = {"names": {0: "person"}, "imgsz": [256, 192]}
    torch.save({"model": official, **about, **names}, tmp_path / "a.pt")
    report = load_checkpoint(model, tmp_path / "a.pt")
    assert (report.format, report.notes) == ("official-hrnet", ())
    assert report.is_foreign
    assert_loaded(model, source)


def test_files_whose_origin_decides_how_pictures_are_warped(tmp_path):
    source = small()
    assert not load_checkpoint(small(), save(tmp_path, source.state_dict())).is_foreign
    path = save(tmp_path, source.state_dict(), meta={"mmengine_version": "0.10.7"})
    assert load_checkpoint(small(), path).is_foreign
    convert(path, tmp_path / "a.safetensors")  # which now has our names, and is still theirs
    assert load_checkpoint(small(), tmp_path / "a.safetensors").is_foreign
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert load_checkpoint(small(), tmp_path / "b.safetensors").is_foreign


def backbone_files():
    """Yield files to start a fine-tuning from, of one small HRNet: name, content."""
    multi_scale = HRNet(8, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1, multi_scale=True)
    backbone = {f"backbone.{n}": t for n, t in multi_scale.state_dict().items()}
    layer = torch.zeros(4, 4, 1, 1)
    yield "ours", backbone
    yield "mmengine publish", {"meta": {"time": "x"}, "state_dict": backbone}
    yield "mmpose 0.x", {"meta": {"mmpose_version": "0.29.0"}, "state_dict": backbone}
    classifier = {"neck.increase_modules.0.0.conv1.weight": layer, "head.fc.weight": layer}
    yield "mmpretrain", {"meta": {}, "state_dict": {**backbone, **classifier}}
    segmenter = {"decode_head.conv_seg.weight": layer, "auxiliary_head.conv_seg.bias": layer}
    yield "mmseg", {"meta": {}, "state_dict": {**backbone, **segmenter}}
    yield "mmdet", {"state_dict": {**backbone, "rpn_head.rpn_conv.weight": layer}}
    yield "simcc", {"meta": {}, "state_dict": {**backbone, "head.cls_x.weight": layer}}
    yield "bare", {"state_dict": multi_scale.state_dict()}
    yield "ddp", {"state_dict": {f"module.{n}": t for n, t in backbone.items()}}


@pytest.mark.parametrize("reinit_head", [False, True])
def test_a_backbone_starts_a_fine_tuning(tmp_path, reinit_head):
    for name, content in backbone_files():
        model = small(5)
        head = {n: t.clone() for n, t in model.head.state_dict().items()}
        torch.save(content, tmp_path / "a.pth")
        report = load_checkpoint(model, tmp_path / "a.pth", reinit_head=reinit_head)
        assert report.missing == ["head.final_layer.weight", "head.final_layer.bias"], name
        state = content.get("state_dict", content)
        conv1 = next(t for n, t in state.items() if n.endswith("conv1.weight"))  # of the stem
        assert torch.equal(model.backbone.conv1.weight, conv1), name
        assert all(torch.equal(t, head[n]) for n, t in model.head.state_dict().items())


@pytest.mark.parametrize(("file", "model"), [("higherhrnet", "hrnet"), ("hrnet", "higherhrnet")])
def test_another_kind_of_head_needs_reinit_head(tmp_path, file, model):
    source = create_model(file, **SMALL)
    net = create_model(model, num_keypoints=5, **SMALL)
    head = {n: t.clone() for n, t in net.head.state_dict().items()}
    path = save(tmp_path, renamed(source, "head.", "keypoint_head."), meta={})
    with pytest.raises(CheckpointError, match=r"another kind.*keypoint_head\..*model\.reinit"):
        load_checkpoint(net, path)
    report = load_checkpoint(net, path, reinit_head=True)
    assert "left out another head" in report.notes[0]
    assert torch.equal(net.backbone.conv1.weight, source.backbone.conv1.weight)
    assert all(torch.equal(t, head[n]) for n, t in net.head.state_dict().items())


def test_imagenet_files_load_into_the_backbone(tmp_path):
    # Like a classifier's: all four outputs of the last module, and layers behind it.
    source = HRNet(8, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1, multi_scale=True)
    state = source.state_dict()
    state |= {"incre_modules.0.0.conv1.weight": torch.ones(1), "classifier.weight": torch.ones(1)}
    path = save(tmp_path, state)
    model, head = small(), small().head.state_dict()
    model.head.load_state_dict(head)
    report = load_checkpoint(model, path)
    assert report.format == "imagenet-hrnet"
    assert report.missing == ["head.final_layer.weight", "head.final_layer.bias"]
    assert torch.equal(model.backbone.conv1.weight, source.conv1.weight)
    assert torch.equal(model.head.final_layer.weight, head["final_layer.weight"])

    bare = HRNet(8, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1, multi_scale=True)
    assert load_checkpoint(bare, path).missing == []
    assert_loaded(bare, source)
    single = HRNet(8, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1)
    assert load_checkpoint(single, path).unexpected == []


def test_a_pose_file_loads_into_a_bare_backbone(tmp_path):
    source = small()
    bare = HRNet(8, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1)
    load_checkpoint(bare, save(tmp_path, source.state_dict()))
    assert_loaded(bare, source.backbone)


def test_another_number_of_keypoints_needs_reinit_head(tmp_path):
    source, model = small(17), small(5)
    path = save(tmp_path, source.state_dict())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"number of keypoints.*model\.reinit_head=true"):
        load_checkpoint(model, path)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    report = load_checkpoint(model, path, reinit_head=True)
    assert report.misshaped == ["head.final_layer.weight", "head.final_layer.bias"]
    assert torch.equal(model.backbone.conv1.weight, source.backbone.conv1.weight)
    assert torch.equal(model.head.final_layer.weight, before["head.final_layer.weight"])


@pytest.mark.parametrize("name", ["cpm", "hourglass_ae", "higherhrnet_w32", "hourglass52"])
def test_every_layer_that_depends_on_keypoints_is_known(name):
    from pose_backbones.checkpoint import keypoint_layers

    with torch.device("meta"):
        a, b = (create_model(name, num_keypoints=k).state_dict() for k in (17, 5))
        pattern = keypoint_layers(create_model(name))
    differ = [key for key in a if a[key].shape != b[key].shape]
    assert differ
    assert [key for key in differ if not pattern.match(key)] == []


def test_what_does_not_fit_is_an_error_that_names_it(tmp_path):
    wide = create_model("hrnet", **{**SMALL, "width": 16})
    with pytest.raises(CheckpointError, match=r"for another model; shapes: file \d+ \(backbone\."):
        load_checkpoint(small(), save(tmp_path, wide.state_dict()), reinit_head=True)
    state = small().state_dict()
    del state["backbone.conv1.weight"]
    with pytest.raises(CheckpointError, match=r"lacks 1 \(backbone\.conv1\.weight\)"):
        load_checkpoint(small(), save(tmp_path, state))
    state = {**small().state_dict(), "backbone.extra": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"1 \(backbone\.extra\) are unknown"):
        load_checkpoint(small(), save(tmp_path, state))


def test_messages_use_the_names_in_the_file(tmp_path):
    state = {f"module.{n}": t for n, t in renamed(small(), "head.", "keypoint_head.").items()}
    with pytest.raises(CheckpointError, match=r"file 2 \(module\.keypoint_head\.final_layer\.wei"):
        load_checkpoint(small(5), save(tmp_path, state))
    official = {n.split(".", 1)[1]: t for n, t in small().state_dict().items()}
    del official["layer1.0.conv1.weight"]
    with pytest.raises(CheckpointError, match=r"lacks 1 \(layer1\.0\.conv1\.weight\)"):
        load_checkpoint(small(), save(tmp_path, official))
    state = renamed(small(), "head.", "keypoint_head.")
    del state["keypoint_head.final_layer.bias"]
    with pytest.raises(CheckpointError, match=r"lacks 1 \(keypoint_head\.final_layer\.bias\)"):
        load_checkpoint(small(), save(tmp_path, state))


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_no_numbers_are_named(tmp_path, value):
    state = renamed(small(), "head.", "keypoint_head.")
    state["keypoint_head.final_layer.weight"][0] = float(value)
    model = small()
    before = model.head.final_layer.weight.clone()
    with pytest.raises(CheckpointError, match=r"NaN or inf.*1 \(keypoint_head\.final_layer\.w"):
        load_checkpoint(model, save(tmp_path, state))
    assert torch.equal(model.head.final_layer.weight, before)


def test_files_without_batch_counters_load(tmp_path):
    source = small()
    state = {n: t for n, t in source.state_dict().items() if "num_batches" not in n}
    model = small()
    load_checkpoint(model, save(tmp_path, state))
    assert torch.equal(model.backbone.conv1.weight, source.backbone.conv1.weight)


def test_create_model_takes_a_path(tmp_path):
    source = small()
    path = save(tmp_path, source.state_dict())
    assert_loaded(create_model("hrnet", weights=path, **SMALL), source)


def test_convert_writes_a_clean_file(tmp_path, capsys):
    source = create_model("hrnet_w32", num_keypoints=19)
    state = renamed(source, "head.", "keypoint_head.")
    path = save(tmp_path, state, meta={"config": "x"}, optimizer={"lr": 1})
    target = tmp_path / "out.safetensors"
    assert main(["convert", str(path), str(target), "--input-size", "192x256"]) == 0
    assert "model: hrnet_w32" in capsys.readouterr().out
    with safe_open(target, framework="pt") as file:
        metadata = file.metadata()
    assert len(metadata.pop("source_sha256")) == 64
    assert metadata == {
        "format": "pose-backbones",
        "model": "hrnet_w32",
        "num_keypoints": "19",
        "input_size": "192x256",
        "source": "weights.pth",
        "source_format": "mmpose-0.x",
    }
    model = create_model("hrnet_w32", num_keypoints=19, weights=target)
    assert_loaded(model, source)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.safetensors", "weights.pth"]
    assert main(["info", str(target)]) == 0
    assert "hrnet_w32 with 19 keypoints" in capsys.readouterr().out
    assert main(["info", str(target), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["format"], facts["models"]) == ("pose-backbones", ["hrnet_w32 with 19 keypoints"])
    assert facts["tensors"] == len(source.state_dict())
    assert main(["convert", str(path), str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_keypoints"] == "19"


def test_convert_asks_where_shapes_cannot_tell(tmp_path):
    with torch.device("meta"):
        shapes = create_model("hrnet_w32_ae").state_dict()
    state = {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in shapes.items()}
    path = save(tmp_path, state)
    with pytest.raises(CheckpointError, match="could be hrnet_w32, hrnet_w32_ae; name one"):
        convert(path, tmp_path / "out.safetensors")
    metadata = convert(path, tmp_path / "out.safetensors", model="hrnet_w32_ae")
    assert metadata["num_keypoints"] == "17"
    with pytest.raises(CheckpointError, match="is for no such model"):
        convert(path, tmp_path / "out.safetensors", model="cpm")
    backbone = {n: t for n, t in small().state_dict().items() if n.startswith("backbone.")}
    with pytest.raises(CheckpointError, match="has no head; it can start a fine-tuning"):
        convert(save(tmp_path, backbone), tmp_path / "out.safetensors")


def test_narrow_networks_are_named_and_converted(tmp_path, capsys):
    source = small(9)
    path = save(tmp_path, {}, ema_state_dict=source.state_dict(), config="x")
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "model: hrnet with 9 keypoints" in shown
    assert "num_modules=(1, 1, 1)" in shown
    assert "note: took the averaged weights in ema_state_dict" in shown
    metadata = convert(path, tmp_path / "out.safetensors")
    assert metadata["model"] == "hrnet"
    assert "width=8" in metadata["options"]
    model = small(9)
    load_checkpoint(model, tmp_path / "out.safetensors")
    assert_loaded(model, source)


@pytest.mark.parametrize(
    ("name", "to", "rename"),
    [
        ("hrnet", "mmpose-1.x", ("", "")),
        ("hrnet", "mmpose-0.x", ("head.", "keypoint_head.")),
        ("higherhrnet", "mmpose-0.x", ("head.", "keypoint_head.")),
        ("hrnet", "official", None),
        ("higherhrnet", "official", None),
    ],
)
def test_convert_for_other_programs(tmp_path, capsys, name, to, rename):
    source = create_model(name, num_keypoints=5, **SMALL)
    path, target = save(tmp_path, source.state_dict()), tmp_path / "out.pth"
    assert main(["convert", str(path), str(target), "--to", to]) == 0
    content = torch.load(target, weights_only=True)
    state = content if to == "official" else content["state_dict"]
    if rename is None:
        expected = {n.split(".", 1)[1]: t for n, t in source.state_dict().items()}
    else:
        expected = renamed(source, *rename)
        version = content["meta"]["mmpose_version"]
        assert version.startswith(to.removeprefix("mmpose-")[0])
    assert list(state) == list(expected)
    assert all(torch.equal(tensor, expected[key]) for key, tensor in state.items())
    model = create_model(name, num_keypoints=5, **SMALL)
    report = load_checkpoint(model, target)
    assert report.format == (f"official-{name}" if to == "official" else to)
    assert_loaded(model, source)


def test_convert_refuses_what_other_programs_cannot_load(tmp_path, capsys):
    def refused(code, name, target, *words, **options):
        state = create_model(name, **options).state_dict()
        path = save(tmp_path, state)
        assert main(["convert", str(path), str(tmp_path / target), *words]) == code
        assert not (tmp_path / target).exists()
        return capsys.readouterr().err

    narrow = {"num_stages": 2, "feat_channels": 8}
    assert "of HRNet and HigherHRNet" in refused(1, "cpm", "a.pth", "--to", "official", **narrow)
    assert "--to mmpose-0.x" in refused(1, "higherhrnet", "a.pth", "--to", "mmpose-1.x", **SMALL)
    assert "must end in .pth" in refused(2, "hrnet", "a.safetensors", "--to", "mmpose-1.x", **SMALL)
    assert "must end in .safetensors" in refused(2, "hrnet", "a.pth", **SMALL)
    assert "cannot write" in refused(1, "hrnet", "none/a.safetensors", **SMALL)
