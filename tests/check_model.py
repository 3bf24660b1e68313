"""Type it yourself: is the model.py that you typed from the video the lesson's net?

    python tests/check_model.py my_folder/model.py AlexNet

It says that all is right, or what differs first and where to look. It writes nothing.

Compared with the lesson's model.py in this project: the names and shapes of all parameters and
buffers; then, with the same weights and the same images in both nets, the outputs in eval() and in
train(), and after train() the buffers and every parameter's gradient. Layers without parameters
(ReLU, pooling, dropout) may have any name, and the form is free: nn.ReLU or F.relu, in place or
not, view or flatten, one relu for all, branches computed in any order.

How the place is found: a Recorder takes down each step of forward that computes something, with its
settings and a fingerprint of what goes in and of what comes out. Steps of the two nets with the
same result belong together, in whatever order they come. The first of your steps with a result that
the lesson's net never has is the place; what the lesson does there with the same input is the
answer.

Limits: the first weights are drawn (init_weights=True), so that an error in that code shows, but
not compared. What gives the same numbers counts as the same: ReLU after a max pooling, or
F.dropout without training= in GoogLeNet's heads, which only train() computes. One size of images
and one number of classes are tried. Only the first difference is told; after two mistakes of the
same kind side by side its words may fit less well. The file is run: check only what you would run.
"""

import argparse
import functools
import importlib.util
import itertools
import linecache
import math
import os
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

ROOT = Path(__file__).resolve().parent.parent
VGGS = ["vgg", "vgg11", "vgg13", "vgg16", "vgg19"]
RESNETS = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
RESNEXTS = ["resnext50_32x4d", "resnext101_32x8d"]
NAMES = ["LeNet", "AlexNet", *VGGS, "GoogLeNet", *RESNETS, *RESNEXTS]

# the steps of the lessons' nets, in a learner's words
WORDS = {
    "conv2d": "Conv2d",
    "linear": "Linear",
    "batch_norm": "BatchNorm2d",
    "relu": "ReLU",
    "max_pool2d": "max pooling",
    "avg_pool2d": "average pooling",
    "adaptive_avg_pool2d": "adaptive average pooling",
    "dropout": "Dropout",
    "cat": "torch.cat",
    "add": "+",
}
# their functions' arguments after the first, in order, with their defaults
SETTINGS: dict[str, dict[str, object]] = {
    "conv2d": dict(weight=None, bias=None, stride=1, padding=0, dilation=1, groups=1),
    "linear": dict(weight=None, bias=None),
    "batch_norm": dict(
        running_mean=None, running_var=None, weight=None, bias=None, training=False, eps=1e-5
    ),
    "max_pool2d": dict(kernel_size=None, stride=None, padding=0, dilation=1, ceil_mode=False),
    "avg_pool2d": dict(kernel_size=None, stride=None, padding=0, ceil_mode=False),
    "adaptive_avg_pool2d": dict(output_size=None),
    "dropout": dict(p=0.5, training=True),
    "cat": dict(dim=0),
}
PAIRS = {"kernel_size", "stride", "padding", "dilation", "output_size"}  # 2 means (2, 2)
# the arguments of layers that decide how large their parameters are
SIZES = ["in_channels", "out_channels", "kernel_size", "groups", "in_features", "out_features"]
SIZES += ["num_features"]
# what an error means, by a part of its message
MEANINGS = {
    "before Module.__init__() call": "__init__ must begin with super().__init__().",
    "[ModuleList] is missing": "nn.ModuleList only holds layers; use nn.Sequential(*layers).",
    'missing the required "forward" function': (
        "forward is misspelled, or does not stand inside the class beside __init__."
    ),
    "takes 1 positional argument but 2": "the first argument of a method must be self.",
    "invalid for input of size": "the numbers in view() do not multiply to the tensor's size.",
    "modified by an inplace operation": (
        "a step in place (+=, inplace=True) overwrote what backward still needs."
    ),
    "does not require grad": "forward computes under no_grad(), or its result was detached.",
    "codec can't decode": "the file must be saved as UTF-8.",
}


class Finding(Exception):
    """What differs, in a learner's words."""


# ----- the file, and the net that it makes -----


