// Exits while events are on their way to the spool.

import fs from "node:fs";

import * as rt from "../../dist/esm/node.js";

const open = fs.promises.open;
fs.promises.open = async (...args) => {
  const file = await open(...args);
  file.sync = async () => process.exit(0);
  return file;
};

for (let at = 0; at < 1500; at += 1) rt.run("a", () => undefined);
setInterval(() => undefined, 1000);
