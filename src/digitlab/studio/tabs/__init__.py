"""One module a tab; each has ``build(page)``, which builds it into the current container."""
