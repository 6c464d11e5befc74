"""The command line of a model at work: one answer, a conversation, vectors."""

import math
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from deploy.cli_common import AsJson, ContextTokens, expand_options
from deploy.errors import UsageError

if TYPE_CHECKING:
    from deploy.edge_ask import Asking
    from deploy.engine.protocol import Adapter, Sampling
    from deploy.fit.fit import Workload

DEFAULT_CONTEXT: Final = 8192
DEFAULT_EMBED_CONTEXT: Final = 2048
DEFAULT_MAX_TOKENS: Final = 1024
SEEDS: Final = 2**31
LARGEST_SEED: Final = 2**32 - 2
"""The engine keeps 32 bits of a seed, and takes the next number for "any"."""
LARGEST_COUNT: Final = 2**31 - 1
"""The engine's own numbers of tokens have 31 bits."""
LARGEST_SCALE: Final = 100.0

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Install the model without asking if it is not installed.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """What run and chat can be told about the answers, in the order of their help."""

    system: Annotated[
        str | None,
        typer.Option("--system", help="System prompt: who the model is, and how it answers.", metavar="TEXT"),
    ] = None
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens", min=1, max=LARGEST_COUNT, help="End the answer after this many tokens.", metavar="TOKENS"
        ),
    ] = DEFAULT_MAX_TOKENS
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", min=0, help="Draw more freely; 0 always takes the likeliest token.", metavar="NUMBER"
        ),
    ] = None
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k",
            min=0,
            max=LARGEST_COUNT,
            help="Draw from this many of the likeliest tokens; 0 is all.",
            metavar="TOKENS",
        ),
    ] = None
    top_p: Annotated[
        float | None,
        typer.Option(
            "--top-p",
            min=0,
            max=1,
            help="Draw from the likeliest tokens, up to this sum of probabilities.",
            metavar="SHARE",
        ),
    ] = None
    min_p: Annotated[
        float | None,
        typer.Option(
            "--min-p", min=0, max=1, help="Leave out tokens below this share of the likeliest.", metavar="SHARE"
        ),
    ] = None
    repeat_penalty: Annotated[
        float | None,
        typer.Option("--repeat-penalty", min=0.1, max=5, help="Repeat less; 1 changes nothing.", metavar="NUMBER"),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            max=LARGEST_SEED,
            help="Give the same answer to the same seed; else it varies.",
            metavar="NUMBER",
        ),
    ] = None
    stop: Annotated[
        list[str] | None,
        typer.Option("--stop", help="End the answer before this text; may be repeated.", metavar="TEXT"),
    ] = None
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            "--adapter", help="Lay a LoRA adapter over the model; may be repeated.", metavar="NAME|FILE[:SCALE]"
        ),
    ] = None
    projector: Annotated[
        Path | None,
        typer.Option(
            "--projector",
            help="Look at images with this projector (mmproj); default: the installed one.",
            metavar="FILE",
        ),
    ] = None
    keep: Annotated[
        str | None,
        typer.Option("--keep", help="Keep the session on the disk under this name.", metavar="NAME"),
    ] = None
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", help="Continue the session of this name, without reading its text again.", metavar="NAME"
        ),
    ] = None
    show_thinking: Annotated[
        bool, typer.Option("--show-thinking", help="Show on standard error what the model thinks before it answers.")
    ] = False
    context: ContextTokens = DEFAULT_CONTEXT
    yes: Yes = False
    unsealed: Annotated[
        bool, typer.Option("--unsealed", help="Run the engine without its seal, where an administrator allows that.")
    ] = False

    def asking(self, **more: Any) -> "Asking":
        """These options and `more`, as the edge takes them. Raises typer.BadParameter."""
        from deploy.edge_ask import Asking

        return Asking(
            system=self.system,
            max_tokens=self.max_tokens,
            sampling=self._sampling(),
            repeatable=self.seed is not None or self.temperature == 0,
            workload=_workload(self.context),
            stop=tuple(self.stop or ()),
            adapters=tuple(_adapter(text) for text in self.adapter or ()),
            projector=None if self.projector is None else self.projector.expanduser(),
            keep=self.keep,
            resume=self.resume,
            show_thinking=self.show_thinking,
            unsealed=self.unsealed,
            **more,
        )

    def _sampling(self) -> "Sampling":
        from deploy.engine.protocol import Sampling

        numbers = (self.temperature, self.top_p, self.min_p, self.repeat_penalty)
        if not all(math.isfinite(number) for number in numbers if number is not None):
            raise typer.BadParameter("How tokens are drawn is set with finite numbers.")
        return Sampling(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            repeat_penalty=self.repeat_penalty,
            seed=secrets.randbelow(SEEDS) if self.seed is None else self.seed,
        )


