"""What is loaded when: a command starts at once because it loads what it needs and nothing else."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.usefixtures("unmeasured_children")

ROOT: Final = Path(__file__).parents[1]
HEAVY: Final = frozenset(
    {
        "filelock",
        "httpx2",
        "huggingface_hub",
        "jinja2",
        "llama_cpp",
        "numpy",
        "pip",
        "psutil",
        "pynvml",
        "rich",
        "textual",
    }
)
"""What takes longer to load than most commands take to run."""
OURS: Final = frozenset({"deploy", "profiles", "tui"})
HELP: Final = """
import contextlib, io, sys
from deploy.cli import main
sys.argv = ["landfast", "--help"]
with contextlib.redirect_stdout(io.StringIO()):
    main()
"""


def loaded_by(program: str) -> set[str]:
    """Run a program in a fresh interpreter and give the names of all modules that it loaded."""
    code = f"{program}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    return set(done.stdout.split())


def roots(modules: set[str]) -> set[str]:
    """The packages that modules belong to."""
    return {name.partition(".")[0] for name in modules}


def of_ours(modules: set[str]) -> set[str]:
    """Those of this project, as `deploy.errors`."""
    return {name for name in modules if name.partition(".")[0] in OURS}


@pytest.mark.parametrize("module", ["deploy.cli", "deploy.edge", "deploy.commands.context", "deploy.engine.client"])
def test_a_module_of_every_start_is_light(module: str) -> None:
    """None of them loads a heavy library, or the user interface."""
    loaded = roots(loaded_by(f"import {module}"))
    assert not loaded & (HEAVY | {"tui"})


def test_the_command_line_itself_loads_only_the_contract() -> None:
    """Parsing needs the errors and the shape of results; the rest is loaded by the command that runs."""
    loaded = of_ours(loaded_by("import deploy.cli"))
    assert not [name for name in loaded if name.startswith(("deploy.commands", "deploy.fit", "deploy.store", "tui"))]
    assert not [name for name in loaded if name.startswith(("deploy.catalog", "deploy.engine", "deploy.gguf"))]


def test_help_loads_no_catalogue_engine_or_network() -> None:
    """It is the first thing that a newcomer types."""
    loaded = loaded_by(HELP)
    assert not roots(loaded) & HEAVY
    assert (
        not {"deploy.catalog.loader", "deploy.sources.all", "deploy.render", "deploy.gguf.check", "profiles.probe"}
        & loaded
    )


@pytest.mark.parametrize("module", ["profiles.probe", "profiles.budget", "profiles.machine"])
def test_profiles_knows_nothing_of_the_other_rooms(module: str) -> None:
    """It can be taken out and used by itself."""
    assert roots(of_ours(loaded_by(f"import {module}"))) == {"profiles"}


def test_the_commands_know_no_user_interface() -> None:
    """Any other edge could stand on them: they load neither the terminal's libraries nor the command line."""
    modules = sorted((ROOT / "deploy" / "commands").glob("*.py"))
    names = [f"deploy.commands.{path.stem}" for path in modules if path.stem != "__init__"]
    loaded = loaded_by("\n".join(f"import {name}" for name in names))
    assert not roots(loaded) & {"typer", "rich", "textual", "tui", "llama_cpp"}
    assert not {"deploy.cli", "deploy.edge", "deploy.render", "deploy.terminal"} & loaded


def test_only_the_worker_loads_the_engine() -> None:
    """A bad model can crash native code: it does so in a process of its own."""
    loaded = loaded_by("import deploy.engine.client, deploy.engine.protocol, deploy.engine.fake, deploy.engine.text")
    assert "llama_cpp" not in roots(loaded)


def test_the_user_interface_is_loaded_by_nobody_but_its_own_door() -> None:
    """`landfast` without arguments opens it; no other command pays for it."""
    sources = [path for room in ("deploy", "profiles") for path in (ROOT / room).rglob("*.py")]
    users = {path.relative_to(ROOT).as_posix() for path in sources if "tui" in _imports(path)}
    assert users <= {"deploy/cli.py"}


def _imports(path: Path) -> set[str]:
    """Packages that a file imports, wherever in it."""
    import ast

    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
    return found
