"""A stand-in of the pipeline's base: the stages, with the behaviour that callers stumble over."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from hydra.utils import instantiate  # noqa: F401 - imported there, too


def _choose_attention():
    if torch.cuda.is_available():
        gpu_name = torch.cuda.get_device_name(0)
    # without a card the name was never bound
    if any(card in gpu_name for card in ("A100", "H100", "H200")):
        os.environ["ATTN_BACKEND"] = os.environ["SPARSE_ATTN_BACKEND"] = "flash_attn"


_choose_attention()

from sam3d_objects.model.backbone.tdfy_dit.modules import attention, sparse  # noqa: E402

PER_VOXEL = {"gaussian": 32, "gaussian_4": 4}
CELL = 4


def fail(where):
    """Take long or fail here if the test told so."""
    time.sleep(torch.told().get("sleep", {}).get(where, 0))
    how = torch.told().get("fail", {}).get(where)
    if how == "oom":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB.")
    if how == "cuda":
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore\nlines")
    if how == "module":
        import no_such_kernel  # noqa: F401
    if how == "odd":
        raise KeyError("something that nobody expects")
    return how


class Gaussian:
    """Splats with an identity bias on their rotations, which are saved as they are: not of length 1."""

    def __init__(self, xyz, colors):
        self._xyz = xyz
        self._colors = colors

    @property
    def get_xyz(self):
        return torch.Tensor(self._xyz, "cuda")

    def save_ply(self, path):
        assert isinstance(path, str), "plyfile wants a name"
        n = len(self._xyz)
        names = "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"
        rows = np.zeros((n, 17), "<f4")
        rows[:, :3] = self._xyz
        rows[:, 6:9] = (self._colors - 0.5) / 0.28209479177387814
        rows[:, 9] = 3.0
        rows[:, 10:13] = np.log(0.01)
        rows[:, 13:] = (1.1, 0.2, 0.0, 0.1)
        lines = ["ply", "format binary_little_endian 1.0", f"element vertex {n}"]
        lines += [f"property float {name}" for name in names.split()]
        Path(path).write_bytes("\n".join([*lines, "end_header", ""]).encode() + rows.tobytes())


class Generator(torch.nn.Module):
    """A solver: `generate` goes through whatever `generate_iter` is on the instance."""

    def __init__(self, name):
        self.name = name
        self.inference_steps = 25
        self.no_shortcut = True

    def forward(self, *args):
        return self.generate(*args)

    def generate(self, *args):
        for state in self.generate_iter(*args):  # noqa: B007
            pass
        return state

    def generate_iter(self, *args):
        for i in range(self.inference_steps):
            fail(self.name)
            yield i


class Decoder(torch.nn.Module):
    def __init__(self, name):
        self.name = name

    def forward(self, slat):
        xyz, colors = slat
        how = fail(self.name)
        if self.name == "slat_decoder_mesh":
            return [_ellipsoid(how)]
        n = PER_VOXEL["gaussian_4" if self.name.endswith("_4") else "gaussian"]
        points = np.repeat(xyz, n, 0)
        points = points + 0.004 * np.random.default_rng(0).standard_normal(points.shape)
        if how == "nan":
            points[:] = np.nan
        return [Gaussian(points.astype(np.float32), np.repeat(colors, n, 0))]


def _ellipsoid(how):
    """z up, 0.8 wide, 0.4 deep, 1 high: no two axes can be mistaken for each other."""
    rings, sectors = 16, 24
    polar, around = (
        np.mgrid[: rings + 1, :sectors] * np.array([np.pi / rings, 2 * np.pi / sectors])[:, None, None]
    )
    ball = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
    vertices = (ball.reshape(-1, 3) * (0.4, 0.2, 0.5)).astype(np.float32)
    a = np.arange(rings * sectors)
    b = a - a % sectors + (a + 1) % sectors
    faces = np.concatenate([np.stack([a, a + sectors, b], 1), np.stack([b, a + sectors, b + sectors], 1)])
    if how == "nan":
        vertices[:] = np.nan
    if how == "empty":
        faces = faces[:0]
    attributes = np.zeros((len(vertices), 6), np.float32)
    attributes[:, :3] = (0.8, 0.5, 0.1)
    return SimpleNamespace(
        vertices=torch.Tensor(vertices, "cuda", "bfloat16"),
        faces=torch.Tensor(np.asarray(faces), "cuda", "int64"),
        vertex_attrs=torch.Tensor(attributes, "cuda"),
    )


class InferencePipeline:
    def __init__(self, *, device, dtype, rendering_engine, compile_model, workspace_dir, **paths):
        assert rendering_engine == "pytorch3d", "the other engine is not installed"
        assert not compile_model, "compiling takes minutes"
        self.device = torch.device(device)
        self.workspace_dir = workspace_dir
        self.decode_formats = ["gaussian", "mesh"]
        names = [key.removesuffix("_ckpt_path") for key in paths if key.endswith("_ckpt_path")]
        models = {}
        for name in names:
            ckpt = paths[f"{name}_ckpt_path"]
            models[name] = ckpt and self.instantiate_and_load_from_pretrained(
                name, str(Path(workspace_dir) / ckpt)
            )
        for name in ("ss_generator", "slat_generator"):  # what conditions them
            self.instantiate_and_load_from_pretrained(
                name, str(Path(workspace_dir) / paths[f"{name}_ckpt_path"])
            )
        self.models = torch.nn.ModuleDict(models)

    def instantiate_and_load_from_pretrained(self, config, ckpt_path):
        with open(ckpt_path, "rb"):  # noqa: PTH123
            fail("load")
        return (Generator if config.endswith("generator") else Decoder)(config)

    def merge_image_and_mask(self, image, mask):
        """A mask is put into the alpha channel as it is: 0/1 stays 0/1."""
        if mask is not None:
            image = np.concatenate([image[..., :3], np.array(mask)[..., None]], axis=-1)
        return np.array(image)

    def sample_sparse_structure(self, ss_input_dict, inference_steps=None, use_distillation=False):
        solver = self.models["ss_generator"]
        solver.no_shortcut = not use_distillation
        before = solver.inference_steps
        if inference_steps:
            solver.inference_steps = inference_steps
        noise = torch.randn(8)
        solver(noise)
        steps = solver.inference_steps
        inside = ss_input_dict["image"][..., 3] / 255 > 0.5
        h, w = inside.shape
        rows, columns = np.nonzero(
            inside[np.ix_(np.arange(CELL // 2, 64, CELL) * h // 64, np.arange(CELL // 2, 64, CELL) * w // 64)]
        )
        if fail("voxels") == "empty":
            rows, columns = rows[:0], columns[:0]
        coords = np.stack([0 * rows, CELL * columns, 30 + 0 * rows, 63 - CELL * rows], 1)
        behind = coords + np.array([0, 0, CELL, 0])
        coords = np.concatenate([coords, behind])
        solver.inference_steps = before  # a solver that was stopped does not come here
        return {
            "coords": torch.Tensor(coords, "cuda", "int32"),
            "coords_original": torch.Tensor(coords, "cuda", "int32"),
            "downsample_factor": 1.0,
            "_noise": noise,
            "_steps": steps,
        }

    def sample_slat(self, slat_input_dict, coords, inference_steps=25, use_distillation=False):
        solver = self.models["slat_generator"]
        solver.no_shortcut = not use_distillation
        before = solver.inference_steps
        if inference_steps:
            solver.inference_steps = inference_steps
        cells = coords.cpu().numpy()[:, 1:]
        if not len(cells):
            raise RuntimeError("min(): Expected reduction dim to be specified for input.numel() == 0.")
        solver(torch.randn(8))
        rgba = slat_input_dict["image"] / 255
        h, w = rgba.shape[:2]
        seen = rgba[(63 - cells[:, 2]) * h // 64, cells[:, 0] * w // 64]
        self.look_steps = solver.inference_steps
        solver.inference_steps = before
        return (cells + 0.5) / 64 - 0.5, seen[:, :3] * seen[:, 3:]

    def decode_slat(self, slat, formats):
        made = {}
        for name in formats:
            decoder = {"mesh": "mesh", "gaussian": "gs", "gaussian_4": "gs_4"}[name]
            made[name] = self.models[f"slat_decoder_{decoder}"](slat)
        return made

    def postprocess_slat_output(self, outputs, with_mesh_postprocess, with_texture_baking, use_vertex_color):
        glb = None
        if "mesh" in outputs:
            glb = _to_glb(
                outputs["gaussian"][0],  # also where it is not used
                outputs["mesh"][0],
                with_mesh_postprocess,
                with_texture_baking,
                use_vertex_color,
            )
        return {**outputs, "glb": glb}


def _to_glb(gaussian, mesh, clean, bake, colored):
    import trimesh

    vertices = mesh.vertices.float().cpu().numpy()
    faces = mesh.faces.cpu().numpy()
    uv = vertices[:, [0, 2]] + 0.5
    if clean:
        faces = faces[: len(faces) // 2]
    vertices = vertices @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    if bake:
        import nvdiffrast  # noqa: F401 - comes under a licence of its own
        from PIL import Image

        material = trimesh.visual.material.PBRMaterial(
            roughnessFactor=1.0, baseColorTexture=Image.new("RGB", (8, 8), (200, 120, 30))
        )
        visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
        return trimesh.Trimesh(vertices, faces, visual=visual)
    made = trimesh.Trimesh(vertices, faces, process=False)
    if colored and not clean:
        made.visual.vertex_colors = (255 * mesh.vertex_attrs[:, :3].cpu().numpy()).astype(np.uint8)
    return made


def record(**what):
    """Append to what the test reads afterwards."""
    what |= {"attention": attention.BACKEND, "sparse": sparse.ATTN, "spconv": sparse.ALGO}
    path = Path(os.environ["SAM3D_STANDIN"]).with_name("calls.jsonl")
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")
