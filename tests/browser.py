"""A real Chromium, driven through its debugging pipe with the standard library only."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
]


def chromium_path():
    """The path of a Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """One open page. What it logs and asks the network for is kept in `console` and `requests`."""

    def __init__(self, address, width=1280, height=900, timeout=120):
        self.console, self.requests, self.deadline = [], [], time.monotonic() + timeout
        self.answers, self.number, self.rest = {}, 0, b""
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self.out = os.pipe()
        self.inp, theirs_out = os.pipe()

        def three_and_four():  # the descriptors that Chromium reads commands from and writes answers to
            first, second = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self.process = subprocess.Popen(
            [chromium_path(), *FLAGS, f"--user-data-dir={self.profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=three_and_four,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        os.set_blocking(self.inp, False)
        self.session = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.resize(width, height)
        self.ask("Page.navigate", url=address)

    def ask(self, method, **params):
        """The result of one command. Raises RuntimeError if the browser refuses it, TimeoutError if it does not
        respond.
        """
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while number not in self.answers:
            self._read()
        answer = self.answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read(self):
        if time.monotonic() > self.deadline:
            raise TimeoutError("the browser does not answer")
        try:
            part = os.read(self.inp, 1 << 20)
        except BlockingIOError:
            time.sleep(0.01)
            return
        *messages, self.rest = (self.rest + part).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            elif message["method"] == "Runtime.consoleAPICalled":
                said = " ".join(str(part.get("value", part.get("description"))) for part in message["params"]["args"])
                self.console.append((message["params"]["type"], said))
            elif message["method"] == "Runtime.exceptionThrown":
                self.console.append(("exception", json.dumps(message["params"]["exceptionDetails"])))
            elif message["method"] == "Log.entryAdded":
                entry = message["params"]["entry"]
                self.console.append((entry["level"], entry["text"]))
            elif message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])

    def evaluate(self, expression):
        """The value of a JavaScript expression, awaited."""
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"]))
        return result["result"].get("value")

    def wait_for(self, expression):
        while not self.evaluate(expression):
            time.sleep(0.1)

    def resize(self, width, height=900):
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def picture(self, selector=None):
        """A PNG of the whole page, or of the first element that matches."""
        clip = {}
        if selector:
            box = self.evaluate(
                f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
                "return [b.left + scrollX, b.top + scrollY, b.width, b.height]; })()"
            )
            clip = {"clip": dict(zip(("x", "y", "width", "height"), box, strict=True), scale=1)}
        answer = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, **clip)
        return base64.b64decode(answer["data"])

    def pdf(self):
        answer = self.ask(
            "Page.printToPDF", printBackground=True, preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69
        )
        return base64.b64decode(answer["data"])

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        os.close(self.out)
        os.close(self.inp)
        self.profile.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        self.close()
