"""A site file, a shelf of small models and a host to apply the one with the other to."""

import stat
from pathlib import Path
from typing import Any

from deploy.commands.context import Context
from deploy.provision.apply import ApplyData, ApplyRequest, apply
from deploy.results import Result
from tests.support.gguf import tiny_model
from tests.support.world import FakeSource, artifact, model, world

ONE = tiny_model().build()
SHELF = {"one.gguf": ONE, "two.gguf": ONE + bytes(256)}
MODELS = (
    model("one", artifact("Q4_0", "one.gguf", SHELF["one.gguf"]), parameters=2 * 10**9),
    model("two", artifact("Q4_0", "two.gguf", SHELF["two.gguf"]), parameters=10**9),
)
BEST_AND_TWO = """
[[models]]
best = "chat"

[[models]]
name = "two"
"""
EVERYTHING = """
[require]
landfast = "0.1.0"

[[models]]
best = "chat"

[[models]]
name = "two"

[policy]
name = "Test"

[policy.allow]
licence = ["Apache-2.0"]

[retention]
old_models = 1
journal_days = 30
"""


def host(home: Path, *models: Any, **more: Any) -> Context:
    """A host with nothing on it, and a shelf that has two models."""
    more.setdefault("sources", (FakeSource(files=SHELF),))
    return world(home, *(models or MODELS), **more)


def site(folder: Path, text: str) -> str:
    """Write a site file and give its path."""
    folder.mkdir(exist_ok=True)
    path = folder / "landfast.toml"
    path.write_text(text, "utf-8")
    return str(path)


def applied(context: Context, path: str, **more: Any) -> ApplyData:
    """Apply a site file without errors."""
    result = outcome(context, path, **more)
    assert not result.errors, result.errors
    assert result.data is not None
    return result.data


def outcome(context: Context, path: str, **more: Any) -> Result[ApplyData]:
    """Apply a site file."""
    return apply(context, ApplyRequest(site=path, **more))


def states(data: ApplyData | None) -> dict[str, str]:
    """What came of each step, by its name."""
    assert data is not None
    return {step.name: step.state for step in data.steps}


def snapshot(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything under a folder: names, rights, times and contents."""
    found = {}
    for path in sorted((root, *root.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path.relative_to(root))] = (status.st_mode, status.st_mtime_ns, content)
    return found


def wanted_state(context: Context) -> tuple[Any, ...]:
    """What a host is after `apply`, without its times, its journal and the order in which it came about."""
    records = context.store.installed()
    config = context.paths.config
    files = {str(path.relative_to(config)): path.read_bytes() for path in sorted(config.rglob("*.toml"))}
    return (tuple((r.id, tuple(f.sha256 for f in r.files)) for r in records), files)
