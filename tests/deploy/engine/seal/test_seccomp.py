"""The filter of system calls, run here step by step as the kernel would: what it lets through and what not."""

import re
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.engine.seal import seccomp
from deploy.engine.seal.seccomp import ALLOW, KILL, NO_SUCH_CALL, REFUSE, Instruction, Stage
from deploy.engine.seal.syscalls import ARCHITECTURES, NUMBERS, Architecture, number

PROCESS: Final = 4711
STAGES: Final[tuple[Stage, ...]] = ("import", "load", "serve")
ALL_64: Final = (1 << 64) - 1
HEADERS: Final = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def judge(program: tuple[Instruction, ...], data: dict[int, int]) -> int:
    """Run a filter over a call, given as 32-bit words by their offset."""
    value, at = 0, 0
    while True:
        step = program[at]
        at += 1
        match step.code:
            case seccomp.LOAD:
                value = data[step.operand]
            case seccomp.AND:
                value &= step.operand
            case seccomp.JUMP_EQUAL:
                at += step.if_true if value == step.operand else step.if_false
            case seccomp.JUMP_NOT_LESS:
                at += step.if_true if value >= step.operand else step.if_false
            case seccomp.RETURN:
                return step.operand
            case _:
                raise AssertionError(step)


def verdict(on: Architecture, stage: Stage, call: int, *arguments: int, arch: int | None = None) -> int:
    """What the filter of a stage says of a call with these arguments."""
    data = {seccomp.NUMBER_AT: call, seccomp.ARCHITECTURE_AT: seccomp.AUDIT_ARCHITECTURE[on] if arch is None else arch}
    for index, argument in enumerate((*arguments, 0, 0, 0, 0, 0, 0)[:6]):
        data[seccomp.ARGUMENTS_AT + 8 * index] = argument & 0xFFFFFFFF
    return judge(seccomp.assemble(stage, on, PROCESS), data)


def named(on: Architecture, stage: Stage, name: str, *arguments: int) -> int:
    """The same by the call's name."""
    which = number(name, on)
    assert which is not None
    return verdict(on, stage, which, *arguments)


@pytest.mark.parametrize("on", ARCHITECTURES)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "name",
    [
        *("execve", "execveat", "ptrace", "process_vm_readv", "pidfd_open", "pidfd_getfd", "io_uring_setup", "bpf"),
        *("userfaultfd", "perf_event_open", "keyctl", "shmget", "unshare", "mount", "umount2", "chroot", "capset"),
        *("name_to_handle_at", "open_by_handle_at", "memfd_create", "prctl", "eventfd2", "pipe2", "sched_setaffinity"),
    ],
)
def test_dangerous_calls_are_refused_in_every_stage(on: Architecture, stage: Stage, name: str) -> None:
    """Programs, other processes, other kernels' doors: never."""
    assert named(on, stage, name) == REFUSE


@pytest.mark.parametrize(("on", "first", "last"), [("x86_64", 41, 55), ("aarch64", 198, 212)])
@pytest.mark.parametrize("stage", STAGES)
def test_no_network_call_is_left(on: Architecture, stage: Stage, first: int, last: int) -> None:
    """The whole block of socket calls, by number: socket, connect, sendto, sendmsg, bind, listen and the rest."""
    assert {verdict(on, stage, call) for call in range(first, last + 1)} == {REFUSE}


@pytest.mark.parametrize("on", ARCHITECTURES)
def test_threads_may_be_started_and_processes_not(on: Architecture) -> None:
    """The same call makes both: its flags decide, and a new namespace is never among them."""
    thread, vm, user = 0x00010000, 0x100, 0x10000000
    assert named(on, "serve", "clone", thread | vm) == ALLOW
    assert named(on, "serve", "clone", 17) == REFUSE
    assert named(on, "serve", "clone", thread | user) == REFUSE
    assert verdict(on, "serve", 435) == NO_SUCH_CALL


