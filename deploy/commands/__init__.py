"""One module per verb: takes a request, returns one result."""
