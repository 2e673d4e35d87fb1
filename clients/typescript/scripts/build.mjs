// Builds dist/: the same sources as ES modules and as CommonJS, each with its types.

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const tsc = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));

rmSync("dist", { recursive: true, force: true });
for (const [module, type] of [["esm", "module"], ["cjs", "commonjs"]]) {
  execFileSync(process.execPath, [tsc, "--project", `tsconfig.${module}.json`], { stdio: "inherit" });
  mkdirSync(`dist/${module}`, { recursive: true });
  writeFileSync(`dist/${module}/package.json`, JSON.stringify({ type }) + "\n");
}
