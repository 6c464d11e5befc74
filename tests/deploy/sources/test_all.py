"""The order in which sources are asked, and what loading them costs."""

import subprocess
import sys

from deploy.sources.all import default_sources


def test_the_package_index_is_asked_before_the_hub() -> None:
    """Two sources, in this order."""
    assert [source.name for source in default_sources({})] == ["package index", "hub"]


def test_a_mirror_of_ones_own_is_asked_first() -> None:
    """LANDFAST_MIRROR names a web server; the others are asked where it does not answer."""
    sources = default_sources({"LANDFAST_MIRROR": "https://files.example/models"})
    assert [source.name for source in sources] == ["mirror", "package index", "hub"]


def test_loading_the_sources_loads_no_client() -> None:
    """Neither the hub's client nor an HTTP library nor pip is imported before something is fetched."""
    program = "import sys; import deploy.sources.all, deploy.sources.folder; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"huggingface_hub", "httpx2", "urllib.request", "ssl", "pip"} & set(done.stdout.split())
