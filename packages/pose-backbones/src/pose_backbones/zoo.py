"""Published weights as data: which file is which model, and what its authors measured with it.

The figures are on COCO val2017 with flip test, as published; top-down with the person detections of
AP 56.4. They are quoted, not measured here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MMPOSE = "https://download.openmmlab.com/mmpose/"
LICENCE = "Apache-2.0 (MMPose); trained on COCO, whose images have licences of their own"
LICENCE_AIC = LICENCE + "; and on AI Challenger, for research only"


@dataclass(frozen=True)
class Weights:
    """Describe one published file.

    input_size: (w, h). path: below `source`. stats: AP, AP50, AP75, AR and AR50 as published;
    stats_multi_scale: the same of a test at 2, 1 and 0.5 times the size, None if top-down.
    """

    model: str
    input_size: tuple[int, int]
    path: str
    stats: Mapping[str, float]
    stats_multi_scale: Mapping[str, float] | None = None
    num_keypoints: int = 17
    licence: str = LICENCE
    source: str = MMPOSE

    @property
    def file(self) -> str:
        """Return the file's name without the folders of its server."""
        return self.path.rpartition("/")[2]

    @property
    def sha256_prefix(self) -> str:
        """Return the first 8 hexadecimal digits of the file's SHA-256, which its name carries."""
        return self.file.rpartition("_")[0].rpartition("-")[2]


def _stats(ap: float, ap50: float, ap75: float, ar: float, ar50: float) -> Mapping[str, float]:
    return {"AP": ap, "AP50": ap50, "AP75": ap75, "AR": ar, "AR50": ar50}


AIC = "v1/body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-aic-256x192-"

ZOO: dict[str, Weights] = {
    "hourglass52_coco_256x256": Weights("hourglass52", (256, 256),
        "top_down/hourglass/hourglass52_coco_256x256-4ec713ba_20200709.pth",
        _stats(0.726, 0.896, 0.799, 0.780, 0.934)),
    "hourglass52_coco_384x384": Weights("hourglass52", (384, 384),
        "top_down/hourglass/hourglass52_coco_384x384-be91ba2b_20200812.pth",
        _stats(0.746, 0.900, 0.812, 0.797, 0.939)),
    "hrnet_w32_coco_aic_merge_256x192": Weights("hrnet_w32", (192, 256),
        AIC + "merge-b05435b9_20221025.pth",
        _stats(0.757, 0.907, 0.829, 0.809, 0.944), licence=LICENCE_AIC),
    "hrnet_w32_coco_aic_combine_256x192": Weights("hrnet_w32", (192, 256),
        AIC + "combine-4ce66880_20221026.pth",
        _stats(0.756, 0.906, 0.826, 0.807, 0.943), num_keypoints=19, licence=LICENCE_AIC),
    "cpm_coco_256x192": Weights("cpm", (192, 256),
        "top_down/cpm/cpm_coco_256x192-aa4ba095_20200817.pth",
        _stats(0.623, 0.858, 0.706, 0.685, 0.902)),
    "cpm_coco_384x288": Weights("cpm", (288, 384),
        "top_down/cpm/cpm_coco_384x288-80feb4bc_20200821.pth",
        _stats(0.650, 0.863, 0.725, 0.707, 0.905)),
    "higherhrnet_w32_coco_512x512": Weights("higherhrnet_w32", (512, 512),
        "bottom_up/higher_hrnet32_coco_512x512-8ae85183_20200713.pth",
        _stats(0.677, 0.870, 0.738, 0.723, 0.890), _stats(0.706, 0.881, 0.771, 0.747, 0.901)),
    "higherhrnet_w32_coco_640x640": Weights("higherhrnet_w32", (640, 640),
        "bottom_up/higher_hrnet32_coco_640x640-a22fe938_20200712.pth",
        _stats(0.686, 0.871, 0.747, 0.733, 0.898), _stats(0.706, 0.880, 0.770, 0.749, 0.902)),
    "higherhrnet_w48_coco_512x512": Weights("higherhrnet_w48", (512, 512),
        "bottom_up/higher_hrnet48_coco_512x512-60fedcbc_20200712.pth",
        _stats(0.686, 0.873, 0.741, 0.731, 0.892), _stats(0.716, 0.884, 0.775, 0.755, 0.901)),
}  # fmt: skip
