"""Suffixes: which files are videos by their names."""

from __future__ import annotations

import os
import re

_VIDEOS = """
.264 .265 .3g2 .3gp .3gp2 .3gpp .amv .asf .av1 .avc .avi .dav .dif .divx .dv .dvr-ms .evo .f4v .flv .gxf .h264
.h265 .hevc .insv .ismv .ivf .m1v .m2p .m2t .m2ts .m2v .m4v .mj2 .mjpeg .mjpg .mk3d .mkv .mod .mov .mp2v .mp4
.mp4v .mpe .mpeg .mpg .mpv .mpv2 .mts .mxf .nsv .nut .obu .ogg .ogm .ogv .ogx .pva .qt .rm .rmvb .roq .rv .ssif
.tod .tp .trp .ts .vc1 .vob .vro .webm .wm .wmv .wtv .y4m
"""
VIDEO_SUFFIXES = frozenset(_VIDEOS.split())
"""Of containers and elementary streams that FFmpeg reads. Pictures that may move (.gif, .webp) are pictures here, and
cameras' previews (.lrv) double their films; each is tagged where it is named by itself."""

_SUFFIX = re.compile(r"\.[a-z0-9][-a-z0-9_!+]{0,11}")

PARTIAL = re.compile(
    r"\.(part(-frag\d+)?|partial|filepart|crdownload|download|opdownload|fdmdownload|!qb|!ut|!bt|!sync|bc!|jc!|aria2|ytdl"
    r"|xltd|unfinished|incomplete)",
    re.IGNORECASE,
)
"""The suffix of a file that is still being downloaded."""
BESIDE = (".part", ".aria2", ".crdownload", ".ytdl", ".!qb", ".xltd")
"""A file with one of these after its name stands beside a film that is still being downloaded."""
CONTROL = (".aria2", ".ytdl", ".part-frag")
"""Of a downloader's own notes and pieces, which are no film."""
_MERGING = re.compile(r".*\.temp", re.IGNORECASE | re.DOTALL)
_STREAM = re.compile(r".*\.f(\d{2,}p?(-\w+)?|(hls|dash|http|mpd|source)[-_].*)", re.IGNORECASE | re.DOTALL)


def is_merging(name: str) -> bool:
    """Whether a video is one that a downloader is putting together, by its name: film.temp.mp4."""
    return bool(_MERGING.fullmatch(os.path.splitext(name)[0]))


def is_stream(name: str) -> bool:
    """Whether a video is a separate stream of a downloader by its name: film.f401.mp4."""
    return bool(_STREAM.fullmatch(os.path.splitext(name)[0]))


def suffix_of(name: str) -> str:
    """The suffix of a file's name in small letters, `.mp4`; empty where there is none that looks like one."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def is_video(name: str) -> bool:
    """Whether a file is a video by its name's suffix."""
    return suffix_of(name) in VIDEO_SUFFIXES
