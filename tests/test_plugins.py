from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eco import plugins
from eco.plugins import PROVIDERS, STORES, Plugin
from providers.static import Static
from snapshot.file import FileStore

if TYPE_CHECKING:
    from pathlib import Path

INSTANCES = [{"name": "a", "address": "127.0.0.1"}]

GOOD = """
class Cloud:
    summary = "machines of a cloud"

    @classmethod
    def parse(cls, settings, base):
        return cls(), ()
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution of somebody else's is installed, with plug-ins that are well and others."""
    info = tmp_path / "strangers_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[eco.providers]\n"
        "cloud = stranger_cloud:Cloud\n"
        "absent = stranger_absent:Cloud\n"
        "renamed = stranger_cloud:Clouds\n"
        "raising = stranger_raising:Cloud\n"
    )
    (tmp_path / "stranger_cloud.py").write_text(GOOD)
    (tmp_path / "stranger_raising.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_our_own_plugins_are_found_by_their_names(tmp_path: Path) -> None:
    provider, problems = plugins.provider("static", {"name": "a", "instances": INSTANCES}, tmp_path)
    assert isinstance(provider, Static)
    assert problems == ()

    store, problems = plugins.store("file", {"dir": "store"}, tmp_path)
    assert isinstance(store, FileStore)
    assert problems == ()


def test_what_a_plugin_says_of_its_settings_is_passed_on(tmp_path: Path) -> None:
    store, problems = plugins.store("file", {}, tmp_path)
    assert store is None
    assert [problem.path for problem in problems] == ["snapshot.dir"]


def test_an_unknown_plugin_is_answered_with_the_installed_ones(tmp_path: Path) -> None:
    provider, problems = plugins.provider("clowd", {}, tmp_path)
    assert provider is None
    assert (problems[0].path, problems[0].value) == ("asg.provider", "clowd")
    assert problems[0].hint.startswith("no such plug-in is installed; choose ")
    assert f"static ({Static.summary})" in problems[0].hint

    store, problems = plugins.store("flie", {}, tmp_path)
    assert store is None
    assert (problems[0].path, problems[0].value) == ("snapshot.provider", "flie")
    assert f"file ({FileStore.summary})" in problems[0].hint


def test_somebody_elses_plugin_is_found_like_ours(distribution: Path) -> None:
    provider, problems = plugins.provider("cloud", {}, distribution)
    assert type(provider).__name__ == "Cloud"
    assert problems == ()


@pytest.mark.parametrize(
    ("kind", "because"),
    [
        ("absent", "stranger_absent:Cloud: ModuleNotFoundError: No module named 'stranger_absent'"),
        ("renamed", "stranger_cloud:Clouds: AttributeError: module 'stranger_cloud' has no attribute 'Clouds'"),
        ("raising", "stranger_raising:Cloud: RuntimeError: no licence"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_a_problem(distribution: Path, kind: str, because: str) -> None:
    provider, problems = plugins.provider(kind, {}, distribution)
    assert provider is None
    assert [str(problem) for problem in problems] == [f"asg.provider: {kind} — the plug-in cannot be loaded: {because}"]


def test_help_lists_every_plugin_and_says_which_are_broken(distribution: Path) -> None:
    assert distribution
    listed = plugins.installed(PROVIDERS)
    assert list(listed) == sorted(listed, key=lambda plugin: plugin.name)
    assert Plugin("cloud", "machines of a cloud") in listed
    assert Plugin("raising", "cannot be loaded: stranger_raising:Cloud: RuntimeError: no licence") in listed
    assert Plugin("file", FileStore.summary) in plugins.installed(STORES)
