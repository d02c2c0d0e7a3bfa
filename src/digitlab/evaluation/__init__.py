"""How good a model is: its evaluation, its comparison with others, and the report page about a run."""
