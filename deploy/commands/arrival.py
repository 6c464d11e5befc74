"""What is written down of how a model came: who took it under which licence, and what was foretold of it here."""

import contextlib
import getpass
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from deploy.commands.context import Context
from deploy.commands.pace import budget_of
from deploy.commands.plan import plan_target
from deploy.commands.targets import FileTarget, Target
from deploy.errors import IntegrityError, LandfastError
from deploy.fit.fit import Workload
from deploy.gguf.check import ModelFile
from deploy.results import Message, info
from deploy.sources.base import Informed, Source
from deploy.sources.seen import Seen
from deploy.store.records import Acceptance, Arrival, Description, Installed, Promise, now

UNKNOWN_LICENCE: Final = "unknown"
_CLASS: Final = re.compile(r"(BF16|F16|F32|MXFP4|I?Q\d|TQ\d)", re.IGNORECASE)


def arrival(description: Description, source: Source, promise: Promise | None, present: Installed | None) -> Arrival:
    """Everything that the lock file is to say. A repair is no new decision on the licence."""
    known = {name: getattr(description, name) for name in Description.__struct_fields__}
    earlier = present.accepted if present is not None else None
    accepted = earlier if earlier is not None and earlier.licence == description.licence else _accepted(description)
    revision = source.revision if isinstance(source, Informed) else None
    return Arrival(**known, revision=revision, accepted=accepted, promise=promise)


def seen_by(source: Source) -> Mapping[Path, Seen]:
    """What a source has hashed on the way."""
    return source.seen if isinstance(source, Informed) else {}


def promised(context: Context, target: Target, workload: Workload) -> Promise | None:
    """What the plan says of a model here and now; None where it cannot be foretold, which is no reason to refuse it."""
    with contextlib.suppress(LandfastError):
        plan, _ = plan_target(context, target, budget_of(context), workload)
        return Promise(
            plan=msgspec.json.decode(msgspec.json.encode(plan.plan)),
            pool=plan.pool,
            room_bytes=plan.room_bytes,
            peak_bytes=plan.peak_bytes,
            hard_bytes=plan.hard_bytes,
            decode_tok_s=plan.speed.decode_tok_s.known,
            verdict=plan.verdict,
        )
    return None


def namesake(context: Context, target: object, installed: Installed) -> tuple[Message, ...]:
    """Of a file of one's own: that the catalogue has the same bytes under another name, with licence and makers."""
    if not isinstance(target, FileTarget):
        return ()
    known: str | None = None
    with contextlib.suppress(LandfastError):
        forms = ((f"{model.id}:{form.quant}", form) for model in context.catalog().models for form in model.artifacts)
        known = next((name for name, form in forms if tuple(f.sha256 for f in form.files) == installed.hashes), None)
    if known is None or known == installed.id:
        return ()
    command = f"`landfast install {known} --from {target.path}`"
    return (info(f"The catalogue knows this file as {known}, with its licence: {command} installs it as that."),)


def require_form(model_id: str, contents: ModelFile) -> None:
    """Raises IntegrityError for a file of another form than was asked for, as its own header says."""
    wanted = model_id.partition(":")[2]
    asked, found = _class(wanted), _class(contents.quant)
    if asked is not None and found is not None and asked != found:
        raise IntegrityError(
            f"The file is {contents.quant}, and {model_id} was asked for.",
            hint=f"Choose another file, or install this one under its own form: {model_id.partition(':')[0]}.",
        )


def _class(quant: str) -> str | None:
    """How many bits a form's weights have, roughly; None for a form of an unknown kind."""
    found = _CLASS.search(quant)
    return None if found is None else found[1].upper().removeprefix("I")


def _accepted(description: Description) -> Acceptance | None:
    if description.licence == UNKNOWN_LICENCE:
        return None
    return Acceptance(licence=description.licence, by=_account(), at=now())


def _account() -> str:
    """Who runs this, as the system says and not the environment; behind sudo, who called it."""
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name
    except ImportError:
        name = getpass.getuser()
    except KeyError:
        name = str(os.getuid())
    caller = os.environ.get("SUDO_USER")
    return f"{caller} (as {name})" if caller and caller != name else name
