// An agent that asks a person, and prints the decision.

import * as rt from "../../dist/esm/node.js";

await rt.run("asks", async (run) => {
  const decision = await run.approval("Send the mail?", { to: "dana" }).wait(60_000);
  console.log(decision.approved, decision.status, decision.notes);
});
console.log(await rt.flush(10_000));
