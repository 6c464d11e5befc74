"""One module per source of facts: a gatherer and a pure parser."""
