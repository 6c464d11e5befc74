"""The engine in a process of its own: its protocol, its worker and its client."""
