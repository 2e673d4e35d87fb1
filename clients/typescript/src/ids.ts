/** Ids: UUIDs of version 7 for what begins here, and derived ones for what several processes name alike. */

import { sha256 } from "./sha256.js";

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
// Three digits at a time: a larger table would take longer to make than a program has ids.
const TRIPLES = Array.from({ length: 4096 }, (_, digits) => digits.toString(16).padStart(3, "0"));
const VARIANTS = ["8", "9", "a", "b"];
const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

// Random numbers are fetched in bulk: one call for each id would cost more than the id.
const pool = new Uint16Array(2048);
let used = pool.length;
let prefixTime = -1;
let prefix = "";

/** A new id. Its first 48 bits are the time in milliseconds. */
export function newId(): string {
  if (used + 6 > pool.length) {
    fill();
    used = 0;
  }
  const now = Date.now();
  if (now !== prefixTime) {
    const hex = now.toString(16).padStart(12, "0");
    prefix = `${hex.slice(0, 8)}-${hex.slice(8)}-7`;
    prefixTime = now;
  }
  const at = used;
  used += 6;
  const second = pool[at + 1]!;
  // Short texts are joined first: V8 copies those, and makes a tree of longer ones.
  const middle = triple(at) + "-" + VARIANTS[second >>> 14]! + TRIPLES[second & 0xfff]! + "-";
  const end = triple(at + 2) + triple(at + 3) + triple(at + 4) + triple(at + 5);
  return prefix + middle + end;
}

function triple(at: number): string {
  return TRIPLES[pool[at]! & 0xfff]!;
}

function fill(): void {
  try {
    crypto.getRandomValues(pool);
  } catch {
    // Some runtimes have no random bytes outside requests.
    for (let at = 0; at < pool.length; at += 1) pool[at] = Math.random() * 65536;
  }
}

/** Whether a text is a UUID, with or without hyphens. */
export function isId(text: string): boolean {
  return UUID.test(text);
}

/** The same for a value of any kind. */
export function isIdText(value: unknown): value is string {
  return typeof value === "string" && isId(value);
}

/** A UUID with hyphens, from 32 hexadecimal digits. */
export function idOfHex(hex: string): string {
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  return parts.join("-").toLowerCase();
}

/** The 32 hexadecimal digits of a UUID. */
export function hexOfId(id: string): string {
  return id.replaceAll("-", "").toLowerCase();
}

/** The bytes of 32 hexadecimal digits, or of a UUID. */
function bytesOf(id: string): number[] {
  const hex = hexOfId(id);
  return Array.from({ length: hex.length / 2 }, (_, at) => Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16));
}

function derived(prefix: number[], digest: Uint8Array): string {
  const bytes = [...prefix, ...digest.slice(6, 16)];
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return idOfHex(bytes.map((byte) => HEX[byte]!).join(""));
}

/** The id of a session that has a name, as the daemon derives it from spans. */
export function sessionIdOf(name: string, customer: string | undefined): string {
  const text = new TextEncoder();
  const tenant = customer === undefined ? [] : [...text.encode("customer\0"), ...bytesOf(customer)];
  const digest = sha256(Uint8Array.from([...tenant, ...text.encode(`session\0${name}`)]));
  return derived([...digest.slice(16, 22)], digest);
}

/** The id that stands for a span of a trace, as the daemon derives it. `span` has 16 hexadecimal digits. */
export function spanIdOf(run: string, span: string): string {
  const scope = bytesOf(run);
  const digest = sha256(Uint8Array.from([...scope, ...new TextEncoder().encode("span\0"), ...bytesOf(span)]));
  return derived(scope.slice(0, 6), digest);
}

/** The id of a message in a session or run, from what it says and how often that was said. */
export function messageIdOf(scope: string, said: string, times: number): string {
  const number = [24, 16, 8, 0].map((bits) => (times >>> bits) & 0xff);
  const start = bytesOf(scope);
  const text = new TextEncoder();
  return derived(start.slice(0, 6), sha256(Uint8Array.from([...start, ...text.encode("message\0"), ...text.encode(said), ...number])));
}
