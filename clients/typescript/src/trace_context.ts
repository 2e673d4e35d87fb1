/** W3C Trace Context: a run that goes on in another process. */

import { hexOfId, idOfHex } from "./ids.js";

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 1;

/** The caller's side of a `traceparent`. */
export interface CallerContext {
  runId: string;
  /** 16 hexadecimal digits. */
  span: string;
  sampled: boolean;
}

/** Headers of a request: of the Fetch standard, of Node, or a plain object. */
export type HeadersLike = { get(name: string): string | null } | Record<string, string | readonly string[] | undefined>;

/** The caller that a `traceparent`, or the headers of a request, name. */
export function callerOf(from: string | HeadersLike | null | undefined): CallerContext | undefined {
  if (typeof from !== "object" || from === null) return parseTraceparent(from);
  if (typeof from["get"] === "function") return parseTraceparent(from["get"]("traceparent"));
  const name = Object.keys(from).find((name) => name.toLowerCase() === "traceparent");
  return name === undefined ? undefined : parseTraceparent((from as Record<string, unknown>)[name]);
}

/** Reads a `traceparent`; `undefined` if it is none. */
function parseTraceparent(text: unknown): CallerContext | undefined {
  const match = typeof text === "string" ? TRACEPARENT.exec(text.trim()) : null;
  if (match === null) return undefined;
  const [, version, trace, span, flags, more] = match as unknown as [string, string, string, string, string, string?];
  if (version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (/^0+$/.test(trace) || /^0+$/.test(span)) return undefined;
  return { runId: idOfHex(trace), span, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

/** The span that stands for a step or a run: the last 8 bytes of its id. */
export function spanOf(id: string): string {
  return hexOfId(id).slice(16);
}

export function formatTraceparent(context: CallerContext): string {
  return `00-${hexOfId(context.runId)}-${context.span}-${context.sampled ? "01" : "00"}`;
}
