"""From labelled pictures to a model bundle and what is known of it."""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from movie_tags.models.runtimes import without_native_remarks


class _Quietly(Loader):
    """Another loader, by which a module starts up without a remark."""

    def __init__(self, loader: Loader):
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with without_native_remarks():
            self.loader.exec_module(module)


class _QuietTensorflow(MetaPathFinder):
    """Finds TensorFlow, whoever imports it first: Keras does so, too. Learning from corrections never does."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Quietly(spec.loader)
        return spec


if "tensorflow" not in sys.modules:
    sys.meta_path.insert(0, _QuietTensorflow())
