/** Faults of this library. They never reach the agent. */

let found = 0;

/** Calls a function that records something. What it throws is counted, and the first time told. */
export function guarded(body: () => void): void {
  try {
    body();
  } catch (error) {
    found += 1;
    if (found > 1) return;
    try {
      console.warn("runtraced: something was not recorded:", error);
    } catch {
      // A console may be broken as well.
    }
  }
}

/** How many there were in this process. */
export function faultCount(): number {
  return found;
}
