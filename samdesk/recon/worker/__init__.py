"""The worker: a process that runs one 3D engine and answers over the wire.

Standard library only and nothing of ours but `samdesk.recon.wire`: it runs under the interpreter
that the engine needs, where samdesk is not installed.
"""
