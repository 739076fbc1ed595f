"""PyTorch: modules by cloudpickle or torch.save, TorchScript, torch.export; with fast.ai's learners. Gives ONNX."""

import inspect
import zipfile

OPSET = 13
# PyTorch's exporter of 2.x writes this by itself.
DYNAMO_OPSET = 18


def load(request):
    """(module, what it is): `eager`, `script` or `exported`."""
    import torch

    path = request["model"]
    if request["framework"] == "fastai":
        return learner(path), "eager"
    if not zipfile.is_zipfile(path):
        # What cloudpickle writes names the modules that it needs, cloudpickle's own among them.
        import pickle

        with open(path, "rb") as file:
            return checked(pickle.load(file)), "eager"
    names = zipfile.ZipFile(path).namelist()
    if any("/code/" in name for name in names) and any(name.endswith("constants.pkl") for name in names):
        return torch.jit.load(path, map_location="cpu"), "script"
    if any(name.endswith("archive_format") or "serialized_exported_program" in name for name in names):
        return torch.export.load(path), "exported"
    options = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}
    return checked(torch.load(path, map_location="cpu", **options)), "eager"


def checked(module):
    import torch

    if isinstance(module, dict):
        raise Refused("the file holds weights alone and no module: what is computed with them is in no file. Save the whole module")
    if not isinstance(module, torch.nn.Module):
        raise Refused(f"the file holds {type(module).__name__}, which is no torch.nn.Module")
    return module


def learner(path):
    from fastai.learner import load_learner

    loaded = load_learner(path)
    vocabulary = getattr(getattr(loaded, "dls", None), "vocab", None)
    if vocabulary is not None:
        try:
            LEARNED["vocabulary"] = [str(item) for item in vocabulary]
        except TypeError:
            LEARNED["vocabulary"] = []
    kind = type(getattr(loaded, "dls", None)).__name__
    if "Text" in kind or "LM" in kind:
        raise Refused(f"the learner's data are {kind}: texts are made numbers of by Python code. Tabular and image learners are exported")
    return checked(loaded.model)


LEARNED = {}


