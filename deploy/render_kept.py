"""Adapters and kept sessions as text for people."""

from typing import TYPE_CHECKING

from deploy.commands.adapters import AdapterList, AdapterRemoval, AdapterVerdicts, AddedAdapter
from deploy.commands.sessions import SessionList, SessionRemoval
from deploy.engine.plain import plain
from deploy.quantities import gigabytes
from deploy.terminal import new_table, out, put

if TYPE_CHECKING:
    from rich.table import Table


def adapters(data: AdapterList) -> None:
    """One line an adapter."""
    if not data.adapters:
        put("No adapter is installed. Next: `landfast adapters add FILE`.")
        return
    table = new_table("Name", "For models of", "Size", "SHA-256", "From")
    for one in data.adapters:
        _row(table, one.id, one.architecture, gigabytes(one.size_bytes), one.hashes[0][:12], one.source)
    out().print(table)
    put("\nLay one over a model: `landfast run --adapter NAME ...`")


def added(data: AddedAdapter) -> None:
    """What is there now, and with what it can be used."""
    record = data.installed
    put(f"✓ {record.id} is installed: {gigabytes(record.size_bytes)}, SHA-256 {record.hashes[0]}")
    for model in data.fits:
        put(f"  It belongs to {model}: `landfast run --adapter {record.id} {model} ...`")


def verified(data: AdapterVerdicts) -> None:
    """One line a file."""
    if not data.adapters:
        put("No adapter is installed: nothing to verify.")
    for one in data.adapters:
        for file in one.files:
            put(f"{'✓' if file.verdict == 'ok' else '✗'} {one.id}: {file.sentence}")


def removed(data: AdapterRemoval) -> None:
    """What was freed."""
    put(f"✓ {data.id} is removed, {gigabytes(data.freed_bytes)} freed.")


def sessions(data: SessionList) -> None:
    """One line a session."""
    if not data.sessions:
        put("No session is kept." if not data.forbidden else f"No session is kept. {data.forbidden}")
        return
    table = new_table("Name", "Size", "Model", "Tokens", "Kept", "Begins")
    for one in data.sessions:
        tokens = f"{one.tokens:,} of {one.context_tokens:,}" if one.tokens else ""
        kept = one.created[:16].replace("T", " ")
        _row(table, one.name, gigabytes(one.size_bytes), one.model, tokens, kept, one.begins or one.problem)
    out().print(table)
    put(f"\nIn {data.folder}, which you alone can read. They hold what was said, not encrypted.")


def sessions_removed(data: SessionRemoval) -> None:
    """What is gone."""
    if not data.removed:
        put("There was nothing to remove.")
        return
    verb = "is" if len(data.removed) == 1 else "are"
    put(f"✓ {', '.join(data.removed)} {verb} removed, {gigabytes(data.freed_bytes)} freed.")


def _row(table: "Table", *cells: str) -> None:
    table.add_row(*map(plain, cells))
