"""What several tabs are built from."""
