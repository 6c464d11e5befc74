"""Saved conversations as text for people."""

import sys
from typing import Final

from deploy.commands.conversations import DeleteData, ExportData, ListData, SearchData
from deploy.conversations import Talk, as_markdown
from deploy.terminal import out

STEERING: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd") | {9: "\t", 10: "\n"}
"""What was said may hold sequences that steer a terminal; a file gets them as they are."""


def listed(data: ListData) -> None:
    """One line a conversation."""
    if not data.conversations:
        _say("No conversation is saved." if not data.forbidden else f"No conversation is saved. {data.forbidden}")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in ("ID", "Changed", "Messages", "Title"):
        table.add_column(column, overflow="fold", justify="right" if column in {"ID", "Messages"} else "left")
    for one in data.conversations:
        table.add_row(str(one.id), _time(one.changed), str(one.messages), Text(one.title.translate(STEERING)))
    out().print(table)
    _say(f"\nIn {data.file}, which you alone can read.")


def shown(data: Talk) -> None:
    """The whole conversation, as it would be exported."""
    _say(as_markdown(data))


def searched(data: SearchData) -> None:
    """Where the words occur."""
    for one in data.found:
        who = "you" if one.role == "user" else "model"
        _say(f"{one.id:>4}  {one.title}\n      {one.n}. {who}: {one.excerpt}")
    if not data.found:
        _say(f"Nothing that is saved holds {' and '.join(data.words)}.")


def exported(data: ExportData) -> None:
    """The text itself, or where it stands."""
    if data.file is None:
        sys.stdout.write(data.text)
    else:
        _say(f"✓ Written to {data.file}, which you alone can read.")


def deleted(data: DeleteData) -> None:
    """What is gone."""
    for one in data.deleted:
        _say(f"✓ Deleted {one.id}: {one.title}")
    if not data.deleted:
        _say("There was nothing to delete.")


def _time(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _say(text: str) -> None:
    from rich.text import Text

    out().print(Text(text.translate(STEERING)))
