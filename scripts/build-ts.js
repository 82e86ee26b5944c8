// Compiles lib/, bench/ and examples/ to dist/, generates the wire's validators, and writes the package's entries.
const { spawnSync } = require("node:child_process");
const { rmSync } = require("node:fs");
const path = require("node:path");

const root = path.join(__dirname, "..");
rmSync(path.join(root, "dist"), { recursive: true, force: true });
const tsc = path.join(path.dirname(require.resolve("typescript/package.json")), "bin", "tsc");
const { status } = spawnSync(process.execPath, [tsc, "-p", path.join(root, "tsconfig.json")], {
  cwd: root,
  stdio: "inherit",
});
if (status !== 0) process.exit(status ?? 1);

require("./generate-validators.js");
require("./write-entries.js");
