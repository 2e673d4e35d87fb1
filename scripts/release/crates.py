"""The crates whose code is in the program: what cargo says of them."""

import hashlib
import json
import os
import re
import subprocess

LOCKED = ["--locked", "--quiet"]


def _cargo(*args):
    return subprocess.run(["cargo", *args], check=True, stdout=subprocess.PIPE, text=True).stdout


def _linked(target):
    """Names and versions of the crates that are linked into the program; those that only build it are left out."""
    tree = _cargo("tree", *LOCKED, "--edges", "normal,no-proc-macro", "--target", target, "--prefix", "none", "--format", "{p}")
    return {tuple(line.split()[:2]) for line in tree.splitlines() if line.strip()}


def _checksums():
    """SHA-256 of each crate's archive, by name and version, from Cargo.lock."""
    with open("Cargo.lock", encoding="utf-8") as file:
        blocks = file.read().split("[[package]]")[1:]
    fields = (dict(re.findall(r'^(\w+) = "(.*)"$', block, re.M)) for block in blocks)
    return {(crate["name"], crate["version"]): crate.get("checksum") for crate in fields}


class Crate:
    """One crate."""

    def __init__(self, package, checksum):
        self.id = package["id"]
        self.name = package["name"]
        self.version = package["version"]
        self.licence = package["license"] or ""
        self.authors = package["authors"]
        self.description = package["description"] or ""
        self.address = package["repository"] or package["homepage"] or ""
        self.folder = os.path.dirname(package["manifest_path"])
        self.checksum = checksum
        self.purl = f"pkg:cargo/{self.name}@{self.version.replace('+', '%2B')}"


def crates(target):
    """The project itself, the crates in its program by name and version, and who of them uses whom, by purl."""
    metadata = json.loads(_cargo("metadata", *LOCKED, "--format-version", "1", "--filter-platform", target))
    linked = {(name, version.removeprefix("v")) for name, version in _linked(target)}
    checksums = _checksums()
    found = {}
    for package in metadata["packages"]:
        key = package["name"], package["version"]
        if key in linked:
            found[package["id"]] = Crate(package, checksums.get(key))
    missing = linked - {(crate.name, crate.version) for crate in found.values()}
    if missing:
        raise SystemExit(f"cargo metadata does not know {sorted(missing)}")
    uses = {}
    for node in metadata["resolve"]["nodes"]:
        if node["id"] in found:
            normal = (dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"]))
            uses[found[node["id"]].purl] = sorted({found[id].purl for id in normal if id in found})
    own = found.pop(metadata["resolve"]["root"])
    return own, sorted(found.values(), key=lambda crate: (crate.name, crate.version)), uses


def digest(text):
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