def load(path: Path) -> ModuleType:
    """Run a model.py as a module of its own, which may import its neighbours."""
    name = f"{path.parent.name}_{path.stem}_checked"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(path.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
        sys.path.remove(str(path.parent))
        sys.dont_write_bytecode = before
    return module


def own_error(error: BaseException, path: Path) -> str:
    """An error of the learner's code: where it is, its message, and what that means."""
    if isinstance(error, SyntaxError):
        file, number, code, message = error.filename, error.lineno, error.text, error.msg
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).parent == path.parent]
        file, number, code = (own[-1].filename, own[-1].lineno, own[-1].line) if own else [None] * 3
        message = str(error).strip().split("\n")[0]
    lines = [f"{type(error).__name__}: {message}"]
    if file and number:
        lines.insert(0, f"{Path(file).name}, line {number}: {(code or '').strip()}")
    meanings = [meaning for part, meaning in MEANINGS.items() if part in message]
    if meanings:
        lines.append(f"That means: {meanings[0]}")
    return "\n".join(lines)


def find(module: ModuleType, name: str) -> Callable[..., nn.Module]:
    """The learner's class or function of that name."""
    if callable(getattr(module, name, None)):
        return getattr(module, name)
    own = [
        key for key, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
    ]
    raise Finding(f"the file has no {name}; it has {', '.join(own) or 'no class or function'}.")


def build(
    make: Callable[..., nn.Module], options: dict[str, object]
) -> tuple[nn.Module, list[str]]:
    """The net, made as the lesson's train.py makes it, and the arguments that it does not take."""
    options, not_taken = dict(options), []
    call = ", ".join(f"{key}={value!r}" for key, value in options.items())
    while True:
        try:
            net = make(**options)
            break
        except TypeError as error:
            found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            if not found or found[1] not in options:
                raise
            if found[1] not in ("init_weights", "aux_logits"):
                raise Finding(
                    f"{make.__name__} does not take {found[1]}; the lesson's train.py makes its "
                    f"net with {make.__name__}({call})."
                ) from None
            not_taken.append(found[1])
            del options[found[1]]
    if net is None:
        raise Finding(f"{make.__name__}({call}) gives None: is a return missing in it?")
    if type(net) is make and not isinstance(net, nn.Module):
        raise Finding(f"{make.__name__} must be class {make.__name__}(nn.Module).")
    if not isinstance(net, nn.Module):
        raise Finding(f"{make.__name__}({call}) gives a {kind_of(net)}, not a net.")
    return net, not_taken


# ----- names and shapes -----


def shapes(net: nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in net.state_dict().items()}


def compare_parameters(net: nn.Module, lesson: nn.Module) -> None:
    """Raise Finding for the first parameter or buffer of another name or shape."""
    mine, theirs = shapes(net), shapes(lesson)
    if not mine:
        raise Finding("your net has no layers at all: is __init__ spelled with two _ on each side?")
    missing = [name for name in theirs if name not in mine]
    extra = [name for name in mine if name not in theirs]
    if missing or extra:
        raise Finding(other_names(net, lesson, missing, extra))
    for name, shape in theirs.items():
        if mine[name] != shape:
            sizes = other_sizes(net, lesson, name.rpartition(".")[0])
            raise Finding(f"{name} is {mine[name]}; the lesson has {shape}: {sizes}")


def other_sizes(net: nn.Module, lesson: nn.Module, place: str) -> str:
    """The arguments of a layer that make its parameters another size."""
    mine, theirs = net.get_submodule(place), lesson.get_submodule(place)
    if kind_of(mine) != kind_of(theirs):
        return f"it is a {kind_of(mine)}, not a {kind_of(theirs)}."
    sizes = [size for size in SIZES if getattr(mine, size, None) != getattr(theirs, size, None)]
    values = [f"{size} is {short(getattr(mine, size))}" for size in sizes]
    other = [f", not {short(getattr(theirs, size))}" for size in sizes]
    text = ", ".join(map("".join, zip(values, other, strict=True))) or "look at its arguments"
    if "out_features" in sizes and theirs.out_features == 5:
        text += " (the net was made with num_classes=5: does this layer use num_classes?)"
    return f"{text}."


def short(value: object) -> object:
    """(3, 3) as 3."""
    is_pair = isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]
    return value[0] if is_pair else value


def kind_of(value: object) -> str:
    return type(value).__name__


