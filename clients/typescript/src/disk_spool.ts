/** A spool in a folder: files of lines as `runtraced send` reads them. Several processes may share it. */

import * as fs from "node:fs";
import * as path from "node:path";

import { newId } from "./ids.js";
import type { ClaimedFiles, DiskSpool } from "./platform.js";

// While a file is written or sent, its name ends differently. So nobody else reads it.
const READY = ".jsonl";
const WRITING = ".writing";
const SENDING = ".sending";
// A process that died while it wrote or sent a file does not come back for it.
const FORGOTTEN_MS = 10 * 60_000;
// Files are sent together up to this size: who flushes often while the daemon is away leaves many small ones.
const CLAIMED_BYTES = 1024 * 1024;

/** Opens a folder, and makes it if it is missing. Throws if that fails. */
export function openDiskSpool(folder: string, maxBytes: number): DiskSpool {
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  // The files that this process wrote, and how many lines they have.
  const made = new Map<string, number>();

  const newName = (text: string): string => {
    const sizes = fs.readdirSync(folder).map((name) => fs.statSync(path.join(folder, name), { throwIfNoEntry: false })?.size ?? 0);
    if (sizes.reduce((sum, size) => sum + size, text.length) > maxBytes) throw new Error(`it holds ${maxBytes} bytes already`);
    return path.join(folder, newId());
  };

  return {
    async keep(lines) {
      const text = textOf(lines);
      const name = newName(text);
      const file = await fs.promises.open(name + WRITING, "wx", 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      made.set(path.basename(name), lines.length);
      await fs.promises.rename(name + WRITING, name + READY);
    },

    keepNow(lines) {
      const text = textOf(lines);
      const name = newName(text);
      const file = fs.openSync(name + WRITING, "wx", 0o600);
      try {
        fs.writeFileSync(file, text);
        fs.fsyncSync(file);
      } finally {
        fs.closeSync(file);
      }
      fs.renameSync(name + WRITING, name + READY);
    },

    kept() {
      if (made.size === 0) return 0;
      // Another process may have sent them.
      const there = namesIn(folder);
      for (const name of made.keys()) if (there !== undefined && !there.has(name)) made.delete(name);
      return [...made.values()].reduce((sum, lines) => sum + lines, 0);
    },

    async claim() {
      const claimed: ClaimedFiles[] = [];
      let bytes = 0;
      for (const name of await ready(folder)) {
        const one = await claim(folder, name);
        if (one === undefined) continue;
        claimed.push(one);
        bytes += one.lines.reduce((sum, line) => sum + line.length, 0);
        if (bytes >= CLAIMED_BYTES) break;
      }
      return claimed.length > 0 ? joined(claimed) : undefined;
    },
  };

  async function claim(folder: string, name: string): Promise<ClaimedFiles | undefined> {
    const file = path.join(folder, name);
    const sending = path.join(folder, name.slice(0, -READY.length) + SENDING);
    try {
      await fs.promises.rename(file, sending);
    } catch {
      return undefined; // another process was faster
    }
    const now = new Date();
    await fs.promises.utimes(sending, now, now);
    const lines = (await fs.promises.readFile(sending, "utf8")).split("\n").filter((line) => line !== "");
    return {
      lines,
      done: () => fs.rmSync(sending, { force: true }),
      release: () => release(sending, file),
    };
  }
}

/** Leaves a file to somebody else. A process that was slow may find that this has happened. */
function release(sending: string, file: string): void {
  try {
    fs.renameSync(sending, file);
  } catch {
    // Then somebody else has the file, or has sent it.
  }
}

/** The names of files, without what says who uses them; `undefined` if the folder cannot be read. */
function namesIn(folder: string): Set<string> | undefined {
  try {
    return new Set(fs.readdirSync(folder).map((name) => name.slice(0, name.indexOf("."))));
  } catch {
    return undefined;
  }
}

function joined(files: readonly ClaimedFiles[]): ClaimedFiles {
  return {
    lines: files.flatMap((file) => file.lines),
    done: () => files.forEach((file) => file.done()),
    release: () => files.forEach((file) => file.release()),
  };
}

function textOf(lines: readonly string[]): string {
  return lines.join("\n") + "\n";
}

/** Names of files to send, the oldest first. */
async function ready(folder: string): Promise<string[]> {
  const names = await fs.promises.readdir(folder);
  for (const name of names) {
    const unfinished = [SENDING, WRITING].find((ending) => name.endsWith(ending));
    if (unfinished === undefined) continue;
    const back = name.slice(0, -unfinished.length) + READY;
    try {
      const age = Date.now() - (await fs.promises.stat(path.join(folder, name))).mtimeMs;
      if (age < FORGOTTEN_MS) continue;
      // If the last line was not written whole, the daemon refuses that line only.
      await fs.promises.rename(path.join(folder, name), path.join(folder, back));
      names.push(back);
    } catch {
      // Its process was slow, not dead, and has just finished.
    }
  }
  return names.filter((name) => name.endsWith(READY)).sort();
}
