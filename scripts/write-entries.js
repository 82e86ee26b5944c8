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

/** Of the raw layer: whoever asks for one of its names uses CUDA next. */
const usesCuda = (module) =>
  path.dirname(module) === "cuda" && !["early-start.js", "handle.js"].includes(path.basename(module));
const attaching = "sharing/attach.js";
const owning = "sharing/owner.js";
const load = (module) => `require("./${packOf(module)}.pack.js").load("${module}")`;

const names = Object.keys(api).sort();
const lines = names.map((name) => {
  const module = definingModule(name);
  const asked = usesCuda(module) ? ", foresee" : module === owning ? ", serves" : "";
  return `lazy("${name}", () => ${load(module)}.${name}${asked});`;
});
writeFileSync(
  entry,
  `"use strict";
// Generated: see scripts/write-entries.js.
Object.defineProperty(exports, "__esModule", { value: true });
// Who uses the raw layer, and then leaves a turn to others, as a rule waits for CUDA, and may attach next: that is loaded
// and rehearsed meanwhile. Not in an owner, nor where modules are a test runner's.
let foreseen = false;
let owner = false;
const serves = () => {
  owner = true;
};
const foresee = () => {
  if (foreseen || !require("./packed.js").isNodes) return;
  foreseen = true;
  const { setTimeout } = require("node:timers");
  setTimeout(() => {
    try {
      if (!owner) ${load(attaching)};
    } catch {} // whoever attaches is told
  }, 0).unref();
};
function lazy(name, load, asked) {
  Object.defineProperty(exports, name, {
    configurable: true,
    enumerable: true,
    get() {
      asked?.();
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
