#!/usr/bin/env node
// Applies the files of `runtraced migrate --export DIR`, in order, each once. What is applied is
// in the table _sqlx_migrations, where `runtraced migrate` looks, too. Needs the package `pg`.
//
//   DATABASE_URL=postgresql://owner@host/database node scripts/run-migration.js [DIR]
//
// DIR is database/migrations unless it is given.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');

// `pg` is the caller's, so it is looked for where the caller is.
const { Client } = createRequire(path.join(process.cwd(), 'package.json'))('pg');

const HEAD = /^-- Migration (\d+) of runtraced: /;

/** The files of a folder with their text and number, in order. */
function migrations(folder) {
  const names = fs.readdirSync(folder).filter((name) => name.endsWith('.sql'));
  return names.sort().map((name) => {
    const text = fs.readFileSync(path.join(folder, name), 'utf8');
    const head = HEAD.exec(text);
    if (!head) throw new Error(`${name} is no file of \`runtraced migrate --export\``);
    return { name, text, version: head[1] };
  });
}

/** The numbers of the migrations that are applied. */
async function applied(client) {
  const table = await client.query("SELECT to_regclass('_sqlx_migrations') AS there");
  if (!table.rows[0].there) return new Set();
  const rows = await client.query('SELECT version::text FROM _sqlx_migrations WHERE success');
  return new Set(rows.rows.map((row) => row.version));
}

async function main() {
  const url = process.env.DATABASE_URL;
  if (!url) throw new Error('set DATABASE_URL=postgresql://owner@host/database');
  const files = migrations(process.argv[2] ?? 'database/migrations');
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const done = await applied(client);
    for (const { name, text, version } of files) {
      if (done.has(version)) continue;
      // The file has its own BEGIN and COMMIT.
      await client.query(text).catch((error) => {
        throw new Error(`${name}: ${error.message}`);
      });
      console.log(`applied ${name}`);
    }
    console.log('the schema is up to date');
  } finally {
    await client.end();
  }
}

main().catch((error) => {
  console.error(`run-migration: ${error.message}`);
  process.exitCode = 1;
});
