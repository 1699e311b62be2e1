"""3D: a worker process behind a wire, the engines that run in it, and splats and meshes as values.

Must not know images, documents or windows.
"""
