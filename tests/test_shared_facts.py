"""Facts that stand in more than one leaf, because leaves do not import each other, must agree."""

import inspect
import random
from pathlib import Path
from typing import Any

import pytest

import pose_data
import pose_data.sides
import pose_eval
import pose_eval.analysis.hypotheses
import pose_eval.analysis.sides
from pose_data.check.hypotheses import explain
from pose_data.infer import skeleton_of


def test_coco_sigmas_agree() -> None:
    assert pose_data.COCO.sigmas == pose_eval.COCO_SIGMAS


def test_an_ap_of_0_is_explained_in_the_same_words() -> None:
    functions = explain, pose_eval.analysis.hypotheses.explain
    files = [Path(inspect.getfile(inspect.unwrap(function))) for function in functions]
    assert files[0] != files[1]
    assert files[0].read_text() == files[1].read_text()


# Names as people give them. Words are separated by spaces, and a pair is joined by =.
SIDES = [
    "tail=",
    "lefteye=righteye eyeleft=eyeright LeftEye=RightEye earLeft=earRight nose=",
    "Left-Ear=Right-Ear LEFT.EYE=RIGHT.EYE hind-left-paw=hind-right-paw frontleftpaw=frontrightpaw",
    "eye_L=eye_R pawL=pawR tip.l=tip.r L_hip=R_hip LPaw=RPaw l1=r1 finger_l_2=finger_r_2 l=r",
    "lt_fin=rt_fin lft_eye=rgt_eye port_bow=starboard_bow usb_port=",
    "L1=R1 L2=R2 C7=",
    "L1= L2= L3= R=",  # vertebrae, and the right of something
    "l_lateral=r_lateral l_medial=r_medial",
    # Several sides in a name: a mirror exchanges all of them.
    "left_eye_left_corner=right_eye_right_corner left_eye_right_corner=right_eye_left_corner nose=",
    "LeftEyeLeftCorner=RightEyeRightCorner LeftEyeCenter=RightEyeCenter "  # AFLW's
    "LeftEyeRightCorner=RightEyeLeftCorner NoseLeft=NoseRight MouthLeftCorner=MouthRightCorner "
    "LeftEar=RightEar ChinCenter=",
    "l_wheel_l=r_wheel_r l_wheel_r=r_wheel_l",
    "port_left=port_right der_linke_arm=der_rechte_arm",  # one word of two is no side
    "F_L=F_R R_L=R_R",  # front and rear
    "left_eye_left=right_eye_right right_eye_left=",  # its mirror image is missing: taken by nobody
    # Letters glued to a word: where the rest is part of a body, or it is a habit of the set.
    "Nose= Leye=Reye Lear=Rear Lsho=Rsho LSHOULDER=RSHOULDER",
    "lpaw=rpaw lip=",
    "lear=rear",  # whoever writes lear means an ear
    "ear= rear= tail=",
    "lip= rip= tail=",
    "leaf= reaf=",
    "top= bottom= left=right light= bright=",
    "lfpaw=rfpaw lhpaw=rhpaw",
    "elbowl=elbowr pawl1=pawr1 pawl2=pawr2 wheel=",
    "LF_paw=RF_paw LH_paw=RH_paw",
    "FL_paw=FR_paw BL_paw=BR_paw",
    "LF=RF tail=",
    "fl=fr rl=rr",  # rear left, rear right
    "lf=rf lr=rr",
    "ul=ur ll=lr",
    "TL=TR BL=BR",
    # Other languages.
    "auge_links=auge_rechts linkesOhr=rechtesOhr linke_hand=rechte_hand linkerFuss=rechterFuss",
    "oeil_gauche=oeil_droit main_gauche=main_droite",
    "ojo_izquierdo=ojo_derecho mano_izquierda=mano_derecha pie_izq=pie_der",
    "olho_esquerdo=olho_direito mao_esquerda=mao_direita ombro_esq=ombro_dir",
    "mano_sinistra=mano_destra piede_sinistro=piede_destro",
    "левый_глаз=правый_глаз левая_рука=правая_рука нос=",
    "左眼=右眼 鼻= 手左=手右 左眼左角=右眼右角",
]


@pytest.mark.parametrize("text", SIDES)
def test_both_packages_pair_names_alike(text: str) -> None:
    wanted = [tuple(entry.split("=")) for entry in text.split()]
    names = [name for pair in wanted for name in pair if name]
    random.Random(0).shuffle(names)
    skeleton, _ = skeleton_of({"name": "x", "keypoints": names})
    assert {(names[a], names[b]) for a, b in skeleton.flip_pairs} == {p for p in wanted if p[1]}
    flips = skeleton.flip_indices
    assert [flips[i] for i in flips] == list(range(len(names)))
    in_order = sorted((min(pair), max(pair)) for pair in skeleton.flip_pairs)
    assert pose_eval.analysis.sides.mirror(names) == in_order


@pytest.mark.parametrize(
    ("names", "sure"),
    [
        ("ll lr rl rr tail", ()),
        ("left_eye right_eye main_gauche main_droit main_droite", (("left_eye", "right_eye"),)),
    ],
)
def test_what_is_unclear_is_asked_or_left_alone(names: str, sure: Any) -> None:
    with pytest.raises(pose_data.DatasetError, match=r"which of .*data\.flip_pairs: \[\["):
        skeleton_of({"name": "x", "keypoints": names.split()})
    found = pose_eval.analysis.sides.mirror(names.split())
    assert tuple((names.split()[a], names.split()[b]) for a, b in found) == sure


def test_any_names_give_pairs_that_are_disjoint_and_the_same() -> None:
    words = "left right l r lt rt eye Leye Reye lf rf rl gauche droit droite 左 右 1 pawL lip rip"
    rng = random.Random(0)
    for _ in range(300):
        names = [
            "_".join(rng.choices(words.split(), k=rng.randint(1, 3)))
            for _ in range(rng.randint(1, 9))
        ]
        pairs, unclear = pose_data.sides.side_pairs(names)
        assert (pairs, unclear) == pose_eval.analysis.sides.side_pairs(names)
        used = [i for pair in pairs for i in pair]
        assert len(set(used)) == len(used)
        assert not set(used) & unclear.keys()
