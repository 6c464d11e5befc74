"""Reading pip's settings without pip, compared with what pip itself reads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.sources.pip_settings import read_settings

ASK_PIP = """
import json
from pip._internal.configuration import Configuration
configuration = Configuration(isolated=False)
configuration.load()
found = {}
for _, values in configuration.items():
    for section in ("global", "download", ":env:"):
        found |= {key.split(".", 1)[1]: value for key, value in values.items() if key.startswith(section + ".")}
print(json.dumps(found))
"""

FILES = {
    "user": "[global]\nindex-url = http://user.invalid/simple\nproxy = http://proxy.invalid:1\n",
    "named": "[global]\nindex_url = http://named.invalid/simple\ncert = /c.pem\n[download]\nproxy = http://d.invalid:2\n",
}
CASES: dict[str, dict[str, object]] = {
    "nothing": {},
    "the user's file": {"user": True},
    "a named file stands in for the user's": {"user": True, "named": True},
    "the environment is strongest": {"named": True, "PIP_INDEX_URL": "http://env.invalid/simple"},
    "an empty variable says nothing": {"named": True, "PIP_INDEX_URL": ""},
    "no files at all": {"user": True, "PIP_CONFIG_FILE": os.devnull},
}


def environment_of(case: dict[str, object], folder: Path) -> dict[str, str]:
    """An environment with a home and configuration files of its own."""
    (folder / "pip").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    if case.get("user"):
        (folder / "pip" / "pip.conf").write_text(FILES["user"], encoding="utf-8")
    if case.get("named"):
        (folder / "named.conf").write_text(FILES["named"], encoding="utf-8")
        environment["PIP_CONFIG_FILE"] = str(folder / "named.conf")
    return environment | {name: str(value) for name, value in case.items() if name.startswith("PIP_")}


@pytest.mark.skipif(sys.platform == "win32", reason="pip keeps its files elsewhere on Windows")
@pytest.mark.parametrize("name", CASES)
def test_the_settings_are_those_that_pip_reads(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For files, variables and their precedence, pip's own reader is the judge."""
    environment = environment_of(CASES[name], tmp_path)
    for key in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(key, environment[key])
    answer = subprocess.run(
        [sys.executable, "-c", ASK_PIP], env=environment, check=True, capture_output=True, text=True
    )
    pips = {key: value for key, value in json.loads(answer.stdout).items() if value}
    ours = read_settings(environment)
    if "index-url" in pips:
        assert ours.index_url == pips["index-url"]
    assert ours.proxy == pips.get("proxy")
    assert ours.certificates == pips.get("cert")
    assert ours.extra_index_urls == tuple(pips.get("extra-index-url", "").split())


def test_without_settings_the_index_is_pips_own() -> None:
    """The address of the public index comes from pip and is written nowhere in Landfast."""
    settings = read_settings({"PIP_CONFIG_FILE": os.devnull})
    assert settings.index_url.startswith("https://")
    assert settings.index_url.endswith("/simple")
    assert not settings.no_index


def test_a_broken_configuration_file_is_left_to_pip(tmp_path: Path) -> None:
    """A file that is no configuration does not stop `reach`: pip complains about it when it runs."""
    (tmp_path / "pip.conf").write_text("no section here", encoding="utf-8")
    environment = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_INDEX_URL": "http://a.invalid/simple"}
    assert read_settings(environment).index_url == "http://a.invalid/simple"
