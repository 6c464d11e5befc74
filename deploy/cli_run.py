"""The command line of a model at work: one answer, a conversation, vectors."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from deploy.cli_common import AsJson, ContextTokens
from deploy.errors import UsageError

if TYPE_CHECKING:
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

System = Annotated[str | None, typer.Option("--system", help="Say who the model is to be and how it is to answer.")]
MaxTokens = Annotated[
    int,
    typer.Option(
        "--max-tokens", min=1, max=LARGEST_COUNT, help="End the answer after this many tokens.", metavar="TOKENS"
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature", min=0, help="Draw more freely; 0 always takes the likeliest token.", metavar="NUMBER"
    ),
]
TopK = Annotated[
    int | None,
    typer.Option("--top-k", min=0, max=LARGEST_COUNT, help="Draw from this many of the likeliest tokens; 0 is all."),
]
TopP = Annotated[
    float | None,
    typer.Option("--top-p", min=0, max=1, help="Draw from the likeliest tokens up to this sum.", metavar="SHARE"),
]
MinP = Annotated[
    float | None,
    typer.Option("--min-p", min=0, max=1, help="Leave out tokens below this share of the likeliest.", metavar="SHARE"),
]
RepeatPenalty = Annotated[
    float | None,
    typer.Option("--repeat-penalty", min=0.1, max=5, help="Repeat less; 1 changes nothing.", metavar="NUMBER"),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=LARGEST_SEED, help="Give the same answer to the same seed; else it varies."),
]
Stop = Annotated[list[str] | None, typer.Option("--stop", help="End the answer before this text; may be repeated.")]
AdapterFiles = Annotated[
    list[str] | None,
    typer.Option("--adapter", help="Lay a LoRA adapter over the model; may be repeated.", metavar="NAME|FILE[:SCALE]"),
]
Images = Annotated[
    list[Path] | None,
    typer.Option("--image", help="Show a PNG or JPEG image before the prompt; may be repeated.", metavar="FILE"),
]
ProjectorFile = Annotated[
    Path | None,
    typer.Option("--projector", help="Look at images with the model's projector (mmproj).", metavar="FILE"),
]
Keep = Annotated[
    str | None,
    typer.Option("--keep", help="Keep what was read and said on the disk under this name.", metavar="NAME"),
]
Resume = Annotated[
    str | None,
    typer.Option(
        "--resume", help="Go on with what was kept under this name, without reading it again.", metavar="NAME"
    ),
]
ShowThinking = Annotated[
    bool, typer.Option("--show-thinking", help="Show on standard error what the model thinks before it answers.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Install the model without asking if it is not here.")]
Unsealed = Annotated[
    bool, typer.Option("--unsealed", help="Run the engine without its seal, where an administrator allows that.")
]


def run(
    line: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL] [PROMPT]", help="The prompt; before it a model, else the best installed."),
    ] = None,
    *,
    system: System = None,
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS,
    schema: Annotated[
        Path | None, typer.Option("--schema", help="Answer in JSON that follows this JSON Schema.", metavar="FILE")
    ] = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repeat_penalty: RepeatPenalty = None,
    seed: Seed = None,
    stop: Stop = None,
    adapter: AdapterFiles = None,
    image: Images = None,
    projector: ProjectorFile = None,
    keep: Keep = None,
    resume: Resume = None,
    show_thinking: ShowThinking = False,
    context: ContextTokens = DEFAULT_CONTEXT,
    yes: Yes = False,
    unsealed: Unsealed = False,
    as_json: AsJson = False,
) -> None:
    """Answer one prompt on standard output.

    Text that is piped in is added to the prompt. How tokens are drawn is as the model's makers recommend, where
    its file says so.
    """
    from deploy import edge_ask

    _require_beginning(line, resume)
    options = edge_ask.Asking(
        system=system,
        max_tokens=max_tokens,
        sampling=_sampling(temperature, top_k, top_p, min_p, repeat_penalty, seed),
        workload=_workload(context),
        stop=tuple(stop or ()),
        schema=schema,
        adapters=_adapters(adapter),
        images=tuple(file.expanduser() for file in image or ()),
        projector=None if projector is None else projector.expanduser(),
        keep=keep,
        resume=resume,
        show_thinking=show_thinking,
        unsealed=unsealed,
    )
    raise typer.Exit(edge_ask.run(words or [], options, yes=yes, as_json=as_json))


def chat(
    line: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="The model; else the best installed one.")
    ] = None,
    *,
    system: System = None,
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repeat_penalty: RepeatPenalty = None,
    seed: Seed = None,
    stop: Stop = None,
    adapter: AdapterFiles = None,
    keep: Keep = None,
    resume: Resume = None,
    show_thinking: ShowThinking = False,
    context: ContextTokens = DEFAULT_CONTEXT,
    yes: Yes = False,
    unsealed: Unsealed = False,
    as_json: AsJson = False,
) -> None:
    """Chat line by line, in plain text.

    Nothing is kept when it ends, unless --keep names what to keep.
    """
    from deploy import edge_chat
    from deploy.edge_ask import Asking

    _require_beginning(line, resume)
    options = Asking(
        system=system,
        max_tokens=max_tokens,
        sampling=_sampling(temperature, top_k, top_p, min_p, repeat_penalty, seed),
        workload=_workload(context),
        stop=tuple(stop or ()),
        adapters=_adapters(adapter),
        keep=keep,
        resume=resume,
        show_thinking=show_thinking,
        unsealed=unsealed,
    )
    raise typer.Exit(edge_chat.chat(model, options, yes=yes, as_json=as_json))


def embed(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts; else each line that is piped in is one.")
    ] = None,
    *,
    model: Annotated[
        str | None, typer.Option("--model", help="Use this model; else the best installed one.", metavar="MODEL")
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
                f"--{name} cannot be changed in a session that goes on.", hint=f"Leave --{name} out, or --resume."
            )


def _workload(context_tokens: int) -> "Workload":
    from deploy.fit.fit import Workload

    return Workload(context_tokens=context_tokens, min_decode_tok_s=0.0)


def _sampling(  # noqa: PLR0917 - as many as there are ways to steer it
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    repeat_penalty: float | None,
    seed: int | None,
) -> "Sampling":
    import secrets

    from deploy.engine.protocol import Sampling

    if not all(math.isfinite(number) for number in (temperature, top_p, min_p, repeat_penalty) if number is not None):
        raise typer.BadParameter("How tokens are drawn is set with finite numbers.")
    return Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repeat_penalty=repeat_penalty,
        seed=secrets.randbelow(SEEDS) if seed is None else seed,
    )


def _adapters(given: list[str] | None) -> "tuple[Adapter, ...]":
    from deploy.engine.protocol import Adapter

    split = [_scaled(text) for text in given or ()]
    return tuple(Adapter(path=str(Path(file).expanduser()), scale=scale) for file, scale in split)


def _scaled(text: str) -> tuple[str, float]:
    """FILE or FILE:SCALE. Raises typer.BadParameter."""
    file, colon, number = text.rpartition(":")
    try:
        scale = float(number) if colon else 1.0
    except ValueError:
        return text, 1.0
    if not math.isfinite(scale) or abs(scale) > LARGEST_SCALE:
        raise typer.BadParameter(f"The scale of an adapter goes from -{LARGEST_SCALE:g} to {LARGEST_SCALE:g}.")
    return (file, scale) if colon else (text, 1.0)
