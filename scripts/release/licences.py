#!/usr/bin/env python3
"""Writes the licences of the crates in the program. Usage: licences.py TARGET FILE"""

import os
import re
import sys

from crates import crates, digest

NAME = re.compile(r"(?i)^(un)?licen[sc]e|^copying|^notice|^copyright")
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return "\n".join(line.rstrip() for line in file.read().splitlines()).strip() + "\n"


def texts(crate):
    """The licence files of a crate, and of the C code in it. Some crates come without: then the text they name."""
    found = []
    for folder, folders, files in os.walk(crate.folder):
        # Tests and examples are not in the program.
        folders[:] = sorted(f for f in folders if f not in ("tests", "test", "examples", "benches", "contrib", "programs"))
        if folder.count(os.sep) - crate.folder.count(os.sep) >= 2:
            folders.clear()
        found += [os.path.join(folder, name) for name in sorted(files) if NAME.match(name) and not name.endswith(".rs")]
    if found:
        return [read(path) for path in found]
    holders = ", ".join(crate.authors) or f"the authors of {crate.name}"
    if "Apache-2.0" in crate.licence:
        return [read("LICENSE")]
    if "MIT" in crate.licence:
        return [f"Copyright (c) {holders}\n\n{MIT}"]
    raise SystemExit(f"{crate.name} {crate.version} has no licence file, and {crate.licence!r} has no text here")


def main():
    target, out = sys.argv[1:]
    own, others, _ = crates(target)
    seen, lines = {}, []
    for crate in others:
        numbers = []
        for text in texts(crate):
            number, _ = seen.setdefault(digest(text), (len(seen) + 1, text))
            numbers.append(f"[{number}]")
        lines.append(f"{crate.name} {crate.version}: {crate.licence} {' '.join(dict.fromkeys(numbers))} {crate.address}".rstrip())
    with open(out, "w", encoding="utf-8") as file:
        file.write(f"{own.name} {own.version} is under the licence {own.licence}. Its program contains code of these crates.\n")
        file.write("The numbers are those of the texts below.\n\n")
        file.write("\n".join(lines) + "\n")
        for number, text in seen.values():
            file.write(f"\n{'=' * 100}\n[{number}]\n\n{text}")


if __name__ == "__main__":
    main()
