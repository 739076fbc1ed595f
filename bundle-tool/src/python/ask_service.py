"""Asks a bento's own service: its server's application answers requests in this process, without a socket."""

import os


def application_0_13(folder):
    """A function that posts, of BentoML 0.13's Flask application."""
    from bentoml.saved_bundle import load_from_dir
    from bentoml.server.api_server import BentoAPIServer

    client = BentoAPIServer(load_from_dir(folder)).app.test_client()

    def post(route, body, content_type):
        answer = client.post(route, data=body, content_type=content_type)
        return answer.status_code, answer.data

    return post


def application_1(folder):
    """The same of the ASGI application of BentoML 1.x."""
    import bentoml
    from starlette.testclient import TestClient

    service = bentoml.load(folder)
    client = TestClient(service.to_asgi() if hasattr(service, "to_asgi") else service.asgi_app)
    client.__enter__()

    def post(route, body, content_type):
        headers = {"content-type": content_type}
        try:
            answer = client.post(route, content=body, headers=headers)
        except TypeError:
            # Older releases of starlette.
            answer = client.post(route, data=body, headers=headers)
        return answer.status_code, answer.content

    return post


def run(request, out):
    # Where `bentoml serve` runs a service, which opens files by paths relative to it.
    sources = os.path.join(request["bento"], "src")
    os.chdir(sources if request["generation"] == "1" and os.path.isdir(sources) else request["bento"])
    post = {"0.13": application_0_13, "1": application_1}[request["generation"]](request["bento"])
    answers = []
    for at, asked in enumerate(request["requests"]):
        with open(asked["body"], "rb") as file:
            body = file.read()
        status, answer = post("/" + asked["route"], body, asked["content_type"])
        name = f"answer_{at}"
        with open(os.path.join(out, name), "wb") as file:
            file.write(answer)
        answers.append({"status": status, "body": name})
    return {"answers": answers, "bentoml": version()}


def version():
    import bentoml

    return str(bentoml.__version__)
