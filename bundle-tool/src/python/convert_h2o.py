"""Has H2O read one of its own binary models and write it as a MOJO, which is data."""

import contextlib
import os
import sys


def run(request, out):
    import h2o

    # H2O tells about itself on standard output.
    with contextlib.redirect_stdout(sys.stderr):
        h2o.init(nthreads=1, max_mem_size="2G", strict_version_check=False, ip="127.0.0.1")
        h2o.no_progress()
        model = h2o.load_model(request["model"])
        if not getattr(model, "have_mojo", True):
            raise Refused(f"H2O writes no MOJO of a model of the algorithm {model.algo}")  # noqa: F821: the launcher gives it
        written = model.download_mojo(path=out)
        os.replace(written, os.path.join(out, "model.zip"))
        h2o.cluster().shutdown()
    return {"model": "model.zip", "packages": {"h2o": str(h2o.__version__)}}
