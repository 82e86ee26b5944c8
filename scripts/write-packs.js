// Writes what lib/packed.ts unpacks: dist/lib/worker.pack.js, the modules of a first attach and of the raw layer, and
// dist/lib/rest.pack.js, all others that the entry's names need. Says in which of them a module is.
const { readFileSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { joinSourceMaps } = require("./join-source-maps.js");

const library = path.join(__dirname, "../dist/lib");
const read = (name) => readFileSync(path.join(library, name), "utf8");

/** The modules of this library that a module requires when it is loaded; not those that a function of it does. */
function requiredBy(name) {
  const found = read(name).matchAll(/^const \w+ = (?:__\w+\()?require\("(\.[^"]+)"\)/gm);
  return [...found].map((match) => path.join(path.dirname(name), match[1]));
}

function closure(roots) {
  const names = new Set(roots);
  for (const name of names) for (const other of requiredBy(name)) names.add(other);
  return [...names].sort();
}

function writePack(file, names, { sure = [], before = [] } = {}) {
  const head = [
    '"use strict";',
    "// Generated: see scripts/write-packs.js.",
    'const packed = require("./packed.js");',
    ...before,
    "packed.addBodies({",
  ];
  const lines = [...head];
  const maps = [];
  for (const name of names) {
    // In parentheses V8 compiles a function with the file, for it is sure to be called.
    const [open, close] = sure.includes(name) ? ["(", ")"] : ["", ""];
    lines.push(
      `${JSON.stringify(name)}: ${open}function (exports, require, module, __filename, __dirname) {`,
    );
    const map = mapOf(name);
    if (map !== undefined) maps.push({ line: lines.length, map });
    lines.push(
      ...read(name)
        .replace(/\n\/\/# sourceMappingURL=.*\n?$/, "")
        .split("\n"),
      `}${close},`,
    );
  }
  lines.push("});", "exports.load = packed.load;", `//# sourceMappingURL=${file}.map`, "");
  writeFileSync(path.join(library, file), lines.join("\n"));
  writeFileSync(path.join(library, `${file}.map`), JSON.stringify(joinSourceMaps(file, maps)));
}

/** Its source map, as seen from the library's folder; undefined for what was not compiled. */
function mapOf(name) {
  if (!/\/\/# sourceMappingURL=/.test(read(name))) return undefined;
  const { sourcesContent: _, sources, ...map } = JSON.parse(read(`${name}.map`));
  const folder = path.dirname(name);
  return { ...map, sources: sources.map((source) => path.join(folder, source)) };
}

/** `names`: of all modules behind the entry. Gives the pack of each. */
exports.writePacks = (names) => {
  const raw = names.filter((name) => name.startsWith("cuda/") && name !== "cuda/index.js");
  const attach = closure(["sharing/attach.js", "sharing/clients.js"]);
  const worker = closure([...attach, ...raw, "cuda/rehearsal.js"]);
  const rest = names.filter((name) => !worker.includes(name) && !/(^|\/)index\.js$/.test(name)).sort();
  writePack("worker.pack.js", worker, { sure: attach });
  writePack("rest.pack.js", rest, { before: ['require("./worker.pack.js");'] });
  return (name) => (worker.includes(name) ? "worker" : "rest");
};
