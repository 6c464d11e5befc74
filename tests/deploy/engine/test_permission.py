"""Going without the seal is for the owner of a machine to allow, and for nobody else."""

import os
from pathlib import Path

import pytest

from deploy.commands.context import real_context
from deploy.engine import permission
from deploy.engine.permission import require_unsealed_allowed
from deploy.errors import PolicyRefused

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's files count")


def settings(folder: Path, text: str, mode: int = 0o644) -> Path:
    """A settings file."""
    path = folder / "engine.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


@root
def test_an_administrator_may_allow_it(tmp_path: Path) -> None:
    """One line, in a file of root's."""
    require_unsealed_allowed(settings(tmp_path, "allow_unsealed = true\n"))


@pytest.mark.parametrize("text", ["", "allow_unsealed = false\n", "allow_unsealed = 1\n", 'allow_unsealed = "true"\n'])
def test_anything_else_does_not_allow_it(tmp_path: Path, text: str) -> None:
    """Only the plain yes counts; the refusal says how it would be given."""
    with pytest.raises(PolicyRefused) as caught:
        require_unsealed_allowed(settings(tmp_path, text))
    assert caught.value.hint


def test_no_file_is_a_no(tmp_path: Path) -> None:
    """The default of every machine."""
    with pytest.raises(PolicyRefused, match="not allowed on this machine"):
        require_unsealed_allowed(tmp_path / "nothing")


def test_a_file_that_is_not_understood_is_a_no(tmp_path: Path) -> None:
    """The seal stays on when in doubt."""
    with pytest.raises(PolicyRefused, match="the seal stays on"):
        require_unsealed_allowed(settings(tmp_path, "allow_unsealed: yes"))


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_a_file_that_others_can_write_is_a_no(tmp_path: Path, mode: int) -> None:
    """Else any user could allow it."""
    with pytest.raises(PolicyRefused, match="written by users other than root"):
        require_unsealed_allowed(settings(tmp_path, "allow_unsealed = true\n", mode))


@root
def test_a_file_of_another_user_is_a_no(tmp_path: Path) -> None:
    """Whatever is in it."""
    path = settings(tmp_path, "allow_unsealed = true\n")
    os.chown(path, 65534, 65534)
    with pytest.raises(PolicyRefused, match="written by users other than root"):
        require_unsealed_allowed(path)


def test_commands_ask_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--unsealed` gets no engine without it, and an ordinary run does not look for it."""
    monkeypatch.setattr(permission.require_unsealed_allowed, "__defaults__", (tmp_path / "nothing",))
    with pytest.raises(PolicyRefused):
        real_context(lambda _: None, unsealed=True)
    assert real_context(lambda _: None, offline=True).engine is not None
