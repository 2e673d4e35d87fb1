/** What an answer of `POST /v1/events` means for the batch that was sent. */

/** An event that the daemon refused. Sending it again would not help. */
export interface Refusal {
  /** The line of the batch, from 1. */
  line: number;
  code: string;
  reason: string;
}

/** What to do with a batch after an answer. */
export type Verdict =
  /** Every event is stored or refused. */
  | { kind: "settled"; refused: Refusal[] }
  /** Send it again, not before `afterMs` if the daemon said so. `denied`: waiting alone will not help. */
  | { kind: "later"; afterMs: number | undefined; denied: boolean; why: string }
  /** Too large, or not to be read: send smaller batches. `isDaemons`: the daemon itself says so. */
  | { kind: "smaller"; why: string; isDaemons: boolean };

// A daemon that asks for more would hold back everything.
const LONGEST_RETRY_AFTER_MS = 60_000;

// A daemon that asks for less would be asked without a pause.
const SHORTEST_RETRY_AFTER_MS = 100;

interface AnswerBody {
  accepted?: unknown;
  refused?: Refusal[];
  error?: string;
  code?: unknown;
}

/** Reads an answer. */
export async function verdictOf(response: Response): Promise<Verdict> {
  const text = await response.text();
  const body = parsed(text);
  if (Array.isArray(body?.refused) && (typeof body.accepted === "number" || !response.ok)) {
    return { kind: "settled", refused: body.refused.filter((refusal) => typeof refusal === "object" && refusal !== null) };
  }
  const why = `${response.status} ${body?.error ?? text.slice(0, 200)}`.trim();
  // A batch that cannot be read is cut until only the event that is at fault remains. A proxy may say 413 as well, but if
  // another server says it of a single small event, it says it of all.
  const isDaemons = typeof body?.code === "string";
  if (response.status === 413 || (response.status === 400 && isDaemons)) return { kind: "smaller", why, isDaemons };
  const denied = response.status < 500 && response.status !== 408 && response.status !== 429;
  return { kind: "later", afterMs: retryAfter(response.headers.get("retry-after")), denied, why };
}

function parsed(text: string): AnswerBody | undefined {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? (body as AnswerBody) : undefined;
  } catch {
    return undefined;
  }
}

/** Seconds or a date, in milliseconds from now. */
function retryAfter(header: string | null): number | undefined {
  if (header === null || header === "") return undefined;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, SHORTEST_RETRY_AFTER_MS), LONGEST_RETRY_AFTER_MS) : undefined;
}

/** `fetch` says only "fetch failed"; its cause says why. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause as { code?: string; message?: string } | undefined;
  return cause?.code ?? cause?.message ?? error.message;
}
