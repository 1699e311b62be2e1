"""A stand-in of the depth model: a pinhole camera of 50 degrees before a plane with a far wall."""

import numpy as np
import torch

ANGLE = 50.0
FAR = 9.0


class MoGe:
    def __init__(self, model):
        self.model = model
        self.calls = 0

    def __call__(self, rgba):
        """Points (h, w, 3) in the camera frame: x left, y up, z forward."""
        self.calls += 1
        h, w = rgba.shape[:2]
        f = h / 2 / np.tan(np.radians(ANGLE) / 2)
        v, u = np.mgrid[:h, :w] + 0.5
        z = np.where(u > 0.9 * w, FAR, 2.0 + 0.2 * v / h)
        points = np.stack([-(u - w / 2) / f * z, -(v - h / 2) / f * z, z], -1)
        points[0, 0] = np.inf
        return torch.Tensor(points.astype(np.float32), "cuda", "bfloat16")
