"""Every warning has a name, and the README explains it."""

import re
from pathlib import Path

import pose_eval

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SOURCE = Path(pose_eval.__file__).parent


def test_the_readme_explains_every_warning() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(SOURCE.glob("*.py")))
    codes = set(re.findall(r"warning\(\s*\"([a-z-]+)\"", text))
    codes |= {"unknown-images", "unknown-categories"}
    explained = set(re.findall(r'<a id="([a-z-]+)"></a>`([a-z-]+)`', README))
    assert all(anchor == name for anchor, name in explained)
    assert codes == {name for _, name in explained}
    assert len(codes) > 12
