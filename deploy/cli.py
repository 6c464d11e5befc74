"""The command line: parse, call, print. Every command is one call of `deploy.commands` and one of `render`."""

import sys
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import typer

from deploy.errors import ExitCode, UsageError
from deploy.results import Result

T = TypeVar("T")

app = typer.Typer(
    name="landfast",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Puts an open-weight language model on a machine you own, and keeps it there.",
    epilog="Without a command, in a terminal, the user interface opens.",
)
models_app = typer.Typer(help="List, show, verify and remove installed models.", rich_markup_mode=None)
app.add_typer(models_app, name="models", invoke_without_command=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON envelope on standard output.")]
Offline = Annotated[bool, typer.Option("--offline", help="Do not touch the network.")]
ContextTokens = Annotated[
    int, typer.Option("--context", min=256, help="Context in tokens: prompt and answer together.", metavar="TOKENS")
]
MinSpeed = Annotated[
    float, typer.Option("--min-speed", min=0, help="Slowest writing that will do.", metavar="TOKENS_PER_SECOND")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Model id, id:QUANT, or a GGUF file.")]
System = Annotated[str | None, typer.Option("--system", help="System prompt.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.", metavar="TOKENS")]
Temperature = Annotated[float, typer.Option("--temperature", min=0, help="0 takes the likeliest token, always.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Same seed, same answer.")]

DEFAULT_CONTEXT: Final = 8192
DEFAULT_SPEED: Final = 6.0
DEFAULT_TEMPERATURE: Final = 0.6
DEFAULT_MAX_TOKENS: Final = 1024
SEEDS: Final = 2**31


@app.command()
def profile(*, as_json: AsJson = False) -> None:
    """Describe this machine, and what a model may take of it."""
    from deploy.commands.profile import profile as command

    _serve("profile", as_json, command, lambda render: render.profile)


@app.command()
def select(
    *,
    context: ContextTokens = DEFAULT_CONTEXT,
    min_speed: MinSpeed = DEFAULT_SPEED,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Choose the best model for this machine, and say why."""
    from deploy.commands.select import select as command

    workload = _workload(context, min_speed)
    _serve("select", as_json, lambda world: command(world, workload), lambda render: render.select, offline=offline)


@app.command()
def plan(
    model: ModelArgument,
    *,
    context: ContextTokens = DEFAULT_CONTEXT,
    min_speed: MinSpeed = DEFAULT_SPEED,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Say what one model would take here, and how fast it would be."""
    from deploy.commands.plan import plan as command

    workload = _workload(context, min_speed)
    _serve("plan", as_json, lambda world: command(world, model, workload), lambda render: render.plan, offline=offline)


@app.command()
def install(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Model id, id:QUANT or a GGUF file; else the best one.")
    ] = None,
    *,
    folder: Annotated[
        str | None, typer.Option("--from", help="Take the files from this folder or file.", metavar="PATH")
    ] = None,
    context: ContextTokens = DEFAULT_CONTEXT,
    min_speed: MinSpeed = DEFAULT_SPEED,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Bring a model in, every byte verified.

    Interrupted, it goes on where it stopped.
    """
    from deploy.commands.install import InstallData, InstallRequest
    from deploy.commands.install import install as command
    from deploy.edge import confirm_choice

    workload = _workload(context, min_speed)

    def work(world: Any) -> Result[InstallData]:
        wanted = model
        if wanted is None and not yes and not as_json:
            wanted = confirm_choice(world, workload)
        return command(world, InstallRequest(model=wanted, folder=folder, workload=workload))

    _serve("install", as_json, work, lambda render: render.install, offline=folder is not None)


@app.command()
def run(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL] [PROMPT]", help="A prompt, with the model before it if not the best one."),
    ] = None,
    *,
    system: System = None,
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS,
    temperature: Temperature = DEFAULT_TEMPERATURE,
    seed: Seed = None,
    context: ContextTokens = DEFAULT_CONTEXT,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Install without asking what is not installed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Answer one prompt on standard output.

    Text that is piped in is added to the prompt.
    """
    from deploy import edge

    options = edge.Asking(
        system=system, max_tokens=max_tokens, sampling=_sampling(temperature, seed), workload=_workload(context)
    )
    _leave(edge.run(words or [], options, yes=yes, as_json=as_json))


@app.command()
def chat(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Else the best installed one.")] = None,
    *,
    system: System = None,
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS,
    temperature: Temperature = DEFAULT_TEMPERATURE,
    seed: Seed = None,
    context: ContextTokens = DEFAULT_CONTEXT,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Install without asking what is not installed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Converse line by line, in plain text.

    Nothing is kept when it ends.
    """
    from deploy import edge

    options = edge.Asking(
        system=system, max_tokens=max_tokens, sampling=_sampling(temperature, seed), workload=_workload(context)
    )
    _leave(edge.chat(model, options, yes=yes, as_json=as_json))


@models_app.callback()
def models(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List installed models, or show, verify or remove them."""
    if context.invoked_subcommand is None:
        from deploy.commands.models import list_models

        _serve("models", as_json, list_models, lambda render: render.models)


@models_app.command("show")
def models_show(model: ModelArgument, *, as_json: AsJson = False) -> None:
    """Show one installed model: who made it, under which licence, with which hashes."""
    from deploy.commands.models import show

    _serve("models show", as_json, lambda world: show(world, model), lambda render: render.show)


@models_app.command("verify")
def models_verify(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Else all of them.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Hash installed files again; a wrong one is set aside and named."""
    from deploy.commands.models import verify

    _serve("models verify", as_json, lambda world: verify(world, model), lambda render: render.verify)


@models_app.command("remove")
def models_remove(model: ModelArgument, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take one installed model away."""
    from deploy.commands.models import RemoveData, removable, remove
    from deploy.edge import confirm

    def work(world: Any) -> Result[RemoveData]:
        found = removable(world, model)
        if not yes:
            confirm(f"Remove {found} from this machine?", interactive=not as_json)
        return remove(world, found)

    _serve("models remove", as_json, work, lambda render: render.remove)


@app.command()
def doctor(*, offline: Offline = False, as_json: AsJson = False) -> None:
    """Try each thing that must work, and give advice."""
    from deploy.commands.doctor import doctor as command

    _serve("doctor", as_json, command, lambda render: render.doctor, offline=offline)


@app.command()
def version(*, as_json: AsJson = False) -> None:
    """Tell the versions of all parts."""
    from deploy.commands.version import version_of_all

    _serve("version", as_json, version_of_all, lambda render: render.version)


def main() -> int:
    """Run one command and give its exit code. Every way out is a sentence, never a traceback."""
    from deploy.edge import guarded

    if len(sys.argv) == 1 and sys.stdin.isatty() and sys.stdout.isatty():
        from tui.app import main as open_interface

        return guarded(open_interface)
    return guarded(_parse_and_run)


def _parse_and_run() -> int:
    arguments = sys.argv[1:] or ["--help"]
    try:
        status = app(args=arguments, prog_name="landfast", standalone_mode=False)
    except _REFUSED_ARGUMENTS as error:
        raise UsageError(error.format_message(), hint="Run `landfast --help`, or `landfast COMMAND --help`.") from error
    return status if isinstance(status, int) else ExitCode.DONE


_REFUSED_ARGUMENTS: Final[Any] = typer.BadParameter.__mro__[2]
"""Typer's base of all complaints about arguments, which it exports under no name of its own."""


def _serve(
    name: str,
    as_json: bool,  # noqa: FBT001 - passed on from an option
    work: Callable[[Any], Result[T]],
    renderer: Callable[[Any], Callable[[T], None]],
    *,
    offline: bool = False,
) -> None:
    from deploy import edge

    _leave(edge.serve(name, work, None if as_json else renderer, offline=offline))


def _leave(code: int) -> None:
    raise typer.Exit(code)


def _workload(context_tokens: int, min_decode_tok_s: float = 0.0) -> Any:
    from deploy.fit.fit import Workload

    return Workload(context_tokens=context_tokens, min_decode_tok_s=min_decode_tok_s)


def _sampling(temperature: float, seed: int | None) -> Any:
    import secrets

    from deploy.engine.protocol import Sampling

    return Sampling(temperature=temperature, seed=secrets.randbelow(SEEDS) if seed is None else seed)
