"""Pin the direct dependencies of envs/*.in, with all that they need, in envs/*.txt: exact versions and nothing else.

    make lock              keeps the versions that are pinned now, adds and drops what the .in files ask for
    make lock UPGRADE=1    takes the newest versions that fit together

The project's files are resolved together first, so that they never disagree; then each gets its own share. The peers of
`make bench` live in environments of their own, with the project's versions wherever a peer allows them: what is compared
is the programs, not the releases of their libraries. No address of a package index is written, and no local version
(2.13.0+cpu is pinned as 2.13.0): a machine takes the build that its index offers. The CUDA libraries that torch's CUDA
build names stand in requirements-gpu.txt alone.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ENVS = Path(__file__).parent
NAMES = ["requirements", "requirements-dev", "requirements-slurm", "requirements-gpu"]
PEERS = ["bench-trl", "bench-lm-eval", "bench-transformers", "bench-llama-cpp"]
CUDA = re.compile(r"(nvidia|cuda)-.*|triton")
HEADER = """\
# Made by `make lock` from {name}.in: exact versions of the whole closure. Do not edit.
"""


def resolve(sources, constraints):
    """{package name: version} that pip would install for requirement files `sources` into an empty environment."""
    words = [word for source in sources for word in ("-r", source)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{name}=={version}\n" for name, version in constraints.items()))
        file.flush()
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "-qq"]
        found = subprocess.run(
            [*command, "--report", "-", "-c", file.name, *words], stdout=subprocess.PIPE, text=True, cwd=ENVS
        )
    if found.returncode:
        sys.exit(
            f"lock: pip found no versions that fit together for {', '.join(sources)}; see above (UPGRADE=1 may help)"
        )
    packages = [entry["metadata"] for entry in json.loads(found.stdout)["install"]]
    return {canonical(package["name"]): package["version"].split("+")[0] for package in packages}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(names):
    """The versions that the .txt files of `names` hold now."""
    found = {}
    for name in names:
        path = ENVS / f"{name}.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        found |= dict(re.split("={2,3}", line) for line in lines if not line.startswith("#"))
    return found


def main():
    upgrade = "--upgrade" in sys.argv[1:]
    versions = resolve([f"{name}.in" for name in NAMES], {} if upgrade else pinned(NAMES))
    for name in NAMES + PEERS:
        own = resolve([f"{name}.in"], ({} if upgrade or name in NAMES else pinned([name])) | versions)
        if name != "requirements-gpu":
            own = {package: version for package, version in own.items() if not CUDA.fullmatch(package)}
        # `===` takes no local version: the index's own CUDA build, even where a CPU build lies nearer
        lines = [
            f"{package}{'===' if (name, package) == ('requirements-gpu', 'torch') else '=='}{version}\n"
            for package, version in sorted(own.items())
        ]
        (ENVS / f"{name}.txt").write_text(HEADER.format(name=name) + "".join(lines))
        print(f"envs/{name}.txt: {len(lines)} packages")


if __name__ == "__main__":
    main()
