// Both module forms, the types, and runtimes that are not Node.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import vm from "node:vm";

import * as rt from "../dist/esm/node.js";
import { Sink } from "./support/sink.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => path.join(root, "node_modules/.bin", name);

/** A folder in which the package is installed. */
function installed(files) {
  const folder = mkdtempSync(path.join(tmpdir(), "runtraced-"));
  mkdirSync(path.join(folder, "node_modules/@types"), { recursive: true });
  symlinkSync(root, path.join(folder, "node_modules/runtraced"));
  symlinkSync(path.join(root, "node_modules/@types/node"), path.join(folder, "node_modules/@types/node"));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  return folder;
}

const PROGRAM = `
await rt.run("imported", { input: "hi" }, async (run) => {
  await rt.step("look up", { kind: "tool", input: { q: 1 } }, async (s) => { s.output = { x: 1 }; });
  run.output = "done";
});
const left = await rt.flush(10_000);
console.log("left", left);
`;

async function runs(command, args, text, name) {
  const sink = await Sink.start();
  const folder = installed({ [name]: text, "package.json": '{"dependencies":{"runtraced":"*"}}' });
  const { spawn } = await import("node:child_process");
  const child = spawn(command, [...args, path.join(folder, name)], {
    cwd: folder, env: { ...process.env, RUNTRACED_ENDPOINT: sink.url }, stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stdout.on("data", (text) => (said += text));
  child.stderr.on("data", (text) => (said += text));
  await new Promise((done) => child.on("close", done));
  await sink.close();
  rmSync(folder, { recursive: true, force: true });
  assert.match(said, /left 0/);
  assert.deepEqual(sink.events.map((event) => Object.keys(event)[1]), ["run_started", "step_started", "step_ended", "run_ended"]);
}

test("import", () => runs(process.execPath, [], `import * as rt from "runtraced";${PROGRAM}`, "main.mjs"));

test("require", () => runs(process.execPath, [], `const rt = require("runtraced");(async () => {${PROGRAM}})();`, "main.cjs"));

for (const [runtime, args] of [["deno", ["run", "--allow-all", "--node-modules-dir=manual"]], ["bun", ["run"]]]) {
  const skip = existsSync(bin(runtime)) && spawnSync(bin(runtime), ["--version"]).status === 0 ? false : `${runtime} does not run here`;
  if (skip && process.env.CI === "true") throw new Error(`${skip}, and is needed where CI=true`);
  test(runtime, { skip }, () => runs(bin(runtime), args, `import * as rt from "runtraced";${PROGRAM}`, "main.mjs"));
}

for (const condition of ["workerd", "edge-light", "browser"]) {
  const edge = 'if (!import.meta.resolve("runtraced").endsWith("dist/esm/index.js")) throw new Error("not the build for the edge");';
  test(`the build for ${condition}`, () =>
    runs(process.execPath, [`--conditions=${condition}`], `import * as rt from "runtraced";${edge}${PROGRAM}`, "main.mjs"));
}

test("an imported and a required copy are one", async () => {
  const sink = await Sink.start();
  const required = createRequire(import.meta.url)("../dist/cjs/node.js");
  rt.configure({ endpoint: sink.url });
  rt.run("a", () => required.step("s", () => undefined));
  assert.equal(await required.flush(5000), 0);
  assert.equal(sink.events.length, 4);
  await sink.close();
});

test("the types are right in both forms, with TypeScript's strictest settings", () => {
  const typed = `
import * as rt from "runtraced";
const n: number = rt.run("a", () => 1);
const p: Promise<string> = rt.run("a", { input: { q: 1 }, session: "s", tags: ["x"] }, async (run) => {
  run.output = "done";
  const decision = await run.approval("Go?", { a: 1 }, { expires: 1000 }).wait(10);
  return rt.step("s", { kind: "llm" }, (step) => { step.model = "m"; step.metadata = { a: 1 }; return decision.notes ?? "none"; });
});
const add = rt.traced((a: number, b: number) => a + b, { kind: "tool" });
const sum: number = add(1, 2);
class Tools { @rt.traced look(q: string): string { return q; } @rt.traced({ kind: "tool" }) find(n: number): number { return n; } }
const client = rt.wrap({ chat: 1 });
const still: number = client.chat;
// @ts-expect-error a name is a text
rt.step(1, () => 1);
// @ts-expect-error add takes numbers
add("1", 2);
export const all: unknown[] = [n, p, sum, Tools, still, rt.flush(1), rt.stats().settled, rt.traceparent(), rt.middleware()];
`;
  const options = { strict: true, noEmit: true, target: "es2022", lib: ["es2023", "dom"], types: ["node"], exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true };
  const folder = installed({
    "typed.mts": typed, "typed.cts": typed.replace("export const all", "const all").replace('import * as rt from "runtraced"', 'import rt = require("runtraced")'),
    "tsconfig.json": JSON.stringify({ compilerOptions: { ...options, module: "nodenext" }, include: ["typed.mts", "typed.cts"] }),
  });
  const { status, stdout } = spawnSync(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", folder], { encoding: "utf8" });
  rmSync(folder, { recursive: true, force: true });
  assert.equal(status, 0, stdout);
});

/** The build for the edge in a realm with nothing but what every runtime has: no node: modules, no process. */
async function onTheEdge(globals, program) {
  const context = vm.createContext({
    fetch, crypto, performance, setTimeout, clearTimeout, AbortController, TextEncoder, URL, console, structuredClone, ...globals,
  });
  const modules = new Map();
  const load = (file) => {
    if (!modules.has(file)) modules.set(file, new vm.SourceTextModule(readFileSync(file, "utf8"), { context, identifier: file }));
    return modules.get(file);
  };
  const entry = load(path.join(root, "dist/esm/index.js"));
  await entry.link((specifier, from) => {
    assert.ok(specifier.startsWith("."), `the edge has no ${specifier}`);
    return load(path.resolve(path.dirname(from.identifier), specifier));
  });
  await entry.evaluate();
  await program(entry.namespace);
}

const edge = { skip: typeof vm.SourceTextModule === "function" ? false : "run with --experimental-vm-modules" };

test("on the edge, what is passed explicitly is recorded, and flush sends it", edge, async () => {
  const sink = await Sink.start();
  await onTheEdge({ navigator: { userAgent: "Cloudflare-Workers" } }, async (edge) => {
    edge.configure({ endpoint: sink.url });
    await edge.run("edge", { input: "hi" }, async (run) => {
      await run.step("look up", { kind: "tool" }, async (step) => {
        await null;
        step.message("tool", "found");
        step.step("below", () => undefined);
      });
      edge.step("nobody knows where", () => undefined);
    });
    sink.plan.push({ status: 503 });
    assert.equal(await edge.flush(5000), 0);
  });
  assert.deepEqual(sink.of("step_started").map(({ details }) => details.name), ["look up", "below"]);
  assert.equal(sink.of("step_started")[1].details.parent_step_id, sink.of("step_started")[0].step_id);
  await sink.close();
});

test("a request that its runtime froze does not hold back the next one", edge, async () => {
  const sink = await Sink.start();
  let frozen = true;
  // Neither answers nor fails, whatever happens to it: as if its request had ended.
  const freezing = (...args) => (frozen ? new Promise(() => undefined) : fetch(...args));
  await onTheEdge({ navigator: { userAgent: "Cloudflare-Workers" } }, async (edge) => {
    edge.configure({ endpoint: sink.url, fetch: freezing, requestTimeout: 200 });
    edge.run("first", () => undefined);
    assert.equal(await edge.flush(300), 2);
    frozen = false;
    edge.run("second", () => undefined);
    assert.equal(await edge.flush(5000), 0);
  });
  assert.deepEqual(sink.of("run_started").map(({ agent_id }) => agent_id), ["first", "second"]);
  assert.equal(sink.repeated, 0);
  await sink.close();
});

test("on an edge with AsyncLocalStorage, nothing has to be passed", edge, async () => {
  const sink = await Sink.start();
  const { AsyncLocalStorage } = await import("node:async_hooks");
  await onTheEdge({ AsyncLocalStorage }, async (edge) => {
    edge.configure({ endpoint: sink.url });
    await edge.run("edge", async () => {
      await null;
      await edge.step("known", async () => undefined);
    });
    assert.equal(await edge.flush(5000), 0);
  });
  assert.deepEqual(sink.of("step_started").map(({ details }) => details.name), ["known"]);
  await sink.close();
});

test("the edge build names no node: module", () => {
  const seen = new Set();
  const visit = (file) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const [, specifier] of readFileSync(file, "utf8").matchAll(/from "([^"]+)"/g)) {
      assert.ok(specifier.startsWith("./") || specifier.startsWith("../"), `${file} imports ${specifier}`);
      visit(path.resolve(path.dirname(file), specifier));
    }
  };
  visit(path.join(root, "dist/esm/index.js"));
  assert.ok(seen.size > 15);
});

test("Node loads one file", () => {
  const esm = readFileSync(path.join(root, "dist/esm/node.js"), "utf8").matchAll(/from "([^"]+)"/g);
  const cjs = readFileSync(path.join(root, "dist/cjs/node.js"), "utf8").matchAll(/require\("([^"]+)"\)/g);
  for (const [, specifier] of [...esm, ...cjs]) assert.ok(specifier.startsWith("node:"), specifier);
});

test("the package has no dependency, and holds what it names", () => {
  const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
  assert.equal(manifest.dependencies, undefined);
  const files = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root, encoding: "utf8" }));
  const names = (Array.isArray(files) ? files[0] : Object.values(files)[0]).files.map((file) => file.path);
  const wanted = Object.values(manifest.exports["."]).flatMap((target) => (typeof target === "string" ? [target] : Object.values(target)));
  for (const target of wanted) assert.ok(names.includes(target.slice(2)), `${target} is not in the package`);
  assert.ok(!names.some((name) => name.startsWith("test")), "tests are in the package");
});
