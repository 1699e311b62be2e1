"""Dialogs: opened by a command, closed by the user, never by surprise."""
