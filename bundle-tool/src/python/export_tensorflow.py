"""TensorFlow: SavedModels. Gives TFLite by TensorFlow's own converter, else ONNX by tf2onnx."""


def signature_of(loaded, request):
    """(name, concrete function)."""
    wanted = request.get("signature") or "serving_default"
    if wanted in loaded.signatures:
        return wanted, loaded.signatures[wanted]
    if len(loaded.signatures) == 1:
        return next(iter(loaded.signatures.items()))
    listed = ", ".join(loaded.signatures) or "none"
    raise Refused(f"the SavedModel has no signature {wanted!r}; it has: {listed}. Save it with a signature: "
                  "tf.saved_model.save(model, path, signatures=...)")


def inputs_of(function, request):
    """Inputs as {"name", "dtype", "shape"} in the order of their names in the signature. An open first axis is the rows."""
    shapes = dict(request["shapes"])
    specs = function.structured_input_signature[1]
    inputs = []
    for name, spec in specs.items():
        if spec.dtype.name not in ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"):
            raise Refused(f"the input {name} is of the type {spec.dtype.name}, which is not exported")
        shape = shapes.get(name) or (list(shapes.values())[0] if len(specs) == len(shapes) == 1 else None)
        if shape is None:
            if spec.shape.rank is None or any(length is None for length in spec.shape[1:]):
                raise Refused(f"the input {name} has the shape {spec.shape}: give it as --shape {name}=Nx…")
            shape = [-1 if length is None else int(length) for length in spec.shape]
        inputs.append({"name": name, "dtype": spec.dtype.name, "shape": shape})
    if not inputs:
        raise Refused("the signature takes no inputs")
    return inputs


def tflite(function, inputs):
    """The TFLite file, of the signature's function with constants for its variables and with the inputs' shapes."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    specs = {t["name"]: tf.TensorSpec([None if n < 0 else n for n in t["shape"]], t["dtype"], name=t["name"]) for t in inputs}
    called = tf.function(lambda **arguments: function(**arguments)).get_concrete_function(**specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(called)])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()


def order(content, inputs, names, sample, results):
    """Places of the file's inputs and outputs among the signature's: inputs by name, outputs by their values for a sample. None for
    what cannot be told; converters from 2.5 on write the signature's names, which say it too."""
    import tensorflow as tf

    resolvers = getattr(tf.lite.experimental, "OpResolverType", None)
    options = {"experimental_op_resolver_type": resolvers.BUILTIN_REF} if resolvers else {}
    interpreter = tf.lite.Interpreter(model_content=content, **options)
    own = interpreter.get_input_details()

    def place(detail):
        stem = detail["name"].split(":")[0]
        fitting = [at for at, t in enumerate(inputs) if stem == t["name"] or stem.endswith("_" + t["name"])]
        return max(fitting, key=lambda at: len(inputs[at]["name"])) if fitting else None

    places = [place(detail) for detail in own] if len(inputs) > 1 else [0]
    if sorted(p for p in places if p is not None) != list(range(len(inputs))):
        return None, None
    if len(names) == 1:
        return places, [0]
    for detail, at in zip(own, places):
        interpreter.resize_tensor_input(detail["index"], sample[at].shape)
    interpreter.allocate_tensors()
    for detail, at in zip(own, places):
        interpreter.set_tensor(detail["index"], sample[at])
    interpreter.invoke()
    outputs, left = [], set(range(len(results)))
    for detail in interpreter.get_output_details():
        value = interpreter.get_tensor(detail["index"])
        near = [at for at in left if results[at].shape == value.shape and results[at].dtype == value.dtype
                and np.allclose(results[at], value, rtol=1e-3, atol=1e-4)]
        if not near:
            return places, None
        outputs.append(near[0])
        left.discard(near[0])
    return places, outputs


def onnx(request, signature, function, inputs, path):
    """Writes the ONNX file by tf2onnx."""
    import tensorflow as tf
    import tf2onnx

    specs = [tf.TensorSpec([None if n < 0 else n for n in t["shape"]], t["dtype"], name=t["name"]) for t in inputs]
    names = [t["name"] for t in inputs]

    @tf.function(input_signature=specs)
    def called(*arguments):
        return function(**dict(zip(names, arguments)))

    tf2onnx.convert.from_function(called, input_signature=specs, opset=13, output_path=path)


def run(request, out):
    import tensorflow as tf

    on_path(request)
    tf.random.set_seed(0)
    loaded = tf.saved_model.load(request["model"])
    signature, function = signature_of(loaded, request)
    inputs = inputs_of(function, request)

    def call_by_name(arrays):
        return function(**{t["name"]: tf.constant(array) for t, array in zip(inputs, arrays)})

    sample = sample_arrays(dict(request["samples"][0], rows=2), inputs)
    first = call_by_name(sample)
    names = sorted(first)
    results = [first[name].numpy() for name in names]

    def call(arrays):
        answer = call_by_name(arrays)
        return [answer[name].numpy() for name in names]

    answer = {"packages": {"tensorflow": tf.__version__}, "inputs": inputs, "outputs": names, "form": "dict", "signature": signature}
    try:
        content = tflite(function, inputs)
        places, outputs = order(content, inputs, names, sample, results)
        with open(f"{out}/model.tflite", "wb") as file:
            file.write(content)
        answer.update(format="tflite", model="model.tflite", places=places, output_places=outputs)
    except MemoryError:
        raise
    except Exception as problem:
        # TFLite's own operators do not cover the graph: what tf2onnx says counts.
        print(f"ekiben: no TFLite: {problem}", flush=True)
        try:
            onnx(request, signature, function, inputs, f"{out}/model.onnx")
        except ImportError as lacking:
            raise Refused(f"TensorFlow's converter gives no TFLite ({str(problem)[:400]}), and {lacking.name} is not installed, "
                          "which would give ONNX")
        answer.update(format="onnx", model="model.onnx")
    answer["samples"] = framework_answers(request, out, inputs, call)
    return answer
