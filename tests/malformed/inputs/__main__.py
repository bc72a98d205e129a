"""Print docs/malformed.md: ``PYTHONPATH=tests/malformed python -m inputs > docs/malformed.md``."""

from inputs import table

print(table(), end="")
