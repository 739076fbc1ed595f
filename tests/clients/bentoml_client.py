"""Calls a server with BentoML's own client for 1.x, unchanged: python bentoml_client.py URL

The environment is that of tests/fixtures/make/requirements-bentoml14.txt. Prints one JSON object with what the calls returned.
"""

import json
import sys

import bentoml
import numpy as np
import pandas as pd


def main():
    url = sys.argv[1]
    rows = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.4, 6.0, 2.55]]
    found = {}
    with bentoml.SyncHTTPClient(url, server_ready_timeout=10) as client:
        found["ready"] = client.is_ready()
        found["classify"] = np.asarray(client.classify(input_data=np.array(rows))).tolist()
        found["lists"] = np.asarray(client.classify(input_data=rows)).tolist()
        found["proba"] = np.asarray(client.predict_proba(rows=np.array(rows))).round(6).tolist()
        frame = client.classify_df(df=pd.DataFrame(rows, columns=["sl", "sw", "pl", "pw"]))
        found["frame"] = [int(label) for label in pd.DataFrame(frame)["label"]]
        try:
            # The client itself checks what has a declared shape; this has none.
            client.predict_proba(rows=np.zeros((1, 2)))
            found["refused"] = None
        except bentoml.exceptions.BentoMLException as error:
            found["refused"] = [int(error.error_code), str(error)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
