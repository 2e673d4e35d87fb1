/** Pieces of an event's JSON. */

import { cut, jsonOf, quoted, quotedTwice, textOf } from "./json.js";
import type { Mask, MaskedField } from "./settings.js";

const QUOTE = 34;
const OPENING_BRACE = 123;
const FAILED = "[masking failed]";

interface ByteLength {
  Buffer?: { byteLength(text: string): number };
}

// Counting bytes is fast where it is built in. Elsewhere each character counts twice, as for any text beyond Latin-1.
const { Buffer } = globalThis as ByteLength;

/** Turns values of the agent into the JSON of fields, through the mask. */
export class FieldWriter {
  /** How often the mask failed. */
  failures = 0;
  private wide = false;

  constructor(private readonly mask: Mask | undefined) {}

  /** Whether a value since the last call may take two bytes for each character. */
  takeWide(): boolean {
    const { wide } = this;
    this.wide = false;
    return wide;
  }

  /** The value of a `…_json` field. A string is written as JSON text, so that it always stays a string. */
  json(value: unknown, field: MaskedField): string | undefined {
    if (typeof value === "string" && this.mask === undefined) return quotedTwice(this.measured(cut(value)));
    const json = this.masked(value, field);
    return json === undefined || json.charCodeAt(0) !== QUOTE ? json : JSON.stringify(json);
  }

  /** JSON that was written before, for another event. */
  again(json: string | undefined): string | undefined {
    return json === undefined ? undefined : this.measured(json);
  }

  /** A text, whose size is noted. To measure its JSON would cost more: that is not in one piece. */
  private measured(text: string): string {
    if (Buffer?.byteLength(text) !== text.length) this.wide = true;
    return text;
  }

  /** The value of a field of text, as JSON. Values that are no text become compact JSON. */
  text(value: unknown, field: MaskedField): string | undefined {
    if (typeof value === "string" && this.mask === undefined) return quoted(this.measured(cut(value)));
    const json = this.masked(value, field);
    if (json === undefined) return undefined;
    return json.charCodeAt(0) === QUOTE ? json : JSON.stringify(json);
  }

  /** The value of a field that needs an object. An empty one is absent. What is no object becomes the member `value`. */
  object(value: object | undefined, field: MaskedField): string | undefined {
    if (value === undefined || value === null || isEmpty(value)) return undefined;
    const json = this.masked(isList(value) ? { value } : value, field);
    if (json === undefined || json === "{}") return undefined;
    if (json.charCodeAt(0) === OPENING_BRACE) return json;
    return this.mask === undefined ? `{"value":${json}}` : '{"masking":"failed"}';
  }

  /** A value as JSON; `undefined` if it is absent. A mask that fails lets nothing through. */
  private masked(value: unknown, field: MaskedField): string | undefined {
    if (value === undefined || value === null) return undefined;
    const json = jsonOf(value);
    if (this.mask === undefined || json === undefined) return this.again(json);
    try {
      // A copy: a mask that changes its argument must not change the agent's value.
      const kept = this.mask(JSON.parse(json), field);
      // A promise is not the masked value, and nothing here can wait for it.
      if (kept instanceof Promise) {
        kept.catch(() => undefined);
        throw new TypeError("the mask returned a promise");
      }
      return kept === null ? undefined : this.again(jsonOf(kept));
    } catch {
      this.failures += 1;
      return JSON.stringify(FAILED);
    }
  }
}

/** Of a revoked proxy, nothing can be told. */
function isEmpty(value: object): boolean {
  try {
    return typeof value === "object" && Object.keys(value).length === 0;
  } catch {
    return false;
  }
}

function isList(value: object): boolean {
  try {
    return typeof value !== "object" || Array.isArray(value);
  } catch {
    return false;
  }
}

/** `,"name":value`, or nothing if the value is absent. */
export function member(name: string, json: string | undefined): string {
  return json === undefined ? "" : `,"${name}":${json}`;
}

/** The same for a text that is no payload. */
export function textMember(name: string, value: unknown): string {
  if (value === undefined || value === null) return "";
  return `,"${name}":${quoted(textOf(value) ?? "")}`;
}

/** The same for an id of this library. */
export function idMember(name: string, id: string | undefined): string {
  return id === undefined ? "" : `,"${name}":"${id}"`;
}

const LARGEST_COUNT = 2 ** 31 - 1;

/** The same for a whole number. What is none is left out, because the daemon would refuse the event. */
export function countMember(name: string, value: number | undefined | null): string {
  const count = typeof value === "number" ? Math.round(value) : -1;
  return count >= 0 && count <= LARGEST_COUNT ? `,"${name}":${count}` : "";
}
