"""HRNet: deep high-resolution representation learning (Sun et al., CVPR 2019).

A stem at 1/4, then three stages that each add a branch of half the resolution and twice the
channels; the branches exchange their features at the end of every module.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from pose_backbones.blocks import (
    BasicBlock,
    Bottleneck,
    Networks,
    Shapes,
    are_sizes,
    check_buildable,
    check_multiple,
    check_sizes,
    conv_bn,
    count,
    recompute,
)
from pose_backbones.net import Feature

Block = type[BasicBlock] | type[Bottleneck]
BLOCKS: dict[str, Block] = {"basic": BasicBlock, "bottleneck": Bottleneck}
BLOCK_TYPES = ("bottleneck", "basic", "basic", "basic")
BRANCHES = (2, 3, 4)  # of stages 2, 3 and 4


class HRNet(nn.Module):
    """Compute features at 1/4 (and at 1/8, 1/16, 1/32 if `multi_scale`).

    `(B, in_channels, H, W) -> [(B, width, H / 4, W / 4), ...]`; H and W are multiples of 32, else
    ValueError. Branches have `width` times 1, 2, 4, 8 channels, or `channels`: a row for each of
    the stages with 2, 3 and 4 branches. `num_modules` counts the exchange modules of these stages,
    `num_blocks` the residual blocks of a branch: one number, one per stage, or a row per stage.
    Stage 1 is a chain of `stage1_blocks`, `stage1_channels` wide (None: as the stem). `block_types`
    says "basic" or "bottleneck" for each of the four stages; a bottleneck returns four times its
    channels. `grad_checkpoint` recomputes modules in the backward pass to save memory.
    """

    def __init__(
        self,
        width: int = 32,
        *,
        in_channels: int = 3,
        channels: Sequence[Sequence[int]] | None = None,
        stem_channels: int = 64,
        stage1_channels: int | None = None,
        stage1_blocks: int = 4,
        num_modules: Sequence[int] = (1, 4, 3),
        num_blocks: int | Sequence[int | Sequence[int]] = 4,
        block_types: Sequence[str] = BLOCK_TYPES,
        multi_scale: bool = False,
        grad_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        inner = stem_channels if stage1_channels is None else stage1_channels
        check_sizes("HRNet", in_channels=in_channels, width=width, stem_channels=stem_channels)
        check_sizes("HRNet", stage1_channels=inner, stage1_blocks=stage1_blocks)
        rows = _doubling(width) if channels is None else channels
        lengths = _per_branch(num_blocks)
        _check_rows("channels", rows, channels)
        _check_rows("num_blocks", lengths, num_blocks)
        if not are_sizes(num_modules, 3):
            raise ValueError(f"HRNet takes three num_modules, none below 1; got {num_modules!r}")
        first, *blocks = _blocks(block_types)
        self.grad_checkpoint = grad_checkpoint
        # Channels of the branches as the modules return them.
        two, three, four = (
            [block.expansion * n for n in row] for block, row in zip(blocks, rows, strict=True)
        )
        outputs = 4 if multi_scale else 1
        self.feature_info = [Feature(four[i], 4 * 2**i) for i in range(outputs)]

        self.conv1, self.bn1 = conv_bn(in_channels, stem_channels, 3, stride=2)
        self.conv2, self.bn2 = conv_bn(stem_channels, stem_channels, 3, stride=2)
        one = first.expansion * inner
        self.layer1 = _chain(first, stem_channels, one, stage1_blocks)
        self.transition1 = _transition([one], two)
        self.stage2 = _stage(blocks[0], two, num_modules[0], lengths[0], 2)
        self.transition2 = _transition(two, three)
        self.stage3 = _stage(blocks[1], three, num_modules[1], lengths[1], 3)
        self.transition3 = _transition(three, four)
        self.stage4 = _stage(blocks[2], four, num_modules[2], lengths[2], outputs)

    if TYPE_CHECKING:  # what nn.Module's own returns is Any

        def __call__(self, images: Tensor) -> list[Tensor]: ...

    def forward(self, images: Tensor) -> list[Tensor]:
        check_multiple(images, 32, "HRNet")
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)  # (B, S, H/2, W/2)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)  # (B, S, H/4, W/4)
        xs = [self.layer1(x)]  # (B, C, H/4, W/4)
        save_memory = self.grad_checkpoint and self.training
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            # The new branch starts from the lowest resolution so far.
            xs = [layer(x) for layer, x in zip(transition, [*xs, xs[-1]], strict=True)]
            for module in stage:  # xs[i]: (B, widths[i], H / 2^(i+2), W / 2^(i+2))
                xs = recompute(module, xs) if save_memory else module(xs)
        return xs


class ExchangeModule(nn.Module):
    """Run a chain of residual blocks in every branch, then add all branches to each output.

    `[(B, widths[i], h / 2^i, w / 2^i), ...] -> ` the same shapes, the first `num_outputs` of them.
    """

    def __init__(
        self, block: Block, widths: list[int], num_blocks: Sequence[int], num_outputs: int
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            _chain(block, width, width, n) for width, n in zip(widths, num_blocks, strict=True)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resample(widths, source, target) for source in range(len(widths)))
            for target in range(num_outputs)
        )

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        outputs = []
        for layers in self.fuse_layers:
            first, second, *rest = [
                layer(x) for layer, x in zip(layers.children(), xs, strict=True)
            ]
            y = first + second  # new: the first may be a branch itself, which others need
            for other in rest:
                y += other
            outputs.append(F.relu(y, inplace=True))
        return outputs


def _chain(block: Block, in_channels: int, out_channels: int, number: int) -> nn.Sequential:
    inputs = [in_channels] + [out_channels] * (number - 1)
    return nn.Sequential(*[block(n, out_channels) for n in inputs])


def _resample(widths: list[int], source: int, target: int) -> nn.Module:
    """Build the path from branch `source` to the shape of branch `target`."""
    if source == target:
        return nn.Identity()
    if source > target:
        upsample = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*conv_bn(widths[source], widths[target], 1), upsample)
    steps = []
    for _ in range(target - source - 1):
        layers = conv_bn(widths[source], widths[source], 3, stride=2)
        steps.append(nn.Sequential(*layers, nn.ReLU(inplace=True)))
    steps.append(nn.Sequential(*conv_bn(widths[source], widths[target], 3, stride=2)))
    return nn.Sequential(*steps)


def _transition(old: list[int], new: list[int]) -> nn.ModuleList:
    """Build the layers that adapt the old branches and start the new one."""
    layers: list[nn.Module] = []
    for before, after in zip(old, new, strict=False):
        same = before == after
        conv = nn.Identity() if same else nn.Sequential(*conv_bn(before, after, 3), nn.ReLU(True))
        layers.append(conv)
    start = nn.Sequential(*conv_bn(old[-1], new[-1], 3, stride=2), nn.ReLU(True))
    # Published files number the new branch's single step once more: transition2.2.0.0.weight.
    layers.append(nn.Sequential(start))
    return nn.ModuleList(layers)


def _stage(
    block: Block, widths: list[int], num_modules: int, num_blocks: Sequence[int], outputs: int
) -> nn.Sequential:
    """Build the exchange modules of a stage; the last returns the first `outputs` branches."""
    number = [len(widths)] * (num_modules - 1) + [outputs]
    return nn.Sequential(*[ExchangeModule(block, widths, num_blocks, n) for n in number])


def _doubling(width: int) -> list[list[int]]:
    return [[width * 2**i for i in range(n)] for n in BRANCHES]


def _per_branch(num_blocks: Any) -> list[Any]:
    """Return a row per stage for any spelling of `num_blocks`; a wrong one gives wrong rows."""
    stages = [*num_blocks] if isinstance(num_blocks, Sequence) else [num_blocks] * 3
    rows = itertools.zip_longest(stages, BRANCHES, fillvalue=0)
    return [row if isinstance(row, Sequence) else [row] * n for row, n in rows]


def _check_rows(option: str, rows: Any, given: Any) -> None:
    """Raise ValueError unless the rows hold a size for each of 2, 3 and 4 branches."""
    if len(rows) != 3 or not all(map(are_sizes, rows, BRANCHES)):
        raise ValueError(
            f"HRNet takes {option} for stages of 2, 3 and 4 branches, none below 1; got {given!r}"
        )


def _blocks(block_types: Sequence[str]) -> list[Block]:
    if len(block_types) != 4 or not BLOCKS.keys() >= {*block_types}:
        known = " or ".join(map(repr, BLOCKS))
        raise ValueError(f"HRNet takes four block_types, each {known}; got {block_types!r}")
    return [BLOCKS[name] for name in block_types]


def infer_hrnet(shapes: Shapes) -> Networks:
    """Return the HRNets of these shapes, with and without tags; LookupError if none.

    One tag for all keypoints is not guessed, since any number of maps could have it.
    """
    options = infer_backbone(shapes)
    maps = shapes["head.final_layer.weight"][0]
    found = [("hrnet", maps, options)]
    return found if maps % 2 else [*found, ("hrnet_ae", maps // 2, options)]


def infer_backbone(shapes: Shapes) -> dict[str, Any]:
    """Invert `HRNet`: return the options of the one in `backbone.`, else LookupError."""
    rows = [[f"backbone.stage{n}.0.branches.{i}." for i in range(n)] for n in BRANCHES]
    channels = [[shapes[f"{name}0.conv1.weight"][0] for name in row] for row in rows]
    num_blocks = [[count(shapes, name + "{}.conv1.weight") for name in row] for row in rows]
    num_modules = tuple(
        count(shapes, f"backbone.stage{n}.{{}}.branches.0.0.conv1.weight") for n in BRANCHES
    )
    stage1_blocks = count(shapes, "backbone.layer1.{}.conv1.weight")
    modules = zip(num_modules, num_blocks, strict=True)
    check_buildable(stage1_blocks + sum(n * sum(row) for n, row in modules), shapes)
    stem_channels, in_channels = shapes["backbone.conv1.weight"][:2]
    stage1_channels = shapes["backbone.layer1.0.conv1.weight"][0]
    first = ["backbone.layer1.", *(row[0] for row in rows)]
    per_stage = [row[0] if len({*row}) == 1 else tuple(row) for row in num_blocks]
    regular = channels == _doubling(channels[0][0])
    return {
        "in_channels": in_channels,
        "stem_channels": stem_channels,
        "stage1_channels": None if stage1_channels == stem_channels else stage1_channels,
        "stage1_blocks": stage1_blocks,
        "num_modules": num_modules,
        "num_blocks": per_stage[0] if len({*per_stage}) == 1 else tuple(per_stage),
        "block_types": tuple(
            "bottleneck" if f"{name}0.conv3.weight" in shapes else "basic" for name in first
        ),
    } | ({"width": channels[0][0]} if regular else {"channels": tuple(map(tuple, channels))})
