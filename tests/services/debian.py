"""Programs out of Debian's packages, unpacked into a folder: no root, nothing installed, several releases side by side.

apt runs with a state of its own, in which nothing is installed, so that it brings a package with all that it
needs, the C library included. A program is then started by the loader of its own release.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.services.install import InstallError, Workshop

PROGRAMS = ("apt-get", "dpkg-deb")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# `Sandbox::User root`: as root, apt would drop to an account that may not enter the folder.
# The last two lines: no descriptions and no catalogue of applications, 6 MB that nobody reads.
CONFIGURATION = """
Dir::State "{root}/state";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "{root}/sources";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Retries "3";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"""

# How apt is made to believe that a package is installed already.
ASSUMED = """Package: {name}
Status: install ok installed
Version: 999
Architecture: all
Maintainer: nobody
Description: not needed

"""

LIBRARY_PLACES = ("usr/lib", "lib")  # Debian 12 still has both

WRAPPER = """#!/bin/sh
tree={tree}
exec "$tree"/{loader} --inhibit-cache --argv0 "$0" --library-path {library_path} "$tree"/{program} "$@"
"""


def unpack(
    workshop: Workshop, suite: str, packages: Sequence[str], *, wanted: Sequence[str], without: Sequence[str]
) -> Path:
    """Bring packages of a release with what they need, unpack them, and return the tree.

    Args:
        workshop: Where to.
        suite: The release, by its code name.
        packages: What to bring.
        wanted: What the names of packages to unpack begin with: libraries and the programs themselves. Shells
            and the like, which a package depends on as well, are left packed.
        without: Packages not to bring, though one depends on them. A name that the release no longer has is
            no fault: then its successor is brought in vain.
    """
    root = workshop.folder / "apt"
    for name in ("state/lists/partial", "cache/archives/partial", "sources"):
        (root / name).mkdir(parents=True)
    (root / "state/status").write_text("".join(ASSUMED.format(name=name) for name in without))
    (root / "sources" / "debian.sources").write_text(
        f"Types: deb\nURIs: {_mirror()}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n"
    )
    configuration = root / "apt.conf"
    configuration.write_text(CONFIGURATION.format(root=root))
    workshop.say(f"list of packages of Debian {suite}")
    workshop.run(["apt-get", "update", "-q"], APT_CONFIG=str(configuration))
    workshop.say(f"download {' '.join(packages)}")
    workshop.run(["apt-get", "install", "-q", "-y", "--download-only", *packages], APT_CONFIG=str(configuration))
    tree = workshop.folder / "tree"
    tree.mkdir()
    archives = [path for path in sorted((root / "cache/archives").glob("*.deb")) if path.name.startswith(tuple(wanted))]
    workshop.say(f"unpack {len(archives)} packages")
    for archive in archives:
        workshop.run(["dpkg-deb", "--extract", archive, tree])
    shutil.rmtree(root)
    return tree


def wrap(tree: Path, program: str, *, libraries: Sequence[str] = ()) -> Path:
    """Put a script in the place of a program that starts it with the libraries of its own tree."""
    real = tree / program
    moved = real.with_name(f"{real.name}.real")
    real.rename(moved)
    loader = next(path for place in LIBRARY_PLACES for path in tree.glob(f"{place}/*/ld-linux*.so.*"))
    folders = [f"{place}/{loader.parent.name}" for place in LIBRARY_PLACES] + list(libraries)
    real.write_text(
        WRAPPER.format(
            tree=_quoted(tree),
            loader=loader.relative_to(tree),
            library_path=":".join(f'"$tree"/{folder}' for folder in folders),
            program=moved.relative_to(tree),
        )
    )
    real.chmod(0o755)
    return real


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"


def _mirror() -> str:
    """Return the address of the Debian archive that this machine's apt is set up with."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    )
    for address in targets.stdout.split():
        if address.rstrip("/").endswith("/debian"):
            return address
    raise InstallError("needs an apt that is set up with a Debian mirror")
