#!/usr/bin/env bash
# Bentos with models of PyTorch, fast.ai and TensorFlow: compiled with --allow-python and compared with BentoML's own answers.
#
#   EKIBEN_PYTHON_V013=… EKIBEN_PYTHON_V14=… [EKIBEN_PYTHON_V013_H2O=…] tests/long/exported.sh
#
# The variables name interpreters that have BentoML's own environments: Python 3.8 with torch 1.8, TensorFlow 2.4, fastai 2.3, onnx and tf2onnx;
# Python 3.11 with current torch, TensorFlow, onnx, onnxscript and tf2onnx. That of H2O has h2o 3.36.1.5, and
# Java beside it; without the variable the first one is to have it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cargo test --locked -p ekiben-tests --test bentos exported_models -- --ignored --nocapture
