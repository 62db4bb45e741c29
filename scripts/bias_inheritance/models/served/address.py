"""Where a model's server is, which key it wants, and the card that stands for such a model."""

import os
from urllib.parse import urlsplit, urlunsplit

from bias_inheritance.plumbing.errors import UserError


def card(name, source):
    """The card of a model behind a server: what its answers depend on, and no files."""
    spec = {"source": {**source, "base_url": base_url(source)}}
    return {"model": name, "form": "api", "revision": source["model"], "spec": spec, "files": {}}


def key_of(service):
    """The key from the environment variable that the model's file names, or None where the server needs none."""
    if service["key"] is None:
        return None
    if not os.environ.get(service["key"]):
        raise UserError(f"the environment variable {service['key']} is not set; it holds the key of the model's server")
    return os.environ[service["key"]]


def base_url(source, private=False):
    """The server's address: the model file's, else OPENAI_BASE_URL, else OpenAI's; user and password only if `private`."""
    url = source["base_url"] or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    if private:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
