"""A stand-in of the notebook's entry point: its mask is bool, and 0/255 wraps round to 1."""

import os

os.environ["CUDA_HOME"] = os.environ["CONDA_PREFIX"]  # KeyError outside of an activated environment
os.environ["LIDRA_SKIP_INIT"] = "true"

import numpy as np
from hydra.utils import instantiate
from omegaconf import OmegaConf


class Inference:
    def __init__(self, config_file, compile=False):
        config = OmegaConf.load(config_file)
        config.rendering_engine = "pytorch3d"
        config.compile_model = compile
        config.workspace_dir = os.path.dirname(config_file)  # noqa: PTH120
        self._pipeline = instantiate(config)

    def merge_mask_to_rgba(self, image, mask):
        alpha = mask.astype(np.uint8) * 255
        return np.concatenate([image[..., :3], alpha[..., None]], axis=-1)

    def __call__(self, image, mask, seed=None, pointmap=None):
        return self._pipeline.run(
            self.merge_mask_to_rgba(image, mask),
            None,
            seed,
            stage1_only=False,
            with_mesh_postprocess=False,
            with_texture_baking=False,
            with_layout_postprocess=True,
            use_vertex_color=True,
            stage1_inference_steps=None,
            pointmap=pointmap,
        )
