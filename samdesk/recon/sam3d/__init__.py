"""SAM 3D Objects of Meta, in the interpreter and the checkout that the user points to.

Runs in the worker: nothing but the standard library, what that interpreter has, and of ours only
what needs no more than numpy and Pillow. Nothing of Meta's code or weights is part of samdesk.
"""
