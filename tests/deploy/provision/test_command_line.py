"""The commands as an administrator types them, and the papers that go with them."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest

from deploy.provision.site_file import read_site
from scripts.build_site_doc import PAGE, SCHEMAS, schema, schema_path, with_tables
from tests.deploy.provision.kit import site, snapshot
from tests.deploy.provision.test_site_file import FULL
from tests.support.cli import Landfast, refused

TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)


@pytest.fixture
def etc(smollm2_path: Path, tmp_path: Path) -> Path:
    """A folder with a site file for the real model."""
    folder = tmp_path / "etc"
    text = f"[[models]]\nname = 'smollm2-135m-instruct:Q4_1'\n[sources]\nfolder = '{smollm2_path.parent}'\n"
    site(folder, text + "[policy.allow]\nlicence = ['Apache-2.0']\n")
    return folder


@pytest.mark.engine
def test_apply_as_it_is_typed(landfast: Landfast, etc: Path, tmp_path: Path) -> None:
    """Check, apply, apply again, check locked: with a real model, and every envelope valid by its schema."""
    path = str(etc / "landfast.toml")
    before = snapshot(tmp_path)
    looked = landfast("apply", path, "--check", "--diff")
    assert looked.returncode == 10, looked.stderr
    assert "+licence = ['Apache-2.0']" in looked.stdout
    assert "changed=4 ok=1 unseen=0 failed=0 (check only)" in looked.stdout
    assert snapshot(tmp_path) == before
    first = landfast.json("apply", path, schema="apply")
    assert (first["changed"], first["data"]["changed"]) == (True, 4)
    after = snapshot(tmp_path)
    second = landfast.json("apply", path, schema="apply")
    assert (second["changed"], second["data"]["changed"], second["exit_code"]) == (False, 0, 0)
    assert landfast.json("apply", path, "--locked", "--check", schema="apply")["data"]["changed"] == 0
    assert snapshot(tmp_path) == after
    assert landfast("models", "verify").returncode == 0


def test_a_broken_policy_does_not_prevent_apply_from_replacing_it(landfast: Landfast, tmp_path: Path) -> None:
    """Everything else is refused until then; apply writes that file anew anyway."""
    policy = landfast.home / "config" / "policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("[allow", encoding="utf-8")
    path = site(tmp_path / "etc", "[policy.allow]\nlicence = ['Apache-2.0']\n")
    assert "not valid TOML" in refused(landfast("models"), 4)
    assert landfast("apply", str(path)).returncode == 0
    assert landfast("models").returncode == 0


def test_a_broken_policy_that_apply_leaves_alone_is_told(landfast: Landfast, tmp_path: Path) -> None:
    """A site file without rules does not lift those that are there."""
    policy = landfast.home / "config" / "policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("[allow", encoding="utf-8")
    assert "not valid TOML" in refused(landfast("apply", str(site(tmp_path / "etc", ""))), 4)


@pytest.mark.parametrize(
    ("text", "words", "answer"),
    [
        ("[[models]]\nnmae = 'x'\n", (), (2, "Did you mean name?")),
        ("[[models]]\nname = 'no-such-model'\n", (), (9, "no model")),
        ("", ("--locked",), (9, "no lock file")),
        ("[require]\nlandfast = '99'\n", (), (4, "99 or newer")),
        ("[policy.deny]\nx = ['y']\n", (), (4, "line 2")),
    ],
)
def test_a_refusal_is_one_sentence_and_touches_nothing(
    landfast: Landfast, tmp_path: Path, text: str, words: tuple[str, ...], answer: tuple[int, str]
) -> None:
    """With its exit code, and the cure."""
    path = site(tmp_path / "etc", text)
    before = snapshot(tmp_path)
    exit_code, said = answer
    assert said in refused(landfast("apply", path, *words), exit_code)
    assert snapshot(tmp_path) == before


def test_the_page_and_the_schemas_are_those_of_the_code() -> None:
    """Run `python -m scripts.build_site_doc` after a change of the site file."""
    text = PAGE.read_text("utf-8")
    assert with_tables(text) == text
    for name in SCHEMAS:
        assert schema_path(name).read_bytes() == schema(name)


def test_the_schema_takes_what_the_reader_takes_and_refuses_strange_keys() -> None:
    """An editor can check a site file before it is applied."""
    import tomllib

    rules = json.loads(schema("site"))
    jsonschema.Draft202012Validator.check_schema(rules)
    validator = jsonschema.Draft202012Validator(rules)
    assert validator.is_valid(tomllib.loads(FULL))
    assert not validator.is_valid(tomllib.loads(FULL + "zzz = 1\n"))


def test_the_examples_of_the_page_are_understood(tmp_path: Path) -> None:
    """Every site file that it shows."""
    examples = TOML.findall(PAGE.read_text("utf-8"))
    assert examples
    for text in examples:
        read_site(Path(site(tmp_path, text)))


def test_the_page_says_what_systemd_measures(tmp_path: Path) -> None:
    """The figure on the page is the one of today."""
    import shutil

    from deploy.provision.units import Units

    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    file = read_site(Path(site(tmp_path, "[store]\nscope = 'system'\n[drift]\ntimer = 'daily'\n")))
    file_units = Units(root=Path("/"), program=Path("/opt/landfast"), file=file, lock=tmp_path / "x.lock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deploy.provision.units.HOMES", ())
        (tmp_path / "landfast-check.service").write_bytes(file_units.text("landfast-check.service"))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(tmp_path / "landfast-check.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    measured = re.search(r"service: (\d\.\d)", done.stdout)
    assert measured is not None
    assert f"gives {measured[1]} of 10" in PAGE.read_text("utf-8")
