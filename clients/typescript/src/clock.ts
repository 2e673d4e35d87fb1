/** Times as text in UTC, to the microsecond, each later than the one before. */

// A clock that was set, or a machine that slept, moves the wall clock away from the steady one.
const LARGEST_DRIFT_MS = 5;

let anchor = 0;
let last = 0;
let second = -1;
let secondText = "";

/** Now, in microseconds since 1970. Two calls never give the same time, so that events keep their order. */
export function nowMicros(): number {
  const wall = Date.now();
  const steady = performance.now();
  if (Math.abs(anchor + steady - wall) > LARGEST_DRIFT_MS) {
    anchor = wall - steady;
    last = Math.min(last, wall * 1000 - 1);
  }
  const micros = Math.floor((anchor + steady) * 1000);
  last = micros > last ? micros : last + 1;
  return last;
}

/** A time as the JSON form wants it. */
export function timeText(micros: number): string {
  const whole = Math.floor(micros / 1e6);
  if (whole !== second) {
    second = whole;
    secondText = new Date(whole * 1000).toISOString().slice(0, 20);
  }
  return `${secondText}${String(micros - whole * 1e6).padStart(6, "0")}Z`;
}
