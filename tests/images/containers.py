"""How are the images built and started on a machine with nothing but Debian? Buildah, and the kernel's namespaces.

No registry of images is asked: the base is a Debian of the same release as the real one, from Debian's own packages.
Steps run in a chroot, so that no container runtime is needed, and a started image gets what Kubernetes would give it:
a root that is read-only, a user without rights, volumes, its own processes and its own network.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "images"
PACKAGES = ("buildah", "debootstrap", "iproute2")
BASE_PACKAGES = ("python3", "python3-pip", "python3-venv", "ca-certificates")
RELEASE = "bookworm"
BASE = "localhost/debian-python"
CERTIFICATES = "/etc/ssl/certs"
BUILD_SECONDS = 3000
DEVICES = ("null", "zero", "urandom")


def missing() -> str:
    """Why the images cannot be built here, or nothing."""
    if os.geteuid() != 0:
        return "images are built as root"
    if not Path("/etc/debian_version").is_file() or not shutil.which("apt-get"):
        return "images are built on Debian, with `debootstrap`"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"], capture_output=True, check=False)
    return "this machine gives no namespaces" if tried.returncode else ""


def run(*words: str | Path, seconds: float = 600) -> str:
    """What a command writes to stdout; what it writes to stderr, where it fails."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, f"{shlex.join(map(str, words))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def buildah(*words: str | Path, seconds: float = 600) -> str:
    places = ("--root", CACHE / "storage", "--runroot", CACHE / "run", "--storage-driver", "vfs")
    return run("buildah", *places, *words, seconds=seconds)


def install_tools() -> None:
    absent = [name for name in PACKAGES if run("sh", "-c", f"dpkg -s {name} >/dev/null 2>&1 && echo yes || true") == ""]
    if absent:
        _say(f"installing {', '.join(absent)} with apt-get")
        run("apt-get", "update", "-q")
        run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-yq", "--no-install-recommends", *absent)


def _say(what: str) -> None:
    """These steps take minutes; whoever waits should know for what."""
    sys.stderr.write(f"{what}\n")


def base_digest() -> str:
    """The digest of a Debian with Python, made once."""
    note = CACHE / "base-digest"
    if not note.is_file():
        _say(f"making a Debian {RELEASE} with debootstrap")
        folder = CACHE / "base"
        shutil.rmtree(folder, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        run("debootstrap", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}", RELEASE, folder)
        container = buildah("from", "scratch").strip()
        buildah("copy", "--quiet", container, folder, "/")
        buildah("commit", "--quiet", "--rm", container, BASE)
        note.write_text(json.loads(buildah("inspect", "--type", "image", BASE))["FromImageDigest"])
        shutil.rmtree(folder)
    return note.read_text()


@dataclass(frozen=True)
class Image:
    """A built image: its settings, and its files mounted here."""

    name: str
    root: Path
    settings: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        return dict(word.partition("=")[::2] for word in self.settings["Env"])

    def files(self) -> Iterator[Path]:
        return (path for path in self.root.rglob("*") if not path.is_symlink() and path.is_file())


@contextmanager
def built(name: str, context: Path, *, target: str = "") -> Iterator[Image]:
    """Build `images/NAME/Dockerfile` and mount the result."""
    tag = f"localhost/{name}"
    arguments = {"BASE": BASE, "DIGEST": base_digest(), "REVISION": run("git", "-C", ROOT, "rev-parse", "HEAD").strip()}
    words = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    words += ["--target", target] if target else []
    buildah(
        *("bud", "--isolation", "chroot", "--format", "docker", "--pull-never", "--tag", tag, *words),
        *("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--file", ROOT / "images" / name / "Dockerfile", context),
        seconds=BUILD_SECONDS,
    )
    container = buildah("from", "--pull-never", tag).strip()
    try:
        settings = json.loads(buildah("inspect", "--type", "image", tag))["Docker"]["config"]
        yield Image(tag, Path(buildah("mount", container).strip()), settings)
    finally:
        buildah("rm", container)


@dataclass(frozen=True)
class Pod:
    """A started image: `pid` is its first process, as this machine counts."""

    image: Image
    process: "subprocess.Popen[str]"
    pid: int

    def run(self, *words: str) -> str:
        """A command beside the first process, as an exec probe would run it."""
        spaces = ("--mount", "--pid", "--net")
        return run("nsenter", "--target", str(self.pid), *spaces, *_entered(self.image, words))


@contextmanager
def started(image: Image, words: Sequence[str], volumes: Mapping[str, Path]) -> Iterator[Pod]:
    """The image as a pod runs it; each volume is a folder of this machine."""
    for path in volumes:
        (image.root / path.strip("/")).mkdir(parents=True, exist_ok=True)
    command = shlex.join(_entered(image, words))
    spaces = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child")
    with subprocess.Popen(
        [*spaces, "sh", "-c", _script(image.root, volumes, command)], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Pod(image, process, _child(process.pid))
        finally:
            process.kill()


def _script(root: Path, volumes: Mapping[str, Path], command: str) -> str:
    """What a container runtime does before it starts the first process."""
    shared = root / "dev/shm"
    lines = ["set -e", f"mount --bind {root} {root}", f"mount -t tmpfs none {root}/dev", f"mkdir {shared}"]
    lines += [f"mount -t tmpfs none {shared}", f"chmod 1777 {shared}", f"mount -t proc none {root}/proc"]
    for name in DEVICES:
        lines += [f"touch {root}/dev/{name}", f"mount --bind /dev/{name} {root}/dev/{name}"]
    lines += [f"mount --bind {shlex.quote(str(folder))} {root}{path}" for path, folder in volumes.items()]
    lines += [f"mount -o remount,bind,ro {root}", "ip link set lo up", f"exec {command}"]
    return "\n".join(lines)


def _entered(image: Image, words: Sequence[str]) -> list[str]:
    """The command as the image's user, in its folder, with its environment and nothing of this machine's."""
    settings = [f"{name}={value}" for name, value in image.environment.items()]
    inner = f'cd {image.settings["WorkingDir"] or "/"} && exec "$@"'
    chroot = ["chroot", f"--userspec={image.settings['User']}", "--groups=", str(image.root)]
    return [*chroot, "/usr/bin/env", "-i", *settings, "/bin/sh", "-c", inner, "sh", *words]


def _child(pid: int) -> int:
    """`unshare` forks once; its child is the first process of the new namespace."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 10
    while not (found := children.read_text().split()):
        assert time.monotonic() < deadline, "unshare started nothing"
        time.sleep(0.01)
    return int(found[0])
