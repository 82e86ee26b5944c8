// Builds the addon with node-gyp. Where Node's headers lie beside the running Node they are used, so that the
// build works offline; otherwise node-gyp fetches them as it always does.
const { existsSync } = require("node:fs");
const { spawnSync } = require("node:child_process");
const path = require("node:path");

const root = path.join(__dirname, "..");
const prefix = path.resolve(path.dirname(process.execPath), "..");
const args = [
  require.resolve("node-gyp/bin/node-gyp.js"),
  existsSync(path.join(root, "build", "Makefile")) ? "build" : "rebuild",
];
if (existsSync(path.join(prefix, "include", "node", "node_api.h"))) args.push(`--nodedir=${prefix}`);
const { status, error } = spawnSync(process.execPath, args, {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, JOBS: process.env.JOBS ?? "max" },
});
if (error) throw error;
process.exit(status ?? 1);
