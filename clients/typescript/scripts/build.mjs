// Builds dist/: the same sources as ES modules and as CommonJS, each with its types. What Node, Deno and Bun load
// is one file: to find and read forty would take longer than all else.

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const tsc = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));

rmSync("dist", { recursive: true, force: true });
for (const [module, type] of [["esm", "module"], ["cjs", "commonjs"]]) {
  execFileSync(process.execPath, [tsc, "--project", `tsconfig.${module}.json`], { stdio: "inherit" });
  mkdirSync(`dist/${module}`, { recursive: true });
  await build({
    // esbuild remembers the folder in which it was loaded.
    absWorkingDir: process.cwd(),
    entryPoints: ["src/node.ts"],
    outfile: `dist/${module}/node.js`,
    format: module,
    bundle: true,
    platform: "node",
    target: "node20",
  });
  writeFileSync(`dist/${module}/package.json`, JSON.stringify({ type }) + "\n");
}
