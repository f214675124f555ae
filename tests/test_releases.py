"""What is around the code agrees with it: metadata, workflows, release tags, citation."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


def project(package: str) -> dict[str, Any]:
    text = (ROOT / "packages" / package / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]
    return table


def workflow(name: str) -> dict[Any, Any]:
    text = (ROOT / ".github/workflows" / name).read_text(encoding="utf-8")
    content: dict[Any, Any] = yaml.safe_load(text)
    return content


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_one(path: Path) -> None:
    content = workflow(path.name)
    assert content["name"]
    assert content[True], "`on` is a boolean in YAML"
    assert content["permissions"]["contents"] == "read"
    for job in content["jobs"].values():
        assert job["runs-on"]
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            assert len({"uses", "run"} & set(step)) == 1, step
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+(\.\d+)*", step["uses"]), step["uses"]


def test_ci_runs_what_is_declared() -> None:
    jobs = workflow("ci.yml")["jobs"]
    matrix = jobs["tests"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    settings = {*matrix["dependencies"], *(each["dependencies"] for each in matrix["include"])}
    assert settings == {"newest", "lowest"}
    lowest = "".join(step.get("run", "") for step in jobs["tests"]["steps"])
    for package in PACKAGES:
        if package != "pose-train":  # its siblings are not on PyPI
            assert f"packages/{package}/pyproject.toml" in lowest
    project = tomllib.loads((ROOT / "packages/pose-train/pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for extra in ("detect", "hub", "export", "video", "tensorboard", "completion"):
        assert all(f'"{each}"' in lowest for each in extras[extra]), extra
    assert "-slim" in jobs["slim"]["container"]["image"]
    assert any(step.get("run") == ".ci/run" for step in jobs["all"]["steps"])


def test_every_package_has_a_release_tag() -> None:
    content = workflow("release.yml")
    assert sorted(content[True]["push"]["tags"]) == [f"{name}-v*" for name in PACKAGES]
    publish = content["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    assert not re.search("secrets|password", yaml.dump(content), re.IGNORECASE)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_tag_agrees_with_version_and_changelog(package: str, tmp_path: Path) -> None:
    name = package.replace("-", "_")
    folder, source = tmp_path / "packages" / package, f"src/{name}/__init__.py"
    (folder / source).parent.mkdir(parents=True)
    shutil.copy(ROOT / "packages" / package / source, folder / source)
    version = re.search(r'__version__ = "(.*)"', (folder / source).read_text(encoding="utf-8"))
    assert version is not None

    def check(tag: str) -> tuple[int, str]:
        command = [sys.executable, str(ROOT / ".ci/check_tag"), tag, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    tag = f"{package}-v{version[1]}"
    (folder / "CHANGELOG.md").write_text(f"# Changes\n\n## Unreleased\n\n- {version[1]} soon\n")
    code, text = check(tag)
    assert (code, "has no section" in text) == (1, True)
    (folder / "CHANGELOG.md").write_text(f"# Changes\n\n## {version[1]} (2026-12-01)\n\n- A.\n")
    assert check(tag) == (0, f"{package}\n")
    code, text = check(f"{package}-v99.0.0")
    assert (code, "says __version__" in text) == (1, True)
    code, text = check("pose-nothing-v0.1.0")
    assert (code, "there is no package 'pose-nothing'" in text) == (1, True)


@pytest.mark.parametrize("package", PACKAGES)
def test_metadata(package: str) -> None:
    table = project(package)
    assert set(table["urls"]) >= {"Homepage", "Documentation", "Changelog", "Issues"}
    home = project("pose-train")["urls"]["Homepage"]
    assert table["urls"]["Homepage"] == home
    assert table["urls"]["Issues"] == f"{home}/issues"
    assert table["urls"]["Changelog"].startswith(f"{home}/")
    assert table["urls"]["Changelog"].endswith(f"packages/{package}/CHANGELOG.md")
    module = ROOT / "packages" / package / "src" / package.replace("-", "_")
    assert (module / "py.typed").is_file()
    assert table["license-files"] == ["LICENSE"]


def test_pose_train_brings_all_five_and_all_extras() -> None:
    table = project("pose-train")
    needed = {re.split(r"[\[<>= ]", text)[0] for text in table["dependencies"]}
    assert needed >= set(PACKAGES) - {"pose-train"}
    everything = dict(
        re.fullmatch(r"([\w-]+)\[(.*)\]", text).groups()  # type: ignore[union-attr]
        for text in table["optional-dependencies"]["all"]
    )
    for package in PACKAGES:
        extras = set(project(package)["optional-dependencies"]) - {"all"}
        assert set(everything[package].split(",")) == extras


def test_pre_commit_has_the_pinned_ruff() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    dev = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (ruff,) = [each for each in config["repos"] if "ruff" in each["repo"]]
    assert f"ruff=={ruff['rev'].removeprefix('v')}" in dev["dependency-groups"]["dev"]


def test_citation_and_issue_forms() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"]
    assert citation["authors"]
    assert citation["license"] == project("pose-train")["license"]
    assert citation["repository-code"] == project("pose-train")["urls"]["Homepage"]
    bug = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8"))
    (doctor,) = [part for part in bug["body"] if part["id"] == "doctor"]
    assert "pose-train doctor --json" in doctor["attributes"]["label"]
    assert doctor["validations"]["required"]
