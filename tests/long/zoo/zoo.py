"""Exports the zoo: models as current exporters write them, with random weights of a fixed seed, and ONNX Runtime's answers.

    zoo.py FOLDER [PART…]          torchvision, transformers and Keras on PyTorch; only models whose names contain a PART
    zoo.py FOLDER --tensorflow     Keras on TensorFlow, by tf2onnx

Each model is a folder FOLDER/NAME with `model.onnx`, `case.json` and raw outputs, as tests/fixtures/README.md says. Statistics of batch
normalisations are random too. The README beside this file names the environments.
"""

import os
import pathlib
import shutil
import sys
import warnings

import numpy as np
import onnx
import onnxruntime

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "make"))
import casefile

SEED = 20260
# Largest difference over the range of an output.
TOLERANCE = 1e-4
ROWS = 2


def answers(path, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    assert len(names) == len(inputs), names
    return names, [o.name for o in session.get_outputs()], session.run(None, dict(zip(names, inputs)))


def write(folder, made_by, inputs):
    """Describes the model in `folder`. `inputs` are (array, entry) pairs."""
    names, outputs, values = answers(folder / "model.onnx", [array for array, _ in inputs])
    results = []
    for index, (name, value) in enumerate(zip(outputs, values)):
        assert np.isfinite(value).all() and (np.ptp(value) > 0 or value.size == 1), f"{folder.name}: {name} is not sane"
        results.append(casefile.tensor(value, name, f"output_{index}.bin", folder))
    model = onnx.load(folder / "model.onnx")
    opset = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    casefile.write(folder, {
        "scheme": 1,
        "note": f"{model.producer_name} {model.producer_version}, operator sets {opset}.",
        "computed_by": {"onnxruntime": onnxruntime.__version__},
        "made_by": made_by,
        "tolerance": {"of_range": TOLERANCE},
        "model": "model.onnx",
        "operators": sorted({(node.domain + "::" if node.domain else "") + node.op_type for node in model.graph.node}),
        "runs": [{"inputs": [{"name": n, **entry} for n, (_, entry) in zip(names, inputs)], "outputs": results}],
    })
    size = (folder / "model.onnx").stat().st_size
    print(f"{folder.name}: {size >> 10} KiB, {sum(1 for _ in model.graph.node)} nodes", flush=True)


def emptied(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def image(channels, size, first=True):
    shape = (ROWS, channels, size, size) if first else (ROWS, size, size, channels)
    return casefile.generated(SEED, np.float32, shape, 2.0, -1.0)


def wave(length):
    return casefile.generated(SEED, np.float32, (ROWS, 1, length), 2.0, -1.0)


def tokens(words, length):
    array = (casefile.splitmix64(SEED, ROWS * length) % np.uint64(words)).astype(np.int64).reshape(ROWS, length)
    return array, casefile.tensor(array)


def hub_models():
    import hub
    samples = lambda shape: casefile.generated(SEED, np.float32, (ROWS, *shape), 2.0, -1.0)
    for name, make, function, given in hub.models(tokens, image, samples):
        yield f"hub_{name}", lambda make=make, function=function: hub.Pick(make(), function), given


# torch's older exporter lacks an operator that these need.
DYNAMO_ONLY = {"hub_gpt2", "hub_llama", "hub_qwen3"}


def torch_models():
    """Name, how to make the network, its input."""
    import torchvision.models as vision
    from torch import nn

    import networks
    from hub import Pick

    def vit():
        return vision.VisionTransformer(image_size=64, patch_size=8, num_layers=6, num_heads=3, hidden_dim=192, mlp_dim=768)

    def convnext():
        stages = [(16, 32, 1), (32, 64, 2), (64, None, 1)]
        return vision.ConvNeXt([vision.convnext.CNBlockConfig(*stage) for stage in stages])

    def swin():
        return vision.SwinTransformer([4, 4], 24, [2, 2], [3, 6], [4, 4], 2.0, num_classes=100)

    def swin_v2():
        return vision.SwinTransformer([4, 4], 24, [2, 2], [3, 6], [4, 4], 2.0, num_classes=100,
                                      block=vision.swin_transformer.SwinTransformerBlockV2,
                                      downsample_layer=vision.swin_transformer.PatchMergingV2)

    def maxvit():
        return vision.MaxVit(input_size=(64, 64), stem_channels=16, partition_size=4, block_channels=[16, 32], block_layers=[1, 1],
                             head_dim=8, stochastic_depth_prob=0.0)

    def lraspp():
        return Pick(vision.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None), lambda model, x: model(x)["out"])

    def deeplab():
        return Pick(vision.segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None), lambda model, x: model(x)["out"])

    for name in ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "resnet18", "squeezenet1_1", "efficientnet_b0",
                 "shufflenet_v2_x1_0", "regnet_y_400mf", "densenet121", "mnasnet0_5"]:
        yield name, lambda name=name: getattr(vision, name)(weights=None), image(3, 64)
    for make in [vit, convnext, swin, swin_v2, maxvit, lraspp, deeplab]:
        yield make.__name__, make, image(3, 64)
    yield "googlenet", lambda: vision.googlenet(weights=None, init_weights=False, aux_logits=False), image(3, 64)
    yield "lstm_tagger", lambda: networks.Tagger(nn.LSTM), tokens(500, 20)
    yield "gru_tagger", lambda: networks.Tagger(nn.GRU), tokens(500, 20)
    yield "encoder", networks.Encoder, tokens(500, 24)
    yield "decoder", networks.Decoder, tokens(300, 16)
    yield "sound", networks.Sound, wave(4000)
    yield "unet", networks.UNet, image(3, 64)
    yield "unet_bilinear", lambda: networks.UNet(learned=False), image(3, 64)
    yield "detector", networks.Detector, image(3, 64)
    yield from hub_models()
    yield "detector_head", lambda: networks.Detector(best=0), image(3, 64)


