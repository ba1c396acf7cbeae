"""A CUDA device for machines without one: tensors on "cuda:0" whose values lie on the CPU.

Inside `with Gpu() as gpu:` whatever is put on "cuda" or "cuda:0" says that it is on cuda:0. As on a GPU, an operation
on such a tensor and on a CPU tensor of one or more dimensions raises, and so does a generator of the other device.
torch's wheel for the CPU is enough. Values are those of the CPU, so that a result can be compared with a run there.

`gpu.waits` counts how often the host waits for the device, by operation: for a number or a decision (.item(), bool()),
for a result whose size depends on values (a mask as an index, nonzero), and for copies that are not told not to block.

It shows that each tensor and each generator is where it must be, and where the host waits. It shows nothing of CUDA's
kernels: their rounding, the numbers that they draw, their memory and speed, torch.compile. Autocast changes no layer.
"""

import collections
import contextlib
import functools
import itertools
import weakref
from typing import ClassVar
from unittest import mock

import torch
import torch._dynamo  # which a mode loads, and which looks at what is patched below
from accelerate.state import AcceleratorState
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)
META = torch.device("meta")  # where C++ takes a simulated tensor to be, so that it asks no CUDA library
COPIES = ("aten::_to_copy", "aten::copy_")
INDEXES = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")  # which may be on the CPU
WAITS = ("aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::masked_select", "aten::_unique2")


def is_cuda(device):
    """Whether a device is ours, by one of the names that C++ and Python have for it."""
    return isinstance(device, str | torch.device) and torch.device(device).type in ("cuda", "meta")


class OnGpu(torch.Tensor):
    """A tensor on the simulated device; `inner` holds its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)

    @staticmethod
    def __new__(cls, inner):
        like = torch.empty_strided(inner.shape, inner.stride(), dtype=inner.dtype, device=META)
        self = torch.Tensor._make_subclass(cls, like, False, dispatch_device=True, device_for_backend_keys=CUDA)
        self.inner = inner
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})

    def __reduce_ex__(self, protocol):
        return self.cpu().__reduce_ex__(protocol)  # read again by `map_location="cpu"`

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, **_):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    __array__ = numpy

    def __repr__(self):
        return f"OnGpu({self.inner})"


class Generator(torch.Generator):
    """A generator that may be on the simulated device; it draws what one on the CPU draws."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, "cpu")

    def __init__(self, device="cpu"):
        if is_cuda(device):
            ON_GPU.add(self)

    device = property(lambda self: CUDA if self in ON_GPU else torch.device("cpu"))


ON_GPU: weakref.WeakSet[Generator] = weakref.WeakSet()


def tensors_in(values):
    """The tensors among arguments, also those in lists."""
    each = [a if isinstance(a, list | tuple) else [a] for a in values]
    return [a for a in itertools.chain(*each) if isinstance(a, torch.Tensor)]


def inside(value):
    if isinstance(value, list | tuple):
        return [inside(a) for a in value]
    return value.inner if isinstance(value, OnGpu) else value


def outside(value):
    if isinstance(value, list | tuple):
        return type(value)([outside(a) for a in value])
    return OnGpu(value) if isinstance(value, torch.Tensor) else value


def computed(func, args, kwargs):
    """Run an operation on the values, if its tensors and its generator are where CUDA wants them."""
    if func is torch.ops.prim.device.default:
        return META if isinstance(args[0], OnGpu) else args[0].device
    name = func._schema.name
    tensors = tensors_in([*args, *kwargs.values()])
    on_gpu = [a for a in tensors if isinstance(a, OnGpu)]
    on_cpu = [a for a in tensors if not isinstance(a, OnGpu) and a.ndim]
    copies = name in COPIES
    indexes = name in INDEXES
    first = args[0] if args else None
    if on_gpu and on_cpu and not copies and not (indexes and isinstance(first, OnGpu)):
        raise RuntimeError(f"Expected all tensors to be on the same device, got cuda:0 and cpu in {name}")
    to_gpu = bool(on_gpu)
    if kwargs.get("device") is not None:
        to_gpu = is_cuda(kwargs["device"])
    elif name == "aten::copy_":
        to_gpu = isinstance(first, OnGpu)

    if copies and to_gpu != isinstance(tensors[-1], OnGpu):
        waits = not (to_gpu and (kwargs.get("non_blocking") or args[2:] == (True,)))
    elif indexes and on_gpu:
        waits = bool(on_cpu) or any(a.dtype == torch.bool for a in tensors[1:])
    else:
        waits = bool(on_gpu) and name in WAITS
    if waits:
        Gpu.waits[name] += 1

    named = {key: inside(a) for key, a in kwargs.items()}
    if named.get("device") is not None:
        named["device"] = torch.device("cpu")
    generator = named.get("generator")
    # C++ hands a generator over as another object
    if generator is not None and to_gpu != any(generator._cdata == other._cdata for other in ON_GPU):
        raise RuntimeError(f"Expected a {'cuda' if to_gpu else 'cpu'} device type for generator in {name}")
    result = func(*inside(args), **named)
    written = [i for i, a in enumerate(func._schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
    if written:  # in place: what was passed is returned
        passed = [args[i] if i < len(args) else kwargs[func._schema.arguments[i].name] for i in written]
        n_returned = len(func._schema.returns)
        return result if n_returned == 0 else passed[0] if n_returned == 1 else tuple(passed[:n_returned])
    return outside(result) if to_gpu else result


class WithIndex(TorchFunctionMode):
    """Names the device by its number before C++ asks CUDA for it, and makes a tensor of numbers where CUDA would."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        ours = is_cuda(kwargs.get("device"))
        if ours and func in (torch.tensor, torch.as_tensor):
            del kwargs["device"]
            return func(*args, **kwargs).to(CUDA)
        if ours:
            kwargs["device"] = CUDA
        if func is torch.Tensor.to:
            args = [CUDA if is_cuda(argument) else argument for argument in args]
        return func(*args, **kwargs)


class Gpu(TorchDispatchMode):
    """The simulated device, as a context."""

    waits: ClassVar[collections.Counter] = collections.Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})

    def __enter__(self):
        Gpu.waits.clear()
        cuda = {
            "is_available": True,
            "get_device_name": "simulated",
            "is_bf16_supported": True,
            "mem_get_info": (10**11, 10**11),
            "_lazy_init": None,
        }
        self.patches = contextlib.ExitStack()
        for name, value in cuda.items():
            self.patches.enter_context(mock.patch.object(torch.cuda, name, return_value=value))
        current = mock.patch.object(torch.accelerator, "current_accelerator", return_value=torch.device("cuda"))
        self.patches.enter_context(current)  # Accelerate 1.16 asks it
        for name in dir(torch.optim.Optimizer):
            if name.endswith("graph_capture_health_check"):  # it asks CUDA; torch 2.9 has it by another name
                self.patches.enter_context(mock.patch.object(torch.optim.Optimizer, name))
        self.patches.enter_context(mock.patch.object(torch, "Generator", Generator))
        # a parameter that comes from the CPU is made anew, with its values inside; one that is here stays
        of_a_kind = mock.patch.object(torch, "_has_compatible_shallow_copy_type", lambda a, b: a.is_cuda == b.is_cuda)
        self.patches.enter_context(of_a_kind)
        self.patches.enter_context(WithIndex())
        reset = functools.partial(AcceleratorState._reset_state, reset_partial_state=True)
        reset()  # it keeps the first device for the process
        self.patches.callback(reset)
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.patches.close()
