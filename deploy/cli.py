"""The command line: parse, call, print. Every command is one call of `deploy.commands` and one of `render`."""

import os
import sys
from typing import Annotated, Any, Final, Literal

import typer
from typer.core import TyperGroup

from deploy.cli_bundle import bundle_app, keys_app
from deploy.cli_choose import catalog_app, compare, policy_app
from deploy.cli_common import AsJson, ContextTokens, MinSpeed, ModelArgument, Offline, OtherMachine, Yes, serve, size_of
from deploy.cli_conversations import conversations_app
from deploy.cli_kept import adapters_app, sessions_app
from deploy.cli_measure import calibrate
from deploy.cli_models import models_app
from deploy.cli_provision import apply, evidence
from deploy.cli_run import DEFAULT_CONTEXT, chat, embed, run
from deploy.errors import ExitCode, LandfastError, UsageError
from deploy.results import Result, failure

Purpose = Literal["chat", "code", "reasoning", "vision", "tools"]

ORDER: Final = (
    *("select", "install", "run", "chat", "embed", "conversations", "sessions", "models", "adapters"),
    *("profile", "plan", "compare", "catalog", "policy"),
    *("apply", "evidence", "bundle", "keys", "audit", "journal"),
    *("calibrate", "doctor", "version"),
)
"""The commands as a newcomer meets them: using models, choosing them, looking after hosts, and the tools."""


class InOrder(TyperGroup):
    """Lists its commands as a newcomer meets them, and not groups after everything else."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands; the help and its page in docs/ follow this."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    name="landfast",
    cls=InOrder,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Puts an open-weight language model on a machine you own, and keeps it there.",
    epilog="Without a command, in a terminal, the user interface opens.",
)
app.add_typer(models_app, name="models", invoke_without_command=True)
app.add_typer(bundle_app, name="bundle")
app.add_typer(keys_app, name="keys")
app.add_typer(catalog_app, name="catalog")
app.add_typer(policy_app, name="policy")
app.add_typer(conversations_app, name="conversations")
app.add_typer(sessions_app, name="sessions", invoke_without_command=True)
app.add_typer(adapters_app, name="adapters", invoke_without_command=True)
app.command()(compare)
app.command()(calibrate)
app.command()(apply)
app.command()(evidence)
audit_app = typer.Typer(help="Attack the sealed engine here, and sign what happened.", rich_markup_mode=None)
app.add_typer(audit_app, name="audit", invoke_without_command=True)
journal_app = typer.Typer(help="Check or export the record of what ran.", rich_markup_mode=None)
app.add_typer(journal_app, name="journal")

DEFAULT_SPEED: Final = 6.0


@app.callback()
def landfast(
    *,
    policy: Annotated[
        str | None,
        typer.Option("--policy", help="Add one more policy file, which can only forbid more.", metavar="FILE"),
    ] = None,
    system: Annotated[bool, typer.Option("--system", help="Work on what all users of this host share.")] = False,
) -> None:
    """Options that hold for every command come before it."""
    if system:
        from deploy.paths import SCOPE

        os.environ[SCOPE] = "system"
        os.umask(0o022)  # whatever root's own: everybody on the host reads its policy and enters its folders
    if policy is not None:
        from deploy.policy.policy import VARIABLE

        os.environ[VARIABLE] = policy


@app.command()
def profile(
    *,
    machine: OtherMachine = None,
    listing: Annotated[bool, typer.Option("--list", help="List the machines that --machine knows by name.")] = False,
    disk_rate: Annotated[
        bool,
        typer.Option("--disk-rate", help="Also time the disk of the store; this takes seconds and a temporary file."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Describe this machine, and what a model may take of it."""
    from deploy.commands.machines import list_library
    from deploy.commands.profile import profile as command

    if listing:
        serve("profile", as_json, list_library, lambda render: render.library)
    serve(
        "profile",
        as_json,
        lambda world: command(world, disk_rate=disk_rate),
        lambda render: render.profile,
        machine=machine,
    )


