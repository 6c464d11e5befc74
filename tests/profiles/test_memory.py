"""Host memory, from recorded machines."""

from collections.abc import Callable

import psutil
from hypothesis import given
from hypothesis import strategies as st

from profiles.machine import Provenance, Unknown
from profiles.probes import memory
from profiles.world import World

Recorded = Callable[[str], dict[str, str]]
Tree = Callable[[dict[str, str]], World]


def test_the_kernels_kb_are_1024_bytes(recorded: Recorded, tree: Tree) -> None:
    """A laptop's figures come out in bytes."""
    facts = memory.read(tree(recorded("intel-hybrid-i7-1370p")))
    assert facts.total_bytes.value == 32489496 * 1024
    assert facts.available_bytes.value == 28934524 * 1024
    assert facts.swap_total_bytes.value == 999420 * 1024


def test_a_container_shows_its_own_total(recorded: Recorded, tree: Tree) -> None:
    """With lxcfs the container's 256 MiB stand in meminfo; zero swap is a value."""
    facts = memory.read(tree(recorded("lxc-256m")))
    assert facts.total_bytes.value == 256 << 20
    assert facts.swap_total_bytes.value == 0


def test_available_never_exceeds_the_total() -> None:
    """Where the host's MemAvailable shines through into a container, the total is the ceiling."""
    facts = memory.parse_meminfo("MemTotal: 100 kB\nMemAvailable: 5000 kB\n")
    assert facts.available_bytes.value == 100 * 1024


def test_an_old_kernel_gets_an_estimate_that_says_so(recorded: Recorded, tree: Tree) -> None:
    """Before MemAvailable existed, free memory and page cache are added up, marked as estimated."""
    fact = memory.read(tree(recorded("opteron-old-kernel"))).available_bytes
    assert fact.value == (25424396 + 1352208 + 280000) * 1024
    assert fact.provenance is Provenance.ESTIMATED


def test_missing_and_garbled_lines_are_unknown() -> None:
    """A line that is not there or holds no number gives a reason, not zero."""
    facts = memory.parse_meminfo("MemTotal: lots kB\n")
    for fact in (facts.total_bytes, facts.available_bytes, facts.swap_total_bytes):
        assert isinstance(fact.value, Unknown)
        assert "/proc/meminfo" in fact.value.reason


def test_without_proc_psutil_answers(tree: Tree) -> None:
    """A system without /proc/meminfo is read through psutil."""
    facts = memory.read(tree({}))
    assert facts.total_bytes.value == psutil.virtual_memory().total


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Whatever the file holds, an available figure never exceeds a total."""
    facts = memory.parse_meminfo(text)
    assert (facts.available_bytes.known or 0) >= 0
