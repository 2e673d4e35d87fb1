// Runs a program of test/programs to its end.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export async function program(name, args, env = {}) {
  const file = fileURLToPath(new URL(`../programs/${name}`, import.meta.url));
  const clean = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("RUNTRACED_")));
  const begun = performance.now();
  const child = spawn(process.execPath, [file, ...args], { env: { ...clean, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"]) child[stream].on("data", (text) => (output[stream] += text));
  const [code, signal] = await new Promise((done) => child.on("close", (...how) => done(how)));
  return { ...output, code, signal, ms: performance.now() - begun };
}
