"""Constants come out of measurements as they went in, also when not everything could be measured."""

import pytest

from deploy.fit.calibration import Rates, probes, solve, thread_counts
from deploy.fit.reference import like_reference
from tests.support.pace import rates, would_take

PLANNED = tuple(probes(2))
KNOWN = (rates(1), rates(2))
MEASURED = tuple(would_take(probe, KNOWN) for probe in PLANNED)


def test_constants_that_were_put_in_come_out() -> None:
    """Each of them, for all threads, from nothing but times."""
    found = solve(PLANNED, MEASURED, (1, 2))[1]
    known = KNOWN[1]
    assert found.node_s == pytest.approx(known.node_s)
    assert found.row_s == pytest.approx(known.row_s, rel=1e-3)
    for name in known.with_flash.__struct_fields__:
        assert getattr(found.with_flash, name) == pytest.approx(getattr(known.with_flash, name), rel=1e-3)
        assert getattr(found.without_flash, name) == pytest.approx(getattr(known.without_flash, name), rel=1e-3)
    for hold in ("plain", "repacked", "experts"):
        for kind, rate in getattr(found, hold).bytes_s.items():
            assert rate == pytest.approx(getattr(known, hold).bytes_s[kind], rel=2e-2), (hold, kind)
            operations = getattr(found, hold).operations_s[kind]
            assert operations == pytest.approx(getattr(known, hold).operations_s[kind], rel=2e-2), (hold, kind)


def test_every_thread_count_has_rates_of_its_own() -> None:
    """One thread writes at its measured speed, and reads in proportion."""
    one, two = solve(PLANNED, MEASURED, (1, 2))
    assert (one.threads, two.threads) == (1, 2)
    assert one.plain.bytes_s["Q4_K"] == pytest.approx(KNOWN[0].plain.bytes_s["Q4_K"], rel=2e-2)
    assert one.plain.operations_s["Q4_K"] == pytest.approx(two.plain.operations_s["Q4_K"] / 2)


@pytest.mark.parametrize("count", range(10, len(PLANNED)))
def test_what_did_not_fit_into_the_time_is_taken_in_proportion(count: int) -> None:
    """Every type has a rate, however early the time was up."""
    found: Rates = solve(PLANNED, MEASURED[:count], (1, 2))[1]
    for kind in ("Q4_K", "Q5_K", "IQ4_XS", "F16", "MXFP4", "Q2_K"):
        for hold in ("plain", "experts"):
            assert 1e9 < like_reference(found, hold, "bytes_s", kind) < 1e12


@pytest.mark.parametrize(("most", "counts"), [(1, (1,)), (2, (1, 2)), (3, (1, 3)), (16, (1, 8, 16))])
def test_few_numbers_of_threads_are_measured(most: int, counts: tuple[int, ...]) -> None:
    """Ten seconds are enough for three of them."""
    assert thread_counts(most) == counts
    assert {step.threads for probe in probes(most) for step in probe.steps} == set(counts)


def test_noise_gives_no_negative_constants() -> None:
    """A probe that was slowed down by other programs makes no constant absurd."""
    disturbed = [
        would_take(probe, (rates(1), rates(2, factor=1.0 if number % 3 else 0.2)))
        for number, probe in enumerate(PLANNED)
    ]
    for found in solve(PLANNED, disturbed, (1, 2)):
        assert found.row_s >= 0
        assert all(getattr(found.with_flash, name) >= 0 for name in found.with_flash.__struct_fields__)
        assert all(rate > 0 for rate in (*found.plain.bytes_s.values(), *found.plain.operations_s.values()))
