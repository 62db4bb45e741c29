"""Check the requirements of a study on this machine or cluster; prints the command that fixes each missing one.

    bias-inheritance doctor [--configfile studies/NAME.yaml] [--config KEY=VALUE …] [--slurm] [--containers] [--ask]

--slurm: the study will be submitted to SLURM from this host; --containers: its steps run in Apptainer images; --ask: send
one short request to each server of the study's models. The exit status is 0 only if nothing is missing. Requires only
PyYAML and pydantic, which are part of the project's environment.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module, metadata, util
from pathlib import Path

from bias_inheritance.plumbing.provenance import ROOT

# ASSUME: disk usage of a model's files (published and prepared), and of a cell's adapter and checkpoint, as fractions of
# the model's mem_mb; measured on the embedded model, rounded up
DISK_OF_MODEL, DISK_OF_CELL = 1 / 2, 1 / 75


class Missing(Exception):
    """A missing requirement of the study: (what is missing, the command that fixes it)."""


def main(words):
    arguments = parse(words)
    os.chdir(ROOT)
    sound = [check("Python", check_python), check("packages", check_packages)]
    if not util.find_spec("yaml") or not util.find_spec("pydantic"):
        sys.exit("All other checks need the project's environment: make setup")
    config, faults = read(arguments)
    if config is None:
        sys.exit("MISSING  configuration\n" + "\n".join(f"         {fault}" for fault in faults))
    sound.append(check("study", describe, config))
    sound.append(check("disk", check_disk, config))
    if arguments.slurm:
        sound.append(check("SLURM", check_slurm))
        if sound[-1]:
            sound.append(check("its nodes", check_nodes, config))
    else:
        sound.append(check("memory", check_memory, config))
        sound.append(check("GPU", check_gpu, config))
    if arguments.containers:
        sound.append(check("Apptainer", check_apptainer))
        sound += [check(f"image {role}", check_image, config, role) for role in roles(config)]
    else:
        sound.append(check("PyTorch", check_torch, config))
    sound += [check(f"model {name}", check_model, name) for name in [*models(config), *embedders(config)]]
    if arguments.ask:
        sound += [check(f"server of {name}", ask_server, config, name) for name in served(config)]
    sound.append(check("data", check_data, config, faults))
    if not all(sound):
        sys.exit(f"{sound.count(False)} of {len(sound)} checks failed; fix them from the top, then run doctor again.")
    print("Nothing is missing.")


def parse(words):
    parser = argparse.ArgumentParser(
        prog="bias-inheritance doctor",
        description=__doc__.split("\n\n")[0],
        epilog=__doc__.split("\n\n")[2],
        allow_abbrev=False,
    )
    parser.add_argument("--configfile", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--slurm", action="store_true")
    parser.add_argument("--containers", action="store_true")
    parser.add_argument("--ask", action="store_true")
    return parser.parse_args(words)


def check(subject, look, *words):
    """Print one line per subject, with the fix if something is missing; return whether the check passed."""
    try:
        print(f"ok       {subject}: {look(*words)}", flush=True)
        return True
    except Missing as lack:
        what, fix = lack.args
        print(f"MISSING  {subject}: {what}\n         → {fix}", flush=True)
        return False


# ---- the environment ---------------------------------------------------------------------------------------------


def check_python():
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 whoever runs this may have an older one
        raise Missing(f"{version}, 3.11 or newer is needed", "install it, then make setup PYTHON=/path/to/python3.11")
    return version


def check_packages():
    pinned = dict(
        line.split("==") for line in (ROOT / "envs" / "requirements.txt").read_text().splitlines() if "==" in line
    )
    other = [name for name, version in pinned.items() if installed(name) != version]
    if other:
        shown = ", ".join(f"{name} {installed(name) or 'absent'} (pinned {pinned[name]})" for name in other[:3])
        raise Missing(
            f"{len(other)} of {len(pinned)} are not as pinned: {shown}{' …' * (len(other) > 3)}", "make setup"
        )
    return f"{len(pinned)}, all as pinned"


def installed(name):
    """An installed package's version without its local part (2.13.0+cpu is 2.13.0), or None."""
    try:
        return metadata.version(name).split("+")[0]
    except metadata.PackageNotFoundError:
        return None


def check_torch(config):
    build = "CPU" if metadata.version("torch").endswith("+cpu") else "CUDA"
    if build == "CPU" and needs_gpu(config):
        raise Missing("its CPU build is installed", ".venv/bin/pip install -r envs/requirements-gpu.txt")
    return f"{metadata.version('torch')}, {build} build"


# ---- the study ---------------------------------------------------------------------------------------------------