@app.command()
def select(
    *,
    context: ContextTokens = DEFAULT_CONTEXT,
    min_speed: MinSpeed = DEFAULT_SPEED,
    purpose: Annotated[Purpose, typer.Option("--for", help="What the model is wanted for.")] = "chat",
    language: Annotated[
        str | None,
        typer.Option("--language", help="Language that the model must be made for, such as de.", metavar="CODE"),
    ] = None,
    users: Annotated[
        int, typer.Option("--users", min=1, help="Conversations in memory at once, which take turns.")
    ] = 1,
    machine: OtherMachine = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Choose the best model for this machine, and say why."""
    from deploy.commands.select import select as command

    workload = _workload(context, min_speed, purpose=purpose, language=language, users=users)
    serve(
        "select",
        as_json,
        lambda world: command(world, workload),
        lambda render: render.select,
        offline=offline,
        machine=machine,
    )


@app.command()
def plan(
    model: ModelArgument,
    *,
    purpose: Annotated[
        Purpose, typer.Option("--for", help="What the model is wanted for; for vision its projector counts.")
    ] = "chat",
    context: ContextTokens = DEFAULT_CONTEXT,
    min_speed: MinSpeed = DEFAULT_SPEED,
    machine: OtherMachine = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Say what one model takes here, and how fast it would be."""
    from deploy.commands.plan import plan as command

    workload = _workload(context, min_speed, purpose=purpose)
    serve(
        "plan",
        as_json,
        lambda world: command(world, model, workload),
        lambda render: render.plan,
        offline=offline,
        machine=machine,
    )


@app.command()
def install(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A model id, id:QUANT or a GGUF file; default: the best one here."),
    ] = None,
    *,
    purpose: Annotated[
        Purpose,
        typer.Option("--for", help="What the model is wanted for; for vision its projector (mmproj) is installed too."),
    ] = "chat",
    folder: Annotated[
        str | None,
        typer.Option("--from", help="Take the files from this bundle, folder, file or web server.", metavar="PLACE"),
    ] = None,
    max_rate: Annotated[
        str | None,
        typer.Option("--max-rate", help="Transfer at most this much a second, such as 20MB.", metavar="SIZE"),
    ] = None,
    context: ContextTokens = DEFAULT_CONTEXT,
    min_speed: MinSpeed = DEFAULT_SPEED,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Install a model, every byte verified.

    After an interruption the same command continues where it stopped.
    """
    from deploy.commands.install import InstallData, InstallRequest
    from deploy.commands.install import install as command
    from deploy.edge import confirm_choice

    workload = _workload(context, min_speed, purpose=purpose)

    def work(world: Any) -> Result[InstallData]:
        wanted = model
        if wanted is None and folder is None and not yes and not as_json:
            wanted = confirm_choice(world, workload)
        limit = None if max_rate is None else size_of(max_rate, "--max-rate")
        return command(world, InstallRequest(model=wanted, folder=folder, max_bytes_s=limit, workload=workload))

    serve("install", as_json, work, lambda render: render.install, offline=folder is not None)


app.command()(run)
app.command()(chat)
app.command()(embed)


@audit_app.callback()
def audit(
    context: typer.Context,
    *,
    model: Annotated[
        str | None, typer.Option("--model", help="Ask this model; default: the best installed one.", metavar="MODEL")
    ] = None,
    out: Annotated[str | None, typer.Option("--out", help="Write the report to this file.", metavar="FILE")] = None,
    as_json: AsJson = False,
) -> None:
    """Attack the sealed engine from inside, look at it from outside, and write a signed report."""
    if context.invoked_subcommand is None:
        from deploy.commands.audit import AuditRequest
        from deploy.commands.audit import audit as command

        request = AuditRequest(model=model, out=out)
        serve("audit", as_json, lambda world: command(world, request), lambda render: render.audit, offline=True)


@audit_app.command("verify")
def audit_verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A report of `landfast audit`.")],
    *,
    key: Annotated[
        str | None,
        typer.Option("--key", help="The signer's public key; default: the key of this machine.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a report is unchanged since it was signed, and show it."""
    from deploy.commands.audit import verify

    serve("audit verify", as_json, lambda world: verify(world, file, key), lambda render: render.audit_verify)


@journal_app.command("verify")
def journal_verify(
    *,
    head: Annotated[
        str | None,
        typer.Option(
            "--head", help="What an earlier check printed, to find lines removed since.", metavar="LINES:SHA256"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the chain of the journal from its first line to its last."""
    from deploy.commands.journal import verify

    serve("journal verify", as_json, lambda world: verify(world, head), lambda render: render.journal_verify)


@journal_app.command("export")
def journal_export(*, as_json: AsJson = False) -> None:
    """Print the journal as JSON lines."""
    from deploy.commands.journal import export

    serve("journal export", as_json, lambda world: export(world, as_json=as_json), lambda render: render.journal_export)


@app.command()
def doctor(
    *,
    record: Annotated[
        str | None,
        typer.Option("--record", help="Write what the probes read here to a file, without names.", metavar="FILE"),
    ] = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Check each thing that must work, and give advice."""
    from deploy.commands.doctor import doctor as command
    from deploy.commands.machines import record_this

    if record is not None:
        serve("doctor", as_json, lambda world: record_this(world, record), lambda render: render.recorded)
    serve("doctor", as_json, command, lambda render: render.doctor, offline=offline)


@app.command()
def version(*, as_json: AsJson = False) -> None:
    """Show the versions of all parts."""
    from deploy.commands.version import version_of_all

    serve("version", as_json, version_of_all, lambda render: render.version)


def main() -> int:
    """Run one command and give its exit code. Every way out is a sentence, never a traceback."""
    from deploy.edge import guarded

    if len(sys.argv) == 1 and all(one and one.isatty() for one in (sys.stdin, sys.stdout, sys.stderr)):
        from tui.app import main as open_interface

        return guarded(open_interface)
    return guarded(_parse_and_run)


def _parse_and_run() -> int:
    """Run the parser without its own handling of Ctrl-C and closed pipes, which has neither words nor JSON."""
    from deploy.edge import report

    command = typer.main.get_command(app)
    words = sys.argv[1:] or ["--help"]
    _require_text(words)
    try:
        with command.make_context("landfast", words) as context:
            command.invoke(context)
    except typer.Exit as left:
        return left.exit_code
    except LandfastError as error:
        return report(failure(_command_in(words), error))
    except _REFUSED_ARGUMENTS as error:
        return report(failure(_command_of(error), UsageError(_sentence_of(error), hint=_help_for(error))))
    return ExitCode.DONE


def _require_text(words: list[str]) -> None:
    """Raises UsageError for other bytes: they could not be asked, nor shown as the name of a file."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            hint = "Convert text first, such as with iconv; rename a file."
            raise UsageError(f"{word!a} is not UTF-8 text.", hint=hint) from None


def _command_of(error: Any) -> str:
    """The command whose arguments are refused, as results name it."""
    if error.ctx is None:
        return _command_in(sys.argv[1:])
    path = error.ctx.command_path
    return path.removeprefix("landfast").strip() or "landfast"


def _command_in(words: list[str]) -> str:
    """The command that these words call, as results name it."""
    found, names = typer.main.get_command(app), []
    for word in words:
        if isinstance(found, TyperGroup) and word in found.commands:
            found = found.commands[word]
            names.append(word)
    return " ".join(names) or "landfast"


def _sentence_of(error: Any) -> str:
    """What is wrong with the arguments; of a group without a command, which commands it has."""
    sentence: str = error.format_message()
    for words, plain in _PLAIN_WORDS.items():
        sentence = sentence.replace(words, plain)
    if error.ctx is None or not isinstance(error.ctx.command, TyperGroup) or sentence != "Missing command.":
        return sentence
    *names, last = (f"`{name}`" for name in error.ctx.command.list_commands(error.ctx))
    return f"`landfast {_command_of(error)}` needs a command: {', '.join(names)} or {last}."


def _help_for(error: Any) -> str:
    """What to look up: the help of the command whose arguments are refused; or where the option has its place."""
    name, option = _command_of(error), getattr(error, "option_name", "")
    if name == "landfast":
        return _place_of(error.format_message(), option) or "Run `landfast --help`."
    if option not in _BEFORE_COMMANDS:
        return f"Run `landfast {name} --help`."
    whole = f"`landfast {_BEFORE_COMMANDS[option]} {name}`"
    if error.format_message().startswith("No such option"):
        return f"It comes before the command: {whole}."
    return f"Give the system prompt after it. To use what all users of this host share: {whole}."


def _place_of(sentence: str, option: str) -> str:
    """Where something belongs that stands in place of a command; empty for what belongs nowhere."""
    if option:
        return "Only --policy and --system come before the command; all other options come after it."
    if any(character.isspace() for character in sentence.removeprefix("No such command ")):
        return 'To ask a model, run `landfast run "..."`; a system prompt comes after that, with --system.'
    return ""


_BEFORE_COMMANDS: Final = {"--system": "--system", "--policy": "--policy FILE"}
"""The options that hold for every command, as they are written."""


_PLAIN_WORDS: Final = {
    ": Value error, ": ": ",
    "Input should be a valid integer, unable to parse string as an integer": "it must be a whole number",
    "Input should be a valid number, unable to parse string as a number": "it must be a number",
    "Input should be ": "it must be ",
}
"""What the library that reads numbers and choices says to programmers, and what it means."""

_REFUSED_ARGUMENTS: Final[Any] = typer.BadParameter.__mro__[2]
"""Typer's base of all complaints about arguments, which it exports under no name of its own."""


def _workload(context_tokens: int, min_decode_tok_s: float = 0.0, **wanted: Any) -> Any:
    from deploy.fit.fit import Workload

    return Workload(context_tokens=context_tokens, min_decode_tok_s=min_decode_tok_s, **wanted)
