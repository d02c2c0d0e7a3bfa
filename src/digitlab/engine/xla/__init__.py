"""The engine on XLA: the same networks, losses and steps as in ``engine.cpu``, compiled by JAX for accelerators."""
