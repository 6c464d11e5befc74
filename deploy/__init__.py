"""Which model, how it gets here, and how it runs."""

__version__ = "0.1.0"
