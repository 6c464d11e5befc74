"""Where model files are kept: content-addressed, verified, all or nothing."""
