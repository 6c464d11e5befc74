"""What a model takes, how fast it will be, and which one is best here."""
