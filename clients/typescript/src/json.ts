/** Any value as JSON, as it is now. Nothing that an agent passes makes this throw. */

// Deeper values are cut. This is far less than the daemon's limit, and keeps a hostile value off the stack.
const DEEPEST = 100;
// Plain values deeper than this take the slow way, which finds circles.
const DEEPEST_PLAIN = 16;

// Objects that refer to one object many times may be larger as JSON than any memory, so all walks count their steps.
const MOST_OBJECTS = 50_000;

// In characters, each of up to three bytes: the daemon refuses an event with a field of more than 32 MiB.
const LONGEST_TEXT = 8 * 1024 * 1024;
// What each value counts as, beside its text: a million small ones take longer than a long text.
const SMALL = 8;
const TOO_MANY = "[too many values]";

/** A walk through a value: the objects that contain what is looked at, and how much more it may look at. */
interface Walk {
  open: object[];
  objects: number;
  characters: number;
}

/** A text, without what is beyond the limit. Says how much that was. */
export function cut(text: string, longest = LONGEST_TEXT): string {
  return text.length <= longest ? text : `${text.slice(0, longest)} [${text.length - longest} more characters]`;
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

// To replace within longer texts takes more time than to write JSON twice, and much memory.
const LONGEST_REPLACED = 16 * 1024;
// Prose: printable ASCII and line breaks, without a backslash.
const PROSE = /^[ -[\]-~\n]*$/;

/** The JSON of the JSON of a text: as `JSON.stringify` twice, in half of the time for most texts. */
export function quotedTwice(text: string): string {
  if (isItsOwnJson(text)) return `"\\"${text}\\""`;
  if (text.length > LONGEST_REPLACED || !PROSE.test(text)) return JSON.stringify(JSON.stringify(text));
  return `"\\"${text.replaceAll('"', '\\\\\\"').replaceAll("\n", "\\\\n")}\\""`;
}

/** The JSON of a value; `undefined` for a value that is absent (`undefined`). */
export function jsonOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  try {
    if (typeof value === "string") return quoted(cut(value));
    return JSON.stringify(isShown(value) ? value : plain(value, DEEPEST, newWalk()));
  } catch (error) {
    return JSON.stringify(`[unreadable: ${nameOf(error)}]`);
  }
}

function newWalk(): Walk {
  return { open: [], objects: MOST_OBJECTS, characters: LONGEST_TEXT };
}

/** Whether `JSON.stringify` shows all of a value. A getter that throws is left to the slow way, which keeps the rest. */
function isShown(value: unknown): boolean {
  try {
    return isPlain(value, DEEPEST_PLAIN, newWalk());
  } catch {
    return false;
  }
}

/** A text for a field of text: a string as it is, anything else as JSON. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? cut(value) : jsonOf(value);
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

function isPlain(value: unknown, depth: number, walk: Walk): boolean {
  if ((walk.characters -= SMALL) < 0) return false;
  switch (typeof value) {
    case "string":
      return (walk.characters -= value.length) >= 0;
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
  if (depth === 0 || walk.objects-- <= 0) return false;
  if (Array.isArray(value)) {
    for (const item of value) if (!isPlain(item, depth - 1, walk)) return false;
    return true;
  }
  const shape: unknown = Object.getPrototypeOf(value);
  if (shape !== Object.prototype && shape !== null) return false;
  const object = value as Record<string, unknown>;
  if (typeof object["toJSON"] === "function") return false;
  for (const key in object) {
    walk.characters -= key.length;
    if (!isPlain(object[key], depth - 1, walk)) return false;
  }
  return true;
}

/** A copy that `JSON.stringify` shows whole. */
function plain(value: unknown, depth: number, walk: Walk): unknown {
  walk.characters -= SMALL;
  switch (typeof value) {
    case "string":
      return part(value, walk);
    case "bigint":
      return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : part(String(value), walk);
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
  if (walk.objects-- <= 0) return TOO_MANY;
  walk.open.push(value);
  try {
    return object(value, depth - 1, walk);
  } catch (error) {
    return `[unreadable: ${nameOf(error)}]`;
  } finally {
    walk.open.pop();
  }
}

/** As much of a text as the walk may still take. */
function part(text: string, walk: Walk): string {
  const shown = cut(text, Math.max(0, walk.characters));
  walk.characters -= text.length;
  return shown;
}

// By tag, not by `instanceof`: a value may come from another realm, such as a `vm` context.
function object(value: object, depth: number, walk: Walk): unknown {
  if (Array.isArray(value)) return list(value, depth, walk);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  switch (Object.prototype.toString.call(value)) {
    case "[object Date]":
      return Number.isNaN((value as Date).getTime()) ? "Invalid Date" : (value as Date).toISOString();
    case "[object Error]":
      return part(errorText(value), walk);
    case "[object Map]":
      return map(value as Map<unknown, unknown>, depth, walk);
    case "[object Set]":
      return list(value as Set<unknown>, depth, walk);
    case "[object ArrayBuffer]":
      return `[${(value as ArrayBuffer).byteLength} bytes]`;
    case "[object RegExp]":
      return String(value);
    case "[object String]":
      return part(String(value), walk);
    case "[object Number]":
    case "[object Boolean]":
      return value.valueOf();
    default:
      return members(value as Record<string, unknown>, depth, walk);
  }
}

/** An object as it says that it wants to be shown. */
function members(own: Record<string, unknown>, depth: number, walk: Walk): unknown {
  if (typeof own["toJSON"] === "function") {
    const shown: unknown = (own["toJSON"] as () => unknown)();
    return shown === own ? entries(own, depth, walk) : plain(shown, depth, walk);
  }
  return entries(own, depth, walk);
}

function list(items: Iterable<unknown>, depth: number, walk: Walk): unknown[] {
  const copy: unknown[] = [];
  for (const item of items) {
    if (walk.characters <= 0) return [...copy, TOO_MANY];
    copy.push(plain(item, depth, walk) ?? null);
  }
  return copy;
}

function entries(value: Record<string, unknown>, depth: number, walk: Walk): unknown {
  const copy: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const key of Object.keys(value)) {
    if (walk.characters <= 0) {
      copy[TOO_MANY] = true;
      break;
    }
    walk.characters -= key.length;
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
  const texts = [...value.keys()].every((key) => typeof key === "string");
  return texts ? entries(Object.fromEntries(value) as Record<string, unknown>, depth, walk) : list(value, depth, walk);
}