@pytest.mark.parametrize("on", ARCHITECTURES)
def test_files_are_opened_less_and_less(on: Architecture) -> None:
    """For the engine's code freely, for a model for reading only, afterwards not at all."""
    reading, writing, creating = 0o2000000, 0o1, 0o100
    assert [named(on, stage, "openat", 0, 0, reading) == ALLOW for stage in STAGES] == [True, True, False]
    assert [named(on, stage, "openat", 0, 0, writing) == ALLOW for stage in STAGES] == [True, False, False]
    assert [named(on, stage, "openat", 0, 0, creating) == ALLOW for stage in STAGES] == [True, False, False]
    assert [named(on, stage, "newfstatat") == ALLOW for stage in STAGES] == [True, True, False]
    assert [named(on, stage, "seccomp") == ALLOW for stage in STAGES] == [True, True, False]


@pytest.mark.parametrize("on", ARCHITECTURES)
@pytest.mark.parametrize("stage", STAGES)
def test_only_itself_can_be_signalled_or_limited(on: Architecture, stage: Stage) -> None:
    """abort() works, and nobody else is reached: not by tgkill, not by F_SETOWN, not by prlimit."""
    assert named(on, stage, "tgkill", PROCESS, 1, 6) == ALLOW
    assert named(on, stage, "tgkill", PROCESS + 1, 1, 6) == REFUSE
    assert named(on, stage, "prlimit64", 0) == ALLOW
    assert named(on, stage, "prlimit64", PROCESS + 1) == REFUSE
    assert named(on, stage, "fcntl", 3, 8) == REFUSE
    assert named(on, stage, "ioctl", 0, 0x5412) == REFUSE


def test_another_architecture_ends_the_process() -> None:
    """32-bit calls and x32 have other numbers: they would walk round the table."""
    assert verdict("x86_64", "serve", 0, arch=0x40000003) == KILL
    assert verdict("x86_64", "serve", 0x40000000) == KILL
    assert verdict("aarch64", "serve", 63, arch=0x40000028) == KILL


@given(
    on=st.sampled_from(ARCHITECTURES),
    stage=st.sampled_from(STAGES),
    call=st.integers(0, 600),
    arguments=st.tuples(*[st.integers(0, ALL_64)] * 6),
)
def test_what_is_not_in_the_table_is_refused(
    on: Architecture, stage: Stage, call: int, arguments: tuple[int, ...]
) -> None:
    """Whatever the arguments: a call passes only if its name is allowed in that stage."""
    numbers = {number(name, on) for name in seccomp.allowed(stage)}
    found = verdict(on, stage, call, *arguments)
    assert found in {ALLOW, REFUSE} or (found == NO_SUCH_CALL and call == 435)
    if call not in numbers:
        assert found != ALLOW


@pytest.mark.parametrize("on", ARCHITECTURES)
@pytest.mark.parametrize("gpu", [False, True])
def test_every_filter_is_short_enough_for_the_kernel(on: Architecture, gpu: bool) -> None:  # noqa: FBT001 - a case
    """At most 4,096 steps, jumps within a byte, and an end that is always reached."""
    for stage in STAGES:
        program = seccomp.assemble(stage, on, PROCESS, gpu=gpu)
        assert len(program) < 4096
        assert program[-1].code == seccomp.RETURN
        assert all(0 <= jump < 256 for step in program for jump in (step.if_true, step.if_false))


def test_each_stage_is_narrower_than_the_one_before() -> None:
    """Filters add up, so a wider one would be of no effect, and a sign of a mistake."""
    first, second, third = (set(seccomp.allowed(stage)) for stage in STAGES)
    assert second == first
    assert third < second


@pytest.mark.parametrize("on", ARCHITECTURES)
def test_numbers_are_those_of_the_kernel_headers(on: Architecture) -> None:
    """Every number in the table, where the headers are installed."""
    header = HEADERS[on]
    if not header.exists():
        pytest.skip("needs the kernel's headers")
    found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    renamed = {"newfstatat": "fstatat"} if on == "aarch64" else {}
    for name in NUMBERS:
        value = number(name, on)
        assert value == (None if value is None else int(found[renamed.get(name, name)])), name


def test_a_filter_that_one_thread_escapes_is_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel then lays none at all, and says so with the thread's number instead of an error."""
    monkeypatch.setattr(seccomp, "prctl", lambda *_: 0)
    monkeypatch.setattr(seccomp, "call", lambda *_: PROCESS)
    with pytest.raises(OSError, match=str(PROCESS)):
        seccomp.install(())
