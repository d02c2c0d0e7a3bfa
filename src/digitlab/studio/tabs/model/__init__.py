"""The tab Model."""
