// npm runs this when the package is installed from its folder, and before it is packed: dist/ is not in
// the repository. The compiler is a development dependency, which npm does not install for others.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
if (!existsSync(new URL("../node_modules/typescript", import.meta.url))) {
  const flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", root];
  execFileSync("npm", flags, { cwd: root, stdio: "inherit", shell: process.platform === "win32" });
}
await import("./build.mjs");
