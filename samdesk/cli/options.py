"""Options that several commands share. Must not know the commands."""

from __future__ import annotations

import argparse


def add_model(parser: argparse.ArgumentParser, default: str) -> None:
    """`--engine` and `--weights`, as `load_segmenter` takes them."""
    parser.add_argument(
        "--engine", metavar="NAME", help=f"classical, or a model: vit_t, vit_b, sam2_t, sam3 … ({default})"
    )
    parser.add_argument(
        "--weights", metavar="FILE|NAME", help="a weight file, or a weight's name in 'samdesk weights list'"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device`."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (auto)")


def add_level(parser: argparse.ArgumentParser) -> None:
    """`--level-um`, `--downsample`, `--z` and `--t`, as `samdesk.cli.place` reads them."""
    parser.add_argument("--level-um", type=float, metavar="UM", help="µm per pixel that the engine sees")
    parser.add_argument(
        "--downsample", type=float, metavar="N", help="image pixels per pixel that the engine sees (1)"
    )
    parser.add_argument("--z", type=int, default=0, help="z slice, from 0")
    parser.add_argument("--t", type=int, default=0, help="time point, from 0")
