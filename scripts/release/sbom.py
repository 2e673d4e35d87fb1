#!/usr/bin/env python3
"""Writes the software bill of materials of the program: CycloneDX 1.6, JSON. The time is SOURCE_DATE_EPOCH.
Usage: sbom.py TARGET PROGRAM FILE"""

import datetime
import hashlib
import json
import os
import sys
import uuid

from crates import crates


def component(crate, kind):
    found = {
        "type": kind,
        "bom-ref": crate.purl,
        "name": crate.name,
        "version": crate.version,
        "purl": crate.purl,
        "licenses": [{"expression": crate.licence.replace("/", " OR ")}],
    }
    if crate.description:
        found["description"] = " ".join(crate.description.split())
    if crate.checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": crate.checksum}]
    if crate.address:
        found["externalReferences"] = [{"type": "vcs", "url": crate.address}]
    return found


def main():
    target, program, out = sys.argv[1:]
    own, others, uses = crates(target)
    with open(program, "rb") as file:
        own.checksum = hashlib.sha256(file.read()).hexdigest()
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    time = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": time, "component": component(own, "application")},
        "components": [component(crate, "library") for crate in others],
        "dependencies": [{"ref": ref, "dependsOn": used} for ref, used in sorted(uses.items())],
    }
    # The same content has the same number.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom, sort_keys=True))
    bom["serialNumber"] = f"urn:uuid:{number}"
    with open(out, "w", encoding="utf-8") as file:
        json.dump(bom, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main()
