"""`landfast conversations`: what was kept because a person asked for it, and whether that is allowed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from deploy.commands.attach import with_attachments
from deploy.commands.context import Context
from deploy.conversations import Conversations, Found, Summary, Talk, Turn, as_json, as_markdown
from deploy.engine.protocol import ChatMessage
from deploy.errors import NotWritable, UsageError
from deploy.results import Message, Result, warning

Form = Literal["markdown", "json"]


class ListData(msgspec.Struct, frozen=True, kw_only=True):
    """All saved conversations, the newest first."""

    conversations: tuple[Summary, ...]
    file: str
    """Where they are; it is not there before the first of them."""
    forbidden: str
    """Why none may be saved; empty where the policy allows it."""


class SearchData(msgspec.Struct, frozen=True, kw_only=True):
    """The messages in which all words occur."""

    words: tuple[str, ...]
    found: tuple[Found, ...]


class ExportData(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation in a form for elsewhere."""

    id: int
    form: Form
    file: str | None
    """Where it was written; None where `text` is all."""
    text: str


class DeleteData(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken away."""

    deleted: tuple[Summary, ...]


def shelf(context: Context) -> Conversations:
    """The file of saved conversations at its place."""
    return Conversations(context.paths.conversations)


def forbidden(context: Context) -> str:
    """Why conversations may not be saved; empty where they may."""
    refusal = context.policy.refusal_of_keeping()
    return "" if refusal is None else refusal.sentence


def keep(context: Context, talk: Talk) -> int:
    """Save a conversation and give its id. Raises PolicyRefused and NotWritable."""
    _require_allowed(context)
    return shelf(context).save(talk)


def list_saved(context: Context) -> Result[ListData]:
    """List what was saved."""
    found = shelf(context).summaries()
    why = forbidden(context)
    data = ListData(conversations=found, file=str(context.paths.conversations), forbidden=why)
    return Result(command="conversations list", data=data, messages=_retained(found, why))


def show(context: Context, number: int) -> Result[Talk]:
    """One conversation, whole. Raises NotFound."""
    return Result(command="conversations show", data=shelf(context).get(number))


def search(context: Context, words: tuple[str, ...]) -> Result[SearchData]:
    """Look for words in what was saved."""
    wanted = tuple(part for word in words for part in word.split())
    data = SearchData(words=wanted, found=shelf(context).search(wanted))
    return Result(command="conversations search", data=data)


def export(context: Context, number: int, form: Form, out: str | None) -> Result[ExportData]:
    """One conversation as Markdown or JSON, into a file where one is named. Raises NotFound and NotWritable."""
    talk = shelf(context).get(number)
    text = written_as(talk, form)
    file = None if out is None else str(write(context, text, out))
    return Result(
        command="conversations export",
        changed=file is not None,
        data=ExportData(id=number, form=form, file=file, text=text),
    )


def delete(context: Context, number: int | None) -> Result[DeleteData]:
    """Delete one conversation, or all of them. Raises NotFound."""
    saved = shelf(context)
    there = saved.summaries()
    chosen = there if number is None else tuple(one for one in there if one.id == number)
    for one in [one.id for one in chosen] if number is None else [number]:
        saved.delete(one)
    return Result(command="conversations delete", changed=bool(chosen), data=DeleteData(deleted=chosen))


def written_as(talk: Talk, form: Form) -> str:
    """A conversation in one of the forms."""
    return as_json(talk) if form == "json" else as_markdown(talk)


def write(context: Context, text: str, out: str) -> Path:
    """Write a new file that its owner alone can read. Raises PolicyRefused, NotWritable, or UsageError."""
    _require_allowed(context)
    path = Path(out).expanduser()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{out} already exists.", hint="Choose another name.") from error
    except OSError as error:
        raise NotWritable(f"{out} cannot be written: {error.strerror}.", hint="Choose another place.") from error
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, for its mode
        file.write(text)
    return path


def message_of(turn: Turn, images: Mapping[str, bytes]) -> ChatMessage:
    """A turn as the model reads it, with those of its images that are here, by their SHA-256, and a word for others."""
    gone = [f"(The image {shown.words}, was shown here.)" for shown in turn.images if shown.sha256 not in images]
    text = with_attachments(turn.text, turn.attachments)
    content = "\n\n".join([*gone, text] if text else gone)
    here = tuple(images[shown.sha256] for shown in turn.images if shown.sha256 in images)
    return ChatMessage(turn.role, content, turn.thinking, here)


def _require_allowed(context: Context) -> None:
    refusal = context.policy.refusal_of_keeping()
    if refusal is not None:
        raise refusal.error("saving this conversation")


def _retained(found: tuple[Summary, ...], why: str) -> tuple[Message, ...]:
    if not why or not found:
        return ()
    return (warning(f"{why} These were saved before; `landfast conversations delete --all` deletes them."),)