@expand_options
def run(
    line: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL] [PROMPT]", help="The prompt, after a model; default: the best installed one."),
    ] = None,
    *,
    schema: Annotated[
        Path | None, typer.Option("--schema", help="Answer in JSON that follows this JSON Schema.", metavar="FILE")
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", help="Show a PNG or JPEG image before the prompt; may be repeated.", metavar="FILE"),
    ] = None,
    options: AnswerOptions,
    as_json: AsJson = False,
) -> None:
    """Answer one prompt on standard output.

    Text that is piped in is added to the prompt. How tokens are drawn is as the model's makers recommend, where
    its file says so.
    """
    from deploy import edge_ask

    _require_beginning(line, options.resume)
    asking = options.asking(schema=schema, images=tuple(file.expanduser() for file in image or ()))
    raise typer.Exit(edge_ask.run(words or [], asking, yes=options.yes, as_json=as_json))


@expand_options
def chat(
    line: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="The model; default: the best installed one.")
    ] = None,
    *,
    options: AnswerOptions,
    as_json: AsJson = False,
) -> None:
    """Chat line by line, in plain text.

    Nothing is kept when it ends, unless --keep names what to keep.
    """
    from deploy import edge_chat

    _require_beginning(line, options.resume)
    raise typer.Exit(edge_chat.chat(model, options.asking(), yes=options.yes, as_json=as_json))


def embed(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="The texts; default: each line that is piped in.")
    ] = None,
    *,
    model: Annotated[
        str | None, typer.Option("--model", help="Use this model; default: the best installed one.", metavar="MODEL")
    ] = None,
    context: ContextTokens = DEFAULT_EMBED_CONTEXT,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Turn texts into vectors, one JSON line each.

    Vectors have length 1. A model that was not made for it gives the mean over its tokens, and that is said.
    """
    from deploy import edge_ask

    raise typer.Exit(edge_ask.embed(texts or [], model, _workload(context), yes=yes, as_json=as_json))


def _require_beginning(line: typer.Context, resume: str | None) -> None:
    """Raises UsageError for what was decided when a session began."""
    for name in ("system", "context"):
        source = line.get_parameter_source(name)
        if resume is not None and source is not None and source.name != "DEFAULT":
            raise UsageError(
                f"--{name} cannot be changed in a resumed session.", hint=f"Leave out --{name} or --resume."
            )


def _workload(context_tokens: int) -> "Workload":
    from deploy.fit.fit import Workload

    return Workload(context_tokens=context_tokens, min_decode_tok_s=0.0)


def _adapter(text: str) -> "Adapter":
    from deploy.engine.protocol import Adapter

    file, scale = _scaled(text)
    return Adapter(path=os.path.expanduser(file), scale=scale)  # noqa: PTH111 - a Path would forget that ./ was typed


def _scaled(text: str) -> tuple[str, float]:
    """FILE or FILE:SCALE. Raises typer.BadParameter."""
    file, colon, number = text.rpartition(":")
    try:
        scale = float(number) if colon else 1.0
    except ValueError:
        return text, 1.0
    if not math.isfinite(scale) or abs(scale) > LARGEST_SCALE:
        raise typer.BadParameter(f"The scale of an adapter must be from -{LARGEST_SCALE:g} to {LARGEST_SCALE:g}.")
    return (file, scale) if colon else (text, 1.0)
