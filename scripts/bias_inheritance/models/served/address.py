"""Address and key of a model's server, and the card of a served model."""

import os
from urllib.parse import urlsplit, urlunsplit

from bias_inheritance.plumbing.errors import UserError


def card(name, source):
    """The card of a served model: everything that its answers depend on, and no files."""
    spec = {"source": {**source, "base_url": base_url(source)}}
    return {"model": name, "form": "api", "revision": source["model"], "spec": spec, "files": {}}


def key_of(service):
    """The key from the environment variable given in the model's file, or None if the server needs none."""
    if service["key"] is None:
        return None
    if not os.environ.get(service["key"]):
        raise UserError(
            f"the environment variable {service['key']} is not set; set it to the API key of the model's server"
        )
    return os.environ[service["key"]]


def base_url(source, private=False):
    """The server's address: from the model's file, else OPENAI_BASE_URL, else OpenAI's; with user and password if `private`."""
    url = source["base_url"] or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    if private:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
