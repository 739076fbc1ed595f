#!/usr/bin/env bash
# Artifacts of the served fixtures beside the bentos' own services: `ekiben verify --allow-python` on requests that it makes itself.
#
#   EKIBEN_PYTHON_V013=… EKIBEN_PYTHON_V14=… [EKIBEN_PYTHON_V013_NETWORKS=… EKIBEN_PYTHON_V14_NETWORKS=…] tests/long/verified.sh
#
# The variables name interpreters that have BentoML 0.13.1 and 1.4 with the packages of fixtures/make/requirements-bentoml013.txt and requirements-bentoml14.txt; those of
# NETWORKS have TensorFlow and torchvision too, without which such services are skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cargo test --locked -p ekiben-tests --test bentos services_agree -- --ignored --nocapture
