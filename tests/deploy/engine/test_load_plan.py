"""What a plan says of itself."""

import pytest

from deploy.engine.load_plan import LoadPlan

CACHE_LINE_BYTES = 64
ROW_NUMBER_BYTES = 4


@pytest.mark.parametrize("guesses", [0, 1, 7, 15, 16, 40])
def test_the_compute_buffer_begins_with_whole_cache_lines(guesses: int) -> None:
    """Rows that are reserved hold those that a step gives, and their numbers shift nothing across a line."""
    plan = LoadPlan(context_tokens=4096, speculation_tokens=guesses)
    assert plan.reserved_rows >= plan.output_rows == 1 + guesses
    assert plan.reserved_rows * ROW_NUMBER_BYTES % CACHE_LINE_BYTES == 0
    assert plan.reserved_rows - plan.output_rows < CACHE_LINE_BYTES // ROW_NUMBER_BYTES