def read(arguments):
    """(configuration merged as by Snakemake, messages on missing data); (None, all error messages) if it is invalid."""
    from bias_inheritance.plumbing.errors import UserError
    from bias_inheritance.study import checks, configuration

    config = {}
    try:
        config, sources = configuration.read(arguments.configfile, arguments.config)
        checks.check(config, sources)
    except UserError as fault:
        faults = str(fault).splitlines()
        return config if config and all(": data_dir: " in line for line in faults) else None, faults
    return config, []


def model(name):
    from bias_inheritance.study import catalog

    return catalog.embedder() if name == catalog.embedder()["name"] else catalog.load("model", name)


def models(config):
    from bias_inheritance.study import grid

    return grid.models(config)


def resources(config):
    return [model(name)["resources"] for name in models(config)]


def needs_gpu(config):
    return any(resources_of_model["gpu"] for resources_of_model in resources(config))


def roles(config):
    return ["cpu", "gpu"] if needs_gpu(config) else ["cpu"]


def embedders(config):
    from bias_inheritance.study import catalog

    return [catalog.embedder()["name"]] if "distributions" in config["misalignment"] else []


def describe(config):
    from bias_inheritance.study import grid

    return (
        f"{config['study']}: {len(grid.once(grid.cells(config)))} cells and {len(grid.once(grid.pools(config)))} pools of "
        f"{', '.join(grid.students(config))} in {', '.join(config['grid']['domain'])}"
    )


def check_disk(config):
    from bias_inheritance.study import grid

    needed = 0
    for name in grid.models(config):
        if grid.served(name):
            continue
        memory = model(name)["resources"]["mem_mb"]
        cells = sum(grid.model_of(cell["model"]) == name for cell in grid.once(grid.cells(config)))
        fetched = (ROOT / "models" / name).exists()
        needed += memory * (cells * DISK_OF_CELL + (0 if fetched else DISK_OF_MODEL)) / 1000
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < needed:
        raise Missing(
            f"{free:,.0f} GB free in {ROOT}, the study takes up to {needed:,.0f} GB",
            "free some, or put the project's folders results, .work and models on another disk (a symbolic link is enough)",
        )
    return f"{free:,.0f} GB free, the study takes up to {needed:.1f} GB"


def check_data(config, faults):
    from bias_inheritance.study import catalog, grid

    if faults:
        raise Missing(faults[0].partition(": data_dir: ")[2], "--config data_dir=PATH (contents: docs/culture.md)")
    count, hub, fixtures = 0, [], []
    for name in config["grid"]["domain"]:
        domain = {**catalog.load("domain", name), "datasets": grid.datasets_of(config, name)}
        read = import_module(f"bias_inheritance.data.{domain['family']}").files_read(domain, config["data_dir"])
        count += len(read)
        hub += [] if read else [name]
        fixtures += [name] if grid.uses_fixtures(config, name) else []
    parts = [f"{count} files"] if count else []
    parts += [f"{', '.join(hub)} over the network, from the hub"] if hub else []
    parts += [f"invented ones for {', '.join(fixtures)} (real: --config data_dir=PATH)"] if fixtures else []
    return "; ".join(parts)


