"""Adapters and kept sessions as text for people."""

from deploy.commands.adapters import AdapterList, AdapterRemoval, AdapterVerdicts, AddedAdapter
from deploy.commands.sessions import SessionList, SessionRemoval
from deploy.engine.plain import plain
from deploy.store.files import human_bytes
from deploy.terminal import out


def adapters(data: AdapterList) -> None:
    """One line an adapter."""
    if not data.adapters:
        _say("No adapter is installed. Next: `landfast adapters add FILE`.")
        return
    _table(
        ("Name", "For models of", "Size", "SHA-256", "From"),
        [
            (one.id, one.architecture, human_bytes(one.size_bytes), one.hashes[0][:12], one.source)
            for one in data.adapters
        ],
    )
    _say("\nLay one over a model: `landfast run --adapter NAME ...`")


def added(data: AddedAdapter) -> None:
    """What is there now, and with what it can be used."""
    record = data.installed
    _say(f"✓ {record.id} is installed: {human_bytes(record.size_bytes)}, SHA-256 {record.hashes[0]}")
    for model in data.fits:
        _say(f"  It belongs to {model}: `landfast run --adapter {record.id} {model} ...`")


def verified(data: AdapterVerdicts) -> None:
    """One line a file."""
    if not data.adapters:
        _say("No adapter is installed: nothing to verify.")
    for one in data.adapters:
        for file in one.files:
            _say(f"{'✓' if file.verdict == 'ok' else '✗'} {one.id}: {file.sentence}")


def removed(data: AdapterRemoval) -> None:
    """What was freed."""
    _say(f"✓ {data.id} is removed, {human_bytes(data.freed_bytes)} freed.")


def sessions(data: SessionList) -> None:
    """One line a session."""
    if not data.sessions:
        _say("No session is kept." if not data.forbidden else f"No session is kept. {data.forbidden}")
        return
    _table(
        ("Name", "Size", "Model", "Tokens", "Kept", "Begins"),
        [
            (
                one.name,
                human_bytes(one.size_bytes),
                one.model,
                f"{one.tokens:,} of {one.context_tokens:,}" if one.tokens else "",
                one.created[:16].replace("T", " "),
                one.begins or one.problem,
            )
            for one in data.sessions
        ],
    )
    _say(f"\nIn {data.folder}, which you alone can read. They hold what was said, not encrypted.")


def sessions_removed(data: SessionRemoval) -> None:
    """What is gone."""
    for name in data.removed:
        _say(f"✓ Removed {name}.")
    _say(f"{human_bytes(data.freed_bytes)} freed." if data.removed else "There was nothing to remove.")


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in header:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    out().print(table)


def _say(text: str) -> None:
    from rich.text import Text

    out().print(Text(plain(text)))
