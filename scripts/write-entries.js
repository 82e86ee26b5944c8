// Writes the package's entries over what tsc made of lib/index.ts: dist/lib/index.js, which loads a module when the
// first of its names is asked for, out of a pack (scripts/write-packs.js), and dist/lib/index.mjs, which re-exports all of them, so that both kinds of
// importer share one copy of the library's state.
const { rmSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { writePacks } = require("./write-packs.js");

const library = path.join(__dirname, "../dist/lib");
const entry = path.join(library, "index.js");
const api = require(entry);
const modules = Object.values(require.cache).filter(({ id }) => id.startsWith(library) && id !== entry);
const packOf = writePacks(modules.map(({ id }) => path.relative(library, id)));

/** The module that has the name as its own, and not from another one. */
function definingModule(name) {
  const found = modules.find((module) => {
    const own = Object.getOwnPropertyDescriptor(module.exports, name);
    return own !== undefined && "value" in own && own.value === api[name];
  });
  if (found === undefined) throw new Error(`No module defines what lib/index.ts exports as ${name}.`);
  return path.relative(library, found.id);
}

const names = Object.keys(api).sort();
const lines = names.map((name) => {
  const module = definingModule(name);
  return `lazy("${name}", () => require("./${packOf(module)}.pack.js").load("${module}").${name});`;
});
writeFileSync(
  entry,
  `"use strict";
// Generated: see scripts/write-entries.js.
Object.defineProperty(exports, "__esModule", { value: true });
function lazy(name, load) {
  Object.defineProperty(exports, name, {
    configurable: true,
    enumerable: true,
    get() {
      const value = load();
      Object.defineProperty(exports, name, { value, enumerable: true });
      return value;
    },
  });
}
${lines.join("\n")}
// For Node's ES module loader, which finds a CommonJS module's names by reading it.
0 && (module.exports = { ${names.join(", ")} });
`,
);
// It maps what tsc made.
rmSync(`${entry}.map`);
writeFileSync(
  path.join(library, "index.mjs"),
  `import api from "./index.js";\nexport const { ${names.join(", ")} } = api;\n`,
);
writeFileSync(path.join(library, "index.d.mts"), 'export * from "./index.js";\n');
