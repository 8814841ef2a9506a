"""Refuses modules and tensors that cannot be exported, before torch.export fails on them."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

import torch

from ..errors import DataError, ModelError

_FLOATS = (torch.float32, torch.float64)
_SHOWN = 300  # characters of a message of torch


def require_packages() -> None:
    """Raises ModuleNotFoundError without the package that torch.onnx needs."""
    if importlib.util.find_spec("onnxscript") is None:
        raise ModuleNotFoundError(
            "exporting a PyTorch module needs onnxscript: pip install 'sidecall[torch]'",
            name="onnxscript",
        )


def require_module(model: Any) -> None:
    """Raises ModelError, which says what to do, if the module is not one that can be exported."""
    kind = type(model).__name__
    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"expected a torch.nn.Module, got {kind}")
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError("expected a torch.nn.Module, got one of TorchScript; export the original")
    for wrapper, attribute in (("OptimizedModule", "_orig_mod"), ("DataParallel", "module")):
        if kind.endswith(wrapper) and hasattr(model, attribute):
            raise ModelError(f"expected the module itself, got {kind}; export model.{attribute}")
    for name, part in model.named_modules():
        if part.training:
            where = f"'{name}' ({type(part).__name__})" if name else kind
            raise ModelError(
                f"expected a module in evaluation mode, got {where} in training mode, "
                "in which answers may be random or depend on the batch; call module.eval()"
            )
        if ".quantized" in type(part).__module__:
            raise ModelError(
                f"'{name}' ({type(part).__name__}) is quantized; export the module before "
                "it is quantized"
            )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        _require_plain(name, tensor)


def _require_plain(name: str, tensor: Any) -> None:
    if torch.nn.parameter.is_lazy(tensor):
        raise ModelError(
            f"parameter '{name}' has no shape yet; call the module once before the export"
        )
    if tensor.device.type != "cpu":
        raise ModelError(
            f"parameter '{name}': expected device cpu, got {tensor.device}; call module.cpu()"
        )
    if tensor.is_quantized:
        raise ModelError(
            f"parameter '{name}' is quantized; export the module before it is quantized"
        )
    if tensor.layout != torch.strided:
        raise ModelError(
            f"parameter '{name}' is sparse ({word(tensor.layout)}); make it dense with to_dense()"
        )
    if tensor.is_complex() or (tensor.is_floating_point() and tensor.dtype not in _FLOATS):
        raise ModelError(
            f"parameter '{name}': expected float32 or float64, got {word(tensor.dtype)}"
            + ("" if tensor.is_complex() else "; call module.float()")
        )


def require_tensor(name: str, tensor: Any) -> None:
    """Raises DataError if the tensor of an example cannot be the input of a file."""

    def refuse(expected: str, got: str) -> DataError:
        return DataError(f"example '{name}': expected {expected}, got {got}", name)

    if tensor.requires_grad:
        raise refuse("a tensor without gradients", "one that requires them; pass example.detach()")
    if tensor.device.type != "cpu":
        raise refuse("a tensor on device cpu", f"one on {tensor.device}; pass example.cpu()")
    if tensor.is_quantized:
        raise refuse("a plain tensor", "a quantized one; pass example.dequantize()")
    if tensor.layout != torch.strided:
        raise refuse("a dense tensor", "a sparse one; pass example.to_dense()")
    if tensor.dtype not in (
        *_FLOATS,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    ):
        raise refuse("float32, float64, bool or integers up to int64", word(tensor.dtype))
    if tensor.ndim == 0:
        raise refuse("rows", "a single number")


def float_type(module: Any) -> Any:
    """The type in which the module takes numbers that are not tensors: that of its parameters."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()


def computes_in_float32(module: Any, example: list[Any]) -> bool:
    tensors = (*module.parameters(), *module.buffers(), *example)
    floats = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    return torch.float32 in floats or not floats


def parameter_names(module: Any) -> list[str]:
    """The names of the arguments of `forward` that may be passed by position."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def word(value: Any) -> str:
    """The name of a type or layout without "torch."."""
    return str(value).removeprefix("torch.")


def message(error: BaseException) -> str:
    """The first line of a message of torch, and the name of the exception."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
