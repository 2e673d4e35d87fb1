/** Tells of losses and errors without flooding, and never throws. */

const REPEAT_MS = 60_000;

export class Problems {
  private readonly told = new Map<string, number>();

  private isTelling = false;

  constructor(private readonly listener: ((problem: string) => unknown) | undefined) {}

  /** A listener hears everything. The console hears one problem of each kind a minute. */
  tell(kind: string, problem: string): void {
    // A listener may record something, and so cause another problem.
    if (this.isTelling) return;
    this.isTelling = true;
    try {
      if (this.listener) {
        const told = this.listener(problem);
        if (told instanceof Promise) told.catch(() => undefined);
        return;
      }
      const now = Date.now();
      if (Math.abs(now - (this.told.get(kind) ?? -Infinity)) < REPEAT_MS) return;
      this.told.set(kind, now);
      console.warn(`runtraced: ${problem}`);
    } catch {
      // An agent must not fail because of its listener or its console.
    } finally {
      this.isTelling = false;
    }
  }
}
