"""How the arithmetic runs: an architecture goes in, trained weights come out."""
