/** Any value as JSON, as it is now. Nothing that an agent passes makes this throw. */

// Deeper values are cut. This is far less than the daemon's limit, and keeps a hostile value off the stack.
const DEEPEST = 100;
// Plain values deeper than this take the slow way, which finds circles.
const DEEPEST_PLAIN = 16;

// Objects that refer to one object many times may be larger as JSON than any memory, so all walks count their steps.
const MOST_OBJECTS = 50_000;

/** A walk through a value: the objects that contain what is looked at, and how many more it may look at. */
interface Walk {
  open: object[];
  left: number;
}

// Texts that are their own JSON. To look for what is none takes a quarter of the time of `JSON.stringify`, and the
// text is not copied.
const ITS_OWN_JSON = /^[ !#-[\]-~]*$/;

/** Whether a text holds nothing that JSON writes in another way, and one byte for each character. */
export function isItsOwnJson(text: string): boolean {
  return ITS_OWN_JSON.test(text);
}

/** The JSON of a text. */
export function quoted(text: string): string {
  return isItsOwnJson(text) ? `"${text}"` : JSON.stringify(text);
}

// Prose: printable ASCII and line breaks, without a backslash.
const PROSE = /^[ -[\]-~\n]*$/;

/** The JSON of the JSON of a text: as `JSON.stringify` twice, in half of the time for most texts. */
export function quotedTwice(text: string): string {
  if (isItsOwnJson(text)) return `"\\"${text}\\""`;
  if (!PROSE.test(text)) return JSON.stringify(JSON.stringify(text));
  return `"\\"${text.replaceAll('"', '\\\\\\"').replaceAll("\n", "\\\\n")}\\""`;
}

/** The JSON of a value; `undefined` for a value that is absent (`undefined`). */
export function jsonOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  try {
    if (typeof value === "string") return quoted(value);
    const isShown = isPlain(value, DEEPEST_PLAIN, newWalk());
    const shown = isShown ? value : plain(value, DEEPEST, newWalk());
    return JSON.stringify(shown);
  } catch (error) {
    return JSON.stringify(`[unreadable: ${nameOf(error)}]`);
  }
}

function newWalk(): Walk {
  return { open: [], left: MOST_OBJECTS };
}

/** A text for a field of text: a string as it is, anything else as JSON. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : jsonOf(value);
}

/** An error as `Name: message`. Never throws. */
export function errorText(error: unknown): string {
  try {
    if (isError(error)) return error.message ? `${typeOf(error)}: ${error.message}` : typeOf(error);
    return textOf(error) ?? "undefined";
  } catch {
    return "unreadable error";
  }
}

function isError(value: unknown): value is Error {
  return value instanceof Error || Object.prototype.toString.call(value) === "[object Error]";
}

/** A class that sets no name of its own still has one. */
function typeOf(error: Error): string {
  if (error.name !== "Error") return error.name;
  return error.constructor?.name || error.name;
}

function nameOf(error: unknown): string {
  return isError(error) ? error.name : "error";
}

/** Whether `JSON.stringify` shows all of a value. */
function isPlain(value: unknown, depth: number, walk: Walk): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
    case "undefined":
      return true;
    case "number":
      return Number.isFinite(value);
    case "object":
      break;
    default:
      return false;
  }
  if (value === null) return true;
  if (depth === 0 || walk.left-- <= 0) return false;
  if (Array.isArray(value)) {
    for (const item of value) if (!isPlain(item, depth - 1, walk)) return false;
    return true;
  }
  const shape: unknown = Object.getPrototypeOf(value);
  if (shape !== Object.prototype && shape !== null) return false;
  const object = value as Record<string, unknown>;
  if (typeof object["toJSON"] === "function") return false;
  for (const key in object) if (!isPlain(object[key], depth - 1, walk)) return false;
  return true;
}

/** A copy that `JSON.stringify` shows whole. */
function plain(value: unknown, depth: number, walk: Walk): unknown {
  switch (typeof value) {
    case "bigint":
      return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : String(value);
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "symbol":
      return String(value);
    case "function":
      return `[function ${value.name || "anonymous"}]`;
    case "object":
      break;
    default:
      return value;
  }
  if (value === null) return null;
  if (walk.open.includes(value)) return "[circular]";
  if (depth === 0) return "[too deep]";
  if (walk.left-- <= 0) return "[too many values]";
  walk.open.push(value);
  try {
    return object(value, depth - 1, walk);
  } catch (error) {
    return `[unreadable: ${nameOf(error)}]`;
  } finally {
    walk.open.pop();
  }
}

// By tag, not by `instanceof`: a value may come from another realm, such as a `vm` context.
function object(value: object, depth: number, walk: Walk): unknown {
  if (Array.isArray(value)) return value.map((item) => plain(item, depth, walk) ?? null);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  switch (Object.prototype.toString.call(value)) {
    case "[object Date]":
      return Number.isNaN((value as Date).getTime()) ? "Invalid Date" : (value as Date).toISOString();
    case "[object Error]":
      return errorText(value);
    case "[object Map]":
      return map(value as Map<unknown, unknown>, depth, walk);
    case "[object Set]":
      return [...(value as Set<unknown>)].map((item) => plain(item, depth, walk) ?? null);
    case "[object ArrayBuffer]":
      return `[${(value as ArrayBuffer).byteLength} bytes]`;
    case "[object RegExp]":
      return String(value);
    case "[object String]":
    case "[object Number]":
    case "[object Boolean]":
      return value.valueOf();
    default:
  }
  const own = value as Record<string, unknown>;
  if (typeof own["toJSON"] === "function") {
    const shown: unknown = (own["toJSON"] as () => unknown)();
    return shown === value ? entries(own, depth, walk) : plain(shown, depth, walk);
  }
  return entries(own, depth, walk);
}

function entries(value: Record<string, unknown>, depth: number, walk: Walk): unknown {
  const copy: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const key of Object.keys(value)) {
    let item: unknown;
    try {
      item = plain(value[key], depth, walk);
    } catch (error) {
      item = `[unreadable: ${nameOf(error)}]`;
    }
    if (item !== undefined) copy[key] = item;
  }
  return copy;
}

/** An object if all keys are texts, else pairs. */
function map(value: Map<unknown, unknown>, depth: number, walk: Walk): unknown {
  const pairs = [...value].map(([key, item]) => [plain(key, depth, walk), plain(item, depth, walk) ?? null]);
  const texts = [...value.keys()].every((key) => typeof key === "string");
  return texts ? Object.fromEntries(pairs as [string, unknown][]) : pairs;
}
