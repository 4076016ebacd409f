"""What the distribution promises: one version, complete extras, and sound packaged data."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import optprobe

ROOT = Path(__file__).parents[1]
DATA = Path(str(files("optprobe"))) / "data" / "digit_L01.npz"


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def data():
    with np.load(DATA, allow_pickle=False) as held:
        return {key: held[key] for key in held.files}


def test_one_version_everywhere(project):
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    cited = re.findall(r'^version: "(.+)"$', citation, re.MULTILINE)
    assert cited == [project["version"]]
    assert optprobe.__version__ == project["version"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_all_holds_every_extra_a_user_may_want(project):
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    named = re.fullmatch(r"optprobe\[(.+)\]", everything)
    assert named is not None
    assert set(named[1].split(",")) == set(extras) - {"all", "test", "dev"}


def test_every_requirement_has_one_exact_version(project):
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==")[0] for line in lines if not line.startswith("#")]
    assert len(pins) == len(set(pins))
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted} - {"optprobe"}
    assert names <= set(pins)


@pytest.mark.parametrize("package", ["optprobe", "formulations"])
def test_packages_are_typed(package):
    assert (files(package) / "py.typed").is_file()


def test_data_fits_the_package():
    assert DATA.stat().st_size <= 8_000_000


def test_data_has_the_documented_shape_and_types(data):
    n, d = 2700, 1536
    kinds = {key: (data[key].dtype.kind, data[key].itemsize) for key in ("X", "y", "doc", "test")}
    assert kinds == {"X": ("f", 2), "y": ("i", 1), "doc": ("i", 4), "test": ("b", 1)}
    assert data["X"].shape == (n, d)
    assert {data[key].shape for key in ("y", "doc", "test")} == {(n,)}
    assert data["names"].tolist() == [f"L1N{j}" for j in range(d)]
    assert np.isfinite(data["X"]).all()


def test_data_split_is_by_document_with_both_classes_on_both_sides(data):
    doc, test, y = data["doc"], data["test"], data["y"]
    assert not set(doc[test]) & set(doc[~test])
    assert np.unique(doc).size == 131
    digit = {side: int((y[test == side] == 1).sum()) for side in (False, True)}
    other = {side: int((y[test == side] == -1).sum()) for side in (False, True)}
    assert digit == {False: 129, True: 178}
    assert other == {False: 1608, True: 785}


def test_data_names_its_sources_and_licence(data):
    assert data["licence"] == "CC BY-SA 4.0"
    assert "SmolLM2-135M-Instruct" in str(data["model"])
    assert data["hook"] == "blocks.1.mlp.hook_post"
