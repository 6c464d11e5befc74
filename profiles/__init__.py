"""What is this machine? Facts with their sources, and what a model may take of it."""
