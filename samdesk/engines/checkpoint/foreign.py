"""Names for what a file seems to be when it holds no SAM: by its first bytes, keys or classes.

Guesses for an error message; nothing is decided by them. Must not know torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

HEAD_BYTES = 1024
"""So much of a file's beginning tells its kind."""

_TEXT_BEGINS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<head", "a web page"),
    (b"<?xml", "an XML document, perhaps a server's error message"),
    (b"<error", "a server's error message"),
    (b"{\\rtf", "a text document"),
)

_MAGIC = (
    (0, b"GGUF", "a GGUF language model"),
    (0, b"ggml", "a GGML language model"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Keras weights"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (0, b"II+\x00", "a BigTIFF image"),
    (0, b"MM\x00+", "a BigTIFF image"),
    (0, b"GIF8", "a GIF image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftyp", "a video or HEIF image"),
    (4, b"jP  ", "a JPEG 2000 image"),
    (0, b"BM", "a BMP image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"SQLite format 3", "an SQLite database, such as a samdesk project"),
    (0, b"MZ", "a Windows program"),
    (0, b"\x7fELF", "a Linux program"),
    (257, b"ustar", "a tar archive"),
)

_CHANGED: tuple[tuple[str, str], ...] = (
    ("HQ-SAM", r"mask_decoder\.(hf_token|hf_mlp|compress_vit_feat)"),
    ("SAM with adapters, such as SAM-Med2D", r"image_encoder\..*\.[Aa]dapter"),
    ("SAM with LoRA adapters", r"image_encoder\..*(lora_|linear_[ab]_)"),
)
"""What others added to SAM, and the pattern of a key that tells it."""

_KEY_SETS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("EdgeSAM or RepViT-SAM", (r"image_encoder\.(features|stages)\.\d", r"mask_decoder\.")),
    ("EfficientViT-SAM", (r"image_encoder\.backbone\.input_stem",)),
    ("EfficientSAM or another SAM with its own encoder", (r"image_encoder\.", r"mask_decoder\.")),
    ("SAM 2 as the transformers library stores it", (r"vision_encoder\.backbone\..*\.attn", r"mask_decoder")),
    ("SAM as the transformers library stores it", (r"vision_encoder\.", r"mask_decoder\.")),
    ("SAM 3 as the transformers library stores it", (r"detector_model\.",)),
    ("the image encoder of a SAM alone", (r"patch_embed\.proj\.weight", r"blocks\.0\.attn\.rel_pos_h")),
    ("the image encoder of a SAM 2 alone", (r"trunk\.patch_embed\.proj", r"trunk\.blocks\.0")),
    ("the mask decoder of a SAM alone", (r"output_hypernetworks_mlps\.0", r"iou_prediction_head")),
    ("Cellpose-SAM", (r"encoder\.blocks\.0\.attn\.rel_pos_h", r"(^|\.)W2$")),
    ("Cellpose", (r"downsample\.down\.res_down_0",)),
    ("YOLO", (r"(^|\.)model\.0\.conv\.weight",)),
    ("YOLO", (r"(^|\.)model\.\d+\.(cv1|m\.0)\.",)),
    ("DINOv3", (r"(^|\.)(storage_tokens|rope_embed)", r"blocks\.0\.")),
    ("DINOv2", (r"(^|\.)cls_token", r"blocks\.0\.ls1\.gamma")),
    ("a masked autoencoder", (r"(^|\.)decoder_blocks\.0", r"(^|\.)mask_token")),
    ("Grounding DINO", (r"(^|\.)bert\.", r"transformer\.decoder")),
    ("a DETR detector", (r"(^|\.)(bbox_embed|class_embed)", r"transformer\.")),
    ("CLIP", (r"(^|\.)token_embedding|text_model\.embeddings", r"logit_scale")),
    ("a vision transformer (timm or DINO)", (r"(^|\.)cls_token", r"blocks\.0\.attn\.qkv")),
    ("a Stable Diffusion model", (r"diffusion_model\.",)),
    ("a language model", (r"layers\.0\.self_attn\.q_proj", r"embed_tokens|lm_head")),
    ("a language model", (r"(^|\.)(wte|transformer\.h\.0\.)",)),
    ("Mask R-CNN or Faster R-CNN", (r"(^|\.)(roi_heads|proposal_generator)\.",)),
    ("DeepLab or FCN", (r"(^|\.)backbone\.layer1\.0", r"(^|\.)classifier\.")),
    ("ResNet", (r"(^|\.)layer1\.0\.conv1\.weight", r"(^|\.)layer4\.")),
    ("Swin Transformer", (r"relative_position_bias_table",)),
    ("ConvNeXt", (r"(^|\.)downsample_layers\.|stages\.\d\.blocks\.\d\.(gamma|conv_dw)",)),
    ("EfficientNet or MobileNet", (r"(^|\.)(conv_stem|features\.0\.0)\.weight",)),
    ("VGG", (r"(^|\.)features\.0\.weight", r"(^|\.)classifier\.")),
    ("nnU-Net", (r"(^|\.)encoder\.stages\.0\.0\.convs",)),
    ("a U-Net", (r"(^|\.)(inc\.double_conv|down1\.|enc1|encoder1|encoder\.blocks\.0)",)),
)
"""A family and the patterns that must all occur in its keys; the first that fits is named."""

_CLASSES = (
    ("ultralytics", "a YOLO model of ultralytics"),
    ("models.yolo", "a YOLOv5 model"),
    ("models.experimental", "a YOLOv5 model"),
    ("torch_em", "a training checkpoint of torch-em or micro-sam"),
    ("micro_sam", "a training checkpoint of micro-sam"),
    ("segment_anything", "a whole SAM model object"),
    ("mobile_sam", "a whole MobileSAM model object"),
    ("sam2", "a whole SAM 2 model object"),
    ("cellpose", "a Cellpose model object"),
    ("torchvision", "a whole torchvision model"),
    ("timm", "a whole timm model"),
    ("segmentation_models_pytorch", "a whole segmentation_models_pytorch model"),
    ("transformers", "a whole transformers model"),
    ("detectron2", "a detectron2 model"),
    ("pytorch_lightning", "a training checkpoint of Lightning"),
    ("lightning", "a training checkpoint of Lightning"),
    ("omegaconf", "a training checkpoint with its configuration"),
    ("sklearn", "a scikit-learn model"),
    ("pandas", "a pandas table"),
    ("torch.nn", "a whole model object"),
    ("numpy", "a training checkpoint, or NumPy arrays"),
)


def kind_of_bytes(head: bytes, name: str = "") -> str:
    """What a file is by its first bytes; empty when it cannot be told.

    Parameters
    ----------
    head : bytes
        The first `HEAD_BYTES`, or all there is.
    name : str
        Of the file; its ending decides where the bytes alone do not.
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for begin, kind in _TEXT_BEGINS:
        if text.startswith(begin):
            return kind
    for offset, magic, kind in _MAGIC:
        if head[offset : offset + len(magic)] == magic and not (len(magic) < 3 and _is_text(head)):
            return kind
    if head[:1] == b"\x08" and (b"onnx" in head or b"pytorch" in head or name.lower().endswith(".onnx")):
        return "an ONNX model"
    if text and _is_text(head):
        return _text_kind(text, head)
    return "nothing but zeros, as a download that was cut off leaves it" if not head.strip(b"\0") else ""


def kind_of_archive(names: Sequence[str]) -> str:
    """What a zip archive without torch weights is, by the names in it."""
    inner = [name.partition("/")[2] for name in names]
    if any(name.startswith("code/") or name == "constants.pkl" for name in inner):
        return "a TorchScript model, which is a program and not weights alone"
    if any("archive_format" in name or name.endswith(".pt2") for name in names):
        return "an exported torch program"
    if "[Content_Types].xml" in names:
        return "an Office document"
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy .npz archive"
    if any("Manifest.json" in name and ".mlpackage" in name for name in names):
        return "a Core ML model"
    if "keras_metadata.pb" in names or "model.weights.h5" in names:
        return "a Keras model"
    weights = [name for name in names if name.lower().endswith((".pt", ".pth", ".safetensors"))]
    if weights:
        return f"a zip archive with {weights[0]} in it, which must be unpacked"
    return "a zip archive"


def kind_of_keys(keys: Collection[str]) -> str:
    """The family of models that has these keys; empty when it is not known."""
    for family, patterns in _KEY_SETS:
        if all(any(re.search(pattern, key) for key in keys) for pattern in patterns):
            return family
    return ""


def kind_of_change(keys: Collection[str]) -> str:
    """What a SAM became when others changed its network; empty when there is no sign of it."""
    for changed, pattern in _CHANGED:
        if any(re.search(pattern, key) for key in keys):
            return changed
    return ""


def kind_of_class(dotted: str) -> str:
    """What a pickle is that needs this class; empty when it cannot be told."""
    for begin, kind in _CLASSES:
        if dotted == begin or dotted.startswith(begin + "."):
            return kind
    return ""


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # the last character may be cut in two
        if error.start == 0 or len(head) - error.start > 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(char.isprintable() or char in "\t\r\n\ufeff" for char in text)


def _text_kind(text: bytes, head: bytes) -> str:
    if text.startswith((b"{", b"[")):
        return "a JSON document"
    lines = head.decode("utf-8-sig", "ignore").strip().splitlines()
    return f"a text file that begins with “{lines[0][:60]}”" if lines else ""
