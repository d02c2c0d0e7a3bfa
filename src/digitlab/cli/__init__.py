"""The same verbs at the terminal: parse, call, render."""
