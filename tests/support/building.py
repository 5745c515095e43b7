"""A build as the engine lays it out, run as a real process by the Python that build dynos have."""

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# What the machine says about registries and certificates stays; nothing of the test's own Python does.
_MACHINE = {
    name: value
    for name, value in os.environ.items()
    if name.upper().startswith(("PIP_", "NPM_CONFIG_", "NODE_EXTRA", "SSL_", "HTTP", "NO_PROXY", "TMPDIR"))
    or name.startswith("DYNOD_TEST")
}


@dataclass
class Build:
    """One app's rooms; `run` can be called again and again, as pushes are."""

    base: Path
    stack: str = "debian-12"
    buildpacks: list[str] = field(default_factory=list)
    config: dict[str, str] = field(default_factory=dict)
    request: dict[str, object] = field(default_factory=dict)
    output: str = ""
    manifest: dict[str, object] = field(default_factory=dict)
    count: int = 0

    @property
    def slug(self) -> Path:
        return self.base / f"build{self.count}" / "out" / "slug.tgz"

    def run(self, tree: Path) -> int:
        """Build `tree`; return the exit status. The transcript is in `output`."""
        self.count += 1
        root = self.base / f"build{self.count}"
        for name in ("env", "out", "tmp"):
            (root / name).mkdir(parents=True)
        (self.base / "cache").mkdir(exist_ok=True)
        shutil.rmtree(self.base / "app", ignore_errors=True)  # a build dyno's /app is empty
        (self.base / "app").mkdir()
        with tarfile.open(root / "source.tar", "w") as tar:
            tar.add(tree, ".", filter=_as_git_would)
        for name, value in self.config.items():
            (root / "env" / name).write_text(value)
        request = {
            "app": "demo",
            "stack": self.stack,
            "commit": "c0ffee",
            "request_id": "r-1",
            "buildpacks": self.buildpacks,
            "checkout_bytes": 10**9,
            **self.request,
        }
        (root / "request.json").write_text(json.dumps(request))
        env = {
            **_MACHINE,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SLUGC_APP_DIR": str(self.base / "app"),
            "TMPDIR": str(root / "tmp"),
            "DYNO": "build.1234",
        }
        done = subprocess.run(
            ["/usr/bin/python3", "-m", "slugc", "compile", str(root), str(self.base / "cache")],
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self.output = done.stdout.decode()
        manifest = root / "out" / "manifest.json"
        self.manifest = json.loads(manifest.read_text()) if manifest.exists() else {}
        return done.returncode

    def unpack(self, into: Path) -> Path:
        """Unpack the slug; return its app directory."""
        subprocess.run(["tar", "-xzf", self.slug, "-C", into], check=True)
        return into / "app"


def _as_git_would(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if info.name.endswith(("/node_modules", "/__pycache__")):
        return None
    info.mtime = 1_700_000_000
    return info


def tree(base: Path, files: dict[str, str]) -> Path:
    """Write files; those that start with `#!` are executable."""
    for name, text in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if text.startswith("#!"):
            path.chmod(0o755)
    return base


def pack(base: Path, detect: str = "echo Fake", compile: str = ":", release: str = "") -> str:
    """A stranger's buildpack of shell lines; return its path."""
    files = {"bin/detect": f"#!/bin/sh\n{detect}\n", "bin/compile": f"#!/bin/bash\nset -e\n{compile}\n"}
    if release:
        files["bin/release"] = f"#!/bin/sh\n{release}\n"
    return str(tree(base, files))
