/** Generators whose work is a step: it ends with them, also if they are abandoned. */

import { watched } from "./during.js";
import { cut, jsonOf } from "./json.js";
import { within } from "./shared.js";
import type { CallStep } from "./traced.js";

type AnyGenerator = Generator<unknown, unknown, unknown> | AsyncGenerator<unknown, unknown, unknown>;
type Answer = IteratorResult<unknown, unknown>;

// A generator may go on for ever. Its texts are joined, so only their length counts.
const MOST_ITEMS = 1000;
const MOST_CHARACTERS = 4 * 1024 * 1024;
const ITEM_CHARACTERS = 16;

/** Whether a value is a generator, of either kind. */
export function isGenerator(value: unknown): value is AnyGenerator {
  if (typeof value !== "object" || value === null) return false;
  const object = value as Partial<AnyGenerator>;
  try {
    const iterates = Symbol.iterator in object || Symbol.asyncIterator in object;
    return iterates && [object.next, object.return, object.throw].every((method) => typeof method === "function");
  } catch {
    return false; // a proxy may throw whatever is asked
  }
}

// A generator that nobody asks any more, and nobody has ended, ends its step when it is collected.
const abandoned =
  typeof FinalizationRegistry === "undefined" ? undefined : new FinalizationRegistry<() => void>((end) => end());

/**
 * A generator, with a step open while its code runs, and only then. It is the same object: it may have members of its own.
 * One that cannot be changed is left alone, and its step ends.
 */
export function follow(generator: unknown, start: () => CallStep): unknown {
  const inner = generator as AnyGenerator;
  const work = new Work(start);
  // Nothing here holds the generator, or it would never be collected.
  const resumed = (resume: (value: never) => Answer | Promise<Answer>, isReturn: boolean) =>
    function (this: AnyGenerator, ...args: unknown[]): Answer | Promise<Answer> {
      const go = (): Answer | Promise<Answer> => Reflect.apply(resume, this, args);
      return isReturn && !work.begun ? go() : work.call(go);
    };
  try {
    for (const name of ["next", "throw", "return"] as const) {
      const value = resumed(inner[name] as never, name === "return");
      Object.defineProperty(inner, name, { value, configurable: true, writable: true });
    }
  } catch {
    start().end();
    return generator;
  }
  abandoned?.register(inner, () => work.end());
  return generator;
}

class Work {
  private step: CallStep | undefined;
  private readonly items = new Items();

  constructor(private readonly start: () => CallStep) {}

  get begun(): boolean {
    return this.step !== undefined;
  }

  call(resume: () => Answer | Promise<Answer>): Answer | Promise<Answer> {
    const step = (this.step ??= this.start());
    let answer: Answer | Promise<Answer>;
    try {
      answer = within(step.step, resume);
    } catch (error) {
      this.fail(step, error);
      throw error;
    }
    if (answer instanceof Promise) {
      return watched(
        answer,
        (answer) => this.note(step, answer as Answer),
        (error: unknown) => this.fail(step, error),
      );
    }
    this.note(step, answer);
    return answer;
  }

  /** Nobody asks for more. */
  end(): void {
    if (this.step === undefined) return;
    this.step.result(this.items.output(undefined));
    this.step.end();
  }

  private note(step: CallStep, answer: Answer): void {
    if (!answer.done) {
      if (step.wantsResult) this.items.add(answer.value);
      return;
    }
    step.result(this.items.output(answer.value));
    step.end();
  }

  private fail(step: CallStep, error: unknown): void {
    step.result(this.items.output(undefined));
    step.fail(error);
  }
}

/** What a generator has yielded. */
class Items {
  private readonly items: (string | { json: string | undefined })[] = [];
  private others = 0;
  private characters = 0;
  private more = 0;

  add(item: unknown): void {
    const isText = typeof item === "string";
    if (this.characters >= MOST_CHARACTERS || (!isText && this.others >= MOST_ITEMS)) {
      this.more += 1;
      return;
    }
    // The agent may change an item later; a text it cannot change.
    const kept = isText ? cut(item, MOST_CHARACTERS) : { json: jsonOf(item) };
    this.items.push(kept);
    if (!isText) this.others += 1;
    // A short text costs more than its characters.
    this.characters += ITEM_CHARACTERS + (typeof kept === "string" ? kept.length : (kept.json?.length ?? 0));
  }

  /** Texts are joined. Other items are a list, beside what the generator returned. */
  output(result: unknown): unknown {
    if (this.items.length === 0) return result;
    const left = this.more > 0 ? [`[${this.more} more]`] : [];
    const isText = this.items.every((item) => typeof item === "string");
    const items = isText ? [...this.items, ...left].join("") : [...this.list(), ...left];
    return result === undefined || result === null ? items : { items, result };
  }

  private list(): unknown[] {
    return this.items.map((item): unknown => (typeof item === "string" ? item : JSON.parse(item.json ?? "null")));
  }
}
