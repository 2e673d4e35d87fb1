/** Tells of losses and errors without flooding, and never throws. */

const REPEAT_MS = 60_000;

export class Problems {
  private readonly told = new Map<string, number>();

  constructor(private readonly listener: ((problem: string) => void) | undefined) {}

  /** A listener hears everything. The console hears one problem of each kind a minute. */
  tell(kind: string, problem: string): void {
    try {
      if (this.listener) {
        this.listener(problem);
        return;
      }
      const now = Date.now();
      if (now - (this.told.get(kind) ?? -Infinity) < REPEAT_MS) return;
      this.told.set(kind, now);
      console.warn(`runtraced: ${problem}`);
    } catch {
      // An agent must not fail because of its listener or its console.
    }
  }
}
