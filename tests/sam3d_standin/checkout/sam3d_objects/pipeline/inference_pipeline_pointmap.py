"""A stand-in of the pipeline with depth: its `run` has other defaults than the notebook's call."""

import traceback
from copy import deepcopy

import numpy as np
import pytorch3d  # noqa: F401
import torch
from loguru import *  # noqa: F403

from .inference_pipeline import InferencePipeline, fail, record


class InferencePipelinePointMap(InferencePipeline):
    def __init__(self, *, depth_model, clip_pointmap_beyond_scale=None, **kwargs):
        self.depth_model = depth_model
        self.clip_pointmap_beyond_scale = clip_pointmap_beyond_scale
        super().__init__(**kwargs)

    def compute_pointmap(self, image, pointmap=None):
        assert image.dtype == np.uint8
        assert image.shape[-1] == 4
        fail("depth")
        points = self.depth_model(image) if pointmap is None else pointmap.to(self.device)
        points = points.float().cpu().numpy().transpose(2, 0, 1)
        if self.clip_pointmap_beyond_scale is not None:
            # what is far behind this object is cut off
            near = np.median(points[2][image[..., 3] > 127])
            points = np.where(np.abs(points[2]) > self.clip_pointmap_beyond_scale * near, np.nan, points)
        return {
            "pointmap": torch.Tensor(points, "cuda"),
            "pts_color": image[..., :3],
            "intrinsics": torch.Tensor(np.eye(3), "cuda"),
        }

    def run_post_optimization(self, mesh_glb, intrinsics, pose_dict, layout_input_dict):
        assert mesh_glb is not None, "no mesh"
        fail("layout")
        torch.manual_seed(100)
        return {
            "rotation": pose_dict["rotation"],
            "translation": torch.Tensor(pose_dict["translation"].cpu().numpy() + 0.25, "cuda"),
            "scale": pose_dict["scale"],
            "iou": torch.Tensor(np.float32(0.875), "cuda"),
        }

    def run(
        self,
        image,
        mask=None,
        seed=None,
        stage1_only=False,
        with_mesh_postprocess=True,
        with_texture_baking=True,
        with_layout_postprocess=True,
        use_vertex_color=False,
        stage1_inference_steps=None,
        stage2_inference_steps=None,
        use_stage1_distillation=False,
        use_stage2_distillation=False,
        pointmap=None,
        decode_formats=None,
        estimate_plane=False,
    ):
        asked = {k: v for k, v in locals().items() if isinstance(v, bool | int | list)}
        image = self.merge_image_and_mask(image, mask)
        with self.device:
            depth = self.compute_pointmap(image, pointmap)
            inputs = {"image": image}
            if seed is not None:
                torch.manual_seed(seed)
            made = self.sample_sparse_structure(
                inputs,
                inference_steps=stage1_inference_steps,
                use_distillation=use_stage1_distillation,
            )
            z = np.float32(np.nan if fail("pose") == "nan" else 2.5)
            half = 0.5**0.5
            made |= {
                "rotation": torch.Tensor(np.float32([[0, 0, half, half]]), "cuda"),
                "translation": torch.Tensor(np.float32([[-0.5, 0.125, z]]), "cuda"),
                "scale": torch.Tensor(np.float32([[1.5, 1.5, 1.5]]) * made["downsample_factor"], "cuda"),
            }
            slat = self.sample_slat(
                inputs,
                made["coords"],
                inference_steps=stage2_inference_steps,
                use_distillation=use_stage2_distillation,
            )
            outputs = self.decode_slat(
                slat, self.decode_formats if decode_formats is None else decode_formats
            )
            outputs = self.postprocess_slat_output(
                outputs, with_mesh_postprocess, with_texture_baking, use_vertex_color
            )
            try:
                if with_layout_postprocess:
                    refined = self.run_post_optimization(
                        deepcopy(outputs["glb"]), depth["intrinsics"], made, inputs
                    )
                    made.update(refined)
            except Exception:  # as there: whatever is raised is swallowed
                traceback.print_exc()
            record(
                **asked,
                shortcut=[not self.models[n].no_shortcut for n in ("ss_generator", "slat_generator")],
                steps=[made.pop("_steps"), self.look_steps],
                noise=float(made.pop("_noise").cpu().numpy()[0]),
                alpha=sorted({int(v) for v in np.unique(image[..., 3])}),
                depth_calls=self.depth_model.calls,
                given_pointmap=pointmap is not None,
                workspace=self.workspace_dir,
            )
            return {**made, **outputs, "pointmap": depth["pointmap"].cpu().permute((1, 2, 0))}
