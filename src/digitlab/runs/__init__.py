"""The run directory: where the stages of the work meet, as plain files."""
