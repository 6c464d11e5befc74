"""One file per place in the UI."""
