"""GGUF files: what their header says, and whether it holds together, before native code sees them."""
