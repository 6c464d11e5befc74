"""What the engine process gives up before it reads a model, and the attacks that try whether it holds."""
