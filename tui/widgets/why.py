"""Why a model stands where it stands: its memory term by term, its speed, its quality, each with its origin."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from deploy.fit.fit import Fit
from deploy.fit.placement import share_percent
from deploy.fit.rank import Ranked
from deploy.quantities import gigabytes
from profiles.budget import Budget, Pool
from profiles.machine import Unknown
from tui import text
from tui.rows import Row

BAR_WIDTH = 24


class WhyPanel(VerticalScroll):
    """The reasons for the row under the cursor. Tab leads here, so that arrows scroll them."""

    def compose(self) -> ComposeResult:
        """Hold one piece of text."""
        yield Static(id="why-text")

    def show(self, row: Row | None, budget: Budget | None) -> None:
        """Explain a row."""
        self.query_one("#why-text", Static).update(explain(row, budget))
        self.scroll_home(animate=False)


def explain(row: Row | None, budget: Budget | None) -> RenderableType:
    """The explanation of one row."""
    if row is None or budget is None:
        return Text("Nothing is listed.", "dim")
    if row.ranked is None:
        return Group(
            Text(f"{row.name} {row.quant}", "bold"),
            Text(row.remark),
        )
    return Group(*_parts(row, row.ranked, budget))


def _parts(row: Row, ranked: Ranked, budget: Budget) -> list[RenderableType]:
    fit = ranked.fit
    pool = next((pool for pool in budget.pools if pool.name == fit.pool), budget.host)
    heading = "Why this one" if row.chosen else ("Why not first" if row.suits else "Why not")
    obtain = "" if ranked.obtain == ranked.why else ranked.obtain[:1].upper() + ranked.obtain[1:]
    return [
        Text(f"{fit.name} {fit.quant}", "bold"),
        Text(f"{fit.publisher} · {row.licence} · {gigabytes(fit.size_bytes)} to store", "dim"),
        *(Text(remark, "dim") for remark in (fit.restrictions, obtain) if remark),
        _section(heading, Text(ranked.why)),
        _section("Memory", _memory(fit), _room(fit, pool)),
        _section("Speed", _speed(fit)),
        _section("Quality", _pairs([(f"~{fit.quality.known or 0:+.2f}", "points", fit.quality.source)])),
        Text(),
        Text("✓ measured, or stated by engine or catalogue   ~ estimated", "dim"),
    ]


def _section(title: str, *body: RenderableType) -> RenderableType:
    return Group(Text(), Text(title, "bold underline"), *body)


def _memory(fit: Fit) -> RenderableType:
    figures = amounts([term.bytes for term in fit.memory.terms])
    pairs = [
        (f"{figure} {term.provenance.mark}", term.name, term.how)
        for term, figure in zip(fit.memory.terms, figures, strict=False)
    ]
    return _pairs([*pairs, (f"{figures[-1]}  ", "together", "")], ruled=True)


def _room(fit: Fit, pool: Pool) -> RenderableType:
    share = fit.peak_bytes / fit.room_bytes if fit.room_bytes else 1.0
    kept = " ".join(f"Less {gigabytes(part.bytes)}: {part.reason}" for part in pool.subtractions)
    most = f"A model takes at most {share_percent(pool)} % of {text.bytes_fact(pool.total_bytes)}."
    shown = f"{share:.0%}" if share < 10 else "many times"  # noqa: PLR2004 - beyond, the figure says nothing
    return Group(
        Text(f"{text.bar(share, BAR_WIDTH)} {shown} of {gigabytes(fit.room_bytes)}"),
        Text(f"{_free(pool)} {kept} {most}", "dim"),
    )


def _free(pool: Pool) -> str:
    if isinstance(pool.free_bytes.value, Unknown):
        return f"How much of {pool.name} is free is unknown ({pool.free_bytes.value.reason})."
    return f"{gigabytes(pool.free_bytes.value)} of {pool.name} is free."


def _speed(fit: Fit) -> RenderableType:
    decode, prefill = fit.speed.decode_tok_s, fit.speed.prefill_tok_s
    return _pairs([
        (text.speed(decode), "writing", decode.source),
        (text.speed(prefill), "reading", prefill.source),
    ])  # fmt: skip


def _pairs(lines: Sequence[tuple[str, str, str]], *, ruled: bool = False) -> RenderableType:
    """Figures to the right, what they are beside them, and where they come from below that."""
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for figure, name, how in lines:
        last = ruled and not how
        table.add_row(
            Text(figure, "bold" if last else ""), Text.assemble((name, "bold" if last else ""), (f"  {how}", "dim"))
        )
    return table


def amounts(parts: Sequence[int]) -> list[str]:
    """The parts and their sum in one unit, rounded so that what is shown adds up."""
    total = sum(parts)
    unit, step, digits = ("GB", 10**7, 2) if total >= 10**9 else ("MB", 10**5, 1)
    shown: list[int] = []
    upto = 0
    for part in parts:
        upto += part
        shown.append(round(upto / step) - sum(shown))
    return [f"{count / 10**digits:,.{digits}f} {unit}" for count in (*shown, sum(shown))]
