"""Bundles: models, wheels, catalogue and licences in one signed folder, for hosts without internet."""
