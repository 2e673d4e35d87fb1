/** Numbers as callers give them: some hand over the text of an environment variable. */

// A longer time would make a timer fire at once.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A number, or the text of one; `undefined` if it is neither. */
export function numberOf(value: unknown): number | undefined {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && !Number.isNaN(number) ? number : undefined;
}

/** A time to wait. What is no number is replaced. */
export function millisOf(value: unknown, otherwise: number): number {
  return Math.max(0, numberOf(value) ?? otherwise);
}

/** A time that a timer can take. */
export function timerMs(ms: number): number {
  return Math.min(Math.max(0, ms), LONGEST_TIMER_MS);
}
