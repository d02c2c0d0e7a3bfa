"""The HTTP API: the same verbs for programs, by itself (``digitlab serve``) and beside the Studio's page."""