def randomise(network):
    """Statistics of batch normalisations as training would leave them: neither 0 and 1 nor extreme. No layer is all zeros."""
    import torch
    for module in network.modules():
        if isinstance(module, torch.nn.Linear) and not module.weight.any():
            torch.nn.init.xavier_uniform_(module.weight)
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval()


def export_torch(path, network, array, dynamo):
    import torch
    # The fused kernel has no ONNX form.
    torch.backends.mha.set_fastpath_enabled(False)
    example = (torch.from_numpy(array),)
    if dynamo:
        batch = torch.export.Dim("batch", min=1, max=1024)
        torch.onnx.export(network, example, path, dynamo=True, dynamic_shapes=({0: batch},), input_names=["x"],
                          external_data=False, verbose=False)
    else:
        outputs = network(*example)
        names = [f"y{index}" for index in range(len(outputs))] if isinstance(outputs, tuple) else ["y0"]
        axes = {name: {0: "batch"} for name in ["x", *names]}
        torch.onnx.export(network, example, path, dynamo=False, dynamic_axes=axes, input_names=["x"], output_names=names)


def with_torch(root, parts):
    import torch
    import torchvision
    import transformers
    made_by = {"torch": torch.__version__, "torchvision": torchvision.__version__, "transformers": transformers.__version__}
    for name, make, given in torch_models():
        for exporter in ["dynamo", "torchscript"]:
            label = f"{name}_{exporter}"
            if (parts and not any(part in label for part in parts)) or (exporter == "torchscript" and name in DYNAMO_ONLY):
                continue
            torch.manual_seed(SEED)
            with torch.no_grad():
                network = randomise(make())
                folder = emptied(root / label)
                export_torch(folder / "model.onnx", network, given[0], exporter == "dynamo")
            write(folder, made_by, [given])


def keras_models(keras):
    shape = (64, 64, 3)
    yield "mobilenet", lambda: keras.applications.MobileNet(weights=None, input_shape=shape, alpha=0.5, classes=100), image(3, 64, False)
    yield "efficientnet", lambda: keras.applications.EfficientNetB0(weights=None, input_shape=shape, classes=100), image(3, 64, False)


def export_keras(path, model, array, backend):
    """By Keras itself on PyTorch, by tf2onnx on TensorFlow."""
    import keras
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and backend == "tensorflow":
            # As tensors they would become inputs of the exported model.
            layer.mean, layer.variance = np.array(layer.mean), np.array(layer.variance)
    model(array)
    if backend == "torch":
        model.export(path, format="onnx", verbose=False)
        return
    import tensorflow
    import tf2onnx
    signature = [tensorflow.TensorSpec([None, *array.shape[1:]], tensorflow.float32, name="x")]
    function = tensorflow.function(lambda x: model(x, training=False), input_signature=signature)
    tf2onnx.convert.from_function(function, input_signature=signature, opset=18, output_path=path)


def with_keras(root, parts, backend):
    os.environ["KERAS_BACKEND"] = backend
    import keras
    made_by = {"keras": keras.__version__, "backend": backend}
    for name, make, given in keras_models(keras):
        label = f"keras_{name}_{backend}"
        if parts and not any(part in label for part in parts):
            continue
        keras.utils.set_random_seed(SEED)
        model = make()
        random = np.random.RandomState(SEED)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                gamma, beta, mean, variance = layer.get_weights()
                layer.set_weights([random.uniform(0.5, 1.5, gamma.shape), random.uniform(-0.2, 0.2, beta.shape),
                                   random.uniform(-0.2, 0.2, mean.shape), random.uniform(0.5, 1.5, variance.shape)])
        folder = emptied(root / label)
        export_keras(str(folder / "model.onnx"), model, given[0], backend)
        write(folder, made_by, [given])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    root, parts = pathlib.Path(sys.argv[1]), [part for part in sys.argv[2:] if not part.startswith("--")]
    if "--tensorflow" in sys.argv:
        with_keras(root, parts, "tensorflow")
    else:
        with_torch(root, parts)
        with_keras(root, parts, "torch")
