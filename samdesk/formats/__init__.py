"""Annotations in and out: interchange files, project store. Must not know images or widgets."""
