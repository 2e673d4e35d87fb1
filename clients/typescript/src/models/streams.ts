/** Streams of a model's answer: read along, without being in the way of who reads them. */

import { guarded } from "../faults.js";
import type { Loose, ModelCall, StreamReader } from "./model_call.js";

/** What a client's stream has. Its iterator is private, but the helpers of the client read it too. */
interface ClientStream {
  iterator?: () => AsyncIterator<unknown>;
  [Symbol.asyncIterator](): AsyncIterator<unknown>;
}

export function isStream(value: unknown): value is ClientStream {
  return typeof value === "object" && value !== null && typeof (value as Partial<ClientStream>)[Symbol.asyncIterator] === "function";
}

/** Reads a client's stream along. `hidden` are events that only this library asked for. */
export function followStream(stream: ClientStream, call: ModelCall, reader: StreamReader, hidden: (event: Loose) => boolean): void {
  if (typeof stream.iterator === "function") {
    const iterate = stream.iterator.bind(stream);
    stream.iterator = () => following(iterate(), call, reader, hidden);
    return;
  }
  const iterate = stream[Symbol.asyncIterator].bind(stream);
  Object.defineProperty(stream, Symbol.asyncIterator, { value: () => following(iterate(), call, reader, hidden), configurable: true });
}

async function* following(
  events: AsyncIterator<unknown>,
  call: ModelCall,
  reader: StreamReader,
  hidden: (event: Loose) => boolean,
): AsyncGenerator<unknown, void, undefined> {
  try {
    for await (const event of { [Symbol.asyncIterator]: () => events }) {
      guarded(() => reader.add(event));
      if (!hidden(event)) yield event;
    }
  } catch (error) {
    call.fail(error, reader);
    throw error;
  } finally {
    // Also if the agent stops reading: then this is the part that it has read.
    call.streamed(reader);
  }
}

/** Reads a web stream along. */
export function followReadable(stream: ReadableStream<unknown>, call: ModelCall, reader: StreamReader): ReadableStream<unknown> {
  const source = stream.getReader();
  return new ReadableStream<unknown>(
    {
      async pull(controller) {
        try {
          const { done, value } = await source.read();
          if (done) {
            call.streamed(reader);
            controller.close();
            return;
          }
          guarded(() => reader.add(value));
          controller.enqueue(value);
        } catch (error) {
          call.fail(error, reader);
          controller.error(error);
        }
      },
      async cancel(reason) {
        call.streamed(reader);
        await source.cancel(reason);
      },
    },
    // Nothing is read before somebody asks for it.
    { highWaterMark: 0 },
  );
}
