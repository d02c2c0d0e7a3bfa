"""How it learns: the hyperparameters, the session and the verb ``train``."""
