"""The models that are known, and their facts."""