def other_names(net: nn.Module, lesson: nn.Module, missing: list[str], extra: list[str]) -> str:
    """Words for the first name that only one of the nets has."""
    mine, theirs = dict(net.named_modules()), dict(lesson.named_modules())
    parts = (missing or extra)[0].split(".")
    places = [".".join(parts[:i]) for i in range(len(parts))]  # what holds it, from the net inwards
    places = [place for place in places if place in mine and place in theirs]
    for place in places:
        if isinstance(mine[place], nn.Sequential) and isinstance(theirs[place], nn.Sequential):
            difference = other_layers(place, mine[place], theirs[place])
            if difference:
                return difference

    place = places[-1]  # the innermost that both nets have; it lacks, or has, this child
    depth = len(places) - 1
    child, path = parts[depth], ".".join(parts[: depth + 1])
    holder, lessons_holder = mine[place], theirs[place]
    is_parameter = depth == len(parts) - 1
    is_other = kind_of(holder) != kind_of(lessons_holder)
    if place and is_other and (is_parameter or is_layer(holder)):
        return f"{place} is a {kind_of(holder)}; the lesson has a {kind_of(lessons_holder)} there."
    if is_parameter:
        look = "bias=" if child == "bias" else "its arguments"
        if not place:
            return f"your net has {child}, which the lesson does not have."
        if missing:
            return f"{place} has no {child}, but the lesson's has one: look at {look}."
        return f"{place} has a {child}, but the lesson's has none: look at {look}."
    if not missing:
        return f"your net has {path} ({kind_of(mine[path])}), which the lesson does not have."

    lacks = f"your net has no {path} ({kind_of(theirs[path])})"
    for name in extra:  # the same layers under another name?
        prefix = ".".join(name.split(".")[: depth + 1])
        if name.split(".")[:depth] == parts[:depth] and below(net, prefix) == below(lesson, path):
            return f"{lacks}, but {prefix}, which is the same: the lesson calls it {child}."
    value = getattr(holder, child, None)
    if isinstance(value, tuple) and len(value) == 1:
        return f"{lacks}: {child} is a tuple. Is there a comma at the end of its line?"
    if isinstance(value, list | tuple):
        return f"{lacks}: {child} is a {kind_of(value)}; nn.Sequential(*...) makes layers of it."
    if hasattr(holder, child):
        return f"{lacks}: {child} is {value}."
    return f"{lacks}: is self.{child} = ... missing in __init__ of {kind_of(holder)}?"


def is_layer(module: nn.Module) -> bool:
    """Whether it is one of PyTorch's own, not a class of a model.py."""
    return type(module).__module__.startswith("torch.nn.")


def below(net: nn.Module, prefix: str) -> list[str]:
    """The names of the parameters in a part of a net, as that part has them."""
    return [n.removeprefix(prefix) for n in shapes(net) if n.startswith(f"{prefix}.")]


def other_layers(place: str, mine: nn.Sequential, theirs: nn.Sequential) -> str | None:
    """Words for the first layer of another kind; a model.py's own classes count as one kind."""
    a, b = [
        [kind_of(layer) if is_layer(layer) else "block" for layer in layers]
        for layers in (mine, theirs)
    ]
    if a == b:
        return None
    if {*a, *b} == {"block"}:
        return f"{place} has {len(a)} blocks; the lesson has {len(b)}."
    equal = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    i = len(list(equal))
    more = len(b) - len(a)
    where = f"after {place}.{i - 1} ({a[i - 1]})" if i else f"at the beginning of {place}"
    if more > 0 and a[i:] == b[i + more :]:
        return f"{where} the lesson has {' and '.join(b[i : i + more])}, which your net lacks."
    if more < 0 and a[i - more :] == b[i:]:
        return (
            f"{where} your net has {' and '.join(a[i : i - more])}, which the lesson does not have."
        )
    return f"{place}.{i} is {a[i]}; the lesson has {b[i]} there."


def draw_weights(net: nn.Module) -> None:
    """Weights with which values neither fade nor explode, so that each layer's faults show."""
    for name, value in net.state_dict().items():
        if value.dim() > 1:
            value.normal_(std=math.sqrt(2 / value[0].numel()))
        elif name.endswith(("weight", "running_var")):  # of batch norm
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point():
            value.normal_(std=0.1)


# ----- what forward does, step by step -----


class Fingerprint(NamedTuple):
    """A tensor's size, its product with a fixed random vector, and its norm; not its shape."""

    size: int
    product: float
    norm: float

    def same(self, other: "Fingerprint") -> bool:
        difference = abs(self.product - other.product)
        return self.size == other.size and difference <= 1e-5 * max(self.norm, other.norm)


