// A Cloudflare worker that records a run for each request. Answers with what it knows.

import * as rt from "./index.js";

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    rt.configure({ endpoint: url.searchParams.get("endpoint") });
    const found = {};
    await rt.run("edge", { input: "hi" }, async (run) => {
      await scheduler.wait(1);
      rt.step("from the context", () => undefined);
      await run.step("passed on", async (step) => {
        await scheduler.wait(1);
        step.step("below", () => undefined);
      });
      found.hasContext = rt.current() !== undefined;
    });
    if (url.searchParams.get("later") === "yes") context.waitUntil(rt.flush(5000));
    else found.left = await rt.flush(5000);
    return Response.json(found);
  },
};
