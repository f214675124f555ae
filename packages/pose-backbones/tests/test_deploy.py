"""The models with the rest of torch: fuse, export, ONNX, compile, autocast, copies."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from pose_backbones import (
    CPM,
    HeatmapHead,
    Hourglass,
    HourglassAE,
    HRNet,
    MapsHead,
    PoseNet,
    StagesHead,
    create_model,
    fuse,
)
from pose_backbones.fusion import PackedConv, _has_onednn
from pose_backbones.higherhrnet import HigherHead

# torch's own exporters and compiler call deprecated parts of torch.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning"),  # Python 3.13.0
]
SIZE = 64


def small_hrnet():
    return HRNet(8, stem_channels=8, num_modules=(1, 1, 1), num_blocks=1)


def small_hourglass():
    return Hourglass(stage_channels=(16, 16, 24), stage_blocks=(1, 1, 2))


def small_hourglass_ae():
    return HourglassAE(6, num_stacks=2, stage_channels=(16, 24, 24))


def small_cpm():
    return CPM(3, num_stages=2, feat_channels=8)


# One narrow model per family; 64 x 64 fits all of them.
MODELS = {
    "hrnet": lambda: PoseNet(small_hrnet(), HeatmapHead(8, 3)),
    "hourglass": lambda: PoseNet(small_hourglass(), StagesHead(16, 3, num_stages=1)),
    "hourglass_ae": lambda: PoseNet(small_hourglass_ae(), MapsHead(3)),
    "cpm": lambda: PoseNet(small_cpm(), MapsHead(3)),
    "higherhrnet": lambda: PoseNet(small_hrnet(), HigherHead(8, 3, num_tags=3)),
}
# Tracing is slow, and a HigherHRNet has an HRNet in it.
TRACED = [name for name in MODELS if name != "hrnet"]


@pytest.fixture(params=MODELS)
def model(request):
    """Return a model in eval mode with weights and statistics as if trained, not all alike."""
    torch.manual_seed(0)
    model = MODELS[request.param]()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def maps(output):
    return [*output.heatmaps, *output.tags]


def assert_same(ours, theirs, tolerance=1e-4):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert (a.float() - b).abs().max() <= tolerance * b.abs().max()


@torch.no_grad()
def test_fuse_changes_nothing(model, images):
    fused = fuse(model)
    assert [m for m in fused.modules() if isinstance(m, nn.BatchNorm2d)] == []
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert_same(maps(fused(images)), maps(model(images)))


@torch.no_grad()
def test_onednn_takes_maps_of_one_pixel():
    images = torch.rand(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    model = MODELS["hrnet"]().eval().to(memory_format=torch.channels_last)
    assert_same(maps(fuse(model, onednn=True)(images)), maps(model(images)))


@torch.no_grad()
def test_onednn_changes_nothing(model, images):
    """Nor do images of another size than the first, for which weights may lie otherwise."""
    fused = fuse(model, onednn=True)
    packed = [m for m in fused.modules() if isinstance(m, PackedConv)]
    assert bool(packed) == _has_onednn()
    for x in (images, torch.cat([images, images.flip(-1)])):
        assert_same(maps(fused(x)), maps(model(x)))


@torch.no_grad()
def test_channels_last_changes_nothing(model, images):
    expected = maps(model(images))
    model = model.to(memory_format=torch.channels_last)
    assert_same(maps(model(images.to(memory_format=torch.channels_last))), expected)


@pytest.mark.parametrize("name", ["hrnet", "hourglass52", "higherhrnet"])
def test_maps_are_float32_under_autocast(name):
    """Between the neighbours of a maximum, 16 bits make no difference; decoding needs one."""
    options = {} if name == "hourglass52" else {"width": 4, "stem_channels": 8}
    net = create_model(name, **options).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        images = torch.zeros(1, 3, 128, 128)
        output, features = net(images), net.backbone(images)
    assert {maps.dtype for maps in (*output.heatmaps, *output.tags)} == {torch.float32}
    assert features[0].dtype == torch.bfloat16


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_stays_finite(model, images, dtype):
    with torch.autocast("cpu", dtype):
        output = maps(model(images))
    assert all(m.isfinite().all() for m in output)


@pytest.mark.filterwarnings("ignore:You are using .torch.load:FutureWarning")  # of torch 2.4
@torch.no_grad()
def test_copies(model, images):
    expected = maps(model(images))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_same(maps(other(images)), expected, tolerance=0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
    model.load_state_dict(other.state_dict())
    assert_same(maps(model(images)), expected, tolerance=0)


@torch.no_grad()
@pytest.mark.parametrize("model", TRACED, indirect=True)
def test_compile(model, images):
    # The tracer alone: the compiler behind it takes minutes on a small machine.
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert_same(maps(compiled(images)), maps(model(images)))


@torch.no_grad()
@pytest.mark.parametrize("model", TRACED, indirect=True)
def test_export_with_any_batch(model, images):
    batch = {0: torch.export.Dim("batch", max=1 << 16)}
    program = torch.export.export(model, (images,), dynamic_shapes=(batch,))
    one = images[:1].contiguous()
    assert_same(maps(program.module()(one)), maps(model(one)))


@torch.no_grad()
@pytest.mark.parametrize("model", ["cpm", "higherhrnet"], indirect=True)
def test_onnx_with_any_batch(model, images, tmp_path):
    for extra in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(extra, reason=f"{extra} comes with pose-backbones[onnx]")
    if torch.__version__ < "2.10":
        pytest.skip("pose-backbones[onnx] wants a newer torch")
    import onnxruntime

    path = tmp_path / "model.onnx"
    batch = {0: torch.export.Dim("batch", max=1 << 16)}
    torch.onnx.export(model, (images,), path, dynamo=True, dynamic_shapes=(batch,), verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    three = torch.cat([images, images[:1]])
    output = session.run(None, {session.get_inputs()[0].name: three.numpy()})
    assert_same([torch.from_numpy(np.asarray(o)) for o in output], maps(model(three)))


def test_every_parameter_takes_part_in_the_loss(model, images):
    """Hold what lets DDP run without `find_unused_parameters`."""
    sum(m.square().mean() for m in maps(model.train()(images))).backward()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name, p in model.named_parameters() if p.grad is not None} == trained


@pytest.mark.parametrize("name", MODELS)
def test_gradient_checkpointing_changes_nothing(name, images):
    torch.manual_seed(0)
    plain = MODELS[name]()
    frugal = copy.deepcopy(plain)
    frugal.backbone.grad_checkpoint = True
    for model in (plain, frugal):
        sum(m.sum() for m in maps(model(images))).backward()
    gradients = dict(frugal.named_parameters())
    for key, parameter in plain.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[key].grad)
    torch.testing.assert_close(frugal.state_dict(), plain.state_dict())