@functools.cache
def random_vector(size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(size))


def fingerprint(x: torch.Tensor) -> Fingerprint:
    x = x.detach().float().cpu().flatten()
    return Fingerprint(x.numel(), x.dot(random_vector(x.numel())).item(), x.norm().item())


@dataclass
class Step:
    """One call of a function of torch that computes something."""

    kind: str  # conv2d, relu, add, ...
    place: str  # the module that it happened in: layer1.0.relu, or layer1.0 for F.relu and +
    is_layer: bool
    settings: dict[str, object]
    shape: list[int]  # of the first input
    inputs: list[Fingerprint]
    lines: dict[str, str]  # the lines of the model.py that were running, by their modules' names
    output: Fingerprint | None = None  # None: it ended in an error

    @property
    def weight(self) -> object:
        return self.settings.get("weight")

    @property
    def holder(self) -> str:
        """The module in whose forward the step is written."""
        return parent(self.place) if self.is_layer else self.place

    def takes(self, x: Fingerprint) -> bool:
        return any(map(x.same, self.inputs))

    def gives(self, x: Fingerprint) -> bool:
        return self.output is not None and self.output.same(x)

    def alike(self, other: "Step") -> bool:
        """The same kind of step, with the same weights if it has some."""
        return self.kind == other.kind and self.weight == other.weight

    def line(self, holder: str | None = None) -> str:
        """The line in a module's forward, or in the next one outwards that the file defines."""
        place = self.holder if holder is None else holder
        while place and place not in self.lines:
            place = parent(place)
        return f"\nLook at {self.lines[place]}" if place in self.lines else ""


def parent(place: str, separator: str = ".") -> str:
    return place.rpartition(separator)[0]


