// Compiles lib/, bench/ and examples/ to dist/, generates the wire's validators, and writes the ES module entry beside
// the CommonJS one.
// The ES module only re-exports: both kinds of importer share one copy of the library's state.
const { spawnSync } = require("node:child_process");
const { rmSync, writeFileSync } = require("node:fs");
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

const names = Object.keys(require(path.join(root, "dist/lib/index.js"))).filter(
  (name) => name !== "default" && name !== "__esModule",
);
const entry = path.join(root, "dist/lib/index");
writeFileSync(`${entry}.mjs`, `import api from "./index.js";\nexport const { ${names.join(", ")} } = api;\n`);
writeFileSync(`${entry}.d.mts`, 'export * from "./index.js";\n');
