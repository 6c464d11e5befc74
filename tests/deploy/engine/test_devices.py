"""What the real engine says of the devices that it can compute on."""

import os

import pytest

from deploy.engine.client import LlamaEngine


@pytest.mark.engine
def test_the_sealed_engine_lists_its_devices() -> None:
    """The processor is always among them, with the memory that the operating system states."""
    processor = next(device for device in LlamaEngine().devices() if device.kind == "cpu")
    assert processor.name == "CPU"
    assert processor.description
    assert processor.total_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
