"""The tab Training."""
