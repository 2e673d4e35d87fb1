/** `wrap`: the clients of OpenAI and Anthropic, with each call recorded. */

import { watched } from "../during.js";
import { within } from "../shared.js";
import type { Scope } from "../scopes.js";
import { anthropicMessages } from "./anthropic.js";
import { ModelCall, type Dialect, type Loose } from "./model_call.js";
import { openaiChat, openaiEmbeddings } from "./openai_chat.js";
import { openaiResponses } from "./openai_responses.js";
import { followStream, isStream } from "./streams.js";

export interface WrapOptions {
  /** Where calls are recorded, in runtimes that carry no context along. Default: what is open around the call. */
  parent?: Scope | undefined;
  /** Ask OpenAI's Chat Completions for the tokens of a stream. The agent does not see the event with them. Default: true. */
  streamUsage?: boolean | undefined;
}

type ScopeOf = () => Scope | undefined;

const WRAPPED = Symbol.for("runtraced.wrapped");

/** Where each client has its calls. Everything else of a client (`parse`, `stream`, tool runners) goes through them. */
const CALLS: [path: string[], Dialect][] = [
  [["chat", "completions"], openaiChat],
  [["responses"], openaiResponses],
  [["embeddings"], openaiEmbeddings],
  [["messages"], anthropicMessages],
  [["beta", "messages"], anthropicMessages],
];

/** Records the calls of a client. Changes the client itself, and returns it. `unknown` hears of what is none, or cannot be changed. */
export function wrapClient<C extends object>(client: C, options: WrapOptions, around: ScopeOf, unknown: (client: object) => void): C {
  try {
    if (!wrapCalls(client, options, around)) unknown(client);
    wrapCopies(client, (copy) => wrapClient(copy, options, around, unknown));
  } catch {
    unknown(client);
  }
  return client;
}

/** Whether there were any. */
function wrapCalls(client: object, options: WrapOptions, around: ScopeOf): boolean {
  const place: ScopeOf = options.parent === undefined ? around : () => options.parent;
  let known = false;
  for (const [path, dialect] of CALLS) {
    const resource = path.reduce<Loose>((found, name) => found?.[name], client);
    if (typeof resource?.create !== "function") continue;
    known = true;
    wrapCreate(resource, dialect, place, options.streamUsage ?? true);
  }
  return known;
}

/** A client can make others like itself. */
function wrapCopies(client: Loose, wrap: (copy: object) => object): void {
  const copy = client?.withOptions;
  if (typeof copy !== "function" || copy[WRAPPED]) return;
  client.withOptions = marked((...args: unknown[]) => wrap(copy.apply(client, args) as object));
}

function marked<F extends object>(fn: F): F {
  return Object.assign(fn, { [WRAPPED]: true });
}

function wrapCreate(resource: Loose, dialect: Dialect, place: ScopeOf, streamUsage: boolean): void {
  const create = resource.create;
  if (create[WRAPPED]) return;
  resource.create = marked((body: Loose, ...rest: unknown[]): unknown => {
    const scope = place();
    if (scope === undefined) return create.call(resource, body, ...rest);
    const asksUsage = streamUsage && dialect === openaiChat && body?.stream === true && body.stream_options?.include_usage === undefined;
    const sent = asksUsage ? { ...body, stream_options: { ...body.stream_options, include_usage: true } } : body;
    const call = new ModelCall(scope, dialect, body);
    let promise: Loose;
    try {
      promise = within(call.open, () => create.call(resource, sent, ...rest));
      if (asksUsage) withoutUsage(promise, () => create.call(resource, body, ...rest));
    } catch (error) {
      call.fail(error);
      throw error;
    }
    const hidden = (event: Loose): boolean => asksUsage && event?.choices?.length === 0 && event.usage != null;
    return observed(promise, (answer) => received(answer, call, dialect, hidden), call);
  });
}

/** A server that does not know what was added to the request gets the agent's own. */
function withoutUsage(promise: Loose, again: () => Loose): void {
  if (!(promise?.responsePromise instanceof Promise)) return;
  promise.responsePromise = promise.responsePromise.catch((error: Loose) => {
    const isRefused = (error?.status === 400 || error?.status === 422) && String(error.message).includes("stream_options");
    if (!isRefused) throw error;
    return again().responsePromise;
  });
}

/** An answer that cannot be followed is the agent's all the same. */
function received(answer: unknown, call: ModelCall, dialect: Dialect, hidden: (event: Loose) => boolean): void {
  try {
    if (isStream(answer)) followStream(answer, call, dialect.stream(), hidden);
    else call.answered(answer);
  } catch {
    call.untold();
  }
}

/** The client's promise, whose answer is seen before the agent sees it. */
function observed(promise: Loose, see: (answer: unknown) => void, call: ModelCall): unknown {
  if (typeof promise?._thenUnwrap !== "function") {
    const failed = (error: unknown): void => call.fail(error);
    if (promise instanceof Promise) return watched(promise, see, failed);
    Promise.resolve(promise).then(see, failed);
    return promise;
  }
  const seen = promise._thenUnwrap((answer: unknown) => {
    see(answer);
    return answer;
  });
  // It reads the body only when somebody asks for it. The agent may ask for the response instead.
  let reads = false;
  const parse = seen.parse.bind(seen);
  seen.parse = () => {
    reads = true;
    const parsed = parse();
    parsed.then(undefined, (error: unknown) => call.fail(error));
    return parsed;
  };
  const asResponse = seen.asResponse.bind(seen);
  seen.asResponse = () => {
    const response = asResponse();
    response.then(() => reads || call.untold(), () => undefined);
    return response;
  };
  // The request may fail without anybody reading.
  asResponse().then(undefined, (error: unknown) => call.fail(error));
  return seen;
}
