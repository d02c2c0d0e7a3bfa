"""What the tab Read is made of: who reads, what was read, and what is learned from corrections."""