def check_model(name):
    from bias_inheritance.models import fetching

    spec = model(name)
    if "api" in spec["source"]:
        key = spec["service"]["key"]
        if key and not os.environ.get(key):
            raise Missing(f"the environment variable {key} is not set", f"export {key}=…")
        return f"behind a server, {key or 'no key needed'}"
    borrowed = spec["source"].get("tokenizer_of")
    folder = ROOT / "models" / (borrowed or name) / "source"
    if not fetching.is_fetched(model(borrowed or name)["source"], folder):
        token = "HF_TOKEN=… " if "hub" in spec["source"] else ""
        state = "not the version that its file specifies" if folder.exists() else "not fetched yet"
        raise Missing(state, f"{token}.venv/bin/bias-inheritance fetch {borrowed or name}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{folder.relative_to(ROOT)}, {size / 1e9:.1f} GB"


def served(config):
    from bias_inheritance.study import grid

    return [name for name in grid.models(config) if grid.served(name)]


def ask_server(config, name):
    """Announce and send the study's first request to a server; returns the capabilities it shows (served/client.py)."""
    from bias_inheritance.models.served import address, client
    from bias_inheritance.plumbing.errors import UserError
    from bias_inheritance.study import costs

    content, work = model(name), Path(".work") / config["study"]
    key = content["service"]["key"]
    if key and not os.environ.get(key):
        raise Missing(f"not asked, since {key} is not set", f"export {key}=…")
    costs.write_terms(work, config)
    card = address.card(name, content["source"])
    server = client.Server(card, [], content, work / "doctor" / name, Path("doctor") / f"{name}.jsonl")
    server.service |= {"patience": 0}  # no retries: the user is waiting
    print(
        f"         one request of at most {client.CHOICE_TOKENS} tokens is sent to the {server.where()}, model {server.id}",
        flush=True,
    )
    try:
        return client.described(server.examine(again=True))
    except UserError as fault:
        raise Missing(*str(fault).rsplit("; ", 1)) from None


# ---- this machine ------------------------------------------------------------------------------------------------


def check_memory(config):
    """Check that a job that loads a model fits in memory; returns how many Snakemake can run at once."""
    from bias_inheritance.plumbing import machine

    available, cores = machine.memory_of_jobs_mb(), machine.cores()
    largest = max(resources(config), key=lambda model: model["mem_mb"])
    needed, threads = largest["mem_mb"], largest["threads"]
    if available < needed:
        raise Missing(
            f"{available / 1000:.1f} GB available to jobs; a job that loads the model needs {needed / 1000:.1f} GB",
            "use a machine with more memory, or a cluster (there: doctor --slurm)",
        )
    by_cores = max(1, cores // threads)
    at_once = min(by_cores, available // needed)
    limited = f", where the {cores} cores would allow {by_cores}" if at_once < by_cores else ""
    return (
        f"{available / 1000:.1f} GB for jobs, {needed / 1000:.1f} GB for one that loads the model: "
        f"{at_once} at once{limited}"
    )


def check_gpu(config):
    from bias_inheritance.plumbing import gpus

    visible_gpus = gpus.visible()
    if not needs_gpu(config):
        return "none needed"
    if not visible_gpus:
        raise Missing(
            "none on this machine, but the study's model needs one",
            "use a machine with one, a cluster (there: doctor --slurm), or another model (grid.model)",
        )
    listing = (
        answer("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader") or f"{len(visible_gpus)} found"
    )
    return f"{'; '.join(listing.splitlines())}: run with --profile profiles/workstation"


def check_apptainer():
    if not shutil.which("apptainer"):
        raise Missing(
            "not on the PATH", "apt-get install apptainer, where the system has it (docs/workstation.md: elsewhere)"
        )
    return answer("apptainer", "--version")


def check_image(config, role):
    if config["containers"][role] is None:
        raise Missing(f"containers.{role} is null", f"--config 'containers={{{role}: containers/{role}.sif}}'")
    link = Path(config["containers"][role])
    if not link.is_symlink() or not link.exists():
        raise Missing(f"{link} has not been built yet", f"make containers ROLES={role}")
    if answer("apptainer", "exec", str(link), "python3", "-c", "print(1)") != "1":
        raise Missing(f"{link} does not run here", f"apptainer exec {link} true  (prints the reason)")
    return f"{os.readlink(link)}, {link.stat().st_size / 1e9:.1f} GB"


def check_slurm():
    if not shutil.which("sinfo"):
        raise Missing("no sinfo on the PATH", "ssh LOGIN-NODE  (of a cluster; without one, leave out --slurm)")
    if answer("sinfo", "-h") is None:
        raise Missing("its controller does not answer", "sinfo  (prints the reason)")
    if not util.find_spec("snakemake_executor_plugin_slurm"):
        raise Missing("Snakemake's plugin is not installed", ".venv/bin/pip install -r envs/requirements-slurm.txt")
    return f"{answer('sinfo', '--version')}, plugin {installed('snakemake-executor-plugin-slurm')}"


def check_nodes(config):
    """Check that some node of the cluster has both the memory and the GPU that a job requests."""
    listing = answer("sinfo", "-h", "-N", "-o", "%m %G")
    if not listing:
        raise Missing("SLURM lists no nodes", "sinfo -N  (shows the nodes that you may use)")
    nodes = [(int(re.match(r"\d+", line)[0]), "gpu" in line) for line in listing.splitlines()]
    parts = []
    for requirements in resources(config):
        fitting = sum(memory >= requirements["mem_mb"] and (gpu or not requirements["gpu"]) for memory, gpu in nodes)
        if not fitting:
            raise Missing(
                f"none has the {requirements['mem_mb']} MB{' and the GPU' if requirements['gpu'] else ''} that one job needs",
                "sinfo -N -o '%N %m %G', or lower resources.mem_mb in the model's file",
            )
        parts.append(
            f"{fitting} of {len(nodes)} have {requirements['mem_mb']} MB{' and a GPU' if requirements['gpu'] else ''}"
        )
    return "; ".join(dict.fromkeys(parts))


def answer(*words):
    """The output of a program, or None if it is missing, fails or times out."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
