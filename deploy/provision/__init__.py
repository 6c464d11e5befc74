"""The wanted state of a host as one file: planned, carried out step by step, watched and shown to auditors."""
