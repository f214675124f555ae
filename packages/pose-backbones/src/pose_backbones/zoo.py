"""Published weights as data: which file is which model, and what its authors measured with it.

The figures are on COCO val2017 with flip test, as published; top-down with the person detections of
AP 56.4. They are quoted, not measured here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

MMPOSE = "https://download.openmmlab.com/mmpose/"
HUB = "hub"  # the source of rows that only the Hugging Face hub has
LICENCE_HRNET = "MIT (HRNet's authors); trained on COCO, whose images have licences of their own"
LICENCE = "Apache-2.0 (MMPose); trained on COCO, whose images have licences of their own"
LICENCE_AIC = LICENCE + "; and on AI Challenger, for research only"


@dataclass(frozen=True)
class HubFile:
    """Describe a file on the Hugging Face hub.

    repo: USER/NAME. revision: a commit; or a branch, which can move. sha256: of the whole file, in
    hexadecimal digits; None where it is not known. megabytes: its size.
    """

    repo: str
    path: str
    revision: str = "main"
    sha256: str | None = None
    megabytes: float | None = None

    def __str__(self) -> str:
        return f"hf://{self.repo}/{self.path}"

    @property
    def file(self) -> str:
        """Return the file's name without the folders of its repository."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Weights:
    """Describe published weights and the files that hold them.

    input_size: (w, h). path: below `source`, which is the base URL of the publisher's server, or
    HUB. stats: AP, AP50, AP75, AR and AR50 (HUB's rows: no AR50) as published; stats_multi_scale:
    the same of a test at 2, 1 and 0.5 times the size, None if top-down. hub: files with the same
    weights on the hub, in the order in which they are tried.
    """

    model: str
    input_size: tuple[int, int]
    path: str
    stats: Mapping[str, float]
    stats_multi_scale: Mapping[str, float] | None = None
    num_keypoints: int = 17
    licence: str = LICENCE
    source: str = MMPOSE
    hub: tuple[HubFile, ...] = ()

    @property
    def file(self) -> str:
        """Return the file's name without the folders of its server."""
        return self.path.rpartition("/")[2]

    @property
    def digests(self) -> tuple[str, ...]:
        """Return the SHA-256 of the files, or the first 8 digits, which MMPose's names carry.

        In hexadecimal digits, the publisher's own file first; empty where none is known.
        """
        named = re.search(r"-([0-9a-f]{8})_\d+\.", self.file)
        files = sorted(self.hub, key=lambda file: file.file != self.file)
        return (*(named.groups() if named else ()), *(f.sha256 for f in files if f.sha256))

    @property
    def sha256_prefix(self) -> str:
        """Return the first 8 hexadecimal digits of the published file's SHA-256; "" if unknown."""
        return self.digests[0][:8] if self.digests else ""


def _stats(
    ap: float, ap50: float, ap75: float, ar: float, ar50: float | None = None
) -> Mapping[str, float]:
    stats = {"AP": ap, "AP50": ap50, "AP75": ap75, "AR": ar}
    return stats if ar50 is None else stats | {"AR50": ar50}


def _official(
    model: str, input_size: tuple[int, int], stats: Mapping[str, float], *hub: HubFile
) -> Weights:
    """Describe weights of HRNet's authors, whose own links are of sites that want a click."""
    size = f"{input_size[1]}x{input_size[0]}"
    file = f"pose_{model}_{size}.pth"
    return Weights(model, input_size, file, stats, licence=LICENCE_HRNET, source=HUB, hub=hub)


AIC = "v1/body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-aic-256x192-"

COCOPOSE = "Prophetetc/cocopose"  # copies of what HRNet's authors shared
# The persons that a detector of human AP 56.4 found in val2017: top-down figures are with these.
DETECTIONS = HubFile(COCOPOSE, "COCO_val2017_detections_AP_H_56_person.json", megabytes=16.4)

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
    "hrnet_w32_coco_256x192": _official("hrnet_w32", (192, 256),
        _stats(0.744, 0.905, 0.819, 0.798),
        HubFile("LibreYOLO/LibreHRNetw32-pose", "LibreHRNetw32-pose.pt",
            "5a92f7f31751a74518f2d73024a96f851c9763cb",
            "c9d8eb383e63ce795f87a3ee2f2b0c8aa0df9bae981573ec4b3909d63815a825", 114.7),
        HubFile(COCOPOSE, "pose_hrnet_w32_256x192.pth", sha256=
            "19bc083708bb8d873211e50d85d56344c10290c6e8b564c813fdde09645c4c1c", megabytes=114.7)),
    "hrnet_w32_coco_384x288": _official("hrnet_w32", (288, 384),
        _stats(0.758, 0.906, 0.825, 0.809),
        HubFile(COCOPOSE, "pose_hrnet_w32_384x288.pth")),
    "hrnet_w48_coco_256x192": _official("hrnet_w48", (192, 256),
        _stats(0.751, 0.906, 0.822, 0.804),
        HubFile(COCOPOSE, "pose_hrnet_w48_256x192.pth")),
    "hrnet_w48_coco_384x288": _official("hrnet_w48", (288, 384),
        _stats(0.763, 0.908, 0.829, 0.812),
        HubFile("LibreYOLO/LibreHRNetw48-pose", "LibreHRNetw48-pose.pt",
            "93cff5a34743fc57cd3f2831ec7330810e0fde68",
            "ab85504f323c43babdcbed6550f759d323efd0ffc284a0593043e108cd3c4df5", 255.1),
        HubFile(COCOPOSE, "pose_hrnet_w48_384x288.pth", sha256=
            "95e0fec3194826d5e3f806ea89be68bbb84517b114c3a32b3058c56610b5ef61", megabytes=255.1)),
}  # fmt: skip
