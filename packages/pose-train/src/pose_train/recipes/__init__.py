"""The recipes: one file for each kind of network, a Recipe value each, and what these share.

A new kind of network is a file with the functions of `recipe.py` and a line in RECIPES. A new loss
goes into the file of its recipe; what is read from disk for all recipes is in `data.py`.
"""

from pose_train.config.schema import RecipeName
from pose_train.recipes.bottomup import BOTTOM_UP
from pose_train.recipes.recipe import Recipe
from pose_train.recipes.topdown import TOP_DOWN

RECIPES: dict[RecipeName, Recipe] = {"topdown": TOP_DOWN, "bottomup": BOTTOM_UP}
