"""Pixels in: sources, readers, pyramids, display range. Must not know annotations, engines or widgets."""
