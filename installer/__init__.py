"""Installs samdesk into the checkout's `.venv` and runs it or its tests; standard library only.

Must not import samdesk: it runs before anything is installed, under the base Python.
"""