def parameters(module):
    """Names of forward's positional parameters, those without a default counted first."""
    try:
        schema = getattr(module, "forward", module)
        names = [p for p in inspect.signature(schema).parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        return [p.name for p in names], sum(p.default is p.empty for p in names)
    except (TypeError, ValueError):
        return [], 0


def script_parameters(module):
    arguments = module.forward.schema.arguments[1:]
    return [a.name for a in arguments], sum(not a.has_default_value() for a in arguments)


def first_layer(module):
    import torch

    for part in module.modules():
        own = list(part.parameters(recurse=False))
        if own:
            return part
        if isinstance(part, torch.nn.quantized.Linear if hasattr(torch.nn, "quantized") else ()):
            return part
    return None


def guessed(module):
    """Input of a network whose first layer says it all: a linear layer, or a convolution of one length."""
    import torch

    if hasattr(module, "embeds") and hasattr(module, "n_cont"):
        # fast.ai's TabularModel.
        return [{"dtype": "int64", "shape": [-1, len(module.embeds)]}, {"dtype": "float32", "shape": [-1, module.n_cont]}]
    layer = first_layer(module)
    if isinstance(layer, torch.nn.Linear):
        return [{"dtype": "float32", "shape": [-1, layer.in_features]}]
    raise Refused(
        "the shape of its input is neither declared by the service nor in the file. Give it as --shape NAME=Nx3x224x224, "
        "or declare it in the service (`Shape((-1, 3, 224, 224))`)"
    )


def inputs_of(request, module, kind):
    """Inputs as {"name", "dtype", "shape"}."""
    if kind == "exported":
        return exported_inputs(module)
    names, needed = script_parameters(module) if kind == "script" else parameters(module)
    given = request["inputs"]
    if given is None and request["shapes"]:
        given = shaped(request, names, needed, module)
    if given is None:
        given = guessed(module)
    while len(names) < len(given):
        names.append(f"input_{len(names)}")
    return [dict(tensor, name=name) for tensor, name in zip(given, names)]


def shaped(request, names, needed, module):
    """Inputs with the shapes of the command line, in forward's order. One shape fits a module of one input whatever its name."""
    shapes = dict(request["shapes"])
    if len(shapes) == 1 and needed <= 1:
        return typed(request, module, list(shapes.values()))
    known = names[:max(needed, len(shapes))]
    if set(known) != set(shapes):
        raise Refused(f"--shape is given for {', '.join(sorted(shapes))}; the module takes {', '.join(known)}")
    return typed(request, module, [shapes[name] for name in known])


def typed(request, module, shapes):
    """Inputs of these shapes in the first types that the module takes: floats before integers, but for a network that begins with a table."""
    import itertools

    import torch

    kinds = ["float32", "int64"]
    if isinstance(first_layer(module), (torch.nn.Embedding, torch.nn.EmbeddingBag)):
        kinds.reverse()
    for types in itertools.islice(itertools.product(kinds, repeat=len(shapes)), 16):
        inputs = [{"dtype": dtype, "shape": shape} for dtype, shape in zip(types, shapes)]
        arrays = sample_arrays(dict(request["samples"][0], rows=2), inputs)
        try:
            with torch.no_grad():
                module(*[torch.from_numpy(array.copy()) for array in arrays])
            return inputs
        except (RuntimeError, TypeError, ValueError, IndexError):
            continue
    return [{"dtype": kinds[0], "shape": shape} for shape in shapes]


def exported_inputs(program):
    """Inputs of a torch.export program: a symbolic length on the first axis is the rows."""
    import torch

    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    inputs = []
    for name in program.graph_signature.user_inputs:
        value = nodes[name].meta["val"] if name in nodes else None
        if not isinstance(value, torch.Tensor):
            raise Refused(f"the input {name} of the program is no tensor")
        shape = [int(length) if isinstance(length, int) or str(length).isdigit() else -1 for length in value.shape]
        if any(length < 0 for length in shape[1:]):
            raise Refused(f"the input {name} has the shape {tuple(value.shape)}: only its first axis may be open. Export it with fixed lengths")
        inputs.append({"name": name, "dtype": str(value.dtype).replace("torch.", ""), "shape": shape})
    return inputs


def flat(result):
    """(names, tensors, form) of what a module returns: `tensor`, `tuple` or `dict`."""
    import torch

    if isinstance(result, torch.Tensor):
        return ["output"], [result], "tensor"
    if hasattr(result, "items"):
        names, tensors, form = list(result.keys()), list(result.values()), "dict"
    elif isinstance(result, (tuple, list)):
        names, tensors, form = [f"output_{at}" for at in range(len(result))], list(result), "tuple"
    else:
        raise Refused(f"the module returns {type(result).__name__}: tensors, tuples and dicts of tensors are exported")
    if not tensors or not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        raise Refused("the module returns something that is no tensor among its results")
    return [str(name) for name in names], tensors, form


def exported(module, kind, arrays, inputs, names, results, path):
    """Writes the ONNX file, with an open first axis where the inputs have one."""
    import torch

    open_inputs = [tensor["name"] for tensor in inputs if tensor["shape"] and tensor["shape"][0] < 0]
    axes = {name: {0: "batch"} for name in open_inputs + (names if open_inputs else [])}
    input_names = [tensor["name"] for tensor in inputs]
    accepted = inspect.signature(torch.onnx.export).parameters
    if kind != "exported":
        options = {"dynamo": False} if "dynamo" in accepted else {}
        if "example_outputs" in accepted and kind == "script":
            options["example_outputs"] = tuple(results)
        try:
            torch.onnx.export(module, arrays, path, input_names=input_names, output_names=names, dynamic_axes=axes,
                              opset_version=OPSET, do_constant_folding=True, **options)
            return
        except Exception as problem:
            if "dynamo" not in accepted or kind == "script" or isinstance(problem, MemoryError):
                raise
            import traceback

            traceback.print_exc()
    options = {} if kind == "exported" else {
        "dynamic_shapes": [{0: torch.export.Dim("batch")} if tensor["name"] in open_inputs else {} for tensor in inputs]}
    torch.onnx.export(module, arrays, path, dynamo=True, input_names=input_names, output_names=names,
                      opset_version=DYNAMO_OPSET, external_data=False, **options)


def version(module):
    return str(getattr(module, "__version__", ""))


def run(request, out):
    import torch

    on_path(request)
    torch.manual_seed(0)
    module, kind = load(request)
    if kind != "exported":
        # Drop-out and statistics of a batch make answers that no two runs share.
        module.eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
    inputs = inputs_of(request, module, kind)
    callable_ = module.module() if kind == "exported" else module

    def tensors(arrays):
        return tuple(torch.from_numpy(array.copy()) for array in arrays)

    # Two rows: an exporter takes a length of 1 for a constant.
    example = tensors(sample_arrays(dict(request["samples"][0], rows=2), inputs))
    with torch.no_grad():
        try:
            result = callable_(*example)
        except (RuntimeError, TypeError, ValueError, IndexError) as problem:
            if isinstance(problem, RuntimeError) and "alloc" in str(problem):
                raise
            shapes = ", ".join(f"{t['name']}: {t['dtype']} {t['shape']}" for t in inputs)
            raise Refused(f"the module does not take inputs of these types and shapes ({shapes}): {problem}. Give others with --shape")
        names, results, form = flat(result)
        exported(module, kind, example, inputs, names, results, f"{out}/model.onnx")

        def call(arrays):
            return [tensor.detach().cpu().numpy() for tensor in flat(callable_(*tensors(arrays)))[1]]

        answers = framework_answers(request, out, inputs, call)
    packages = {"torch": version(torch)}
    if request["framework"] == "fastai":
        import fastai

        packages["fastai"] = version(fastai)
    return {"format": "onnx", "model": "model.onnx", "packages": packages, "inputs": inputs, "outputs": names, "form": form,
            "samples": answers, **LEARNED}
