"""What may go wrong while a JSON file is read that is damaged, or a stranger's. Must not know any file."""

DAMAGED = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""Raised by reading values out of such a file: no JSON, other members, huge numbers, deep nesting."""
