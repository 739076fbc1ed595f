"""Sample inputs: the same numbers as the tool makes of a seed (`ekiben_runtime::artifact::golden::fill`). Put before every exporter."""

import sys

import numpy as np


def fraction(seed, count):
    """`count` numbers of SplitMix64 with `seed`, as fractions of 1."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53


def filled(seed, bounds, dtype, shape):
    """An array between two bounds."""
    low, high = bounds
    u = fraction(seed, int(np.prod(shape, dtype=np.int64)))
    if np.dtype(dtype).kind == "f":
        return (low + u * (high - low)).astype(dtype).reshape(shape)
    return np.minimum(np.floor(low + u * (high - low + 1.0)), high).astype(dtype).reshape(shape)


def sample_arrays(sample, inputs):
    """The arrays of one sample: inputs are {"name", "dtype", "shape"}, -1 standing for the rows."""
    arrays = []
    for at, tensor in enumerate(inputs):
        shape = [sample["rows"] if length < 0 else length for length in tensor["shape"]]
        kind = "float" if np.dtype(tensor["dtype"]).kind == "f" else "integer"
        arrays.append(filled(sample["seed"] + at, sample[kind], tensor["dtype"], shape))
    return arrays


def written(out, name, array):
    """An output as the answer describes it, with its elements in a file."""
    array = np.ascontiguousarray(array)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    with open(f"{out}/{name}", "wb") as file:
        file.write(array.tobytes())
    return {"dtype": str(array.dtype), "shape": list(array.shape), "file": name}


def framework_answers(request, out, inputs, call):
    """Every sample with the framework's outputs: `call(arrays)` gives a list of arrays. One without rows that vary is asked once per seed."""
    batched = any(length < 0 for tensor in inputs for length in tensor["shape"])
    answers = []
    for at, sample in enumerate(request["samples"]):
        if not batched and sample["rows"] != 1:
            continue
        outputs = call(sample_arrays(sample, inputs))
        files = [written(out, f"sample_{at}_{index}.bin", array) for index, array in enumerate(outputs)]
        answers.append({"sample": at, "outputs": files})
    return answers


def on_path(request):
    """The service's own modules, which pickles refer to, can be imported."""
    for folder in request["sources"]:
        sys.path.insert(0, folder)
