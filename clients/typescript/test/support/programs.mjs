// Runs a program of test/programs.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Starts it. */
export function start(name, args, env = {}) {
  const file = fileURLToPath(new URL(`../programs/${name}`, import.meta.url));
  const clean = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("RUNTRACED_")));
  return spawn(process.execPath, [file, ...args], { env: { ...clean, ...env }, stdio: ["ignore", "pipe", "pipe"] });
}

/** Runs it to its end. */
export async function program(name, args, env) {
  const begun = performance.now();
  const child = start(name, args, env);
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"]) child[stream].on("data", (text) => (output[stream] += text));
  const [code, signal] = await new Promise((done) => child.on("close", (...how) => done(how)));
  return { ...output, code, signal, ms: performance.now() - begun };
}
