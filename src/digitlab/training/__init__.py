"""How it learns: the hyperparameters, the session, and what it practises on."""
