"""A stand-in: only the settings of the checkpoints name this module."""

import kaolin  # noqa: F401

try:
    import gradio
except ImportError:
    gradio = None


def draw():
    import seaborn  # noqa: F401
