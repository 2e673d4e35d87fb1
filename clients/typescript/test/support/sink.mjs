// A small daemon for tests: it settles, refuses, delays, drops connections, and asks to come again.

import http from "node:http";
import { gunzipSync } from "node:zlib";

export class Sink {
  /** Each event once, in the order of arrival. */
  events = [];
  /** Lines as they came, repeated ones included. */
  lines = [];
  /** What the next requests get instead of success, see `answer`. */
  plan = [];
  /** Refuses an event: a function from an event to `{ code, reason }`, or nothing. */
  refuse = () => undefined;
  /** Answers of `GET /api/approvals/ID`. */
  approvals = () => ({ status: 404, body: { error: "no such approval", code: "not_found" } });
  requests = [];
  #seen = new Set();

  static async start() {
    const sink = new Sink();
    sink.server = http.createServer((request, response) => sink.#serve(request, response));
    await new Promise((done) => sink.server.listen(0, "127.0.0.1", done));
    sink.server.unref();
    sink.port = sink.server.address().port;
    sink.url = `http://127.0.0.1:${sink.port}`;
    return sink;
  }

  /** Closes the port. `start` again with `reopen`. */
  async close() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  async reopen() {
    await new Promise((done) => this.server.listen(this.port, "127.0.0.1", done));
    this.server.unref();
  }

  async #serve(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const text = (request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body).toString();
    this.requests.push({ url: request.url, method: request.method, headers: request.headers, text, at: performance.now() });
    if (request.url.startsWith("/api/approvals/")) {
      const { status = 200, body } = await this.approvals(request.url);
      return this.#send(response, status, body);
    }
    const plan = this.plan.shift();
    if (plan?.hangs) return;
    if (plan?.delay) await new Promise((done) => setTimeout(done, plan.delay));
    if (plan?.drop === "before") return response.destroy();
    if (plan?.status) return this.#send(response, plan.status, plan.body ?? { error: "no", code: "busy" }, plan.headers);
    if (plan?.largest && text.length > plan.largest) return this.#send(response, 413, plan.body ?? { error: "too large", code: "too_large" });
    const answer = this.#settle(text);
    if (plan?.drop === "after") return response.destroy();
    this.#send(response, 200, answer);
  }

  #settle(text) {
    const answer = { accepted: 0, duplicate: 0, refused: [], durability: "COMMITTED", spooled: 0 };
    text.split("\n").forEach((line, at) => {
      if (line === "") return;
      this.lines.push(line);
      const event = JSON.parse(line);
      const refusal = this.refuse(event);
      if (refusal) answer.refused.push({ line: at + 1, ...refusal });
      else if (this.#seen.has(line)) answer.duplicate += 1;
      else {
        this.#seen.add(line);
        this.events.push(event);
        answer.accepted += 1;
      }
    });
    return answer;
  }

  #send(response, status, body, headers = {}) {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  }

  /** The events of a kind, without their time. */
  of(kind) {
    return this.events.filter((event) => kind in event).map((event) => event[kind]);
  }

  get repeated() {
    return this.lines.length - this.#seen.size;
  }
}

/** The value of a field of JSON: a string holds JSON text. */
export function value(field) {
  return typeof field === "string" ? JSON.parse(field) : field;
}
