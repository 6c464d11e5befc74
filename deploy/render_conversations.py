"""Saved conversations as text for people."""

import sys

from deploy.commands.conversations import DeleteData, ExportData, ListData, SearchData
from deploy.conversations import Talk, as_markdown
from deploy.engine.plain import plain
from deploy.terminal import new_table, out, put


def listed(data: ListData) -> None:
    """One line a conversation."""
    if not data.conversations:
        put("No conversation is saved." if not data.forbidden else f"No conversation is saved. {data.forbidden}")
        return
    table = new_table("ID", "Changed", "Messages", "Title", right=("ID", "Messages"))
    for one in data.conversations:
        table.add_row(str(one.id), _time(one.changed), str(one.messages), plain(one.title))
    out().print(table)
    put(f"\nIn {data.file}, which you alone can read.")


def shown(data: Talk) -> None:
    """The whole conversation, as it would be exported."""
    put(as_markdown(data))


def searched(data: SearchData) -> None:
    """Where the words occur."""
    for one in data.found:
        who = "you" if one.role == "user" else "model"
        put(f"{one.id:>4}  {one.title}\n      {one.n}. {who}: {one.excerpt}")
    if not data.found:
        put(f"Nothing that is saved holds {' and '.join(data.words)}.")


def exported(data: ExportData) -> None:
    """The text itself, or where it stands."""
    if data.file is None:
        sys.stdout.write(data.text)
    else:
        put(f"✓ Written to {data.file}, which you alone can read.")


def deleted(data: DeleteData) -> None:
    """What is gone."""
    for one in data.deleted:
        put(f"✓ Deleted {one.id}: {one.title}")
    if not data.deleted:
        put("There was nothing to delete.")


def _time(moment: str) -> str:
    return moment[:16].replace("T", " ")