class Recorder(TorchFunctionMode):
    """Takes down what a net's forward does."""

    def __init__(self, net: nn.Module, path: Path):
        super().__init__()
        self.net, self.folder = net, str(path.parent)
        self.steps: list[Step] = []
        self.running = [("", net)]  # modules, the innermost last
        self.places = {id(module): name for name, module in net.named_modules()}
        tensors = [*net.named_parameters(), *net.named_buffers()]
        self.names = {id(tensor): name for name, tensor in tensors}
        for module in net.modules():
            module.register_forward_pre_hook(self.enter)
            module.register_forward_hook(self.leave)

    def enter(self, module: nn.Module, inputs: tuple) -> None:
        self.running.append((self.places[id(module)], module))

    def leave(self, module: nn.Module, inputs: tuple, output: object) -> None:
        name, _ = self.running.pop()
        if output is None:
            who = f"{name} ({kind_of(module)})" if name else kind_of(module)
            raise Finding(f"forward of {who} gives None: is its return missing?")

    def __torch_function__(
        self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = kwargs or {}
        kind = getattr(function, "__name__", "").strip("_")
        kind = "cat" if kind in ("concat", "concatenate") else kind
        step = self.step(kind, args, kwargs)
        if kind == "dropout":
            torch.manual_seed(0)  # whatever the order of a net's dropouts
        try:
            output = function(*args, **kwargs)
        except Exception:
            if step.inputs:
                self.steps.append(step)
            raise
        if isinstance(output, torch.Tensor) and output.is_floating_point() and step.inputs:
            step.output = fingerprint(output)
            if not step.takes(step.output):  # if it does, only the shape has changed
                self.steps.append(step)
        return output

    def step(self, kind: str, args: tuple, kwargs: dict) -> Step:
        settings = dict(SETTINGS.get(kind, {}))
        settings.update(zip(settings, args[1:], strict=False))
        settings.update((key, value) for key, value in kwargs.items() if key in settings)
        for key, value in settings.items():
            if isinstance(value, torch.Tensor):
                settings[key] = self.names.get(id(value), "a tensor")
            elif key in PAIRS and isinstance(value, int):
                settings[key] = (value, value)
        if "kernel_size" in settings and settings["stride"] is None:
            settings["stride"] = settings["kernel_size"]
        values = [*args, *kwargs.values()]
        values = values[:1] if settings else values
        flat = [x for v in values for x in (v if isinstance(v, list | tuple) else [v])]
        tensors = [x for x in flat if isinstance(x, torch.Tensor) and x.is_floating_point()]
        place, module = self.running[-1]
        return Step(
            kind=kind,
            place=place,
            is_layer=is_layer(module),
            settings=settings,
            shape=list(tensors[0].shape) if tensors else [],
            inputs=[fingerprint(x) for x in tensors],
            lines=self.lines(),
        )

    def lines(self) -> dict[str, str]:
        lines: dict[str, str] = {}
        for frame, number in traceback.walk_stack(None):  # the innermost comes first
            file = frame.f_code.co_filename
            place = self.places.get(id(frame.f_locals.get("self")))
            if place is not None and place not in lines and parent(file, os.sep) == self.folder:
                code = linecache.getline(file, number).strip()
                lines[place] = f"{Path(file).name}, line {number}: {code}"
        return lines

    def run(self, images: torch.Tensor, train: bool = False) -> "Run":
        self.net.train(train)
        self.steps, self.running = [], self.running[:1]
        outputs, error = (), None
        try:
            with torch.set_grad_enabled(train), self:
                outputs = self.net(images.clone())
        except Finding:
            raise
        except Exception as raised:
            error = raised
        is_several = isinstance(outputs, list | tuple) and len(outputs) != 1
        outputs = tuple(outputs) if is_several else (outputs,)
        return Run(outputs, self.steps, fingerprint(images), train, error)


@dataclass
class Run:
    """What one forward did, and what came of it."""

    outputs: tuple[torch.Tensor, ...]
    steps: list[Step]
    images: Fingerprint
    train: bool
    error: Exception | None

    def used(self) -> list[Step]:
        """The steps that the outputs, or the step that failed, depend on."""
        if self.error and (not self.steps or self.steps[-1].output):
            return self.steps  # the error came between two steps
        needed = [fingerprint(x) for x in self.outputs]
        used = []
        for step in reversed(self.steps):
            if step.output is None or any(map(step.gives, needed)):
                used.insert(0, step)
                needed += step.inputs
        return used or self.steps  # no step gives a NaN

    def source(self, x: Fingerprint, taker: Step | None = None) -> Step | None:
        """The last step, before the one that takes it, that a tensor comes from."""
        before = itertools.takewhile(lambda step: step is not taker, self.steps)
        return next((step for step in reversed(list(before)) if step.gives(x)), None)

    def sources(self, step: Step) -> list[Step]:
        return [source for x in step.inputs if (source := self.source(x, step))]

    def name(self, x: Fingerprint, taker: Step | None = None) -> str:
        source = self.source(x, taker)
        if source:
            return self.describe(source)
        return "the images" if x.same(self.images) else "a tensor"

    def describe(self, step: Step, after: bool = True) -> str:
        """features.3 (Conv2d); or, if there are several: relu (ReLU) after bn1 (BatchNorm2d)."""
        word = WORDS.get(step.kind, step.kind)
        name = str(step.weight).removesuffix(".weight") if step.weight else step.place
        text = f"{name} ({word})" if name else word
        twins = [s for s in self.steps if (s.place, s.kind) == (step.place, step.kind)]
        if after and not step.weight and len(twins) > 1 and len(step.inputs) == 1:
            source = self.source(step.inputs[0], step)
            text = text if name else f"the {text}"
            text += f" after {self.describe(source, after=False) if source else 'the images'}"
        return text

    def takers(self, step: Step) -> list[Step]:
        """The steps that take what a step gives."""
        return [s for s in self.steps if step.output and s.takes(step.output)]

    def way(self, start: Step, goal: Step, other: "Run") -> list[Step]:
        """The steps from `start` on that only this net has, if one like `goal` comes after them."""
        way: list[Step] = []
        following = [start]
        while following and len(way) < len(self.steps):
            way.append(following[0])
            if way[-1].weight and any(map(way[-1].alike, other.steps)):
                return []
            following = self.takers(way[-1])
            if any(map(goal.alike, following)):
                return way
        return []


# ----- the first difference, in words -----


def results(steps: list[Step]) -> list[Fingerprint]:
    return [step.output for step in steps if step.output]


def explain(mine: Run, theirs: Run) -> str | None:
    """Words for the learner's first step with a result that the lesson's net has not, if any."""
    my_steps, their_steps = mine.used(), theirs.used()
    my_other = [s for s in my_steps if not any(map(s.gives, results(their_steps)))]
    their_other = [s for s in their_steps if not any(map(s.gives, results(my_steps)))]
    if not my_other:
        return None
    step = my_other[0]
    if step.output is None and step.kind not in WORDS:  # view() and such: the error says it all
        return None
    start = mine.name(step.inputs[0], step)
    here = mine.describe(step, after=False)
    if not their_other:
        return f"after {start} your net has {here}; the lesson ends there.{remark(step, mine)}"
    forgotten = unused(mine, step, theirs, their_other)
    if forgotten:
        return forgotten

    # where the lesson goes on from what both nets have, and from the very input of the step
    known = [theirs.images, *(x for x in results(their_steps) if x not in results(their_other))]
    frontier = [s for s in their_other if all(any(map(x.same, known)) for x in s.inputs)]
    beside = [s for s in frontier if any(map(step.takes, s.inputs))]
    namesakes = [s for s in their_other if s.alike(step) and (s.weight or s.holder == step.holder)]
    for twin in beside:
        if twin in namesakes or (twin.alike(step) and not namesakes):
            return compare_steps(mine, step, theirs, twin)
    for other in beside:
        if swapped(mine, step, theirs, other):
            return (
                f"after {start} your net has {here} first, then {WORDS[other.kind]}; the lesson "
                f"has them in the other order.{step.line()}"
            )
        lacks = theirs.way(other, step, mine)
        if lacks:
            return lacking(mine, step, theirs, lacks)
        more = mine.way(step, other, theirs)
        if more:
            return (
                f"after {start} your net has {whole(mine, more, other)}; the lesson goes straight "
                f"on with {theirs.describe(other)}.{remark(step, mine)}"
            )
    if namesakes and (step.weight or step.holder):
        return compare_steps(mine, step, theirs, namesakes[0])
    if beside:
        there = theirs.describe(beside[0], after=False)
        return f"after {start} your net has {here}; the lesson has {there}.{step.line()}"
    return f"after {start} your net has {here}; the lesson has no such step.{remark(step, mine)}"


def unused(mine: Run, step: Step, theirs: Run, their_other: list[Step]) -> str | None:
    """Words for a step that the learner's net does as well, but for nothing."""
    for other in their_other:
        forgotten = next((s for s in mine.steps if other.output and s.gives(other.output)), None)
        takers = theirs.takers(other)
        taken = any(s.gives(taker.output) for s in mine.steps for taker in takers if taker.output)
        if not forgotten or not takers or taken:
            continue
        is_taker = any(s.alike(step) and s.holder == step.holder for s in takers)
        if is_taker and (step.weight or len(step.inputs) > 1):
            return None  # it takes something else, which says more
        if is_taker or not mine.error:  # before an error, there are also those to be used later
            return (
                f"your net does not use what {mine.describe(forgotten)} gives; in the lesson "
                f"{theirs.describe(takers[0])} takes it.{forgotten.line()}"
            )
    return None


def swapped(mine: Run, step: Step, theirs: Run, other: Step) -> bool:
    """Whether the one net has A, B, C and the other B, A, C."""
    for second in mine.takers(step):
        for lessons_second in theirs.takers(other):
            if second.alike(other) and lessons_second.alike(step):
                third, lessons_third = mine.takers(second), theirs.takers(lessons_second)
                return third == lessons_third == [] or any(
                    a.alike(b) for a in third for b in lessons_third
                )
    return False


def whole(run: Run, steps: list[Step], beside: Step) -> str:
    """Steps that follow each other, by the name of the block that they are, if they are one."""
    places = zip(*[step.place.split(".") for step in steps], strict=False)
    common = [names[0] for names in itertools.takewhile(lambda n: len(set(n)) == 1, places)]
    if len(steps) > 1 and common and beside.place.split(".")[: len(common)] != common:
        return ".".join(common)
    return ", then ".join(run.describe(step, after=False) for step in steps)


def lacking(mine: Run, step: Step, theirs: Run, lacks: list[Step]) -> str:
    """Words for steps of the lesson that the learner's net passes over."""
    first = lacks[0]
    what = whole(theirs, lacks, step)
    text = (
        f"after {mine.name(first.inputs[0], step)} the lesson has {what}; your net goes straight "
        f"on with {mine.describe(step, after=False)}."
    )
    if first.kind == "add":
        text += " The shortcut is missing: out += identity."
    elif what.endswith("downsample"):
        text += " The shortcut must go through self.downsample, where there is one."
    # the line after which the step belongs, in the forward that it belongs to
    holder = first.holder if "(" in what else parent(what)
    before = mine.source(first.inputs[0], step)
    if before and holder in before.lines:
        return text + before.line(holder)
    return text + step.line(holder)


def remark(step: Step, run: Run) -> str:
    """What to know of a step that should not be there, and its line."""
    text = ""
    if step.kind == "dropout" and not run.train:
        text = " In eval() nothing is dropped: F.dropout(..., training=self.training)."
    if "softmax" in step.kind:
        text = " nn.CrossEntropyLoss takes the logits, without a softmax."
    return text + step.line()


def compare_steps(mine: Run, step: Step, theirs: Run, twin: Step) -> str:
    """Words for what two steps of one kind do otherwise."""
    name = mine.describe(step)
    if len(step.inputs) == len(twin.inputs) and all(
        map(Fingerprint.same, step.inputs, twin.inputs)
    ):
        if step.shape != twin.shape:
            text = f"{name} gets a tensor {step.shape}; in the lesson {twin.shape}:"
            if len(step.shape) > 2:
                return f"{text} flatten it before, with torch.flatten(x, start_dim=1)."
            return f"{text} look at the numbers in view() or flatten(); images stay apart."
        keys = [key for key, value in step.settings.items() if value != twin.settings[key]]
        if not keys:
            return f"{name} gives another result.{step.line()}"
        text = ", ".join(f"{key} is {short(step.settings[key])}" for key in keys)
        other = ", ".join(
            f"{f'{key} ' if len(keys) > 1 else ''}{short(twin.settings[key])}" for key in keys
        )
        return f"{name}: {text}; the lesson has {other}.{'' if step.is_layer else step.line()}"
    if all(map(step.takes, twin.inputs)) and all(map(twin.takes, step.inputs)):
        text = f"{name} joins {inputs_of(mine, step)}, in this order"
        return f"{text}; the lesson {inputs_of(theirs, twin)}.{step.line()}"
    # the same kind of step may come before both, and the difference before that
    my_sources, their_sources = mine.sources(step), theirs.sources(twin)
    for a, b in zip(my_sources, their_sources, strict=False):
        if a.alike(b) and a.holder == b.holder and not a.gives(b.output):
            return compare_steps(mine, a, theirs, b)
    holder = step.holder  # the forward in which the step and what it gets are put together
    places = [source.place for source in my_sources + their_sources]
    while holder and not any(place.startswith(f"{holder}.") for place in places):
        holder = parent(holder)
    text = f"{name} gets {inputs_of(mine, step)}; in the lesson it gets {inputs_of(theirs, twin)}."
    return text + step.line(holder)


def inputs_of(run: Run, step: Step) -> str:
    """What goes into a step; if it comes from the same block, by the names in there: branch1."""
    names = []
    for x in step.inputs:
        source = run.source(x, step)
        if source and step.place and source.place.startswith(f"{step.place}."):
            names.append(source.place.removeprefix(f"{step.place}.").split(".")[0])
        else:
            names.append(run.name(x, step))
    return ", ".join(names)


# ----- all of it -----


def compare_outputs(mine: Run, theirs: Run, path: Path) -> None:
    """Raise Finding if a run ended in an error, or in other outputs."""
    mode = "in train(), " if mine.train else ""
    if mine.error:
        difference = explain(mine, theirs)
        text = f"{mode}{difference}\n" if difference else mode
        raise Finding(f"{text}forward ends in an error:\n{own_error(mine.error, path)}")
    other = [x for x in mine.outputs if not isinstance(x, torch.Tensor)]
    if other:
        raise Finding(f"{mode}forward gives a {kind_of(other[0])}, not a tensor.")
    mode = mode or "in eval(), "
    n, m = len(mine.outputs), len(theirs.outputs)
    if n != m:
        text = f"{mode}forward gives {n} tensor{'s' * (n > 1)}; the lesson {m}"
        if 3 in (n, m):
            text += ": (logits, aux2, aux1) if self.training and self.aux_logits, else the logits"
        raise Finding(f"{text}. Look at its return.")
    pairs = list(zip(mine.outputs, theirs.outputs, strict=True))
    if all(a.shape == b.shape and close(a, b) for a, b in pairs):
        return
    difference = explain(mine, theirs)
    if difference:
        raise Finding(difference if not mine.train else mode + difference)
    ours, lessons = [
        ", ".join(run.name(fingerprint(x)) for x in run.outputs) for run in (mine, theirs)
    ]
    if ours != lessons:
        raise Finding(f"{mode}forward returns {ours}; the lesson returns {lessons}.")
    a, b = next((a, b) for a, b in pairs if a.shape != b.shape or not close(a, b))
    raise Finding(f"{mode}the output {list(a.shape)} is not the lesson's {list(b.shape)}.")


def close(mine: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-4) -> bool:
    difference = (mine.detach() - theirs.detach()).float()
    return bool(difference.norm() <= tolerance * theirs.detach().float().norm())


def compare_training(net: nn.Module, lesson: nn.Module, mine: Run, theirs: Run, path: Path) -> None:
    """Raise Finding if buffers or gradients differ after a forward in train()."""
    buffers, parameters = dict(net.named_buffers()), dict(net.named_parameters())
    for name, buffer in lesson.named_buffers():
        if not close(buffers[name], buffer):
            raise Finding(f"{name} changes otherwise in train(): look at momentum.")
    for run in (mine, theirs):
        loss = sum((x * random_vector(x.numel()).view_as(x)).sum() for x in run.outputs)
        try:
            loss.backward()
        except RuntimeError as error:
            text = own_error(error, path)
            raise Finding(f"backward ends in an error:\n{text}") from None
    for name, parameter in lesson.named_parameters():
        gradient = parameters[name].grad
        text = "are there detach(), no_grad() or requires_grad=False?"
        if gradient is None:
            raise Finding(f"the outputs are the same, but {name} gets no gradient: {text}")
        if not close(gradient, parameter.grad, 1e-3):
            raise Finding(f"the outputs are the same, but {name} gets another gradient: {text}")


def check(path: Path, name: str) -> str:
    """Words for a model.py that is right.

    Raises:
        Finding: it is not.
    """
    function, side = name, 224
    options: dict[str, object] = {"num_classes": 5}
    if name == "LeNet":
        folder, options, side = "Test1_official_demo", {}, 32
    elif name == "AlexNet":
        folder, options["init_weights"] = "Test2_alexnet", True
    elif name in VGGS:
        folder, function = "Test3_vggnet", "vgg"
        options["model_name"] = "vgg16" if name == "vgg" else name
        options["init_weights"] = True
    elif name == "GoogLeNet":
        folder, options["aux_logits"] = "Test4_googlenet", True
        options["init_weights"] = True
    else:
        folder = "Test5_resnet"
    lesson_path = ROOT / folder / "model.py"

    try:
        net, not_taken = build(find(load(path), function), options)
    except Finding:
        raise
    except (Exception, SystemExit) as error:
        raise Finding(own_error(error, path)) from None
    options.pop("init_weights", None)  # its weights are drawn below
    lesson = find(load(lesson_path), function)(**options)
    compare_parameters(net, lesson)

    torch.manual_seed(0)
    draw_weights(lesson)
    net.load_state_dict(lesson.state_dict())
    images = torch.randn(2, 3, side, side)
    mine, theirs = Recorder(net, path), Recorder(lesson, lesson_path)
    compare_outputs(mine.run(images), theirs.run(images), path)
    # that images stay apart is known by now: one is enough
    runs = mine.run(images[:1], train=True), theirs.run(images[:1], train=True)
    compare_outputs(*runs, path)
    compare_training(net, lesson, *runs, path)

    text = (
        f"{name} is right: the lesson's {len(shapes(lesson))} parameters and buffers, and with the "
        "same weights the same outputs and gradients."
    )
    if path == lesson_path.resolve():
        text += "\nIt is the lesson's own file, though: type yours in another folder."
    for argument in not_taken:
        text += f"\nOnly this: it does not take {argument}, which the lesson's train.py gives."
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compare a model.py that you typed yourself with the lesson's."
    )
    parser.add_argument("path", type=Path, metavar="FILE", help="your model.py")
    parser.add_argument("name", choices=NAMES, help="the net in it; vgg means vgg16")
    args = parser.parse_args()
    if not args.path.is_file() or args.path.suffix != ".py":
        parser.error(f"there is no Python file {args.path}")
    torch.set_num_threads(1)  # beside a net in training, threads would wait for each other
    try:
        print(check(args.path.resolve(), args.name))
    except Finding as finding:
        print(finding)
        sys.exit(1)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # a learner's line may have signs that a console lacks
    main()
